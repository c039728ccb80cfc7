"""What `nas run` measured of a whole study: networks trained by one recipe, ablations, agreement of the searches."""

import json
from pathlib import Path
from typing import Any

from nas.errors import NasError

_KEYS = ("study", "scale", "data", "target", "budget_ms", "networks", "claims", "ablations", "agreement")


def read_run(path: Path) -> dict[str, Any]:
    """The record that `nas run --json` prints, and leaves as `report.json`, as far as a page shows it.

    Raises:
        NasError: the file cannot be read, or is no such record.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NasError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise NasError(f"{path}: not JSON ({error})") from None
    if not isinstance(record, dict) or (missing := [key for key in _KEYS if key not in record]):
        what = f"no {', '.join(missing)} in it" if isinstance(record, dict) else "not an object"
        raise NasError(f"{path}: {what}; expected the report.json of nas run")
    return {key: record[key] for key in _KEYS}
