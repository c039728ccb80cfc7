"""Evaluators for tests of executors and studies; picklable, so in a module of their own. They judge by a formula."""

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nas.errors import NasError
from nas.layers import lower, total_macs
from nas.training.data import ArrayPixels, load_data
from nas.training.shared import SharedData, share_data
from nas.trial import Outcome, Report, Trial


def formula(trial: Trial) -> float:
    """A number from 0 to 1 that grows with the network."""
    macs = total_macs(lower(trial.proposal.architecture))
    return macs / (macs + 1e8)


@dataclass(frozen=True)
class Instant:
    """Reports two epochs and ends; writes one line per evaluation to `log`."""

    log: Path | None = None
    seconds: float = 0.0

    def evaluate(self, trial: Trial, report: Report) -> Outcome:
        accuracy = formula(trial)
        for epoch in (1, 2):
            time.sleep(self.seconds / 2)
            if report(epoch, {"accuracy": accuracy * epoch / 2}):
                return Outcome({"accuracy": accuracy * epoch / 2}, stopped=True)
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{trial.number}\n")
        return Outcome({"accuracy": accuracy})


@dataclass(frozen=True)
class Failing:
    """Raises at odd trials."""

    def evaluate(self, trial: Trial, report: Report) -> Outcome:
        if trial.number % 2:
            raise ValueError(f"no luck with {trial.number}")
        return Outcome({"accuracy": formula(trial)})


@dataclass(frozen=True)
class Stuck:
    """Cannot go on at trial `number`, as when the disk is full."""

    number: int

    def evaluate(self, trial: Trial, report: Report) -> Outcome:
        if trial.number == self.number:
            raise NasError("weights not saved: No space left on device")
        return Outcome({"accuracy": formula(trial)})


@dataclass(frozen=True)
class Dying:
    """Its process is killed `times` times in trial `number`, as by the kernel when memory runs out."""

    folder: Path
    number: int
    times: int

    def evaluate(self, trial: Trial, report: Report) -> Outcome:
        if trial.number == self.number:
            marks = len(list(self.folder.glob("death-*")))
            if marks < self.times:
                (self.folder / f"death-{marks}").touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return Outcome({"accuracy": formula(trial)})


@dataclass(frozen=True)
class Held:
    """Waits in each trial until `release` is called in whatever process; says who runs what, by files."""

    folder: Path

    def evaluate(self, trial: Trial, report: Report) -> Outcome:
        (self.folder / f"begun-{trial.number}-{os.getpid()}").touch()
        while not (self.folder / "released").exists():
            time.sleep(0.05)
        return Outcome({"accuracy": formula(trial)})

    def release(self) -> None:
        (self.folder / "released").touch()

    def running(self) -> dict[int, int]:
        """Processes by trial; of trials that were begun several times, one of them."""
        return dict(self._marks())

    def begun(self) -> Counter[int]:
        """How often each trial was begun."""
        return Counter(number for number, _ in self._marks())

    def _marks(self) -> list[tuple[int, int]]:
        names = (path.name.split("-") for path in self.folder.glob("begun-*"))
        return [(int(number), int(pid)) for _, number, pid in names]


@dataclass(frozen=True)
class Reading:
    """Says of the digits that its worker has whether they were read there, and whether they are a copy."""

    def evaluate(self, trial: Trial, report: Report) -> Outcome:
        images = load_data("digits", resolution=16).train
        assert isinstance(images.pixels, ArrayPixels)
        read_here, copied = "sklearn" in sys.modules, images.pixels.array.flags.writeable
        return Outcome({"images": float(len(images)), "read_here": float(read_here), "copied": float(copied)})

    def shared(self) -> SharedData:
        return share_data("digits", 16, train_images=500)


@dataclass(frozen=True)
class Unprepared:
    """What it shares cannot be used where it arrives."""

    def evaluate(self, trial: Trial, report: Report) -> Outcome:
        raise AssertionError("no worker is there to call it")

    def shared(self) -> Callable[[], object]:
        return _refuse


def _refuse() -> None:
    raise NasError("no such images")
