"""The link to an Android phone: `adb` pushes models, and a benchmark program of the user's times them there."""

import re
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from nas.errors import LatencyError
from nas.latency.runner_output import Timing, parse_ort_perf_test, parse_tflite_benchmark
from nas.latency.ssh import SENTINEL, LinkError

FOLDER = "/data/local/tmp/nas"
"""Where the program and the models lie on the phone; what shell users may write and execute."""

BATCH = 24
"""Models that are pushed and run together, and lost together when the link breaks before the first has been run."""

OP_RUNS, NETWORK_RUNS = 50, 20

_ADDRESS = re.compile(r"adb://(?P<serial>[\w.:-]+)/?")
_MASK = re.compile(r"[0-9a-fA-F]+")
_MARK = "@nas "
_DONE = "done"


@dataclass(frozen=True, slots=True)
class Program:
    """A benchmark program: its command line for a model, the models it takes, and the reader of what it prints."""

    arguments: str  # with {model} and {runs}
    suffix: str
    parse: Callable[[str], Timing]


PROGRAMS = {
    "ort_perf_test": Program("-e cpu -x 1 -I -m times -r {runs} -s {model}", ".onnx", parse_ort_perf_test),
    "tflite_benchmark": Program(
        "--graph={model} --num_threads=1 --num_runs={runs} --warmup_runs=3", ".tflite", parse_tflite_benchmark
    ),
}


@dataclass(frozen=True, slots=True)
class Runner:
    """A program of `PROGRAMS`, and where its binary for the phone lies here."""

    name: str
    path: Path

    @property
    def program(self) -> Program:
        """How it is used."""
        return PROGRAMS[self.name]

    @property
    def version(self) -> str:
        """The binary by its content, since it does not say which version of the runtime it is of."""
        return f"{self.path.name} {sha256(self.path.read_bytes()).hexdigest()[:12]}"


