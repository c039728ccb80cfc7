"""`Validation`: estimates of whole networks beside their measurements."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from nas.architecture import Architecture
from nas.latency.score import score
from nas.latency.watch import Report
from nas.picture import new_figure, save_picture


@dataclass(frozen=True)
class Validation:
    """Networks that no fit has seen, and how their measuring went.

    `drift` is how much slower the whole machine ran than when the table was made, relative: networks of the table,
    measured again among the others, took so much longer. A table made in a disturbed hour shows as a machine that is
    faster now: the two cannot be told apart. It is taken off in `score`, which judges the prediction alone; in
    `errors` it is not, since the networks that an interval is for meet the machine in some state, too.
    """

    networks: Sequence[Architecture]
    estimated_ms: Sequence[float]
    measured_ms: Sequence[float]
    drift: float
    report: Report

    @property
    def errors(self) -> list[float]:
        """Estimated / measured - 1 of each network."""
        return [e / m - 1 for e, m in zip(self.estimated_ms, self.measured_ms, strict=True)]

    @cached_property
    def score(self) -> dict[str, float]:
        """See `nas.latency.score.score`; without the drift."""
        return score(self.estimated_ms, self.undrifted_ms)

    @property
    def note(self) -> str:
        """How the measuring went, in one line."""
        as_measured = sum(map(abs, self.errors)) / len(self.errors)
        return (
            f"{self.report.note}; the machine ran {self.drift_text} than when the table was made, which is taken off:"
            f" mean error with it {as_measured:.2%}"
        )

    @property
    def drift_text(self) -> str:
        """As in `1.0% slower`."""
        return f"{abs(self.drift):.1%} {'slower' if self.drift >= 0 else 'faster'}"

    @property
    def undrifted_ms(self) -> list[float]:
        """The measured milliseconds without the drift."""
        return [ms / (1 + self.drift) for ms in self.measured_ms]

    def to_dict(self) -> dict[str, object]:
        """The figures as plain data."""
        pairs = zip(self.networks, self.estimated_ms, self.measured_ms, strict=True)
        records = [{"architecture": network.id, "estimated_ms": e, "measured_ms": m} for network, e, m in pairs]
        return {**self.score, "drift": self.drift, "note": self.note, "architectures": records}


def plot_validation(validation: Validation, path: Path) -> None:
    """Draw estimates against measurements; the file's suffix says how.

    Raises:
        NasError: the file cannot be written, or its suffix is unknown.
    """
    figure = new_figure(5, 5)
    axes = figure.subplots()
    measured = validation.undrifted_ms
    ends = (min(measured), max(measured))
    axes.plot(ends, ends, color="0.6", linewidth=1)
    axes.scatter(measured, validation.estimated_ms, s=12)
    label = f"measured, ms (machine {validation.drift_text}, taken off)"
    axes.set(xlabel=label, ylabel="estimated, ms", title=f"mean error {validation.score['mape']:.2f} %")
    save_picture(figure, path)
