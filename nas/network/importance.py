"""How much each filter of a network matters: what pruning keeps is what scores highest."""

from collections.abc import Callable, Iterable
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.architecture import Architecture
from nas.errors import NasError
from nas.network.build import Network, module_name
from nas.network.widths import Wire, wire

Importance = Literal["l2", "bn_scale", "taylor"]
Batches = Iterable[tuple[Tensor, Tensor]]

Scores = tuple[Tensor, ...]
"""Of each width, in the order of `nas.network.widths.wire`, one value for each channel."""


def score_filters(network: Network, architecture: Architecture, importance: str, batches: Batches = ()) -> Scores:
    """Scores of the network's filters; those of all layers that share a width are added up.

    `l2`: squared norm of the filter (NetAdapt, 1804.03230). `bn_scale`: size of batch norm's scale (1708.06519), and
    `l2` where there is none. `taylor`: squared first-order change of the loss when the channel is taken away, from
    the gradients of `batches` (1906.10771, the gates behind batch norm); the network's gradients are left empty.

    Raises:
        NasError: an unknown importance, or `taylor` without batches.
    """
    if importance not in _SCORES:
        raise NasError(f"unknown importance {importance!r}; expected one of {', '.join(IMPORTANCES)}")
    wiring = wire(architecture)
    modules = [(item, network.get_submodule(module_name(item.layer, architecture))) for item in wiring.wires]
    scores = tuple(torch.zeros(width.channels) for width in wiring.widths)
    for _ in _gradients(network, batches) if importance == "taylor" else (None,):
        for item, module in modules:
            if item.writes is not None:
                scores[item.writes].add_(_SCORES[importance](item, module))
    network.zero_grad()
    return scores


def _gradients(network: Network, batches: Batches) -> Iterable[None]:
    """Put the gradients of one batch after the other into the network, which computes as it does when deployed."""
    network.eval()
    seen = 0
    for images, labels in batches:
        network.zero_grad()
        functional.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
        seen += 1
        yield
    if not seen:
        raise NasError("importance taylor needs batches of training images")


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


def _taylor(item: Wire, module: nn.Module) -> Tensor:
    """(scale * its gradient + shift * its gradient)^2, or the same of a filter and its bias."""
    if item.layer.role == "excite":
        return torch.zeros(item.layer.out_channels)
    source = _norm(module) or _filters(module)
    weight, bias = source.weight, source.bias
    assert weight.grad is not None
    change = (weight * weight.grad).detach().flatten(1).sum(1) if weight.ndim > 1 else (weight * weight.grad).detach()
    if bias is not None and bias.grad is not None:
        change = change + (bias * bias.grad).detach()
    return change.square()


_SCORES: Final[dict[str, Callable[[Wire, nn.Module], Tensor]]] = {
    "l2": _l2,
    "bn_scale": _bn_scale,
    "taylor": _taylor,
}
IMPORTANCES: Final = tuple(_SCORES)
