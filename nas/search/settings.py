"""What decides a search: how networks are judged, which are looked for, and what is usual for an evaluator."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace

from nas.accuracy.model import load_accuracy_model
from nas.errors import NasError
from nas.space import load_space
from nas.strategies.ranking import has_one_genotype_each
from nas.training.data import data_content, describe_data

EVALUATORS = ("predictor", "proxy", "supernet")
DEFAULT_SPACE = {"predictor": "mnasnet_imagenet", "proxy": "mobilenet_v3", "supernet": "mobilenet_v3"}
DEFAULT_TRIALS = {"predictor": 3000, "proxy": 16, "supernet": 300}
RANKING = "ranking"
_FEWEST_OWN = 2  # batch norm needs two
_NOT_IN_NAME = ("storage", "trials", "latency_version", "accuracy_version")


@dataclass(frozen=True, slots=True)
class ProxyTraining:
    """How candidates are judged: by a short training of each, or of the supernet, on a part of the data, small."""

    resolution: int  # pixels
    epochs: int
    train_images: int | None  # None: all
    val_images: int | None


_PROXIES = {
    "cifar10": ProxyTraining(resolution=64, epochs=3, train_images=3200, val_images=2000),
    "digits": ProxyTraining(resolution=32, epochs=4, train_images=None, val_images=None),
    "imagefolder": ProxyTraining(resolution=128, epochs=3, train_images=4000, val_images=2000),
}

_SUPERNETS = {  # epochs are those of the one training; smaller images leave time for more of them
    "cifar10": ProxyTraining(resolution=32, epochs=16, train_images=10_000, val_images=2000),
    "digits": ProxyTraining(resolution=32, epochs=10, train_images=None, val_images=None),
    "imagefolder": ProxyTraining(resolution=64, epochs=16, train_images=10_000, val_images=2000),
}


def choose_evaluator(asked: str | None, data: str | None) -> str:
    """How networks are judged: with data by a supernet, without by an accuracy model, unless `asked` otherwise.

    Raises:
        NasError: what is asked does not go with the data.
    """
    evaluator = asked or ("predictor" if data is None else "supernet")
    if evaluator not in EVALUATORS:
        raise NasError(f"unknown evaluator {evaluator!r}; expected one of {', '.join(EVALUATORS)}")
    if evaluator == "predictor" and data is not None:
        raise NasError("the predictor trains on nothing; expected either --data or --evaluator predictor")
    if evaluator != "predictor" and data is None:
        raise NasError(
            f"the {evaluator} evaluator trains its networks; expected --data cifar10, digits or imagefolder:DIR"
        )
    return evaluator


def default_strategy(evaluator: str, space: str) -> str:
    """`surrogate` for trainings; for the predictor `ranking`, or `evolution` where networks have several genotypes."""
    if evaluator != "predictor":
        return "surrogate"
    return RANKING if has_one_genotype_each(load_space(space)) else "evolution"


def proxy_training(
    data: str,
    evaluator: str,
    *,
    resolution: int | None = None,
    epochs: int | None = None,
    train_images: int | None = None,
) -> ProxyTraining:
    """The short training that suits data and evaluator, with what is given here in its place.

    Raises:
        DataError: an unknown data set.
    """
    describe_data(data)
    given = {"resolution": resolution, "epochs": epochs, "train_images": train_images}
    usual = (_SUPERNETS if evaluator == "supernet" else _PROXIES)[data.partition(":")[0]]
    return replace(usual, **{key: value for key, value in given.items() if value})


def require_own_images(images: int | None, evaluator: str, training: ProxyTraining | None) -> None:
    """Raise NasError unless a start of its own on so many images can be a part of how the evaluator judges.

    `training` is that of the supernet; of all images of a data set (None) how many there are is not asked.
    """
    if images is not None and evaluator != "supernet":
        raise NasError("--own-images is a part of how a supernet judges; expected --evaluator supernet")
    if images is not None and images < _FEWEST_OWN:
        raise NasError(f"--own-images {images}; expected at least {_FEWEST_OWN}, or none of it")
    most = None if training is None else training.train_images
    if images is not None and most is not None and images > most:
        raise NasError(f"--own-images {images}; expected at most the {most} that the supernet is trained on")


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """All that decides which networks a search tries and how it judges them; recorded with the study.

    The same search can be asked for more `trials` later, but all its latencies come from one version of the table.
    """

    budget_ms: float
    proxy: ProxyTraining | None  # None: nothing is trained
    target: str
    latency_version: str
    space: str = "mobilenet_v3"
    data: str | None = "cifar10"  # None: nothing is trained
    evaluator: str = field(kw_only=True)
    accuracy_version: str | None = None  # of the accuracy model of the `predictor`
    strategy: str = "surrogate"
    objectives: str = "accuracy"  # or with some of latency, params and memory behind it: then the front is sought
    reward: str = "hard"
    seed: int = 0
    trials: int = 16
    explore_over_budget: bool = False
    early_stop: bool = False  # end trainings that are behind others at the same epoch
    confidence: float | None = None
    """Accept a network only if the upper end of its interval of this coverage meets the budget; None: if its estimate
    does."""
    data_version: str | None = None  # of a folder's images, which may change while its path does not
    storage: str | None = None  # folder or URL of the weights; None: beside the database
    own_images: int | None = None  # for the start of a training of each candidate of a supernet; None: no such start

    def __post_init__(self) -> None:
        """Raises NasError if the evaluator has no trainings that could end early, or no use for images of its own."""
        if self.early_stop and self.evaluator == "supernet":
            raise NasError(
                "the supernet judges at once, no training can end early; expected no --early-stop, or --evaluator proxy"
            )
        require_own_images(self.own_images, self.evaluator, self.proxy)

    @property
    def study_name(self) -> str:
        """A name that the same settings always give: readable, then a digest of all of them."""
        deciding = {key: value for key, value in asdict(self).items() if key not in _NOT_IN_NAME}
        for later in ("data_version", "own_images"):  # names stay as they were before there were these
            if deciding[later] is None:
                del deciding[later]
        digest = hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:6]
        judged_on = (self.data or self.evaluator).partition(":")[0]
        return f"{self.target}-{self.budget_ms:g}ms-{judged_on}-{digest}"


def num_classes(data: str | None) -> int:
    """Classes that the networks of a search tell apart; without data those of ImageNet."""
    return 1000 if data is None else describe_data(data).num_classes


def data_version(data: str | None) -> str | None:
    """What tells a folder's images of today from others under its path; None for other data.

    Raises:
        DataError: no such folder, or an image that cannot be read.
    """
    return None if data is None or (content := data_content(data)) == data else content


def accuracy_version(space: str, data: str | None) -> str | None:
    """The version of the space's accuracy model, if networks are judged by it.

    Raises:
        AccuracyError: the space has no model.
        SpaceError: no such space.
    """
    if data is not None:
        return None
    load_space(space)
    return load_accuracy_model(space).version
