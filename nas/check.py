"""`check()`: whether a cheap evaluator puts networks into the order that proper training does."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any

from nas.architecture import Architecture
from nas.errors import NasError
from nas.evaluators.full import FullEvaluator
from nas.executors.kept import Say, evaluate_all
from nas.executors.ray.cluster import RayCluster
from nas.rank import Agreement, agreement, attainable, mutual_agreement
from nas.space import SearchSpace
from nas.trial import Evaluator, Metrics

COVERAGE = 0.95
JUDGED_BY = 1_000_000
"""The seed of what is judged: none of the trainings', or an evaluator that trains would share their first weights."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One network: what the evaluator said, and the test accuracies that trainings from scratch reached."""

    architecture: Architecture
    judged: float
    trainings: tuple[float, ...]  # one for each seed
    judge_seconds: float
    train_seconds: float  # of all trainings

    @property
    def trained(self) -> float:
        """Mean test accuracy."""
        return mean(self.trainings)


@dataclass(frozen=True, slots=True)
class Check:
    """The comparison; intervals have `COVERAGE`, for other networks of the space."""

    compared: tuple[Compared, ...]
    order: Agreement  # of the evaluator and the trainings
    repeated: Agreement | None = None  # of two trainings of each network; None: each was trained once
    attainable: Agreement | None = None  # what an evaluator that knew each network's average could expect as `order`


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
    trainings: int = 1,
    judged_by: int = JUDGED_BY,
) -> Check:
    """Judge the networks, train them with `truth`, and compare the orders.

    Each network is trained with so many seeds, from 0 on: the mean is what the evaluator is compared with, and how far
    several agree tells how much of the order is more than chance. The evaluator has another one, `judged_by`.

    What is known is kept in `judged_in` and beside it, in a folder that is named as that of `truth`: called again, only
    the rest is done.

    Raises:
        NasError: a network could not be judged or trained, a file cannot be written.
    """
    judged = evaluate_all(networks, evaluator, judged_in, workers, say, (judged_by,), cluster)
    trained = evaluate_all(
        networks, truth, judged_in.with_name(truth.folder.name), workers, say, range(trainings), cluster
    )
    by_network = [trained[place :: len(networks)] for place in range(len(networks))]
    compared = tuple(
        Compared(
            architecture=network,
            judged=one["accuracy"],
            trainings=tuple(metrics["test_accuracy"] for metrics in others),
            judge_seconds=_seconds(one),
            train_seconds=sum(map(_seconds, others)),
        )
        for network, one, others in zip(networks, judged, by_network, strict=True)
    )
    order = agreement([c.judged for c in compared], [c.trained for c in compared], COVERAGE)
    if trainings == 1:
        return Check(compared, order)
    by_seed = list(zip(*(c.trainings for c in compared), strict=True))
    return Check(compared, order, mutual_agreement(by_seed, COVERAGE), attainable(by_seed, COVERAGE))


def check_record(found: Check) -> dict[str, Any]:
    """What `nas space check --json` prints of a comparison; documented in docs/json.md."""
    return {
        "networks": len(found.compared),
        "trainings": len(found.compared[0].trainings),
        **_rounded(found.order),
        "coverage": COVERAGE,
        "repeated": _rounded(found.repeated) if found.repeated else None,
        "attainable": _rounded(found.attainable) if found.attainable else None,
        "judge_seconds": round(sum(c.judge_seconds for c in found.compared), 1),
        "train_seconds": round(sum(c.train_seconds for c in found.compared), 1),
        "architectures": [
            {
                "architecture": c.architecture.id,
                "judged_accuracy": c.judged,
                "test_accuracy": c.trained,
                "test_accuracies": list(c.trainings),
            }
            for c in found.compared
        ],
    }


def _seconds(metrics: Metrics) -> float:
    """Wall seconds; of a training that went on after a stop, at least those of all its steps."""
    return max(metrics["seconds"], metrics.get("train_seconds", 0.0))


def _rounded(order: Agreement) -> dict[str, float | None]:
    return {name: None if tau is None else round(tau, 4) for name, tau in asdict(order).items()}
