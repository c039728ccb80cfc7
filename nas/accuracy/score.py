"""How far predicted accuracies are from trained ones."""

from typing import Any

import numpy as np

from nas.accuracy.features import Floats


def score(predicted: Floats, trained: Floats, half_width: Floats | float | None = None) -> dict[str, Any]:
    """Networks, errors in points, both rank correlations and, given intervals, the percent that lie inside."""
    from scipy.stats import kendalltau, spearmanr  # type: ignore[import-untyped]  # noqa: PLC0415 - slow to import

    errors = predicted - trained
    found = {
        "networks": len(errors),
        "kendall": round(float(kendalltau(predicted, trained).statistic), 4),
        "spearman": round(float(spearmanr(predicted, trained).statistic), 4),
        "mae": round(float(np.abs(errors).mean()), 4),
        "rmse": round(float(np.sqrt((errors**2).mean())), 4),
    }
    if half_width is not None:
        found["inside_interval"] = round(float((np.abs(errors) <= half_width).mean()) * 100, 2)
    return found
