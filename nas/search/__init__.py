"""`nas search`, for Python: settings, the problem they pose, who judges, and the run itself."""

from nas.search.problem import front_costs, require_heeded
from nas.search.run import TOP, SearchResult, result, search
from nas.search.settings import (
    DEFAULT_SPACE,
    DEFAULT_TRIALS,
    ProxyTraining,
    SearchSettings,
    accuracy_version,
    choose_evaluator,
    data_version,
    default_strategy,
    num_classes,
    proxy_training,
    require_own_images,
)

__all__ = [
    "DEFAULT_SPACE",
    "DEFAULT_TRIALS",
    "TOP",
    "ProxyTraining",
    "SearchResult",
    "SearchSettings",
    "accuracy_version",
    "choose_evaluator",
    "data_version",
    "default_strategy",
    "front_costs",
    "num_classes",
    "proxy_training",
    "require_heeded",
    "require_own_images",
    "result",
    "search",
]
