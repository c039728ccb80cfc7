"""`search()`: the main job. Find the most accurate network of a space within a latency budget."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from nas import forking
from nas.accuracy.model import load_accuracy_model
from nas.accuracy.predictor import load_predictor
from nas.batch import compile_macs, compile_memory, compile_params, compile_space, compile_upper
from nas.begun import Milliseconds, require_name
from nas.errors import NasError, StudyError
from nas.evaluators.predictor import PredictorEvaluator
from nas.executors.inline import InlineExecutor
from nas.executors.local import LocalExecutor
from nas.forking import basis, fidelity, fork_names, require_unchanged
from nas.latency.model import LatencyModel, OpSumModel
from nas.reward import make_reward
from nas.space import SearchSpace, load_space
from nas.stopping import SuccessiveHalving
from nas.store.store import Predictor, Store, StoredTrial, StudyRecord
from nas.strategies.costs import BatchCost, Costs
from nas.strategies.problem import Problem
from nas.strategies.ranking import Oracle, Ranking, has_one_genotype_each
from nas.strategies.registry import make_strategy
from nas.study import Listener, Study, Target, software_versions
from nas.training.data import describe_data, load_data
from nas.trial import Evaluator, Executor, Metrics, Strategy, TrialState

FRONT_COSTS = ("latency", "params", "memory")
Watch = Callable[[int, int, Metrics], None]
"""As in `nas.training.supernet`, which means importing torch."""


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


_SUPERNETS = {  # epochs are those of the one training
    "cifar10": ProxyTraining(resolution=64, epochs=6, train_images=10_000, val_images=2000),
    "digits": ProxyTraining(resolution=32, epochs=10, train_images=None, val_images=None),
    "imagefolder": ProxyTraining(resolution=128, epochs=6, train_images=10_000, val_images=2000),
}


EVALUATORS = ("predictor", "proxy", "supernet")
DEFAULT_SPACE = {"predictor": "mnasnet_imagenet", "proxy": "mobilenet_v3", "supernet": "mobilenet_v3"}
RANKING = "ranking"
DEFAULT_TRIALS = {"predictor": 3000, "proxy": 16, "supernet": 300}
_TOP = 10
_TOGETHER = 100  # predicted trials that are recorded at once
_NOT_IN_NAME = ("trials", "latency_version", "accuracy_version")


def choose_evaluator(asked: str | None, data: str | None) -> str:
    """How networks are judged: with data by training on it, without by an accuracy model, unless `asked` otherwise.

    Raises:
        NasError: what is asked does not go with the data.
    """
    evaluator = asked or ("predictor" if data is None else "proxy")
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
    resolution: int | None = None,
    epochs: int | None = None,
    train_images: int | None = None,
    evaluator: str = "proxy",
) -> ProxyTraining:
    """The short training that suits data and evaluator, with what is given here in its place.

    Raises:
        DataError: an unknown data set.
    """
    describe_data(data)
    given = {"resolution": resolution, "epochs": epochs, "train_images": train_images}
    usual = (_SUPERNETS if evaluator == "supernet" else _PROXIES)[data.partition(":")[0]]
    return replace(usual, **{key: value for key, value in given.items() if value})


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
    evaluator: str = "proxy"
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

    @property
    def study_name(self) -> str:
        """A name that the same settings always give: readable, then a digest of all of them."""
        deciding = {key: value for key, value in asdict(self).items() if key not in _NOT_IN_NAME}
        digest = hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:6]
        judged_on = (self.data or self.evaluator).partition(":")[0]
        return f"{self.target}-{self.budget_ms:g}ms-{judged_on}-{digest}"


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found; all of it is within the budget."""

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
    name: str | None = None,
    reuse: bool = True,
    fork: bool = False,
    watch: Watch = lambda step, steps, metrics: None,
) -> SearchResult:
    """Run the search, or go on with it where it stopped.

    With `reuse`, a network that any study of the store has trained in the same way is not trained again. With
    `fork`, a study whose space, latency table or nas has changed goes on as a new one that starts from its trials.
    `latency` is the model of `settings.target`. `workers` processes train at once, each with `threads` threads:
    for networks and images as small as these, more workers use the cores better than more threads do. Weights go into
    a folder of the study's name beside the database. The evaluator `supernet` is trained first, unless the cache has
    it; `watch` hears of its steps.

    Raises:
        BudgetError: no network of the space meets the budget.
        StudyError: the study exists with other settings, or another process runs it.
        LatencyError: a confidence that is no share above 0 and below 1.
        NasError: wrong settings, data that cannot be had, a full disk.
    """
    name, rests_on = name or settings.study_name, _basis(settings)
    name, old = fork_names(store, name, rests_on) if fork else (name, name)
    record = _begun(store, name, settings)
    space = load_space(settings.space).with_num_classes(num_classes(settings.data))
    target = Target(latency.target, latency.version, Milliseconds(latency))
    problem = _problem(settings, space, latency)
    strategy = _strategy(settings, problem, _planned(record, settings))
    same = _fidelity(settings)
    if settings.evaluator == "supernet":
        evaluator = _supernet(settings, workers * threads, threads, watch)
    else:
        evaluator = _evaluator(settings, store.weights_folder(name), threads)
    if record is None:
        begin = _Beginning(settings, rests_on, same)
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
        judged_by=_judged_by(settings),
    )
    executor: Executor = LocalExecutor(workers)
    if settings.data is None:
        executor = InlineExecutor(store.batch, _TOGETHER)
    with study:
        executor.run(study, evaluator)
    return result(store, name, settings.budget_ms)


