"""The front as a picture for a paper or a README."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import NasError
from nas.picture import BEST, BUDGET, DOT, FRONT, INK, new_figure, save_picture
from nas.store.records import StoredTrial

_TRAINED = ("trained networks", "accuracy on held-out images")  # what dots are, and their accuracies
_JUDGED = {
    "predictor": ("predicted networks", "predicted accuracy"),
    "supernet": ("networks judged by a supernet", "judged accuracy on held-out images"),
}
_MANY = 10_000  # dots, from which on an SVG holds them as a picture


def plot_front(  # noqa: PLR0913 - what is drawn, and how
    points: NDArray[np.float64],
    front: Sequence[StoredTrial],
    path: Path,
    *,
    budget_ms: float | None = None,
    published: Mapping[str, float] | None = None,
    staircase: bool = True,
) -> None:
    """Draw accuracy against latency: all finished trials, the front as a staircase, the budget as a line.

    `points` are accuracy and latency in ms, (N, 2). `published` networks stand with their predicted ms along the top:
    their accuracies come from other trainings. The format is that of the path's ending (.png, .svg, .pdf). A front of
    other objectives than these two is no `staircase` here, but points.

    Raises:
        NasError: nothing to draw, an unknown format, or a file that cannot be written.
    """
    if len(points) == 0:
        raise NasError("no finished trial to draw")
    judges = {trial.evaluator for trial in front}
    networks, accuracy = _JUDGED.get(judges.pop(), _TRAINED) if len(judges) == 1 else _TRAINED
    figure = new_figure(7, 4.2)
    axes = figure.add_subplot()
    dots: dict[str, Any] = {"color": DOT, "linewidths": 0, "rasterized": len(points) > _MANY}
    axes.scatter(points[:, 1], 100 * points[:, 0], s=18, label=f"{len(points)} {networks}", **dots)
    drawn = [trial for trial in front if trial.latency_ms is not None and trial.trial.accuracy is not None]
    steps = [t.latency_ms or 0.0 for t in drawn], [_percent(t) for t in drawn]
    axes.scatter(*steps, color=FRONT, linewidths=0, s=34, zorder=3, label="Pareto front")
    if staircase:
        axes.step(*steps, where="post", color=FRONT, linewidth=1.2)
    if drawn:
        _label_best(axes, max(drawn, key=_percent))  # of equal ones the fastest
    if budget_ms is not None:
        axes.axvline(budget_ms, color=BUDGET, linewidth=1.2, linestyle="--", label=f"budget {budget_ms:.4g} ms")
    axes.set_xlabel(f"predicted latency on {front[0].target}, ms" if front else "predicted latency, ms")
    axes.set_ylabel(f"{accuracy}, %")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.08)
    named = _label_published(axes, published or {})
    if named:
        axes.legend(loc="lower right", framealpha=0.9, edgecolor="none")
    else:
        axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    save_picture(figure, path)


def _label_published(axes: Any, published: Mapping[str, float]) -> bool:
    """A diamond and a slanted name for each network inside of the axis; whether there is one."""
    low, high = axes.get_xlim()
    inside = {name: ms for name, ms in published.items() if low <= ms <= high}
    for index, (name, ms) in enumerate(inside.items()):
        at = (ms, 1), axes.get_xaxis_transform()
        label = None if index else "published networks, latency alone"
        look = {
            "marker": "D",
            "markersize": 4.5,
            "markerfacecolor": "white",
            "markeredgecolor": INK,
            "linestyle": "none",
        }
        axes.plot(*at[0], clip_on=False, label=label, transform=at[1], **look)
        axes.annotate(
            name, at[0], xycoords=at[1], xytext=(2, 6), textcoords="offset points", rotation=30, fontsize=8, color=INK
        )
    axes.set_xlim(low, high)
    return bool(inside)


def _label_best(axes: Any, best: StoredTrial) -> None:
    """A star and its name, on the side that has more room."""
    low, high = axes.get_xlim()
    left = (best.latency_ms or 0.0) > (low + high) / 2
    axes.plot(best.latency_ms, _percent(best), marker="*", markersize=13, color=BEST, markeredgecolor="white", zorder=4)
    axes.annotate(
        f"trial:{best.id}  {best.trial.accuracy:.2%}{' predicted' if best.predicted else ''}",
        (best.latency_ms, _percent(best)),
        xytext=(-6 if left else 6, 6),
        textcoords="offset points",
        ha="right" if left else "left",
        fontsize=9,
    )


def _percent(trial: StoredTrial) -> float:
    return 100 * (trial.trial.accuracy or 0.0)
