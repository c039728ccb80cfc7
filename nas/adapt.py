"""`adapt()`: NetAdapt as a study. Trim a network's widths to a latency budget, and train what is left."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from nas.begun import Milliseconds, begun
from nas.errors import NasError, StudyError
from nas.evaluators.adapt import AdaptEvaluator
from nas.evaluators.proxy import trial_weights
from nas.executors.local import LocalExecutor
from nas.latency.model import LatencyModel
from nas.sources import Source, for_classes
from nas.store.store import Store, StoredTrial
from nas.strategies.netadapt import NetAdapt, NetAdaptSettings, Round, Rule, Step, every, halving
from nas.study import Entry, Listener, Study, Target
from nas.training.checkpoint import read_network, save_weights
from nas.training.data import describe_data, load_data
from nas.training.loop import Recipe
from nas.trial import Metrics, Outcome, Trial, TrialState

SEED_FILE = "seed.safetensors"
_ENDLESS = 1 << 30  # trials; the strategy knows when it is done

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
    importance: str = "l2"
    proposals: Proposals = "halving"
    delta: float | None = None
    step: int = 8
    epochs: int = 2
    images: int | None = 1600
    val_images: int | None = 1000
    lr: float = 0.01
    final_lr: float = 0.02
    seed_epochs: int = 0
    final_epochs: int = 10
    from_scratch: bool = False
    distill: bool = False
    seed: int = 0

    @property
    def study_name(self) -> str:
        """A name that the same settings always give: readable, then a digest of all of them."""
        deciding = {key: value for key, value in asdict(self).items() if key != "latency_version"}
        digest = hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:6]
        return f"adapt-{self.target}-{self.budget_ms:g}ms-{self.data.partition(':')[0]}-{digest}"

    @property
    def rounds(self) -> tuple[Round, ...]:
        """How the proposals of an iteration are compared."""
        return halving(self.epochs) if self.proposals == "halving" else every(self.epochs * (self.proposals == "full"))


@dataclass(frozen=True, slots=True)
class AdaptResult:
    """What came out: the networks of the path, the last one trained, and where its weights are.

    Where nothing was trained, they are those that it would inherit: of the last network of the path that has any.
    """

    study: str
    counts: Mapping[TrialState, int]
    path: tuple[Step, ...]
    ids: Mapping[int, int]  # of trials, by number
    final: StoredTrial
    weights: Path


def adapt(  # noqa: PLR0913 - settings, and where and how they run
    settings: AdaptSettings,
    source: Source,
    *,
    latency: LatencyModel,
    store: Store,
    listener: Listener,
    workers: int = 1,
    threads: int = 1,
    name: str | None = None,
    tested: bool = True,
) -> AdaptResult:
    """Trim `source` to the budget, or go on where it was stopped.

    Weights go into a folder of the study's name beside the database. Unless seed and result are to be `tested`, the
    test images are not opened.

    Raises:
        BudgetError: the budget cannot be reached by cutting widths; the message says what can.
        StudyError: the study exists with other settings, another process runs it, or no proposal could be trained.
        NasError: wrong settings, data that cannot be had, a full disk.
    """
    name = name or settings.study_name
    require_sound(settings)
    record = begun(store, name, _recorded(settings))
    source = _seed(source, settings)
    latency_ms = Milliseconds(latency)
    strategy = NetAdapt(source.architecture, _strategy_settings(settings), latency_ms, latency.target)
    load_data(settings.data, resolution=settings.resolution)
    folder = store.weights_folder(name)
    if record is None:
        if source.network is not None:
            about = {"architecture": source.architecture.to_json(), "data": settings.data}
            save_weights(folder / SEED_FILE, source.network, about)
        store.create_study(name, _recorded(settings))
    study = Study(
        name,
        store=store,
        strategy=strategy,
        target=Target(latency.target, latency.version, latency_ms),
        trials=_ENDLESS,
        seed=settings.seed,
        listener=_Tidy(listener, strategy, folder),
    )
    evaluator = _evaluator(settings, source, folder)
    with study:
        LocalExecutor(workers).run(
            _WithChanges(study, strategy, latency_ms), replace(evaluator, tested=tested, threads=threads)
        )
    return result(store, name, strategy)


def require_sound(settings: AdaptSettings) -> None:
    """Raise a NasError for settings that contradict one another."""
    if settings.final_epochs <= settings.epochs and settings.final_epochs:
        raise NasError(
            f"the last training of {settings.final_epochs} epochs is no longer than a proposal's "
            f"{settings.epochs}; expected more, or 0 for none"
        )
    if (settings.from_scratch or settings.distill) and not settings.final_epochs:
        raise NasError("--from-scratch and --distill say how the last network is trained; expected --final-epochs")


def result(store: Store, name: str, strategy: NetAdapt) -> AdaptResult:
    """What the strategy has come to.

    Raises:
        StudyError: the budget was not reached, or the last training failed.
    """
    if strategy.failure is not None:
        raise StudyError(f"study {name!r}: {strategy.failure}")
    path, last = strategy.path, strategy.final
    trials = store.trials(name)
    if last is not None and last.accuracy is None:
        error = last.outcome.error if last.outcome else None
        raise StudyError(f"study {name!r}: the last training failed: {error}")
    number = path[-1].number if last is None else last.number
    holder = path[-1].holder if last is None else last.number
    ids = {stored.trial.number: stored.id for stored in trials}
    weights = weights_path(trials[holder], store)
    return AdaptResult(name, store.study_summary(name), path, ids, trials[number], weights)


def _recorded(settings: AdaptSettings) -> dict[str, Any]:
    """For the study's row; `proxy` says what its accuracies mean, so that no front mixes them with others."""
    judged = {key: getattr(settings, key) for key in ("resolution", "epochs", "images", "val_images", "proposals")}
    return asdict(settings) | {"proxy": judged}