@dataclass(frozen=True, slots=True)
class _Beginning:
    """What a new study records of itself."""

    settings: SearchSettings
    basis: Mapping[str, str]
    fidelity: str | None

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
            problem=problem,
            predictor=Predictor(target.name, target.version),
            latency_ms=target.latency_ms,
        )


def result(store: Store, name: str, budget_ms: float) -> SearchResult:
    """What the recorded trials of a study say, within the budget."""
    front = store.front([name], max_latency_ms=budget_ms)
    best, top = front[-1] if front else None, _most_accurate(store, name, budget_ms)
    return SearchResult(name, store.study_summary(name), best, front, top)


def _most_accurate(store: Store, name: str, budget_ms: float) -> list[StoredTrial]:
    """The `_TOP` best complete trials within the budget, of equal ones the faster first."""
    fit = [t for t in store.trials(name, states=[TrialState.COMPLETE]) if (t.latency_ms or 0.0) <= budget_ms]
    return sorted(fit, key=lambda t: (-(t.trial.accuracy or 0.0), t.latency_ms or 0.0))[:_TOP]


def _strategy(settings: SearchSettings, problem: Problem, trials: int) -> Strategy:
    """The strategy of that name; `ranking` needs both models as tables.

    Raises:
        NasError: an unknown name, or `ranking` with data to train on.
        BudgetError: no network of the space meets the budget.
    """
    if settings.strategy != RANKING:
        return make_strategy(settings.strategy, problem, seed=settings.seed, trials=trials)
    if settings.data is not None:
        raise NasError("the strategy ranking asks an accuracy model of many networks; expected no --data")
    problem.require_reachable()
    predictor = load_predictor(settings.space)
    assert problem.costs is not None, "_costs makes them for this strategy"
    oracle = Oracle(lambda many: predictor.predict(many).accuracy, problem.costs.latency_ms)
    return Ranking(problem, oracle, seed=settings.seed, trials=trials)


def _problem(settings: SearchSettings, space: SearchSpace, latency: LatencyModel) -> Problem:
    """What the strategy searches; with a confidence, all it knows of latency is the upper end of the interval."""
    latency_ms, target = Milliseconds(latency), latency.target
    if settings.confidence is not None:
        if settings.explore_over_budget:
            raise NasError(
                "a confidence accepts no network over the budget, --explore-over-budget trains them; give one"
            )
        latency_ms = Milliseconds(latency.with_coverage(settings.confidence), "high_ms")
        target = f"{target} with confidence {settings.confidence:g}"
    return Problem(
        space=space,
        latency_ms=latency_ms,
        budget_ms=settings.budget_ms,
        reward=make_reward(settings.reward, settings.budget_ms),
        explore_over_budget=settings.explore_over_budget,
        target=target,
        costs=_costs(settings, space, latency),
        front=front_costs(settings.objectives, settings.strategy),
    )


def _costs(settings: SearchSettings, space: SearchSpace, latency: LatencyModel) -> Costs | None:
    """What every network of the space costs, for the strategy that looks at thousands for each proposal."""
    if settings.strategy not in ("surrogate", RANKING):
        return None
    if not isinstance(latency, OpSumModel):
        raise NasError(
            f"strategy {settings.strategy} needs latencies of thousands of networks at a time; "
            f"found {type(latency).__name__}, expected a model of nas.latency.targets.load_target"
        )
    latency_ms: BatchCost = (
        compile_space(space, latency).estimate
        if settings.confidence is None
        else compile_upper(space, latency.with_coverage(settings.confidence))
    )
    return Costs(latency_ms, compile_macs(space), compile_params(space), compile_memory(space))


