"""JSON that people hand to a command, and plain data as JSON can say it."""

import json
import math
from pathlib import Path
from typing import Any

from nas.errors import NasError


def load_json(path: Path) -> Any:
    """What the file holds.

    Raises:
        NasError: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NasError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise NasError(f"{path}: not JSON ({error})") from None


def finite(data: object) -> object:
    """The same with null for infinity and NaN, which JSON does not know.

    >>> finite({"ms": [1.5, float("nan")]})
    {'ms': [1.5, None]}
    """
    match data:
        case float():
            return data if math.isfinite(data) else None
        case dict():
            return {key: finite(value) for key, value in data.items()}
        case list() | tuple():
            return [finite(value) for value in data]
    return data
