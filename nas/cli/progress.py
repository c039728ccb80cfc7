"""Progress of a search on stderr: a live table on a terminal, a line per trial elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nas.study import Entry, Listener
from nas.trial import Metrics, TrialState

_SHOWN = 12  # rows of the live table
_SUMMARY_SECONDS = 3.0


@dataclass(slots=True)
class _Line:
    """What is known of one trial."""

    id: int
    latency_ms: float
    state: TrialState
    epoch: int = 0
    accuracy: float | None = None
    seconds: float | None = None
    begun: float = field(default_factory=time.monotonic)
    error: str | None = None


class Board:
    """The state of a search as a listener hears it."""

    def __init__(self, trials: int, budget_ms: float) -> None:
        self.trials, self.budget_ms = trials, budget_ms
        self.lines: dict[int, _Line] = {}
        self._resumed = 0
        self._begun = time.monotonic()

    def started(self, entry: Entry) -> None:
        """A trial runs."""
        if len(self.lines) == self._resumed:
            self._begun = time.monotonic()  # a strategy may think for seconds before its first proposal
        self.lines[entry.id] = _Line(entry.id, entry.latency_ms, entry.trial.state)

    def reported(self, entry: Entry, epoch: int, metrics: Metrics) -> None:
        """An epoch ended."""
        line = self.lines[entry.id]
        line.epoch, line.accuracy = epoch, metrics.get("accuracy")

    def ended(self, entry: Entry) -> None:
        """A trial ended, in this run or in an earlier one."""
        line = self.lines.get(entry.id)
        if line is None:
            line = self.lines[entry.id] = _Line(entry.id, entry.latency_ms, entry.trial.state)
            self._resumed += 1
        else:
            line.seconds = time.monotonic() - line.begun
        line.state, line.accuracy = entry.trial.state, entry.trial.accuracy
        line.error = entry.trial.outcome.error if entry.trial.outcome else None

    def tick(self) -> None:
        """Nothing happens without news."""

    @property
    def done(self) -> int:
        """Trials that have ended."""
        return sum(line.state.ended for line in self.lines.values())

    @property
    def best(self) -> _Line | None:
        """The most accurate finished trial within the budget, the faster of equal ones."""
        fit = [
            line
            for line in self.lines.values()
            if line.state is TrialState.COMPLETE and line.accuracy is not None and line.latency_ms <= self.budget_ms
        ]
        return max(fit, key=lambda line: (line.accuracy or 0.0, -line.latency_ms), default=None)

    @property
    def seconds_left(self) -> float | None:
        """From the pace of this run; None before its first trial has ended."""
        fresh = self.done - self._resumed
        if fresh <= 0:
            return None
        return (time.monotonic() - self._begun) / fresh * max(0, self.trials - self.done)

    def summary(self) -> str:
        """One line: how far, the best so far, the time left."""
        parts = [f"{self.done}/{max(self.trials, len(self.lines))} trials"]
        if best := self.best:
            parts.append(f"best {best.accuracy:.2%} at {best.latency_ms:.1f} ms (trial:{best.id})")
        if (left := self.seconds_left) is not None:
            parts.append(f"about {_clock(left)} left")
        return ", ".join(parts)


class _Plain(Board):
    """A line per finished trial."""

    def ended(self, entry: Entry) -> None:
        resumed = entry.id not in self.lines
        super().ended(entry)
        if not resumed or entry.source is not None:
            line = self.lines[entry.id]
            what = "" if entry.source is None else f"reuses trial:{entry.source}, "
            what += f"failed: {line.error}" if line.error else _accuracy(line)
            print(f"trial:{line.id} {what}, {line.latency_ms:.1f} ms; {self.summary()}", file=sys.stderr, flush=True)


class _Summary(Board):
    """A line every few seconds."""

    def __init__(self, trials: int, budget_ms: float) -> None:
        super().__init__(trials, budget_ms)
        self._shown = time.monotonic()

    def tick(self) -> None:
        if time.monotonic() - self._shown > _SUMMARY_SECONDS:
            print(self.summary(), file=sys.stderr, flush=True)
            self._shown = time.monotonic()


class _Live(Board):
    """A table that is drawn again and again."""

    def __init__(self, trials: int, budget_ms: float, live: Live) -> None:
        super().__init__(trials, budget_ms)
        self._live = live

    def tick(self) -> None:
        self._live.update(Group(self._table(), Text(self.summary())), refresh=True)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("trial", "state", "epoch", "accuracy", "latency", "time"):
            table.add_column(column, justify="left" if column in ("trial", "state") else "right")
        best = self.best
        for line in list(self.lines.values())[-_SHOWN:]:
            accuracy = "" if line.accuracy is None else f"{line.accuracy:.2%}"
            seconds = line.seconds if line.state.ended else time.monotonic() - line.begun
            table.add_row(
                f"trial:{line.id}",
                line.state.value,
                str(line.epoch or ""),
                accuracy,
                f"{line.latency_ms:.1f} ms",
                "" if seconds is None else _clock(seconds),
                style="bold green" if line is best else "red" if line.state is TrialState.FAILED else "",
            )
        return table


@contextmanager
def search_progress(trials: int, budget_ms: float, *, each: bool = True) -> Iterator[Listener]:
    """A listener that shows the search on stderr; without `each` not every trial, where they are many and quick."""
    console = Console(stderr=True)
    if not console.is_terminal:
        board = _Plain(trials, budget_ms) if each else _Summary(trials, budget_ms)
        yield board
        return
    with Live(console=console, auto_refresh=False, transient=False) as live:
        shown = _Live(trials, budget_ms, live)
        try:
            yield shown
        finally:
            shown.tick()
            live.refresh()


def _accuracy(line: _Line) -> str:
    """A trial that was stopped early has none that counts."""
    return "stopped early" if line.accuracy is None else f"accuracy {line.accuracy:.2%}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"
