"""A board behind a real sshd on loopback: measured, dropped, resumed, refused."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from getpass import getuser
from math import inf
from pathlib import Path

import pytest

from nas.architecture import Architecture, ConvBlock, MBConvBlock, PoolBlock
from nas.errors import LatencyError
from nas.latency import remote
from nas.latency.remote import BOARD, measure_board
from nas.latency.ssh import LinkError, SshAddress, parse_address, run_script
from nas.latency.table import as_deployed, read_table
from nas.layers import lower
from tests.test_cli import nas  # noqa: F401 - a fixture

SSHD = shutil.which("sshd", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin")))
NETWORKS = [
    Architecture(
        16,
        (ConvBlock(8 * i, 3, 2, "relu"), MBConvBlock(8 * i, 16 * i, 3, 1, "hswish", se_channels=8), PoolBlock()),
        num_classes=4,
    )
    for i in range(1, 10)
]
OPS = {as_deployed(layer) for network in NETWORKS for layer in lower(network)}
TOTAL = len(OPS) + len(NETWORKS)

CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
ForceCommand PATH={folder}/bin:$PATH; eval "$SSH_ORIGINAL_COMMAND"
"""
CLIENT = """\
Host *
  IdentityFile {folder}/user_key
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  StrictHostKeyChecking no
  LogLevel ERROR
"""


