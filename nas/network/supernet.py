"""`Supernet`: one set of weights for all networks of a space; each network is a view of it."""

import copy
from collections.abc import Collection, Mapping, Sequence
from typing import final

import torch
from torch import Tensor, nn

from nas.architecture import Architecture
from nas.errors import ArchitectureError
from nas.layers import Layer
from nas.network.blocks import ConvNormAct, Residual
from nas.network.build import Network, assemble, block_module, initialise


@final
class Supernet(nn.Module):
    """The weights of the widest block of every place; narrower blocks use the first channels and the kernel's centre.

    `subnetwork` gives an ordinary `Network`, whose parameters are views of these and whose gradients add up in theirs:
    so there is one implementation of every op, and no pass copies a weight to cut it out of a larger one. Kernels are
    the plain centre of the largest one, as in BigNAS (2003.11142, section 3.1): Once-for-All's learned transforms
    (1908.09791, section 3.3) would be weights that no extracted network has, and serve a training that shrinks
    progressively. Batch norm's statistics belong to a network, not to the supernet: its own are without meaning.
    """

    def __init__(self, blocks: Mapping[str, Sequence[Layer]], residual: Collection[str], *, seed: int = 0) -> None:
        """Fresh weights as `nas.network.build.initialise` draws them, on the CPU.

        `blocks` are the layers of the widest block of each place, without its skip; at the places `residual` every
        network adds the block's input to its output.
        """
        super().__init__()
        with torch.device("meta"):
            self.places = nn.ModuleDict({name: _module(layers) for name, layers in blocks.items()})
        self.to_empty(device="cpu")
        initialise(self, torch.Generator().manual_seed(seed))
        for name in residual:
            _start_as_shortcut(self.places[name])

    def subnetwork(self, architecture: Architecture, places: Sequence[str]) -> Network:
        """The network whose blocks, the classifier last, share the weights of `places`; in training mode.

        Its batch norm has statistics of its own, fresh. It follows the supernet as this learns, but not to another
        device or memory format. Gradients of a backward pass are added to those of the supernet if it has any.

        Raises:
            ArchitectureError: a place that the supernet has not, or one whose block is too narrow.
        """
        network = assemble(architecture)
        blocks = [*network.blocks, network.classifier]
        if len(places) != len(blocks) or not set(places) <= self.places.keys():
            raise ArchitectureError(f"network {architecture.id} is not one of the supernet's")
        for block, place in zip(blocks, places, strict=True):
            _share(block.body if isinstance(block, Residual) else block, self.places[place])
        return network

    def require_grads(self) -> None:
        """Give every weight a gradient of zeros for subnetworks to add to; call it before they are made."""
        for parameter in self.parameters():
            parameter.grad = torch.zeros_like(parameter)

    def zero_grads(self) -> None:
        """Set the gradients to zero where they are, so that subnetworks keep adding to them."""
        torch._foreach_zero_(self.grads())

    def grads(self) -> list[Tensor]:
        """The gradients of all weights."""
        return [p.grad for p in self.parameters() if p.grad is not None]


def extract(network: Network) -> Network:
    """A copy of a subnetwork with weights of its own."""
    return copy.deepcopy(network)


def cut(weight: Tensor, shape: torch.Size) -> Tensor:
    """A view: the first channels in dimensions 0 and 1, and the centre of a kernel's height and width.

    Raises:
        ArchitectureError: the weight is smaller than `shape`.
    """
    view = weight
    for dim, (have, want) in enumerate(zip(weight.shape, shape, strict=True)):
        if want > have:
            raise ArchitectureError(f"a weight of {tuple(shape)} is wider than the shared one, {tuple(weight.shape)}")
        view = view.narrow(dim, (have - want) // 2 if dim >= 2 else 0, want)
    return view


def _share(module: nn.Module, source: nn.Module) -> None:
    """Make the parameters of `module`, which has no values yet, views of those of the same names in `source`."""
    for name, child in module.named_modules():
        shared = source.get_submodule(name)
        for key, parameter in list(child.named_parameters(recurse=False)):
            whole = shared.get_parameter(key)
            view = nn.Parameter(cut(whole.detach(), parameter.shape))
            if whole.grad is not None:
                view.grad = cut(whole.grad, parameter.shape)
            setattr(child, key, view)
        for key, buffer in list(child.named_buffers(recurse=False)):
            setattr(child, key, torch.empty_like(buffer, device=shared.get_buffer(key).device))
        if isinstance(child, nn.BatchNorm2d):
            child.reset_running_stats()


def _module(layers: Sequence[Layer]) -> nn.Module:
    if layers[0].role == "classifier":
        return nn.Linear(layers[0].in_channels, layers[0].out_channels)
    return block_module(layers, bn_eps=1e-3)  # a subnetwork's epsilon is its architecture's


def _start_as_shortcut(body: nn.Module) -> None:
    """As `initialise` does with residual blocks that end without activation."""
    assert isinstance(body, nn.Sequential)
    last = body[-1]
    assert isinstance(last, ConvNormAct)
    if isinstance(last.act, nn.Identity):
        nn.init.zeros_(last.norm.weight)
