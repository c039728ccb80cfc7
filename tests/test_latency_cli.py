"""`nas latency measure` and `validate` on a space of tiny networks, measured for real."""

import json
import sys

import pytest

from nas.cli.main import main

TINY = """
name: tiny
resolution: 16
stages:
  - {op: conv, channels: [16, 24, 32], kernel: 3, stride: 2}
  - {channels: [16, 24, 32], depth: [1, 2], kernel: [3, 5], expand: [2, 3], per_layer: [kernel, expand]}
head: {type: plain}
"""


@pytest.fixture
def nas(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "tiny.yaml").write_text(TINY)

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["nas", "latency", *args])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        return caught.value.code, captured.out, captured.err

    return run


def test_a_measured_table_is_validated_and_its_error_stored(nas, tmp_path):
    code, _, error = nas("validate", "--space", "tiny.yaml", "--networks", "9")
    assert code == 2
    assert "host has not been measured yet" in error
    code, out, _ = nas("measure", "--space", "tiny.yaml", "--quick")
    assert code == 0
    assert "other processes took" in out
    code, out, _ = nas("validate", "--space", "tiny.yaml", "--networks", "40", "--json", "--plot", "plot.png")
    assert code == 0
    found = json.loads(out)
    assert {"networks", "mape", "within_5", "within_10", "spearman", "kendall", "worst"} <= found.keys()
    assert (tmp_path / "plot.png").stat().st_size > 0
    code, out, _ = nas("list", "--json")
    assert next(d["error"]["mape"] for d in json.loads(out) if d["target"] == "host") == found["mape"]


@pytest.mark.parametrize("command", ["measure", "validate"])
def test_a_device_elsewhere_is_not_measured_here(nas, command):
    code, _, error = nas(command, "--target", "pixel")
    assert code == 2
    assert "pixel cannot be measured from here; only --target host can" in error
