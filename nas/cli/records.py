"""Trials as records: the stable JSON of `nas search`, `nas pareto` and `nas trials` (docs/json.md)."""

from collections.abc import Sequence
from typing import Any

from nas.store.records import StoredTrial

COLUMNS = (
    "trial",
    "study",
    "architecture",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "evaluator",
    "latency_ms",
    "target",
    "macs",
    "params",
    "peak_activation_bytes",
)


def trial_record(stored: StoredTrial) -> dict[str, Any]:
    """One trial; `architecture` is the network's id, `trial` the ID of `trial:ID`.

    `accuracy_low` and `accuracy_high` bound the accuracy where it was predicted.
    """
    metrics = stored.trial.outcome.metrics if stored.trial.outcome else {}
    return {
        "trial": stored.id,
        "study": stored.study,
        "architecture": stored.trial.proposal.architecture.id,
        "accuracy": stored.trial.accuracy,
        "accuracy_low": metrics.get("accuracy_low"),
        "accuracy_high": metrics.get("accuracy_high"),
        "evaluator": stored.evaluator,
        "latency_ms": stored.latency_ms,
        "target": stored.target,
        "macs": stored.macs,
        "params": stored.params,
        "peak_activation_bytes": stored.peak_activation_bytes,
    }


def accuracy_text(stored: StoredTrial) -> str:
    """The accuracy in percent, with its interval in points where it was predicted."""
    if stored.trial.accuracy is None:
        return ""
    if not stored.predicted or stored.trial.outcome is None:
        return f"{stored.trial.accuracy:.2%}"
    half = stored.trial.outcome.metrics["accuracy_high"] - stored.trial.accuracy
    return f"{stored.trial.accuracy:.2%} +-{100 * half:.1f}"


def front_table(front: Sequence[StoredTrial]) -> tuple[list[str], list[list[object]]]:
    """Columns and rows of a front of one device as people read it; the study is named where there are several."""
    judges = {stored.evaluator for stored in front}
    accuracy = "predicted" if "predictor" in judges else "by supernet" if judges == {"supernet"} else "accuracy"
    columns = ["trial ", accuracy, f"{front[0].target} ms", "MAdds M", "params M", "memory MB", "architecture "]
    rows: list[list[object]] = [
        [
            f"trial:{s.id}",
            accuracy_text(s),
            "" if s.latency_ms is None else f"{s.latency_ms:.1f}",
            f"{s.macs / 1e6:.0f}",
            f"{s.params / 1e6:.2f}",
            f"{s.peak_activation_bytes / 1e6:.2f}",
            s.trial.proposal.architecture.id,
        ]
        for s in front
    ]
    if len({s.study for s in front}) == 1:
        return columns, rows
    return [*columns, "study "], [[*row, s.study] for row, s in zip(rows, front, strict=True)]
