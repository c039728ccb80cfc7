"""Phones behind adb. The parsers read recorded output; the link is tested with the real adb where there is one (no
phone answers it), and with a stand-in that copies files and runs commands here as adb does on a phone."""

import os
import re
import shutil
import socket
import subprocess
import sys
from math import inf
from pathlib import Path

import pytest

from nas.errors import LatencyError
from nas.latency import remote
from nas.latency.adb import BATCH, AdbLink, Runner, parse_adb
from nas.latency.remote import measure_board
from nas.latency.runner_output import parse_ort_perf_test, parse_tflite_benchmark
from nas.latency.ssh import LinkError
from nas.latency.table import read_table
from tests.test_cli import nas  # noqa: F401 - a fixture
from tests.test_latency_remote import NETWORKS, OPS, TOTAL

RECORDED = Path(__file__).parent / "recorded"
ADB = shutil.which("adb")


@pytest.mark.parametrize(
    ("name", "parse", "ms", "spread"),
    [
        ("ort_perf_test_1.23_android", parse_ort_perf_test, 99.5086, (0.101519 - 0.0958204) / 0.0995086),
        ("ort_perf_test_cobalt", parse_ort_perf_test, 1.85674, (0.00187215 - 0.00183404) / 0.00185674),
        ("ort_perf_test_2019", parse_ort_perf_test, 58.7108, (0.0599845 - 0.0559777) / 0.0587108),
        ("tflite_benchmark_2020_android", parse_tflite_benchmark, 33.2094, 450 / 33209.4),
        ("tflite_benchmark_quantiles", parse_tflite_benchmark, 141.253, (187533 - 140545) / 141253),
        ("tflite_benchmark_slow", parse_tflite_benchmark, 2950.34, 109798 / 2.95034e6),
    ],
)
def test_recorded_output_is_read(name, parse, ms, spread):
    text = (RECORDED / f"{name}.txt").read_text()
    found = parse(text)
    assert (found.ms, found.spread) == (pytest.approx(ms), pytest.approx(spread))
    assert parse(text.replace("\n", "\r\n")) == found  # a terminal in between


@pytest.mark.parametrize("parse", [parse_ort_perf_test, parse_tflite_benchmark])
@pytest.mark.parametrize("name", ["ort_perf_test_cobalt", "tflite_benchmark_2020_android"])
def test_output_that_was_cut_short_is_no_timing(name, parse):
    lines = (RECORDED / f"{name}.txt").read_text().splitlines()
    (last,) = [i for i, line in enumerate(lines) if line.startswith(("P90", "Inference timings"))]
    for end in range(last):
        with pytest.raises(LatencyError, match=re.escape(f"said {lines[end].strip()!r}") if lines[end] else "expected"):
            parse("\n".join(lines[: end + 1]))


def test_output_without_statistics_is_refused():
    with pytest.raises(LatencyError, match=r"said 'Total inference run time:600\.102 s'; expected Min, P50 and P90"):
        parse_ort_perf_test((RECORDED / "ort_perf_test_without_statistics.txt").read_text())


STAND_IN = """\
#!{python}
# Stands in for adb: one phone, whose storage is a folder. Knows `-s SERIAL push FILE... FOLDER` and `shell COMMAND`.
import shutil, subprocess, sys
from pathlib import Path

root, (_, serial, verb, *rest) = Path({root!r}), sys.argv[1:]
if serial != "PHONE" or (root / "unplugged").exists():
    sys.exit(f"error: device '{{serial}}' not found")
here = lambda text: text.replace("/data/local/tmp", str(root))
if verb == "push":
    *files, folder = rest
    assert Path(here(folder)).is_dir(), "adb pushes several files into a folder that exists"
    for file in files:
        shutil.copy(file, here(folder))
    print(f"{{len(files)}} files pushed, 0 skipped.")
    sys.exit()
(command,) = rest
path = f"{{root}}/bin:/usr/bin:/bin"
with subprocess.Popen(["sh", "-c", here(command)], stdout=subprocess.PIPE, text=True, env={{"PATH": path}}) as process:
    for line in process.stdout:
        print(line, end="\\r\\n", flush=True)
        left = root / "lines until the cable is pulled"
        if line.startswith("@nas end") and left.exists():
            left.write_text(str(int(left.read_text()) - 1))
            if left.read_text() == "0":
                left.unlink()
                process.kill()
                sys.exit(255)
sys.exit(process.returncode)
"""

PERF_TEST = """\
#!/bin/sh
# Stands in for onnxruntime_perf_test: prints what it prints, with the size of the model as its time.
[ "$*" = "-e cpu -x 1 -I -m times -r $9 -s ${11}" ] || { echo "unknown arguments: $*"; exit 1; }
s=$(printf "%d.%06d" 0 $(($(wc -c < "${11}") / 10)))
echo "Setting intra_op_num_threads to 1"
echo "Average inference time cost total: 1.234567 ms"
for name in Min Max P50 P90 P95 P99; do echo "$name Latency: $s s"; done
printf "P999 Latency: $s s"
"""

