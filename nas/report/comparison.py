"""The trainings that `nas run` compared as a picture: accuracies with their intervals, and what the ablations cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.picture import BEST, DOT, FRONT, INK, new_figure, save_picture
from nas.report.compared import left_out


@dataclass(frozen=True, slots=True)
class _Row:
    """A mean and its interval beside a name, with the single trainings; as shares of 1."""

    name: str
    mean: float
    low: float
    high: float
    trainings: Sequence[float] = ()
    found: bool = False


def plot_comparison(record: Mapping[str, Any], path: Path) -> None:
    """Draw the networks and the ablations of `nas run`'s record, with intervals at 95 %.

    Raises:
        NasError: an unknown format, or a file that cannot be written.
    """
    networks, ablations = _networks(record), _ablations(record)
    parts = 2 if ablations else 1
    figure = new_figure(5.5 * parts, 1.5 + 0.36 * max(len(networks), len(ablations)))
    axes = figure.subplots(1, parts, squeeze=False)[0]
    _draw(axes[0], networks)
    axes[0].set_xlabel(f"accuracy on the test images of {record['data']}, %")
    axes[0].set_title(f"{record['study']}: at most {record['budget_ms']:.1f} ms on {record['target']}", fontsize=10)
    if ablations:
        of = record["ablations"]["of"]
        axes[1].axvline(0, color=INK, linewidth=0.8)
        _draw(axes[1], ablations)
        axes[1].set_xlabel("change of accuracy, points")
        axes[1].set_title(f"left out of {'the found network' if of == 'found' else of}", fontsize=10)
    save_picture(figure, path)


def _draw(axes: Any, rows: Sequence[_Row]) -> None:
    """From the top: the interval as a line, the mean as a diamond (a star for the found network), trainings as dots."""
    for place, row in enumerate(rows):
        colour, marker, size = (BEST, "*", 13) if row.found else (FRONT, "D", 6)
        trained = [100 * accuracy for accuracy in row.trainings]
        axes.plot(
            [100 * row.low, 100 * row.high], [place, place], color=colour, linewidth=1.6, marker="|", markersize=9
        )
        axes.plot(100 * row.mean, place, marker=marker, markersize=size, color=colour)
        axes.scatter(trained, [place] * len(trained), color=DOT, s=14, linewidths=0, zorder=3)
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.25)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _networks(record: Mapping[str, Any]) -> list[_Row]:
    rows = []
    for one in record["networks"]:
        accuracy, trained = one["test_accuracy"], [x for x in one["test_accuracies"] if x is not None]
        name = f"{one['name']}\n{one['latency_ms']:.1f} ms"
        found = one["name"] == "found"
        rows.append(_Row(name, accuracy["mean"], accuracy["low"], accuracy["high"], trained, found))
    return rows


def _ablations(record: Mapping[str, Any]) -> list[_Row]:
    rows = []
    for one in record["ablations"]["rows"]:
        name = f"{left_out(one['without'])}\n{one['latency_change_ms']:+.1f} ms"
        rows.append(_Row(name, one["accuracy_change"], one["change_low"], one["change_high"]))
    return rows
