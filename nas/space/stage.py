"""`Stage`: one stage of a space with the places of its genes, and every block that its layers can be."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product

from nas.architecture import SpatialBlock
from nas.layers import Layer, lower_block
from nas.space.blocks import stage_block
from nas.space.spec import Scalar, StageSpec

Genotype = tuple[int, ...]
"""For each gene the index of its choice."""

_CACHED = 1 << 16


@dataclass(frozen=True, eq=False)
class Stage:
    """A stage with its genes' positions; hashed by identity, so that blocks can be cached."""

    spec: StageSpec
    shared: tuple[tuple[str, int], ...]  # (key, gene), the same for all layers
    own: tuple[tuple[tuple[str, int], ...], ...]  # (key, gene) of each layer

    @cached_property
    def own_keys(self) -> tuple[str, ...]:
        """What each layer chooses itself."""
        return tuple(key for key, _ in self.own[0]) if self.own else ()

    @cached_property
    def shared_keys(self) -> tuple[str, ...]:
        """What all layers share."""
        return tuple(key for key, _ in self.shared)

    def depth(self, shared: Genotype) -> int:
        """Number of layers under these choices of the shared genes."""
        for key, choice in zip(self.shared_keys, shared, strict=True):
            if key == "depth":
                return int(self.spec.options["depth"][choice])
        return self.spec.max_depth

    def shared_choices(self) -> Iterator[Genotype]:
        """All choices of the shared genes, in order."""
        return product(*(range(len(self.spec.options[key])) for key in self.shared_keys))

    def chosen(self, shared: Genotype, own: Genotype) -> dict[str, Scalar]:
        """One value for each key of the stage."""
        options = self.spec.options
        values = {key: choices[0] for key, choices in options.items()}
        values.update((key, options[key][c]) for key, c in zip(self.shared_keys, shared, strict=True))
        values.update((key, options[key][c]) for key, c in zip(self.own_keys, own, strict=True))
        return values


@lru_cache(_CACHED)
def block_of(  # noqa: PLR0913, PLR0917 - the key of its cache
    stage: Stage, shared: Genotype, own: Genotype, in_channels: int, width: float, first: bool
) -> SpatialBlock:
    """The block of one layer under these choices."""
    return stage_block(stage.chosen(shared, own), in_channels, float(width), first=first)


@lru_cache(_CACHED)
def _blocks(stage: Stage, shared: Genotype, channels: int, width: float, first: bool) -> dict[SpatialBlock, Genotype]:
    """Every block that a layer can be, with the first choice of its own genes that gives it."""
    found: dict[SpatialBlock, Genotype] = {}
    for own in product(*(range(len(stage.spec.options[key])) for key in stage.own_keys)):
        found.setdefault(block_of(stage, shared, own, channels, width, first), own)
    return found


@lru_cache(_CACHED)
def _first_blocks(stage: Stage, channels: int, width: float) -> dict[SpatialBlock, list[Genotype]]:
    """The choices of the shared genes under which a stage can start with a block, in order."""
    found: dict[SpatialBlock, list[Genotype]] = {}
    for shared in stage.shared_choices():
        if stage.depth(shared) > 0:
            for block in _blocks(stage, shared, channels, width, True):
                found.setdefault(block, []).append(shared)
    return found


@lru_cache(_CACHED)
def _absent(stage: Stage) -> Genotype | None:
    """The first choices of the shared genes under which the stage has no layer."""
    return next((shared for shared in stage.shared_choices() if stage.depth(shared) == 0), None)


def parse_stage(
    stage: Stage, blocks: tuple[SpatialBlock, ...], start: int, channels: int, width: float
) -> Iterator[tuple[dict[int, int], int]]:
    """The gene choices under which the stage is blocks[start:end], with each `end`; an absent stage first."""
    if (absent := _absent(stage)) is not None:
        yield {gene: c for (_, gene), c in zip(stage.shared, absent, strict=True)}, start
    if start == len(blocks):
        return
    seen: set[int] = set()  # what follows depends on the end alone, so the first choices that reach it are enough
    for shared in _first_blocks(stage, channels, width).get(blocks[start], []):
        end = start + stage.depth(shared)
        if end in seen or end > len(blocks):
            continue
        owns = _match(stage, shared, blocks[start:end], channels, width)
        if owns is not None:
            seen.add(end)
            choices = {gene: c for (_, gene), c in zip(stage.shared, shared, strict=True)}
            for genes, own in zip(stage.own, owns, strict=False):
                choices.update((gene, c) for (_, gene), c in zip(genes, own, strict=True))
            yield choices, end


def _match(
    stage: Stage, shared: Genotype, blocks: tuple[SpatialBlock, ...], channels: int, width: float
) -> list[Genotype] | None:
    """The own genes of each layer that give exactly `blocks`, if any."""
    owns = []
    for layer, block in enumerate(blocks):
        own = _blocks(stage, shared, channels, width, layer == 0).get(block)
        if own is None:
            return None
        owns.append(own)
        channels = block.channels
    return owns


def stage_layers(stage: Stage, states: set[tuple[int, int]], width: float, found: set[Layer]) -> set[tuple[int, int]]:
    """Add to `found` what the stage can hold behind maps of `states`; returns the maps that can leave it."""
    leaving: set[tuple[int, int]] = set()
    for channels, size in states:
        for shared in stage.shared_choices():
            if (depth := stage.depth(shared)) == 0:
                leaving.add((channels, size))
                continue
            state = (channels, size)
            for first in (True, False)[: min(depth, 2)]:
                for block in _blocks(stage, shared, state[0], width, first):
                    layers = lower_block(block, *state)
                    found.update(layers)
                state = (layers[-1].out_channels, layers[-1].out_size)
            leaving.add(state)
    return leaving
