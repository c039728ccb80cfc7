"""What a study file says, as frozen data; `nas.pipeline.study_file` reads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nas.strategies.netadapt_settings import Rule

ABLATIONS = ("se", "hswish", "kernel5", "late_head", "netadapt")
"""What can be left out; the last one of the found network, the others of the network that `of` says."""


@dataclass(frozen=True, slots=True)
class BlockSearch:
    """Which networks are looked for: the largest reward at a target latency of `budget_ms`."""

    budget_ms: float
    reward: str
    strategy: str


@dataclass(frozen=True, slots=True)
class Trimming:
    """Where NetAdapt goes: `budget_ms`, or the predicted latency of the reference network if None."""

    budget_ms: float | None
    rule: Rule


@dataclass(frozen=True, slots=True)
class Ablations:
    """What is left out, of the reference network or of the found one."""

    of: Literal["reference", "found"]
    without: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SearchScale:
    """How a candidate is judged, how many are, and how many independent searches there are.

    With `repeats` searches, which differ in their seed, the best network of all goes on.
    """

    resolution: int
    epochs: int
    train_images: int | None
    val_images: int | None
    trials: int
    repeats: int
    evaluator: str = "proxy"
    early_stop: bool = False


@dataclass(frozen=True, slots=True)
class AdaptScale:
    """As `nas.adapt.settings.AdaptSettings`: how NetAdapt's proposals are judged, and its first network trained."""

    resolution: int
    seed_epochs: int
    epochs: int
    images: int | None
    val_images: int | None
    proposals: Literal["halving", "full", "zero"]
    delta: float | None
    lr: float


@dataclass(frozen=True, slots=True)
class TrainScale:
    """The one recipe by which all networks are trained that are compared, once for each seed."""

    resolution: int
    epochs: int
    train_images: int | None
    val_images: int | None
    batch_size: int
    lr: float
    weight_decay: float
    label_smoothing: float
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is spent: data, resolutions, epochs, trials."""

    name: str
    data: str
    search: SearchScale
    adapt: AdaptScale
    train: TrainScale


@dataclass(frozen=True, slots=True)
class StudyFile:
    """The content of a study file, checked. The first of `scales` is the one whose result is documented."""

    path: Path
    name: str
    target: str
    space: str
    reference: str
    search: BlockSearch
    adapt: Trimming
    scaled: tuple[str, ...]
    ablations: Ablations
    scales: Mapping[str, Scale]
