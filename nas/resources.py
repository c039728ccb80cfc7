"""Where the data that ships with the package lies: in an installed copy and in a checkout."""

from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).resolve().parent


def data_dir(name: Literal["search_spaces", "latency_models"]) -> Path:
    """The folder `name`: `nas/data/<name>` of an installed wheel if it is there, else that of the checkout."""
    installed = _PACKAGE / "data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