def _seed(source: Source, settings: AdaptSettings) -> Source:
    """The network for the classes of the data.

    Raises:
        NasError: it has no weights, or no classifier for them, and is not to be trained first.
    """
    classes = describe_data(settings.data).num_classes
    if not settings.seed_epochs:
        if source.network is None:
            raise NasError(f"{source.name} has no weights; give a file of weights, or --seed-epochs to train it first")
        if source.architecture.num_classes != classes:
            raise NasError(
                f"{source.name} tells apart {source.architecture.num_classes} classes, {settings.data} has {classes}; "
                f"give --seed-epochs to train a classifier for them"
            )
    return for_classes(source, classes, settings.seed)


class _WithChanges:
    """A study that records with each proposal how accuracy and latency differ from the network it was cut from."""

    def __init__(self, study: Study, strategy: NetAdapt, latency_ms: Milliseconds) -> None:
        self._study, self._strategy, self._latency_ms = study, strategy, latency_ms
        self.ask, self.report, self.lost, self.idle = study.ask, study.report, study.lost, study.idle
        self.placed = study.placed

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """See `nas.trial.TrialQueue.tell`."""
        self._study.tell(trial, replace(outcome, metrics={**outcome.metrics, **self._changes(trial, outcome)}))

    def _changes(self, trial: Trial, outcome: Outcome) -> Metrics:
        base = self._strategy.base(trial.number)
        if base is None or "accuracy" not in outcome.metrics:
            return {}
        return {
            "accuracy_change": outcome.metrics["accuracy"] - base.accuracy,
            "latency_change_ms": self._latency_ms(trial.proposal.architecture) - base.latency_ms,
        }


class _Tidy:
    """A listener that removes the weights of proposals that have lost, and passes everything on."""

    def __init__(self, listener: Listener, strategy: NetAdapt, folder: Path) -> None:
        self._listener, self._strategy, self._folder = listener, strategy, folder
        self._ended: set[int] = set()
        self.started, self.reported, self.tick = listener.started, listener.reported, listener.tick

    def ended(self, entry: Entry) -> None:
        """See `nas.study.Listener.ended`."""
        self._listener.ended(entry)
        self._ended.add(entry.trial.number)
        for number in self._ended - self._strategy.needed:
            trial_weights(self._folder, number).unlink(missing_ok=True)
            self._ended.discard(number)


def _strategy_settings(settings: AdaptSettings) -> NetAdaptSettings:
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


def _evaluator(settings: AdaptSettings, source: Source, folder: Path) -> AdaptEvaluator:
    return AdaptEvaluator(
        data=settings.data,
        folder=folder,
        seed=None if source.network is None else folder / SEED_FILE,
        short=Recipe(1, settings.resolution, lr=settings.lr, warmup=0.0),
        long=Recipe(settings.final_epochs, settings.resolution, batch_size=64, lr=settings.final_lr, weight_decay=5e-4),
        images=settings.images,
        val_images=settings.val_images,
        importance=settings.importance,
        distill=settings.distill,
    )


def weights_path(stored: StoredTrial, store: Store) -> Path:
    """Where a trial's weights lie if they were kept: of a reused outcome, in the study that trained it."""
    trained = trained_by(stored, store)
    return trial_weights(store.weights_folder(trained.study), trained.trial.number)


def trained_by(stored: StoredTrial, store: Store) -> StoredTrial:
    """The trial whose outcome this one has: itself, unless it reused another's."""
    if stored.source is None:
        return stored
    source = store.trial(stored.source)
    assert source is not None, "a foreign key of the database"
    return trained_by(source, store)


def trial_source(stored: StoredTrial, store: Store) -> Source:
    """A trial of ours with the weights that were kept of its training.

    Raises:
        NasError: they are not there (any more), or those of another network.
    """
    path = weights_path(stored, store)
    if not path.exists():
        reused = "" if stored.source is None else f" (it reuses the training of trial:{stored.source})"
        raise NasError(
            f"trial:{stored.id} has no weights: {path} is not there{reused}; only networks that nas search trained and "
            f"nas adapt chose keep theirs, nas train trial:{stored.id} makes new ones"
        )
    architecture, network = read_network(path)
    if architecture != stored.trial.proposal.architecture:
        raise NasError(f"{path}: holds the weights of another network than trial:{stored.id}")
    return Source(f"trial:{stored.id}", architecture, network)
