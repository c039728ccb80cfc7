"""Where the blocks of a space's networks stand, and the widest block that can stand there: shapes to share weights in.

Two networks share what stands at the same place: the same layer of the same stage with the same op. Convolution,
separable convolution and inverted residual are different places, for the channels inside them mean different things,
and so are the heads of each type. Layers of a deeper stage follow those of a shallower one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from nas.architecture import LinearBlock, PoolBlock, SpatialBlock, op_name
from nas.layers import Layer, lower, lower_block, total_macs, total_params
from nas.space.blocks import Chosen, head_blocks, stage_block
from nas.space.search_space import SearchSpace, head_layers
from nas.space.spec import Options, Scalar, StageSpec
from nas.space.stage import Genotype

_WORDS: Final = ("op", "se_from", "se_gate", "act", "project_act", "skip", "type")


@dataclass(frozen=True, slots=True)
class Place:
    """A place of a space: the layers of the widest block there; `residual`: every network adds its input to it."""

    layers: tuple[Layer, ...]
    residual: bool


def widest(space: SearchSpace) -> dict[str, Place]:
    """All places of the space by name; no network has a wider layer, a larger kernel or a wider squeeze there."""
    width = max(float(value) for value in space.spec.width)
    found: dict[str, Place] = {}
    channels = 3
    for s, stage in enumerate(space.spec.stages):
        entering = channels
        for index in range(stage.max_depth):
            blocks = list(_widest_blocks(stage, channels, width, first=index == 0))
            residual = index > 0 and "none" not in stage.options["skip"]
            for block in blocks:
                layers = lower_block(replace(block, skip="none"), channels, size=1)
                found[_stage_place(s, index, block)] = Place(layers, residual)
            channels = max(block.channels for block in blocks)
        if 0 in stage.options["depth"]:
            channels = max(entering, channels)
    for kind in space.spec.head["type"]:
        blocks_behind = head_blocks({**_largest(space.spec.head), "type": kind}, channels, width)
        layers = tuple(head_layers(blocks_behind, channels, 1, space.num_classes))
        for index, layer in enumerate(layers):
            found[f"head_{kind}_{index}"] = Place((layer,), residual=False)
    return found


def places_of(space: SearchSpace, genotype: Genotype) -> tuple[str, ...]:
    """The place of each block of the network that the genotype means, and at last that of its classifier."""
    architecture, names = space.decode(genotype), list[str]()
    for s, stage in enumerate(space.stages):
        depth = stage.depth(tuple(genotype[gene] for _, gene in stage.shared))
        blocks = architecture.blocks[len(names) : len(names) + depth]
        names += [_stage_place(s, layer, block) for layer, block in enumerate(blocks)]  # type: ignore[arg-type]
    kinds, gene = next((choices, gene) for key, choices, gene in space.head_genes if key == "type")
    kind = kinds[0] if gene is None else kinds[genotype[gene]]
    return (*names, *(f"head_{kind}_{index}" for index in range(len(architecture.blocks) - len(names) + 1)))


def largest(space: SearchSpace) -> Genotype:
    """The network of most MAdds that ascent over the genes finds; canonical."""
    return _extreme(space, tuple(len(gene.choices) - 1 for gene in space.genes), 1)


def smallest(space: SearchSpace) -> Genotype:
    """The network of fewest MAdds that descent over the genes finds; canonical."""
    return _extreme(space, tuple(0 for _ in space.genes), -1)


def _extreme(space: SearchSpace, genotype: Genotype, sign: int) -> Genotype:
    """Change one gene after the other while that helps; of networks of equal cost, the one at hand stays."""

    def cost(candidate: Genotype) -> tuple[int, int]:
        layers = lower(space.decode(candidate))
        return sign * total_macs(layers), sign * total_params(layers)

    before = None
    while before != genotype:
        before = genotype
        for index, gene in enumerate(space.genes):
            variants = [(*genotype[:index], c, *genotype[index + 1 :]) for c in range(len(gene.choices))]
            genotype = max([genotype, *variants], key=cost)  # the first of equals
    return space.canonical(genotype)


def _stage_place(stage: int, layer: int, block: SpatialBlock) -> str:
    assert not isinstance(block, PoolBlock | LinearBlock)
    return f"stage{stage}_layer{layer}_{op_name(block)}"


def _widest_blocks(stage: StageSpec, channels: int, width: float, *, first: bool) -> Iterator[SpatialBlock]:
    """The widest block of each op that a layer of the stage can have, behind at most `channels`."""
    top = _largest(stage.options)
    for op in stage.options["op"]:
        expansions: list[Mapping[str, Scalar]] = [{}]
        if op == "mbconv" and "mid_channels" not in top:  # an expansion of 1 makes it a separable convolution
            factors = {float(value) for value in stage.options["expand"]}
            expansions = [{"expand": factor} for factor in ({1.0} & factors) | {max(factors)}]
        for expansion in expansions:
            of_each = [{**top, "op": op, **expansion, "se_from": se_from} for se_from in stage.options["se_from"]]
            blocks = [stage_block(chosen, channels, width, first=first) for chosen in of_each]
            yield max(blocks, key=lambda block: getattr(block, "se_channels", 0))


def _largest(options: Options) -> Chosen:
    """The largest number of each key; of words the first."""
    top: dict[str, Scalar] = {}
    for key, choices in options.items():
        numbers = [choice for choice in choices if not isinstance(choice, str)]
        top[key] = choices[0] if key in _WORDS or not numbers else max(numbers)
    return top
