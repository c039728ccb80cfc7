"""The link to a board: a Python script and a tar stream go over `ssh`, lines of JSON come back."""

import io
import json
import re
import shlex
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import IO, Any

from nas.errors import LatencyError

_ADDRESS = re.compile(
    r"ssh://(?:(?P<user>[\w.][\w.-]*)@)?(?P<host>[\w.][\w.-]*|\[[0-9A-Fa-f:]+\])(?::(?P<port>\d{1,5}))?/?"
)
SENTINEL = "sentinel"
"""The model that is timed before and after each other one."""

_SCRIPT = Path(__file__).with_name("board_runner.py")
_MARK = "@nas "
_LOST = 255  # ssh's own exit code: no connection, or a connection that broke
_OPTIONS = ("BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=5", "ServerAliveCountMax=3")


class LinkError(LatencyError):
    """The connection could not be made or broke; what came back before is good."""


@dataclass(frozen=True, slots=True)
class SshAddress:
    """Where a board is. Keys, jumps and the like are for the user's own ssh configuration."""

    host: str
    user: str | None = None
    port: int | None = None
    options: tuple[str, ...] = ()  # more arguments for ssh

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        return f"ssh://{user}{self.host}" + (f":{self.port}" if self.port else "")

    def run(self, models: Iterable[tuple[str, bytes]]) -> Iterator[dict[str, Any]]:
        """What the board says of itself, then the timings of the models, as `board_runner` measures them."""
        return run_script(self, _SCRIPT.read_bytes(), models)

    def command(self, remote: str) -> list[str]:
        """The local command that runs `remote` on the board; it asks for no password and notices a dead link."""
        found = ["ssh", *self.options]
        for option in _OPTIONS:
            found += ["-o", option]
        if self.port:
            found += ["-p", str(self.port)]
        host = self.host.strip("[]")
        return [*found, "--", f"{self.user}@{host}" if self.user else host, remote]


def parse_address(text: str) -> SshAddress:
    """The board that `ssh://user@host[:port]` stands for.

    Raises:
        LatencyError: anything else.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None or (match["port"] and not 0 < int(match["port"]) < 1 << 16):
        raise LatencyError(f"--device {text!r}; expected ssh://user@host, ssh://user@host:port or adb://serial")
    return SshAddress(match["host"], match["user"], int(match["port"]) if match["port"] else None)


def run_script(address: SshAddress, script: bytes, models: Iterable[tuple[str, bytes]]) -> Iterator[dict[str, Any]]:
    """Run a Python script on the board, `models` as a packed tar stream on its stdin; yields the records that it says.

    Raises:
        LinkError: no connection, or one that broke.
        LatencyError: the script failed; with the last line of what it complained of.
    """
    read = f"sys.stdin.buffer.read({len(script)})"
    start = f"import sys;exec(compile({read},'board_runner','exec'),{{'__name__':'__main__'}})"
    command = address.command(f"python3 -u -c {shlex.quote(start)}")
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(  # noqa: S603 - ssh, with an address that was checked
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        writer = Thread(target=_feed, args=(process.stdin, script, models), daemon=True)
        writer.start()
        try:
            for line in process.stdout:
                text = line.decode("utf-8", "replace")
                if text.startswith(_MARK) and text.endswith("\n"):  # a profile may print, and a link break in a line
                    yield _record(address, text)
            code = process.wait()
        finally:
            process.kill()
            writer.join()
        if code:
            complaints.seek(0)
            lines = complaints.read().decode("utf-8", "replace").strip().splitlines()
            reason = lines[-1] if lines else f"exit code {code}"
            if code == _LOST:
                raise LinkError(f"{address}: {reason}")
            raise LatencyError(f"{address}: {reason}; expected python3 with numpy and onnxruntime there")


def _feed(pipe: IO[bytes], script: bytes, models: Iterable[tuple[str, bytes]]) -> None:
    """Write the script and the archive; the reader hears why, if the other end is gone."""
    with suppress(OSError), pipe:
        pipe.write(script)
        with tarfile.open(fileobj=pipe, mode="w|gz") as archive:
            for name, model in models:
                member = tarfile.TarInfo(name)
                member.size = len(model)
                archive.addfile(member, io.BytesIO(model))


def _record(address: SshAddress, text: str) -> dict[str, Any]:
    try:
        record = json.loads(text.removeprefix(_MARK))
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise LatencyError(f"{address}: said {text.strip()!r}; expected a record in JSON")
    return record
