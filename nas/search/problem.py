"""What a search looks for, and what proposes networks: settings and a latency model as a `Problem` and a `Strategy`."""

from nas.accuracy.predictor import load_predictor
from nas.batch import compile_macs, compile_memory, compile_params, compile_space, compile_upper
from nas.begun import Milliseconds
from nas.errors import NasError
from nas.latency.model import LatencyModel, OpSumModel
from nas.reward import make_reward
from nas.search.settings import RANKING, SearchSettings
from nas.space import SearchSpace
from nas.store.records import FRONT_OBJECTIVES, OBJECTIVES, Objective
from nas.strategies.costs import BatchCost, Costs
from nas.strategies.problem import Problem
from nas.strategies.ranking import Oracle, Ranking
from nas.strategies.registry import STRATEGIES, make_strategy
from nas.trial import Strategy

FRONT_COSTS = ("latency", "params", "memory")
_NO_REWARD = "hard"  # the default: the most accurate network within the budget


def require_heeded(settings: SearchSettings) -> None:
    """Refuse settings that the strategy does not know, or would not heed; needs neither latencies nor a store.

    Raises:
        NasError: the message says which.
    """
    known = (RANKING, *STRATEGIES)
    if settings.strategy not in known:
        raise NasError(f"unknown strategy {settings.strategy!r}; expected one of {', '.join(known)}")
    if settings.strategy == RANKING and settings.data is not None:
        raise NasError("the strategy ranking asks an accuracy model of many networks; expected no --data")
    make_reward(settings.reward, settings.budget_ms)
    front = front_costs(settings.objectives, settings.strategy)
    if settings.reward != _NO_REWARD and (front or settings.strategy == RANKING):
        what = f"for a front of {settings.objectives}" if front else f"by {RANKING}"
        raise NasError(f"a search {what} has no use for a reward; expected no --reward, or another strategy")
    if settings.explore_over_budget and settings.strategy == RANKING:
        raise NasError(f"{RANKING} proposes no network over the budget; expected another strategy, such as surrogate")
    if settings.explore_over_budget and settings.confidence is not None:
        raise NasError("a confidence accepts no network over the budget, --explore-over-budget trains them; give one")


def make_problem(settings: SearchSettings, space: SearchSpace, latency: LatencyModel) -> Problem:
    """What the strategy searches; with a confidence, all it knows of latency is the upper end of the interval."""
    latency_ms, target = Milliseconds(latency), latency.target
    if settings.confidence is not None:
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


def front_objectives(settings: SearchSettings) -> tuple[Objective, ...]:
    """What the front of the search's result compares; accuracy and latency if the search sought a single network."""
    costs = front_costs(settings.objectives, settings.strategy)
    return ("accuracy", *(OBJECTIVES[cost] for cost in costs)) if costs else FRONT_OBJECTIVES


def make_search_strategy(settings: SearchSettings, problem: Problem, trials: int) -> Strategy:
    """The strategy of that name; `ranking` needs both models as tables.

    Raises:
        BudgetError: no network of the space meets the budget.
    """
    if settings.strategy != RANKING:
        return make_strategy(settings.strategy, problem, seed=settings.seed, trials=trials)
    problem.require_reachable()
    predictor = load_predictor(settings.space)
    assert problem.costs is not None, "_costs makes them for this strategy"
    oracle = Oracle(lambda many: predictor.predict(many).accuracy, problem.costs.latency_ms)
    return Ranking(problem, oracle, seed=settings.seed, trials=trials)
