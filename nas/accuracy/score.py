"""How far predicted accuracies are from trained ones."""

from collections.abc import Callable
from typing import Any

import numpy as np

from nas.accuracy.features import Floats


def score(predicted: Floats, trained: Floats, half_width: Floats | float | None = None) -> dict[str, Any]:
    """Networks, errors in points, both rank correlations and, given intervals, the percent that lie inside.

    A correlation is None where one side has all networks equal, or there is but one: it is not defined there.
    """
    from scipy.stats import kendalltau, spearmanr  # type: ignore[import-untyped]  # noqa: PLC0415 - slow to import

    errors = predicted - trained
    found = {
        "networks": len(errors),
        "kendall": _correlation(kendalltau, predicted, trained),
        "spearman": _correlation(spearmanr, predicted, trained),
        "mae": round(float(np.abs(errors).mean()), 4),
        "rmse": round(float(np.sqrt((errors**2).mean())), 4),
    }
    if half_width is not None:
        found["inside_interval"] = round(float((np.abs(errors) <= half_width).mean()) * 100, 2)
    return found


def _correlation(judge: Callable[[Floats, Floats], Any], predicted: Floats, trained: Floats) -> float | None:
    if np.ptp(predicted) == 0 or np.ptp(trained) == 0:
        return None
    return round(float(judge(predicted, trained).statistic), 4)