def front_costs(objectives: str, strategy: str) -> tuple[str, ...]:
    """What a search for a front minimises beside accuracy, from `accuracy,latency`; nothing for `accuracy` alone.

    Raises:
        NasError: no list of objectives, or a strategy that seeks a single network.
    """
    first, *costs = objectives.split(",")
    if first != "accuracy" or len({*costs, *FRONT_COSTS}) > len(FRONT_COSTS) or len(set(costs)) < len(costs):
        raise NasError(
            f"objectives {objectives!r}; expected accuracy, with one or more of {', '.join(FRONT_COSTS)} behind it: "
            f"accuracy,latency"
        )
    if costs and strategy != "surrogate" and (strategy not in ("nsga2", RANKING) or costs != ["latency"]):
        raise NasError(
            f"strategy {strategy} does not search for a front of {objectives}; surrogate does, and for "
            f"accuracy,latency nsga2 and ranking"
        )
    return tuple(costs)


def _begun(store: Store, name: str, settings: SearchSettings) -> StudyRecord | None:
    """The study's record if it was begun before, with these settings.

    Raises:
        StudyError: it was begun with other settings or another latency table, or its name is no name of a folder.
    """
    require_name(name)
    record = store.study(name)
    if record is not None:
        require_unchanged(record, _basis(settings))
        _require_same(record, settings)
    return record


def _planned(record: StudyRecord | None, settings: SearchSettings) -> int:
    """Number of trials the study was begun with, by which its strategy is sized."""
    return settings.trials if record is None else int(record.settings["trials"])


def _require_same(record: StudyRecord, settings: SearchSettings) -> None:
    begun, wanted = dict(record.settings), asdict(settings)
    for key in sorted((begun.keys() | wanted.keys()) - {"trials", "latency_version", "accuracy_version"}):
        if begun.get(key) != wanted.get(key):
            raise StudyError(
                f"study {record.name!r} was begun with {key}={begun.get(key)!r}, not {wanted.get(key)!r}; "
                f"give the same options to go on with it, or another --study NAME"
            )


def num_classes(data: str | None) -> int:
    """Classes that the networks of a search tell apart; without data those of ImageNet."""
    return 1000 if data is None else describe_data(data).num_classes


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


def _basis(settings: SearchSettings) -> dict[str, str]:
    """Versions of what decides which networks the search tries."""
    model = {} if settings.accuracy_version is None else {"accuracy model": settings.accuracy_version}
    return {**basis(settings.space, settings.latency_version), **model}


def _fidelity(settings: SearchSettings) -> str | None:
    """What other studies must have in common for their outcomes to be reused; None: judging again costs little.

    So it is with a prediction, and with a supernet, whose figures are those of one space besides.
    """
    if settings.data is None or settings.proxy is None or settings.evaluator == "supernet":
        return None
    return fidelity(settings.data, settings.evaluator, asdict(settings.proxy), software_versions())


def _judged_by(settings: SearchSettings) -> dict[str, str]:
    """What every trial of the study says of its accuracy."""
    model = {} if settings.accuracy_version is None else {"accuracy_model": settings.accuracy_version}
    return {"evaluator": settings.evaluator, **model}


def _evaluator(settings: SearchSettings, folder: Path, threads: int) -> Evaluator:
    """The evaluator, when all that it needs is there: a download or a broken folder shows before work."""
    if settings.data is None:
        return PredictorEvaluator(load_predictor(settings.space))
    from nas.evaluators.proxy import ProxyEvaluator  # noqa: PLC0415 - torch
    from nas.training.loop import Recipe  # noqa: PLC0415

    proxy = settings.proxy
    assert proxy is not None
    load_data(settings.data, resolution=proxy.resolution)
    return ProxyEvaluator(
        data=settings.data,
        recipe=Recipe(epochs=proxy.epochs, resolution=proxy.resolution),
        train_images=proxy.train_images,
        val_images=proxy.val_images,
        folder=folder,
        threads=threads,
    )


def _supernet(settings: SearchSettings, train_threads: int, threads: int, watch: Watch) -> Evaluator:
    """The evaluator of a supernet that is in the cache, or is trained now; see `nas.training.supernet_job`."""
    from nas.evaluators.supernet import SupernetEvaluator  # noqa: PLC0415 - torch
    from nas.training.supernet_job import supernet_job  # noqa: PLC0415

    proxy = settings.proxy
    assert proxy is not None
    assert settings.data is not None
    if settings.early_stop:
        raise NasError("the supernet judges at once, no training can end early; expected no --early-stop")
    job = supernet_job(
        settings.space,
        settings.data,
        resolution=proxy.resolution,
        epochs=proxy.epochs,
        train_images=proxy.train_images,
    )
    job.ready(watch, threads=train_threads)
    return SupernetEvaluator(job, proxy.val_images, threads=threads)
