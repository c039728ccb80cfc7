"""Small JSON files of a long benchmark, gathered in one that is committed, so that another machine can go on."""

import json
from pathlib import Path
from typing import Any

from nas.pipeline.kept import write_json


def gather(folder: Path, into: Path, settings: dict[str, Any]) -> None:
    """Write what all JSON files below `folder` hold, and the settings that they are of."""
    files = {path.relative_to(folder).as_posix(): json.loads(path.read_text()) for path in folder.rglob("*.json")}
    write_json(into, {"settings": settings, "files": dict(sorted(files.items()))})


def restore(gathered: Path, folder: Path, settings: dict[str, Any]) -> list[str]:
    """Write the gathered files that `folder` lacks; the names of those.

    Raises:
        SystemExit: they are of other settings, and count for nothing here.
    """
    if not gathered.exists():
        return []
    known = json.loads(gathered.read_text())
    if known["settings"] != json.loads(json.dumps(settings)):
        raise SystemExit(f"{gathered}: results of other settings; move the file away to measure everything anew")
    missing = {name: content for name, content in known["files"].items() if not (folder / name).exists()}
    for name, content in missing.items():
        write_json(folder / name, content)
    return list(missing)
