"""Latency by width as a picture: a panel for each kind of op."""

from itertools import groupby
from pathlib import Path

from nas.errors import LatencyError
from nas.latency.steps import WidthSteps
from nas.picture import new_figure, save_picture

_COLUMNS = 3
_COLOURS = ("tab:blue", "tab:orange", "tab:green")


def plot_steps(steps: WidthSteps, path: Path) -> None:
    """Draw the curves relative to their widest point, with a line at each step; the file's suffix says how.

    Raises:
        LatencyError: no curves.
        NasError: a file that cannot be written, or an unknown suffix.
    """
    kinds = [(kind, list(curves)) for kind, curves in groupby(steps.curves, key=lambda curve: curve.sweep.kind)]
    if not kinds:
        raise LatencyError(f"{steps.target} has no curves to draw; expected a target that was measured, or a model")
    rows = -(-len(kinds) // _COLUMNS)
    figure = new_figure(11, 3.1 * rows + 0.4)
    grid = figure.subplots(rows, _COLUMNS, sharex=True, squeeze=False)
    for axes, (kind, curves) in zip(grid.flat, kinds, strict=False):
        step = steps.by_kind[kind]
        for curve, colour in zip(curves, _COLOURS, strict=False):
            widths = sorted(curve.ms)
            relative = {width: curve.ms[width] / curve.ms[widths[-1]] * 100 for width in widths}
            axes.plot(widths, relative.values(), color=colour, linewidth=0.8, alpha=0.6)
            at = [width for width in widths if width % step == 0] if step > 1 else []
            label = f"map {curve.sweep.size}², {curve.ms[widths[-1]]:.3g} ms at {widths[-1]}"
            axes.plot(at, [relative[width] for width in at], "o", color=colour, markersize=4)
            axes.plot([], [], color=colour, label=label)
            for width in at:
                axes.axvline(width, color="0.9", linewidth=0.8, zorder=0)
        axes.set_title(f"{kind}: " + (f"steps of {step}" if step > 1 else "no steps"), fontsize=10, loc="left")
        axes.legend(fontsize=7, frameon=False, loc="upper left")
        axes.set_xticks(range(widths[0], widths[-1] + 1, 16))
        axes.set_ylim(0, axes.get_ylim()[1] * 1.2)  # room for the legend
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid.flat[len(kinds) :]:
        axes.remove()
    figure.suptitle(f"Latency by width on {steps.target} ({steps.source})", x=0.01, ha="left", fontsize=12)
    figure.supxlabel("channels", fontsize=10)
    figure.supylabel("% of the widest", fontsize=10)
    save_picture(figure, path)
