"""What all pictures have in common: colours, and how they begin and end."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from nas.errors import NasError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOT: Final = "#9aa5b1"
FRONT: Final = "#0072b2"
BEST: Final = "#c44e00"
BUDGET: Final = "#8e3a73"
INK: Final = "#1b2127"  # all of them those of the page


def new_figure(width: float, height: float) -> "Figure":
    """An empty picture of so many inches, laid out when it is saved."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import, needed for pictures alone

    return Figure(figsize=(width, height), layout="constrained")


def save_picture(figure: "Figure", path: Path) -> None:
    """In the format of the path's ending (.png, .svg, .pdf).

    Raises:
        NasError: an unknown format, or a file that cannot be written.
    """
    try:
        figure.savefig(path, dpi=160)
    except (OSError, ValueError) as error:
        raise NasError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
