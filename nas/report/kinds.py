"""Which studies mean the same by accuracy and latency, so that one front can hold them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nas.store.records import StudyRecord


@dataclass(frozen=True, slots=True)
class Kind:
    """What the figures of a study mean: `judge` is data and evaluator, `details` what an accuracy rests on besides."""

    judge: str
    device: str | None
    table: str | None  # version of the device's latency table
    details: str

    @property
    def predicted(self) -> bool:
        """Whether accuracies are those of an accuracy model."""
        return self.judge == "predicted"


def kind(record: StudyRecord, target: str | None = None) -> Kind:
    """What the study's accuracies and latencies mean; latencies are of `target`'s table today if it is given."""
    table = None if target else record.settings.get("latency_version")
    return Kind(judge(record.settings), target or record.settings.get("target"), table, str(_judgement(record)))


def judge(settings: Mapping[str, Any]) -> str:
    """Data and evaluator of a study; those from before there were several say no evaluator, and mean the proxy."""
    data = settings.get("data")
    return f"{data} by {settings.get('evaluator', 'proxy')}" if data else "predicted"


def _judgement(record: StudyRecord) -> tuple[object, ...]:
    """What an accuracy of the study depends on besides data and evaluator: the training, the model or the supernet."""
    supernet = None
    if record.settings.get("evaluator") == "supernet":  # older studies did not record which; it is of one space
        supernet = (record.basis or {}).get("supernet", record.settings.get("space"))
    return record.settings.get("proxy"), record.settings.get("accuracy_version"), supernet


def largest_budget(records: Iterable[StudyRecord]) -> float | None:
    """What the searches were allowed, None if one of them says nothing.

    Trials beyond it, which a search may have explored, are not feasible.
    """
    budgets = [record.settings.get("budget_ms") for record in records]
    return max(budgets, default=None) if None not in budgets else None  # type: ignore[type-var]
