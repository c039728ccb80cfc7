"""`inherit()`: a narrower network with the weights of the filters of its parent that matter most."""

from dataclasses import fields

from torch import Tensor

from nas.architecture import Architecture, Block
from nas.errors import ArchitectureError
from nas.network.build import Network, blank, module_name
from nas.network.taylor import Scores, highest
from nas.network.widths import Wire, wire

_WIDTHS = ("channels", "mid_channels", "se_channels")


def inherit(parent: Network, architecture: Architecture, child: Architecture, scores: Scores) -> Network:
    """The network `child` with the weights of `parent`, which has `architecture`, on the CPU.

    Of each width the filters with the highest `scores` are kept, in their order, and the same choice is made wherever
    these channels are read, added or gated. At full width nothing changes.

    Raises:
        ArchitectureError: the child is not its parent with some widths cut.
    """
    require_narrower(architecture, child)
    before, after = wire(architecture), wire(child)
    kept = [  # of each width the places in the parent
        highest(values)[: width.channels].sort().values for values, width in zip(scores, after.widths, strict=True)
    ]
    state, found = parent.state_dict(), dict[str, Tensor]()
    for item in before.wires:
        prefix = module_name(item.layer, architecture)
        found |= {name: _slice(value, item, kept) for name, value in state.items() if name.startswith(f"{prefix}.")}
    network = blank(child)
    network.load_state_dict(found)
    return network


def require_narrower(parent: Architecture, child: Architecture) -> None:
    """Raise an ArchitectureError unless `child` is `parent` with some widths cut; resolutions may differ."""
    for name in ("num_classes", "in_channels", "bn_eps"):
        if getattr(parent, name) != getattr(child, name):
            raise ArchitectureError(
                f"{name} is {getattr(child, name)}; expected {getattr(parent, name)}, as the parent has it"
            )
    if len(parent.blocks) != len(child.blocks):
        raise ArchitectureError(f"{len(child.blocks)} blocks; expected {len(parent.blocks)}, as the parent has them")
    for index, (block, other) in enumerate(zip(child.blocks, parent.blocks, strict=True)):
        _require_narrower_block(index, block, other)


def _require_narrower_block(index: int, block: Block, parent: Block) -> None:
    if type(block) is not type(parent):
        raise ArchitectureError(f"blocks[{index}] is another kind of block than the parent's")
    for field in fields(block):
        value, other = getattr(block, field.name), getattr(parent, field.name)
        narrower = field.name in _WIDTHS and 0 < value <= other
        if value != other and not narrower:
            raise ArchitectureError(
                f"blocks[{index}].{field.name} is {value}; expected the parent's {other}"
                + (", or less" if field.name in _WIDTHS else "")
            )


def _slice(value: Tensor, item: Wire, kept: list[Tensor]) -> Tensor:
    """Rows of what the layer writes, and columns of what it reads, unless each channel has a kernel of its own."""
    if value.ndim == 0:  # batch norm's count of batches
        return value
    if item.writes is not None:
        value = value[kept[item.writes]]
    if value.ndim > 1 and item.layer.kind != "depthwise" and item.reads is not None:
        value = value[:, kept[item.reads]]
    return value
