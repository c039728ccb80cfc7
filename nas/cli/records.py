"""Trials as records: the stable JSON of `nas search`, `nas pareto` and `nas trials` (docs/json.md)."""

from collections.abc import Sequence
from typing import Any

from nas.store.records import StoredTrial

COLUMNS = (
    "trial",
    "study",
    "architecture",
    "accuracy",
    "latency_ms",
    "target",
    "macs",
    "params",
    "peak_activation_bytes",
)


def trial_record(stored: StoredTrial) -> dict[str, Any]:
    """One trial; `architecture` is the network's id, `trial` the ID of `trial:ID`."""
    return {
        "trial": stored.id,
        "study": stored.study,
        "architecture": stored.trial.proposal.architecture.id,
        "accuracy": stored.trial.accuracy,
        "latency_ms": stored.latency_ms,
        "target": stored.target,
        "macs": stored.macs,
        "params": stored.params,
        "peak_activation_bytes": stored.peak_activation_bytes,
    }


def front_rows(front: Sequence[StoredTrial]) -> list[list[object]]:
    """The front as people read it, see `FRONT_COLUMNS`."""
    return [
        [
            f"trial:{s.id}",
            f"{s.trial.accuracy:.2%}",
            f"{s.latency_ms:.1f}",
            s.target,
            f"{s.macs / 1e6:.0f}",
            f"{s.params / 1e6:.2f}",
            f"{s.peak_activation_bytes / 1e6:.2f}",
            s.trial.proposal.architecture.id,
            s.study,
        ]
        for s in front
    ]


FRONT_COLUMNS = (
    "trial ",
    "accuracy",
    "latency ms",
    "on ",
    "MAdds M",
    "params M",
    "memory MB",
    "architecture ",
    "study ",
)
