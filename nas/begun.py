"""What all that runs as a study shares: its name, its settings when it goes on, and latencies estimated once."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from nas.architecture import Architecture
from nas.errors import StudyError
from nas.latency.model import LatencyModel
from nas.storage import open_folder
from nas.store.store import Store, StudyRecord

_CONTENTS = {"weights_version": "weights", "data_version": "images"}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def require_name(name: str) -> None:
    """Raise a StudyError unless a folder can have this name, too."""
    if not _NAME.fullmatch(name):
        raise StudyError(f"{name!r} cannot name a study; expected letters, digits, '.', '_' and '-'")


def begun(store: Store, name: str, settings: Mapping[str, Any]) -> StudyRecord | None:
    """The study's record if it was begun before, with these settings.

    Raises:
        StudyError: it was begun with other settings or another latency table, or its name is no name of a folder.
    """
    require_name(name)
    record = store.study(name)
    if record is not None:
        _require_same(record, settings)
    return record


def _require_same(record: StudyRecord, wanted: Mapping[str, Any]) -> None:
    recorded = dict(record.settings)
    require_command(record, "nas adapt")
    for key, what in _CONTENTS.items():
        if recorded.setdefault(key, wanted.get(key)) != wanted.get(key):  # older studies did not record it
            raise StudyError(
                f"study {record.name!r} was begun with other {what} of that name; begin another one with --study NAME"
            )
    if recorded.get("latency_version") != wanted.get("latency_version"):
        raise StudyError(
            f"study {record.name!r} was begun with another latency table of {wanted.get('target')} "
            f"({recorded.get('latency_version')}, now {wanted.get('latency_version')}); begin a new study with "
            f"--study NAME"
        )
    for key in sorted(recorded.keys() | wanted.keys()):
        if recorded.get(key) != wanted.get(key):
            raise StudyError(
                f"study {record.name!r} was begun with {key}={recorded.get(key)!r}, not {wanted.get(key)!r}; "
                f"give the same options to go on with it, or another --study NAME"
            )


def require_command(record: StudyRecord, command: Literal["nas adapt", "nas search"]) -> None:
    """Raise a StudyError unless the study was begun by this command."""
    begun_by = "nas adapt" if "importance" in record.settings else "nas search"
    if begun_by != command:
        raise StudyError(f"study {record.name!r} was begun by {begun_by}, not by {command}; give another --study NAME")


def weights_folder(store: Store, name: str, storage: str | None) -> Path:
    """Where the study's weights lie or will lie, also for workers whose working folder is another.

    Raises:
        NasError: a storage that cannot be used.
    """
    return open_folder(storage) / name if storage else store.weights_folder(name).absolute()


class Milliseconds:
    """The latency of a network as a number, estimated once for each: `ms`, or the upper end of its interval."""

    def __init__(self, model: LatencyModel, end: Literal["ms", "high_ms"] = "ms") -> None:
        self._model, self._end = model, end
        self._known: dict[Architecture, float] = {}

    def __call__(self, architecture: Architecture) -> float:
        """Milliseconds."""
        if architecture not in self._known:
            self._known[architecture] = float(getattr(self._model.estimate(architecture), self._end))
        return self._known[architecture]
