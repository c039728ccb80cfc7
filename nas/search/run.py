"""`search()`: the main job. Find the most accurate network of a space within a latency budget."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from nas import forking
from nas.begun import Milliseconds, require_command, require_name, weights_folder
from nas.errors import StudyError
from nas.executors.inline import InlineExecutor
from nas.executors.local import LocalExecutor
from nas.executors.ray.cluster import RayCluster
from nas.executors.ray.executor import RayExecutor
from nas.forking import MODEL, SUPERNET, basis, fidelity, fork_names, require_unchanged
from nas.latency.model import LatencyModel
from nas.search.judge import Watch, judged_by, make_evaluator, make_supernet_evaluator
from nas.search.problem import front_objectives, make_problem, make_search_strategy, require_heeded
from nas.search.settings import SearchSettings, num_classes
from nas.space import load_space
from nas.stopping import SuccessiveHalving
from nas.store.records import FRONT_OBJECTIVES, Objective
from nas.store.store import Predictor, Store, StoredTrial, StudyRecord
from nas.strategies.problem import Problem
from nas.study import Listener, Study, Target, software_versions
from nas.trial import Executor, TrialState

TOP = 10  # of the most accurate trials in a result
_TOGETHER = 100  # predicted trials that are recorded at once


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found; all of it is within the budget.

    The front is that of the search's objectives, the fastest first; the best trial, the most accurate one and of equal
    ones the fastest, need not be its last.
    """

    study: str
    counts: Mapping[TrialState, int]
    best: StoredTrial | None
    front: list[StoredTrial]
    top: list[StoredTrial]  # the ten most accurate


def search(  # noqa: PLR0913 - settings, and where and how they run
    settings: SearchSettings,
    *,
    latency: LatencyModel,
    store: Store,
    listener: Listener,
    workers: int = 1,
    threads: int = 1,
    cluster: RayCluster | None = None,
    name: str | None = None,
    reuse: bool = True,
    fork: bool = False,
    watch: Watch = lambda step, steps, metrics: None,
) -> SearchResult:
    """Run the search, or go on with it where it stopped.

    With `reuse`, a network that any study of the store has trained in the same way is not trained again. With
    `fork`, a study whose space, latency table, accuracy model, supernet or nas has changed goes on as a new one that
    starts from its trials.
    `latency` is the model of `settings.target`. `workers` processes train at once, each with `threads` threads:
    for networks and images as small as these, more workers use the cores better than more threads do. Weights go into
    a folder of the study's name beside the database. The evaluator `supernet` is trained first, unless the cache has
    it; `watch` hears of its steps. With `cluster` the workers are those of a Ray cluster.

    Raises:
        BudgetError: no network of the space meets the budget.
        StudyError: the study exists with other settings, or another process runs it.
        LatencyError: a confidence that is no share above 0 and below 1.
        NasError: wrong settings, data that cannot be had, a full disk.
    """
    require_heeded(settings)
    name, judges = name or settings.study_name, judged_by(settings)
    rests_on = _basis(settings, judges)
    name, old = fork_names(store, name, rests_on) if fork else (name, name)
    record = _begun(store, name, settings, rests_on)
    space = load_space(settings.space).with_num_classes(num_classes(settings.data))
    target = Target(latency.target, latency.version, Milliseconds(latency))
    problem = make_problem(settings, space, latency)
    strategy = make_search_strategy(settings, problem, _planned(record, settings))
    same = _fidelity(settings)
    if settings.evaluator == "supernet":
        evaluator = make_supernet_evaluator(settings, (workers if cluster is None else 1) * threads, threads, watch)
    else:
        evaluator = make_evaluator(settings, weights_folder(store, name, settings.storage), threads)
    record = record or _begun(store, name, settings, rests_on)  # meanwhile another process may have begun it
    if record is None:
        begin = _Beginning(settings, rests_on, same, judges)
        record = begin.fork(store, old, name, problem, target) if fork else begin.anew(store, name)
    study = Study(
        name,
        store=store,
        strategy=strategy,
        target=target,
        trials=settings.trials,
        seed=settings.seed,
        listener=listener,
        stopping=SuccessiveHalving(settings.proxy.epochs) if settings.early_stop and settings.proxy else None,
        fidelity=same if reuse and record.fidelity == same else None,
        inherited=record.inherited,
        judged_by=judges,
    )
    executor: Executor = LocalExecutor(workers) if cluster is None else RayExecutor(cluster, workers)
    if settings.data is None:
        executor = InlineExecutor(store.batch, _TOGETHER)
    with study:
        executor.run(study, evaluator)
    return result(store, name, settings.budget_ms, front_objectives(settings))


