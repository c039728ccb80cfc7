"""Where files lie: the data that ships with the package, and the user's cache."""

import os
from pathlib import Path
from typing import Literal

from platformdirs import user_cache_path

_PACKAGE = Path(__file__).resolve().parent


def data_dir(name: Literal["search_spaces", "latency_models"]) -> Path:
    """The folder `name`: `nas/data/<name>` of an installed wheel if it is there, else that of the checkout."""
    installed = _PACKAGE / "data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def cache_dir() -> Path:
    """The folder for what was downloaded or measured: $NAS_CACHE, else `nas` in the user's cache."""
    root = os.environ.get("NAS_CACHE")
    return Path(root) if root else user_cache_path("nas")
