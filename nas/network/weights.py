"""Weights of the same network in other hands, such as torchvision's."""

from collections.abc import Mapping

from torch import Tensor, nn

from nas.errors import ArchitectureError


def copy_in_order(state: Mapping[str, Tensor], network: nn.Module) -> None:
    """Fill `network` with the values of `state`, matched by order alone.

    Both must list the same layers in the order in which they run, under whatever names.

    Raises:
        ArchitectureError: another number of values, or a value of another shape.
    """
    own = network.state_dict()
    if len(own) != len(state):
        raise ArchitectureError(f"{len(state)} weights given for a network of {len(own)}")
    for (name, value), (other_name, other) in zip(own.items(), state.items(), strict=True):
        if value.shape != other.shape:
            raise ArchitectureError(f"{name} is {tuple(value.shape)}, but {other_name} is {tuple(other.shape)}")
        value.copy_(other)