@dataclass(frozen=True, slots=True)
class _Beginning:
    """What a new study records of itself."""

    settings: SearchSettings
    basis: Mapping[str, str]
    fidelity: str | None
    judged_by: Mapping[str, str]

    def anew(self, store: Store, name: str) -> StudyRecord:
        return store.create_study(name, asdict(self.settings), self.fidelity, basis=self.basis)

    def fork(self, store: Store, old: str, name: str, problem: Problem, target: Target) -> StudyRecord:
        """Raises StudyError if the old study had other settings."""
        origin = store.study(old)
        assert origin is not None, "fork_names has seen it"
        _require_same(origin, self.settings)
        return forking.fork(
            store,
            old,
            name,
            asdict(self.settings),
            basis=self.basis,
            fidelity=self.fidelity,
            judged_by=self.judged_by,
            problem=problem,
            predictor=Predictor(target.name, target.version),
            latency_ms=target.latency_ms,
        )


def result(
    store: Store, name: str, budget_ms: float, objectives: Sequence[Objective] = FRONT_OBJECTIVES
) -> SearchResult:
    """What the recorded trials of a study say, within the budget."""
    front = store.front([name], max_latency_ms=budget_ms, objectives=objectives)
    top = store.most_accurate(name, TOP, budget_ms)
    return SearchResult(name, store.study_summary(name), top[0] if top else None, front, top)


def _begun(store: Store, name: str, settings: SearchSettings, rests_on: Mapping[str, str]) -> StudyRecord | None:
    """The study's record if it was begun before, with these settings.

    Raises:
        StudyError: it was begun with other settings or on another basis, or its name is no name of a folder.
    """
    require_name(name)
    record = store.study(name)
    if record is not None:
        require_command(record, "nas search")
        _require_same(record, settings)
        require_unchanged(record, rests_on)
    return record


def _planned(record: StudyRecord | None, settings: SearchSettings) -> int:
    """Number of trials the study was begun with, by which its strategy is sized."""
    return settings.trials if record is None else int(record.settings["trials"])


def _require_same(record: StudyRecord, settings: SearchSettings) -> None:
    begun, wanted = dict(record.settings), asdict(settings)
    begun.setdefault("data_version", settings.data_version)  # older studies did not record it
    if begun["data_version"] != settings.data_version:
        raise StudyError(
            f"study {record.name!r} was begun with other images in the folder; begin another one with --study NAME"
        )
    for key in sorted((begun.keys() | wanted.keys()) - {"trials", "latency_version", "accuracy_version"}):
        if begun.get(key) != wanted.get(key):
            raise StudyError(
                f"study {record.name!r} was begun with {key}={begun.get(key)!r}, not {wanted.get(key)!r}; "
                f"give the same options to go on with it, or another --study NAME"
            )


def _basis(settings: SearchSettings, judges: Mapping[str, str]) -> dict[str, str]:
    """Versions of what decides which networks the search tries."""
    versions = {key.replace("_", " "): judges[key] for key in (MODEL, SUPERNET) if key in judges}
    return {**basis(settings.space, settings.latency_version), **versions}


def _fidelity(settings: SearchSettings) -> str | None:
    """What other studies must have in common for their outcomes to be reused; None: judging again costs little.

    So it is with a prediction, and with a supernet, whose figures are those of one space besides.
    """
    if settings.data is None or settings.proxy is None or settings.evaluator == "supernet":
        return None
    return fidelity(settings.data, settings.evaluator, asdict(settings.proxy), software_versions())
