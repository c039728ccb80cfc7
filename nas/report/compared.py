"""What `nas run` measured of a whole study: networks trained by one recipe, ablations, agreement of the searches."""

from pathlib import Path
from typing import Any

from nas.errors import NasError
from nas.json_file import load_json

_KEYS = ("study", "scale", "data", "target", "budget_ms", "networks", "claims", "ablations", "agreement")


def read_run(path: Path) -> dict[str, Any]:
    """The record that `nas run --json` prints, and leaves as `report.json`, as far as a page shows it.

    Raises:
        NasError: the file cannot be read, or is no such record.
    """
    record = load_json(path)
    if not isinstance(record, dict) or (missing := [key for key in _KEYS if key not in record]):
        what = f"no {', '.join(missing)} in it" if isinstance(record, dict) else "not an object"
        raise NasError(f"{path}: {what}; expected the report.json of nas run")
    return {key: record[key] for key in _KEYS}
