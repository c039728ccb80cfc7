"""What `nas run` measured of a whole study: networks trained by one recipe, ablations, agreement of the searches."""

from pathlib import Path
from typing import Any

from nas.errors import NasError
from nas.json_file import load_json

_LEFT_OUT = {
    "se": "squeeze-and-excite",
    "hswish": "h-swish",
    "kernel5": "5x5 kernels",
    "late_head": "late-stage head",
    "netadapt": "NetAdapt (found)",
}
_KEYS = ("study", "scale", "data", "target", "budget_ms", "networks", "claims", "ablations", "agreement")


def read_run(path: Path) -> dict[str, Any]:
    """The record that `nas run --json` prints, and leaves as `report.json`, as far as a page shows it.

    Each ablation has a `name`, too.

    Raises:
        NasError: the file cannot be read, or is no such record.
    """
    record = load_json(path)
    if not isinstance(record, dict) or (missing := [key for key in _KEYS if key not in record]):
        what = f"no {', '.join(missing)} in it" if isinstance(record, dict) else "not an object"
        raise NasError(f"{path}: {what}; expected the report.json of nas run")
    try:
        rows = [{**row, "name": left_out(row["without"])} for row in record["ablations"]["rows"]]
    except (KeyError, TypeError):
        raise NasError(f"{path}: ablations without rows; expected the report.json of nas run") from None
    return {key: record[key] for key in _KEYS} | {"ablations": {**record["ablations"], "rows": rows}}


def left_out(what: str) -> str:
    """What an ablation of `nas run` is called in pictures.

    >>> left_out("netadapt, uniform widths")
    'NetAdapt (found), uniform widths'
    """
    name, comma, rest = what.partition(",")
    return f"{_LEFT_OUT.get(name, name)}{comma}{rest}"