@dataclass(frozen=True, slots=True)
class AdbLink:
    """A phone by its serial, as in `adb devices`, with the program that times models there.

    `mask` are the cores to run on, in hexadecimal as `taskset` takes them; None leaves it to the system.
    """

    serial: str
    runner: Runner
    mask: str | None = None

    def __str__(self) -> str:
        """As in `--device`."""
        return f"adb://{self.serial}"

    def run(self, models: Iterable[tuple[str, bytes]]) -> Iterator[dict[str, Any]]:
        """What the phone says of itself, then name, ms and spread of each model as soon as it was timed.

        A sentinel among them, which comes first, is timed before and after each other one.

        Raises:
            LinkError: no such phone, or one that went away.
            LatencyError: adb is absent, or the program fails.
        """
        yield self._meet()
        self._push([self.runner.path, *sorted(self.runner.path.parent.glob("*.so"))], FOLDER)
        waiting, sentinel = iter(models), list[tuple[str, bytes]]()
        while batch := list(islice(waiting, BATCH)):
            sentinel = sentinel or [model for model in batch if model[0] == SENTINEL]
            batch = [*sentinel, *(model for model in batch if model[0] != SENTINEL)]
            with tempfile.TemporaryDirectory() as folder:
                files = [Path(folder) / (name + self.runner.program.suffix) for name, _ in batch]
                for path, (_, model) in zip(files, batch, strict=True):
                    path.write_bytes(model)
                self._push(files, f"{FOLDER}/models")
            names = [name for name, _ in batch if name != SENTINEL]
            yield from _beside_sentinel(self._time([*_interleaved(names), SENTINEL])) if sentinel else self._time(names)

    def _meet(self) -> dict[str, Any]:
        found = self._adb(
            "shell", f"mkdir -p {FOLDER}/models; getprop ro.product.manufacturer; getprop ro.product.model"
        )
        core = f"taskset {self.mask}" if self.mask else "any"
        return {"device": " ".join(found.split()), "runtime_version": self.runner.version, "core": core}

    def _push(self, files: Iterable[Path], folder: str) -> None:
        self._adb("push", *map(str, files), folder + "/")

    def _time(self, names: list[str]) -> Iterator[dict[str, Any]]:
        """Run the program on models of the phone, one after the other, and read what it prints as it comes."""
        said: list[str] = []
        done = False
        with self._open("shell", self._script(names)) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    word, _, rest = (
                        line.strip().removeprefix(_MARK).partition(" ") if line.startswith(_MARK) else [""] * 3
                    )
                    if word == "end":
                        code, _, name = rest.partition(" ")
                        yield {"name": name, **self._read(name, code, "".join(said))}
                    done |= word == _DONE
                    said = [] if word else [*said, line]
                process.wait()
            finally:
                process.kill()
        if not done:
            raise LinkError(f"{self}: {_complaint(''.join(said)) or f'adb ended with code {process.returncode}'}")

    def _read(self, name: str, code: str, text: str) -> dict[str, float]:
        if code != "0":
            raise LatencyError(f"{self}: {self.runner.path.name} ended with code {code}: {_complaint(text)}")
        try:
            timing = self.runner.program.parse(text)
        except LatencyError as error:
            raise LatencyError(f"{self}: {self.runner.path.name} of {name} {error}") from None
        return {"ms": timing.ms, "spread": timing.spread}

    def _script(self, names: list[str]) -> str:
        program = self.runner.program
        model = f"models/$m{program.suffix}"
        runs = f"$(case $m in (network*) echo {NETWORK_RUNS};; (*) echo {OP_RUNS};; esac)"  # old shells want both (
        pinned = f"taskset {self.mask} " if self.mask else ""
        binary = shlex.quote(f"./{self.runner.path.name}")
        command = f"{pinned}{binary} {program.arguments.format(model=model, runs=runs)}"
        timed = f'echo "{_MARK}begin"; {command} 2>&1; r=$?; echo; echo "{_MARK}end $r $m"'
        return (
            f"cd {FOLDER} && chmod 755 {binary} && export LD_LIBRARY_PATH=. && for m in {' '.join(names)}; do {timed}; "
            f'done; rm -f models/*; echo "{_MARK}{_DONE}"'
        )

    def _adb(self, *arguments: str) -> str:
        with self._open(*arguments) as process:
            said, _ = process.communicate()
        if process.returncode:
            raise LinkError(f"{self}: {_complaint(said) or f'adb ended with code {process.returncode}'}")
        return said

    def _open(self, *arguments: str) -> subprocess.Popen[str]:
        command = ["adb", "-s", self.serial, *arguments]
        try:
            return subprocess.Popen(  # noqa: S603 - adb, with a serial that was checked
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        except FileNotFoundError:
            raise LatencyError("adb is not installed; expected Android's platform tools (Debian: adb)") from None


def parse_adb(device: str, runner: str | None, mask: str | None) -> AdbLink:
    """The link that `--device adb://SERIAL`, `--runner NAME=PATH` and `--cores MASK` describe.

    Raises:
        LatencyError: anything else.
    """
    match = _ADDRESS.fullmatch(device)
    if match is None or match["serial"].startswith("-"):
        raise LatencyError(f"--device {device!r}; expected adb://SERIAL with a serial of `adb devices`")
    name, _, path = (runner or "").partition("=")
    if name not in PROGRAMS or not path:
        known = " or ".join(f"{name}=PATH" for name in PROGRAMS)
        raise LatencyError(f"--runner {runner or ''!r}; expected {known}, a binary for the phone")
    if not Path(path).is_file():
        raise LatencyError(f"--runner: {path}: no such file; expected a binary for the phone")
    if mask is not None and not _MASK.fullmatch(mask):
        raise LatencyError(f"--cores {mask!r}; expected a mask of cores in hexadecimal, such as f0")
    return AdbLink(match["serial"], Runner(name, Path(path)), mask)


def _interleaved(names: list[str]) -> Iterator[str]:
    for name in names:
        yield SENTINEL
        yield name


def _beside_sentinel(records: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each record as soon as the sentinel after it was timed, with the slower one of the two around it."""
    before, record = 0.0, dict[str, Any]()
    for found in records:
        if found["name"] != SENTINEL:
            record = found
            continue
        if record:
            yield record | {"sentinel_ms": max(before, found["ms"])}
        before, record = found["ms"], {}


def _complaint(text: str) -> str:
    """The line in which adb or a program says what is wrong: the first that begins with "error", else the last."""
    lines = [line.strip() for line in text.replace("\r", "").splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(adb: )?error", line, re.IGNORECASE)]
    return (errors or lines[-1:] or [""])[0]