class Board:
    """An sshd of the test's own, whose python3 is this one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        for name in ("host_key", "user_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
        (folder / "sshd_config").write_text(CONFIG.format(port=self.port, folder=folder))
        (folder / "ssh_config").write_text(CLIENT.format(folder=folder))
        (folder / "bin").mkdir()
        self.python(f'exec {sys.executable} "$@"')
        self.process = None

    def python(self, command: str) -> None:
        """What python3 does on the board."""
        path = self.folder / "bin/python3"
        path.write_text(f"#!/bin/sh\n{command}\n")
        path.chmod(0o755)

    @property
    def address(self) -> SshAddress:
        return SshAddress("127.0.0.1", getuser(), self.port, ("-F", str(self.folder / "ssh_config")))

    def start(self) -> None:
        config = str(self.folder / "sshd_config")
        checked = subprocess.run([SSHD, "-t", "-f", config], capture_output=True, text=True, check=False)
        if checked.returncode:
            pytest.skip(f"sshd cannot run here: {checked.stderr.strip()}")
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen([SSHD, "-D", "-e", "-f", config], stderr=log)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        pytest.fail((self.folder / "log").read_text())

    def drop(self) -> None:
        """Kill all connections, as when the board loses its network; the server goes on."""
        for pid in children(self.process.pid):
            with suppress(ProcessLookupError):  # ended meanwhile
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        if self.process is not None:
            self.drop()
            self.process.kill()
            self.process.wait()
            self.process = None


def children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, rest = stat.read_text().split(" ", 1)
        except OSError:  # ended meanwhile
            continue
        if int(rest.rpartition(")")[2].split()[1]) == parent:
            found.append(int(pid))
    return found


@pytest.fixture
def board(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "TOLERANCE", inf)  # what a busy machine disturbs is another test's matter
    if SSHD is None or shutil.which("ssh") is None:
        pytest.skip("sshd or ssh is absent (Debian: openssh-server)")
    folder = tmp_path / "board"
    folder.mkdir()
    board = Board(folder)
    board.start()
    yield board
    board.stop()


def fill(board, folder, **options):
    steps = []

    def progress(done, total):
        steps.append((done, total))
        options.get("at", {}).get(done, lambda: None)()

    dtype = options.get("dtype", "float32")
    model = measure_board(
        board.address, folder, [], architectures=NETWORKS, dtype=dtype, progress=progress, pause_s=0.01
    )
    return model, steps


def test_a_board_is_measured_row_by_row_and_becomes_a_target(board, tmp_path):
    model, steps = fill(board, tmp_path / "my-board")
    assert steps == [(done, TOTAL) for done in range(1, TOTAL + 1)]
    assert read_table(tmp_path / "my-board/table.csv").rows.keys() == OPS
    latency = model.estimate(NETWORKS[4])
    assert 0 <= latency.low_ms <= latency.ms <= latency.high_ms
    assert (model.target, model.device.runtime, len(model.device.errors)) == ("my-board", "ONNX Runtime", 9)
    assert str(board.port) in model.device.provenance[0]["source"]
    again, steps = fill(board, tmp_path / "my-board")
    assert steps == []
    assert again.version == model.version


def test_a_board_is_measured_quantised_and_under_that_name_in_no_other_way(board, tmp_path):
    model, steps = fill(board, tmp_path / "my-board-int8", dtype="int8")
    assert len(steps) == TOTAL
    assert model.device.dtype == "int8"
    assert "weights int8" in model.device.provenance[1]["source"]
    with pytest.raises(LatencyError, match="my-board-int8 was measured with int8; expected another --target for float"):
        fill(board, tmp_path / "my-board-int8")


def test_a_link_that_breaks_is_made_again_and_nothing_is_measured_twice(board, tmp_path):
    _, steps = fill(board, tmp_path / "b", at={3: board.drop, 7: board.drop, TOTAL - 2: board.drop})
    assert [done for done, _ in steps] == list(range(1, TOTAL + 1))
    read_table(tmp_path / "b/table.csv")  # which refuses an op listed twice
    assert (board.folder / "log").read_text().count("Accepted publickey") >= 3


def test_a_board_that_drops_out_is_given_up_and_the_same_command_goes_on(board, tmp_path):
    with pytest.raises(LatencyError, match=r"gave up after 5 attempts without a new row.*the same command goes on"):
        fill(board, tmp_path / "b", at={5: board.stop})
    kept = read_table(tmp_path / "b/table.csv").rows
    assert len(kept) >= 5
    assert not (tmp_path / "b/device.yaml").exists()
    board.start()
    _, steps = fill(board, tmp_path / "b")
    assert len(steps) == TOTAL - len(kept)
    rows = read_table(tmp_path / "b/table.csv").rows
    assert {layer: rows[layer] for layer in kept} == kept


def test_no_connection_at_all_is_an_error_at_once(board, tmp_path):
    board.stop()
    with pytest.raises(LinkError, match=r"ssh://\w+@127\.0\.0\.1:\d+: .*Connection refused"):
        fill(board, tmp_path / "b")


def test_a_key_that_the_board_does_not_know_is_an_error_at_once(board, tmp_path):
    (board.folder / "user_key.pub").write_text("")
    with pytest.raises(LinkError, match="Permission denied"):
        fill(board, tmp_path / "b")


@pytest.mark.parametrize(
    ("python", "message"),
    [
        ("echo 'ImportError: no onnxruntime' >&2; exit 1", "ImportError: no onnxruntime; expected python3 with"),
        ("exit 9", "exit code 9; expected python3 with numpy and onnxruntime"),
        ("echo '@nas nonsense'", "said '@nas nonsense'; expected a record in JSON"),
        ("echo '@nas {\"name\": \"op-0\", \"ms\": -1.0, \"spread\": 0.0}'", "expected a name that was sent"),
        ("echo '@nas {\"name\": \"rm\", \"ms\": 1.0, \"spread\": 0.0}'", "expected a name that was sent"),
    ],
)  # fmt: skip
def test_a_board_that_cannot_measure_says_why(board, tmp_path, python, message):
    board.python(python)
    with pytest.raises(LatencyError, match=message):
        fill(board, tmp_path / "b")


def test_what_a_profile_prints_is_no_record(board):
    board.python(f"echo Welcome; exec {sys.executable} \"$@\"")  # fmt: skip
    script = b"print('noise')\nprint('@nas {\"a\": 1}')\n"
    assert list(run_script(board.address, script, [])) == [{"a": 1}]


def test_another_board_under_the_same_name_is_refused(board, tmp_path):
    fill(board, tmp_path / "b", at={})
    facts = json.loads((tmp_path / "b" / BOARD).read_text())
    (tmp_path / "b" / BOARD).write_text(json.dumps({**facts, "runtime_version": "0.1"}))
    (tmp_path / "b/networks.csv").unlink()  # something to measure
    with pytest.raises(LatencyError, match=r"runtime_version is .*, and b was measured with 0\.1; expected another"):
        fill(board, tmp_path / "b")


def test_a_broken_note_of_the_board_is_refused(board, tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / BOARD).write_text('{"device": ')
    with pytest.raises(LatencyError, match=r"board\.json: broken; expected device, runtime_version, core in JSON"):
        fill(board, tmp_path / "b")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ssh://pi@raspberry", SshAddress("raspberry", "pi")),
        ("ssh://pi@10.0.0.7:2222", SshAddress("10.0.0.7", "pi", 2222)),
        ("ssh://board.local/", SshAddress("board.local")),
        ("ssh://pi@[fe80::1]:22", SshAddress("[fe80::1]", "pi", 22)),
    ],
)
def test_addresses_are_read(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "pi@raspberry", "ssh://", "ssh://pi@", "ssh://pi@h:0", "ssh://pi@h:99999", "ssh://-oProxyCommand=id@h", "ssh://-h",
     "ssh://pi@h;id", "ssh://pi@h/tmp"],
)  # fmt: skip
def test_what_is_no_address_is_refused_before_anything_runs(nas, text):  # noqa: F811
    code, out, err = nas("latency", "measure", "--device", text, "--target", "b")
    assert (code, out) == (2, "")
    assert "expected ssh://user@host, ssh://user@host:port or adb://serial" in err
    assert len(err.strip().splitlines()) == 1


def test_a_board_needs_a_name_of_its_own(nas):  # noqa: F811
    assert "--target with a name for it" in nas("latency", "measure", "--device", "ssh://pi@h")[2]
    threads = ("latency", "measure", "--device", "ssh://pi@h", "--target", "b", "--threads", "2")
    assert "--threads: a board is measured with one thread" in nas(*threads)[2]
    assert "'pixel' is taken" in nas("latency", "measure", "--device", "ssh://pi@h", "--target", "pixel")[2]


@pytest.mark.skipif(shutil.which("ssh") is None, reason="ssh is absent (Debian: openssh-client)")
def test_an_address_that_refuses_is_one_line_and_no_bar(nas, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("NAS_CACHE", str(tmp_path))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"ssh://nobody@127.0.0.1:{taken.getsockname()[1]}"
        code, out, err = nas("latency", "measure", "--device", address, "--target", "b", "--quick")
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
    assert err.startswith(f"nas: {address}: ssh: connect to host 127.0.0.1")


def test_a_fitted_target_is_not_mixed_with_measured_ops(tmp_path):
    (tmp_path / "coefficients.csv").touch()
    with pytest.raises(LatencyError, match="a fitted target; expected another --target for a measured one"):
        measure_board(SshAddress("h"), tmp_path, [], architectures=NETWORKS)
