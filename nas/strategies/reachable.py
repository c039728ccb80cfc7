"""Whether a budget can be reached by cutting widths at all, which is asked before anything is trained."""

from collections.abc import Callable

from nas.architecture import Architecture
from nas.errors import BudgetError
from nas.strategies.cuts import Cutter
from nas.strategies.netadapt_settings import NetAdaptSettings


def require_reachable(
    cutter: Cutter, settings: NetAdaptSettings, target: str, judged_ms: Callable[[Architecture], float]
) -> None:
    """Refuse a budget that neither the seed nor its smallest cut meets, by prediction and by `judged_ms`.

    A prediction that is too high refuses nothing that was not measured.

    Raises:
        BudgetError: it cannot be reached.
    """
    ends = cutter.smallest, cutter.seed
    if any(latency_ms(end) <= settings.budget_ms for latency_ms in (cutter.latency_ms, judged_ms) for end in ends):
        return
    smallest_ms = judged_ms(cutter.smallest)
    raise BudgetError(
        f"cutting widths cannot bring this network to {settings.budget_ms:g} ms on {target}; the smallest "
        f"reachable is {smallest_ms:.4g} ms, with {settings.step} channels in each width that "
        f"the rule {settings.rule} cuts"
    )
