"""`adapt()`: NetAdapt as a study. Trim a network's widths to a latency budget, and train what is left."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from nas.adapt.queue import Tidy, WithChanges
from nas.adapt.settings import AdaptSettings, recorded, require_sound, strategy_settings
from nas.adapt.trained import weights_path
from nas.architecture import Architecture
from nas.begun import Milliseconds, begun, weights_folder
from nas.errors import NasError, StudyError
from nas.evaluators.adapt import AdaptEvaluator
from nas.executors.local import LocalExecutor
from nas.executors.ray.cluster import RayCluster
from nas.executors.ray.executor import RayExecutor
from nas.latency.model import LatencyModel
from nas.latency.turns import measured_latency
from nas.sources import Source, for_classes
from nas.storage import is_local
from nas.store.store import Store, StoredTrial
from nas.strategies.netadapt import NetAdapt, Step
from nas.study import Listener, Study, Target
from nas.training.checkpoint import save_weights, weights_version
from nas.training.data import data_content, describe_data, load_data
from nas.training.loop import Recipe
from nas.trial import Executor, TrialState

MEASURED_FILE = "measured.json"
SEED_FILE = "seed.safetensors"
_ENDLESS = 1 << 30  # trials; the strategy knows when it is done


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
    cluster: RayCluster | None = None,
    name: str | None = None,
    measured_ms: Callable[[Architecture], float] | None = None,
    tested: bool = True,
) -> AdaptResult:
    """Trim `source` to the budget, or go on where it was stopped.

    Weights go into a folder of the study's name beside the database, or in the storage of the settings. With `cluster`
    the workers are those of a Ray cluster. `measured_ms` are milliseconds of whole networks; None: as measured here,
    where the target is this machine. Who takes the budget from a reading of the seed gives the readings that it
    came from: another reading of the seed may differ by a tenth. Unless seed and result are to be `tested`, the test
    images are not opened.

    Raises:
        BudgetError: the budget cannot be reached by cutting widths; the message says what can.
        StudyError: the study exists with other settings, another process runs it, or no proposal could be trained.
        NasError: wrong settings, data that cannot be had, a full disk.
    """
    name = name or settings.study_name
    require_sound(settings)
    begun_with = recorded(settings) | _contents(source, settings.data)
    record = begun(store, name, begun_with)
    source = _seed(source, settings)
    latency_ms = Milliseconds(latency)
    folder = weights_folder(store, name, settings.storage)
    here = folder if is_local(folder) else Path("runs", name)
    strategy = NetAdapt(
        source.architecture,
        strategy_settings(settings),
        latency_ms,
        latency.target,
        measured_ms or measured_latency(latency.target, here / MEASURED_FILE),
    )
    load_data(settings.data, resolution=settings.resolution)
    if record is None:
        if source.network is not None:
            about = {"architecture": source.architecture.to_json(), "data": settings.data}
            save_weights(folder / SEED_FILE, source.network, about)
        store.create_study(name, begun_with)
    study = Study(
        name,
        store=store,
        strategy=strategy,
        target=Target(latency.target, latency.version, latency_ms),
        trials=_ENDLESS,
        seed=settings.seed,
        listener=Tidy(listener, strategy, folder),
    )
    evaluator = replace(_evaluator(settings, source, folder), tested=tested, threads=threads)
    executor: Executor = LocalExecutor(workers) if cluster is None else RayExecutor(cluster, workers)
    with study:
        executor.run(WithChanges(study, strategy, latency_ms), evaluator)
    return result(store, name, strategy)


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


def _contents(source: Source, data: str) -> dict[str, str | None]:
    """Versions of the seed's weights and of the images: both may change while their names do not."""
    weights = None if source.network is None else weights_version(source.network)
    return {"weights_version": weights, "data_version": data_content(data)}


def _evaluator(settings: AdaptSettings, source: Source, folder: Path) -> AdaptEvaluator:
    return AdaptEvaluator(
        data=settings.data,
        folder=folder,
        seed=None if source.network is None else folder / SEED_FILE,
        short=Recipe(1, settings.resolution, lr=settings.lr, warmup=0.0, seed=settings.seed),
        long=Recipe(settings.final_epochs, settings.resolution, batch_size=64, lr=settings.final_lr, weight_decay=5e-4),
        images=settings.images,
        val_images=settings.val_images,
        importance=settings.importance,
        estimates=settings.proposals == "halving",
        distill=settings.distill,
    )
