"""`AdaptSettings`: all that decides what a trimming finds. Nothing here needs torch."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from nas.errors import NasError
from nas.strategies.netadapt_settings import NetAdaptSettings, Round, Rule, every, halving

_NOT_IN_NAME = ("latency_version", "storage")

Proposals = Literal["halving", "full", "zero"]
"""Which proposals of an iteration are trained: the best ones, by successive halving; all; none."""


@dataclass(frozen=True, slots=True)
class AdaptSettings:
    """All that decides which networks are tried and how they are judged; recorded with the study.

    One epoch of a proposal's training sees `images` of the training set, `epochs` of them follow one another. The seed
    is trained for `seed_epochs` on all of it, the last network for `final_epochs`.
    """

    budget_ms: float
    source: str
    architecture: str  # id of the seed
    target: str
    latency_version: str
    resolution: int
    data: str = "cifar10"
    rule: Rule = "netadapt"
    importance: str = "taylor"
    proposals: Proposals = "halving"
    delta: float | None = None
    step: int = 8
    epochs: int = 2
    images: int | None = 1600
    val_images: int | None = 400
    lr: float = 0.005
    final_lr: float = 0.02
    seed_epochs: int = 0
    final_epochs: int = 10
    from_scratch: bool = False
    distill: bool = False
    seed: int = 0
    storage: str | None = None  # folder or URL of the weights; None: beside the database

    @property
    def study_name(self) -> str:
        """A name that the same settings always give: readable, then a digest of all of them."""
        deciding = {key: value for key, value in asdict(self).items() if key not in _NOT_IN_NAME}
        digest = hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:6]
        return f"adapt-{self.target}-{self.budget_ms:g}ms-{self.data.partition(':')[0]}-{digest}"

    @property
    def rounds(self) -> tuple[Round, ...]:
        """How the proposals of an iteration are compared."""
        return halving(self.epochs) if self.proposals == "halving" else every(self.epochs * (self.proposals == "full"))


def require_sound(settings: AdaptSettings) -> None:
    """Raise a NasError for settings that contradict one another."""
    if settings.final_epochs <= settings.epochs and settings.final_epochs:
        raise NasError(
            f"--final-epochs {settings.final_epochs}: the last training is no longer than a proposal's, --epochs "
            f"{settings.epochs}; expected more, or 0 for none"
        )
    if (settings.from_scratch or settings.distill) and not settings.final_epochs:
        raise NasError("--from-scratch and --distill say how the last network is trained; expected --final-epochs")


def recorded(settings: AdaptSettings) -> dict[str, Any]:
    """For the study's row; `proxy` says what its accuracies mean, so that no front mixes them with others."""
    judged = {key: getattr(settings, key) for key in ("resolution", "epochs", "images", "val_images", "proposals")}
    return asdict(settings) | {"proxy": judged}


def strategy_settings(settings: AdaptSettings) -> NetAdaptSettings:
    """What the strategy needs to know."""
    return NetAdaptSettings(
        budget_ms=settings.budget_ms,
        rule=settings.rule,
        rounds=settings.rounds,
        delta=settings.delta,
        step=settings.step,
        seed_epochs=settings.seed_epochs,
        final_epochs=settings.final_epochs,
        from_scratch=settings.from_scratch,
    )