BENCHMARK_MODEL = """\
#!/bin/sh
# Stands in for benchmark_model: prints what it prints, with the size of the model as its time.
model=${1#--graph=}
us=$(($(wc -c < "$model") * 1000))
echo "Initialized session in 0.855ms."
echo "count=15 first=49060 curr=33682 min=32825 max=49060 avg=34825.1 std=3930"
echo "count=50 first=$us curr=$us min=$us max=$us avg=$us std=0"
echo "Inference timings in us: Init: 855, First inference: 49060, Warmup (avg): 34825.1, Inference (avg): $us"
"""


class Phone:
    """What the stand-in reaches."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "phone"
        (self.root / "bin").mkdir(parents=True)
        self._program(
            self.root / "bin/getprop", '#!/bin/sh\n[ "$1" = ro.product.model ] && echo "Fake 1" || echo Nobody\n'
        )
        (folder / "tools").mkdir()
        self._program(folder / "tools/adb", STAND_IN.format(python=sys.executable, root=str(self.root)))
        self.perf_test = self._program(folder / "onnxruntime_perf_test", PERF_TEST)
        self.benchmark_model = self._program(folder / "benchmark_model", BENCHMARK_MODEL)

    @staticmethod
    def _program(path: Path, text: str) -> Path:
        path.write_text(text)
        path.chmod(0o755)
        return path

    @property
    def link(self) -> AdbLink:
        return AdbLink("PHONE", Runner("ort_perf_test", self.perf_test))

    def pull_cable_after(self, models: int) -> None:
        (self.root / "lines until the cable is pulled").write_text(str(models))

    def unplug(self) -> None:
        (self.root / "unplugged").touch()

    def plug_in(self) -> None:
        (self.root / "unplugged").unlink()


@pytest.fixture
def phone(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "TOLERANCE", inf)  # what a busy machine disturbs is another test's matter
    phone = Phone(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}/tools{os.pathsep}{os.environ['PATH']}")
    return phone


def fill(link, folder, at=None):
    steps = []

    def progress(done, total):
        steps.append((done, total))
        (at or {}).get(done, lambda: None)()

    model = measure_board(link, folder, [], architectures=NETWORKS, progress=progress, pause_s=0.01)
    return model, steps


def test_a_phone_is_measured_row_by_row_through_a_pulled_cable_and_becomes_a_target(phone, tmp_path):
    assert TOTAL > BATCH
    phone.pull_cable_after(7)
    model, steps = fill(phone.link, tmp_path / "p", at={9: lambda: phone.pull_cable_after(10)})
    assert steps == [(done, TOTAL) for done in range(1, TOTAL + 1)]
    rows = read_table(tmp_path / "p/table.csv").rows  # which refuses an op listed twice
    assert rows.keys() == OPS
    latency = model.estimate(NETWORKS[4])
    assert 0 < latency.low_ms <= latency.ms <= latency.high_ms
    assert (model.device.device, model.device.core) == ("Nobody Fake 1", "any")
    assert re.fullmatch("onnxruntime_perf_test [0-9a-f]{12}", model.device.runtime_version)
    assert "adb://PHONE" in model.device.provenance[0]["source"]
    assert not list((phone.root / "nas/models").iterdir())
    assert fill(phone.link, tmp_path / "p")[1] == []


def test_a_phone_that_goes_away_is_given_up_in_one_line_and_the_same_command_goes_on(phone, tmp_path):
    def unplug():
        phone.pull_cable_after(1)
        phone.unplug()

    with pytest.raises(
        LatencyError, match=r"device 'PHONE' not found; gave up after 5 attempts.*the same command goes on"
    ):
        fill(phone.link, tmp_path / "p", at={5: unplug})
    kept = read_table(tmp_path / "p/table.csv").rows
    assert len(kept) >= 5
    phone.plug_in()
    fill(phone.link, tmp_path / "p")
    rows = read_table(tmp_path / "p/table.csv").rows
    assert {op: rows[op] for op in kept} == kept


def test_another_binary_is_another_runtime(phone, tmp_path):
    fill(phone.link, tmp_path / "p")
    (tmp_path / "p/networks.csv").unlink()  # something to measure
    phone.perf_test.write_text(phone.perf_test.read_text() + "# of another version\n")
    with pytest.raises(
        LatencyError, match=r"runtime_version is onnxruntime_perf_test .*, and p was measured with onnx"
    ):
        fill(phone.link, tmp_path / "p")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "echo 'CANNOT LINK EXECUTABLE: libonnxruntime.so not found'; exit 1",
            "ended with code 1: CANNOT LINK EXECUTABLE",
        ),
        ("echo 'error: bad model' >&2; exit 3", "ended with code 3: error: bad model"),
        ("echo Hello", "of sentinel said 'Hello'; expected Min, P50 and P90 Latency"),
    ],
)
def test_a_program_that_cannot_measure_says_why(phone, tmp_path, text, message):
    phone.perf_test.write_text(f"#!/bin/sh\n{text}\n")
    with pytest.raises(LatencyError, match=message):
        fill(phone.link, tmp_path / "p")


def test_models_of_the_users_are_timed_by_tensorflow_lite_and_fitted(phone, nas, monkeypatch, tmp_path):  # noqa: F811
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    models = tmp_path / "models"
    models.mkdir()
    names = ["mobilenet_v1", "mobilenet_v2", "mnasnet_a1", "mnasnet_b1", "mnasnet_small", "mobilenet_v3_large"]
    names += ["mobilenet_v3_small", "proxylessnas_mobile", "mobilenet_v2_035"]
    for i, name in enumerate(names):
        (models / f"{name}.tflite").write_bytes(bytes(40 + i))
    command = ("latency", "measure", "--device", "adb://PHONE", "--target", "phone", "--models", models)
    command = (*command, "--runner", f"tflite_benchmark={phone.benchmark_model}")
    phone.pull_cable_after(4)
    code, out, err = nas(*command)
    assert code == 0, err
    lines = Path("phone.csv").read_text().splitlines()
    assert lines[0] == "network,ms"
    assert sorted(lines[1:]) == sorted(f"{name},{40 + i}" for i, name in enumerate(names))
    assert "nas latency fit --csv phone.csv --target phone" in out
    assert nas(*command)[0] == 0  # and nothing again
    assert Path("phone.csv").read_text().splitlines() == lines
    assert nas("latency", "fit", "--csv", "phone.csv", "--target", "phone", "--like", "pixel")[0] == 0
    (models / "unheard_of.tflite").touch()
    assert "unknown network 'unheard_of'" in nas(*command)[2]


@pytest.fixture
def real_adb(monkeypatch):
    if ADB is None:
        pytest.skip("adb is absent (Debian: adb)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(free.getsockname()[1]))
    yield
    subprocess.run([ADB, "kill-server"], check=False, capture_output=True)  # the server on that port alone


def test_adb_without_the_phone_is_one_line(real_adb, phone, nas, monkeypatch, tmp_path):  # noqa: F811
    monkeypatch.setenv("PATH", os.environ["PATH"].partition(os.pathsep)[2])  # without the stand-in
    with pytest.raises(LinkError, match="adb://NO-SUCH-PHONE: error: device 'NO-SUCH-PHONE' not found"):
        list(AdbLink("NO-SUCH-PHONE", phone.link.runner).run([]))
    code, out, err = nas(
        "latency", "measure", "--device", "adb://NO-SUCH-PHONE", "--target", "p", "--quick",
        "--runner", f"ort_perf_test={phone.perf_test}",
    )  # fmt: skip
    assert (code, out) == (2, "")
    assert err.strip() == "nas: adb://NO-SUCH-PHONE: error: device 'NO-SUCH-PHONE' not found"


def test_without_adb_its_package_is_named(phone, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LatencyError, match=r"adb is not installed; expected Android's platform tools \(Debian: adb\)"):
        list(phone.link.run([]))


@pytest.mark.parametrize(
    ("device", "runner", "cores", "message"),
    [
        ("adb://", "ort_perf_test=X", None, "expected adb://SERIAL"),
        ("adb://-x", "ort_perf_test=X", None, "expected adb://SERIAL"),
        ("adb://a;id", "ort_perf_test=X", None, "expected adb://SERIAL"),
        ("adb://a", None, None, "--runner ''; expected ort_perf_test=PATH or tflite_benchmark=PATH"),
        ("adb://a", "ort_perf_test", None, "expected ort_perf_test=PATH or tflite_benchmark=PATH"),
        ("adb://a", "trtexec=X", None, "expected ort_perf_test=PATH or tflite_benchmark=PATH"),
        ("adb://a", "ort_perf_test=absent", None, "--runner: absent: no such file"),
        ("adb://a", f"ort_perf_test={__file__}", "4-7", "expected a mask of cores in hexadecimal, such as f0"),
    ],
)
def test_what_is_no_phone_program_or_mask_is_refused(device, runner, cores, message):
    with pytest.raises(LatencyError, match=message):
        parse_adb(device, runner, cores)


def test_a_phone_by_its_address():
    link = parse_adb("adb://192.168.1.7:5555", f"ort_perf_test={__file__}", "f0")
    assert (str(link), link.mask) == ("adb://192.168.1.7:5555", "f0")
