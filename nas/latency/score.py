"""How far estimates are from measurements."""

from collections.abc import Sequence


def score(estimated_ms: Sequence[float], measured_ms: Sequence[float]) -> dict[str, float]:
    """Networks, mean and worst absolute error and shares within 5 and 10 % in percent, and both rank correlations."""
    from scipy.stats import kendalltau, spearmanr  # type: ignore[import-untyped]  # noqa: PLC0415 - slow to import

    pairs = list(zip(estimated_ms, measured_ms, strict=True))
    return {
        **error_summary([estimated / measured - 1 for estimated, measured in pairs]),
        "spearman": round(float(spearmanr(estimated_ms, measured_ms).statistic), 4),
        "kendall": round(float(kendalltau(estimated_ms, measured_ms).statistic), 4),
    }


def error_summary(errors: Sequence[float]) -> dict[str, float]:
    """Number of networks, mean and worst absolute error and shares within 5 and 10 %; percent."""
    percent = [abs(error) * 100 for error in errors]
    return {
        "networks": len(percent),
        "mape": round(sum(percent) / len(percent), 2),
        "worst": round(max(percent), 2),
        "within_5": round(sum(p <= 5 for p in percent) / len(percent) * 100, 1),
        "within_10": round(sum(p <= 10 for p in percent) / len(percent) * 100, 1),
    }
