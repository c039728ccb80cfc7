"""`check()`: whether a cheap evaluator puts networks into the order that proper training does."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from nas.architecture import Architecture
from nas.errors import NasError
from nas.evaluators.full import FullEvaluator
from nas.executors.kept import Say, evaluate_all
from nas.executors.ray.cluster import RayCluster
from nas.rank import kendall, kendall_interval
from nas.space import SearchSpace
from nas.trial import Evaluator, Metrics

COVERAGE = 0.95


@dataclass(frozen=True, slots=True)
class Compared:
    """One network: what the evaluator said, and the test accuracy that training from scratch reached."""

    architecture: Architecture
    judged: float
    trained: float
    judge_seconds: float
    train_seconds: float


@dataclass(frozen=True, slots=True)
class Check:
    """The comparison; `low` and `high` bound tau with `COVERAGE`, for other networks of the space.

    All three are None where one of the judges finds all networks equal: tau is not defined there.
    """

    compared: tuple[Compared, ...]
    kendall: float | None
    low: float | None
    high: float | None


def random_networks(space: SearchSpace, count: int, seed: int) -> list[Architecture]:
    """Different networks, the first of which do not change when more are asked for.

    Raises:
        NasError: the space has not as many, or they are too rare among random ones.
    """
    rng, found = Random(f"check/{seed}"), dict[str, Architecture]()
    for _ in range(100 * count):
        network = space.decode(space.sample(rng))
        found.setdefault(network.id, network)
        if len(found) == count:
            return list(found.values())
    raise NasError(f"{space.name}: only {len(found)} different networks were found; expected {count}")


def check(  # noqa: PLR0913, PLR0917 - two judges, where they keep what they know, and how they run
    networks: Sequence[Architecture],
    evaluator: Evaluator,
    truth: FullEvaluator,
    judged_in: Path,
    workers: int,
    say: Say,
    cluster: RayCluster | None = None,
) -> Check:
    """Judge the networks, train them with `truth`, and compare the orders.

    What is known is kept in `judged_in` and beside it, in a folder that is named as that of `truth`: called again, only
    the rest is done.

    Raises:
        NasError: a network could not be judged or trained, a file cannot be written.
    """
    judged = evaluate_all(networks, evaluator, judged_in, workers, say, cluster=cluster)
    trained = evaluate_all(networks, truth, judged_in.with_name(truth.folder.name), workers, say, cluster=cluster)
    compared = tuple(
        Compared(network, one["accuracy"], other["test_accuracy"], _seconds(one), _seconds(other))
        for network, one, other in zip(networks, judged, trained, strict=True)
    )
    both = [c.judged for c in compared], [c.trained for c in compared]
    low, high = kendall_interval(*both, coverage=COVERAGE) or (None, None)
    return Check(compared, kendall(*both), low, high)


def check_record(found: Check) -> dict[str, Any]:
    """What `nas space check --json` prints of a comparison; documented in docs/json.md."""
    return {
        "networks": len(found.compared),
        **{name: _rounded(getattr(found, name)) for name in ("kendall", "low", "high")},
        "coverage": COVERAGE,
        "judge_seconds": round(sum(c.judge_seconds for c in found.compared), 1),
        "train_seconds": round(sum(c.train_seconds for c in found.compared), 1),
        "architectures": [
            {"architecture": c.architecture.id, "judged_accuracy": c.judged, "test_accuracy": c.trained}
            for c in found.compared
        ],
    }


def _seconds(metrics: Metrics) -> float:
    """Wall seconds; of a training that went on after a stop, at least those of all its steps."""
    return max(metrics["seconds"], metrics.get("train_seconds", 0.0))


def _rounded(tau: float | None) -> float | None:
    return None if tau is None else round(tau, 4)
