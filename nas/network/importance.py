"""How much each filter of a network matters: what pruning keeps is what scores highest."""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn

from nas.architecture import Architecture
from nas.errors import NasError
from nas.network.build import Network, module_name
from nas.network.taylor import Batches, Scores, taylor_scores
from nas.network.widths import Wire, wire


def score_filters(network: Network, architecture: Architecture, importance: str, batches: Batches = ()) -> Scores:
    """Scores of the network's filters; those of all layers that share a width are added up.

    `l2`: squared norm of the filter (NetAdapt, 1804.03230). `bn_scale`: size of batch norm's scale (1708.06519), and
    `l2` where there is none. `taylor`: what the loss of the images of `batches` loses (`nas.network.taylor`).

    Raises:
        NasError: an unknown importance, or `taylor` without batches.
    """
    if importance == "taylor":
        return taylor_scores(network, architecture, batches)
    if importance not in _SCORES:
        raise NasError(f"unknown importance {importance!r}; expected one of {', '.join(IMPORTANCES)}")
    wiring = wire(architecture)
    modules = [(item, network.get_submodule(module_name(item.layer, architecture))) for item in wiring.wires]
    scores = tuple(torch.zeros(width.channels) for width in wiring.widths)
    for item, module in modules:
        if item.writes is not None:
            scores[item.writes].add_(_SCORES[importance](item, module))
    return scores


def _norm(module: nn.Module) -> nn.BatchNorm2d | None:
    norm = getattr(module, "norm", None)
    return norm if isinstance(norm, nn.BatchNorm2d) else None


def _filters(module: nn.Module) -> nn.Conv2d | nn.Linear:
    found = getattr(module, "conv", module)
    assert isinstance(found, nn.Conv2d | nn.Linear)
    return found


def _l2(item: Wire, module: nn.Module) -> Tensor:
    """Depthwise kernels and gates only pass a channel on: the filter that makes it decides."""
    if item.layer.role in ("depthwise", "excite"):
        return torch.zeros(item.layer.out_channels)
    return _filters(module).weight.detach().flatten(1).square().sum(1)


def _bn_scale(item: Wire, module: nn.Module) -> Tensor:
    norm = _norm(module)
    return _l2(item, module) if norm is None else norm.weight.detach().abs()


_SCORES: Final[dict[str, Callable[[Wire, nn.Module], Tensor]]] = {
    "l2": _l2,
    "bn_scale": _bn_scale,
}
IMPORTANCES: Final = (*_SCORES, "taylor")
