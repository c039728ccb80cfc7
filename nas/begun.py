"""What every study-driven command does: names and settings of a study, and latencies that are estimated once."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from nas.architecture import Architecture
from nas.errors import StudyError
from nas.latency.model import LatencyModel
from nas.store.store import Store, StudyRecord

RUNS: Final = Path("runs")
"""Weights of a study's trials go into its folder there."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def begun(
    store: Store, name: str, settings: Mapping[str, Any], free: Collection[str] = ("trials",)
) -> StudyRecord | None:
    """The study's record if it was begun before, with these settings but for the `free` ones.

    Raises:
        StudyError: it was begun with other settings or another latency table, or its name is no name of a folder.
    """
    if not _NAME.fullmatch(name):
        raise StudyError(f"{name!r} cannot name a study; expected letters, digits, '.', '_' and '-'")
    record = store.study(name)
    if record is not None:
        _require_same(record, settings, free)
    return record


def _require_same(record: StudyRecord, wanted: Mapping[str, Any], free: Collection[str]) -> None:
    recorded = dict(record.settings)
    if recorded.get("latency_version") != wanted.get("latency_version"):
        raise StudyError(
            f"study {record.name!r} was begun with another latency table of {wanted.get('target')} "
            f"({recorded.get('latency_version')}, now {wanted.get('latency_version')}); begin a new study with "
            f"--study NAME"
        )
    for key in sorted((recorded.keys() | wanted.keys()) - set(free)):
        if recorded.get(key) != wanted.get(key):
            raise StudyError(
                f"study {record.name!r} was begun with {key}={recorded.get(key)!r}, not {wanted.get(key)!r}; "
                f"give the same options to go on with it, or another --study NAME"
            )


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
