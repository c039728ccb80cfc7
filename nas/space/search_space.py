"""`SearchSpace`: the networks that a spec allows, as genotypes that can be drawn, mutated and crossed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import prod
from random import Random

from nas.architecture import Architecture, Block, LinearBlock, PoolBlock, SpatialBlock
from nas.errors import SpaceError
from nas.layers import Layer, lower_block
from nas.space.blocks import head_blocks
from nas.space.spec import Options, Scalar, SpaceSpec
from nas.space.stage import Genotype, Stage, block_of, parse_stage, stage_layers

_MUTATION_TRIES = 10_000


@dataclass(frozen=True, slots=True)
class Gene:
    """One free choice of the space, named by its place in the file, as in `stages[2].layers[1].kernel`."""

    name: str
    choices: tuple[Scalar, ...]


@dataclass(frozen=True)
class SearchSpace:
    """All networks that `spec` allows, with a classifier for `num_classes`.

    Several genotypes can mean one network: the kernel of an absent layer is no information, and rounding
    makes widths equal. `canonical` maps all of them to one.
    """

    spec: SpaceSpec
    num_classes: int = 1000

    @property
    def name(self) -> str:
        """The space's name."""
        return self.spec.name

    @property
    def genes(self) -> tuple[Gene, ...]:
        """The free choices, in the order of the file."""
        return self._layout[0]

    @property
    def genotype_count(self) -> int:
        """Number of genotypes: an upper bound of the number of different networks."""
        return prod(len(gene.choices) for gene in self.genes)

    def genotypes(self) -> Iterator[Genotype]:
        """All genotypes, in order, canonical or not."""
        return product(*(range(len(gene.choices)) for gene in self.genes))

    def with_num_classes(self, num_classes: int) -> "SearchSpace":
        """The same space with a classifier for `num_classes`."""
        return replace(self, num_classes=num_classes)

    def sample(self, rng: Random) -> Genotype:
        """A canonical genotype; each gene is drawn uniformly."""
        return self.canonical(tuple(rng.randrange(len(gene.choices)) for gene in self.genes))

    def mutate(self, genotype: Genotype, rng: Random) -> Genotype:
        """Canonical genotype of another network that differs in one gene of `genotype`.

        Raises:
            SpaceError: the space has no other network.
        """
        same = self.canonical(genotype)
        for _ in range(_MUTATION_TRIES if self.genes else 0):
            index = rng.randrange(len(self.genes))
            choice = rng.randrange(len(self.genes[index].choices))
            mutant = self.canonical((*same[:index], choice, *same[index + 1 :]))
            if mutant != same:
                return mutant
        raise SpaceError(f"{self.name}: no other network was found by changing one choice")

    def canonical(self, genotype: Genotype) -> Genotype:
        """The one genotype that stands for this network; equal networks have equal canonical genotypes."""
        return self.encode(self.decode(genotype))

    def decode(self, genotype: Genotype) -> Architecture:
        """The network that the genotype means.

        Raises:
            SpaceError: a wrong number of genes, or a choice that a gene does not have.
        """
        self._require_valid(genotype)
        resolution, width = (self._pick(options, gene, genotype) for options, gene in self.global_genes)
        channels, blocks = 3, list[Block]()
        for stage in self.stages:
            shared = tuple(genotype[gene] for _, gene in stage.shared)
            for layer, genes in enumerate(stage.own[: stage.depth(shared)]):
                own = tuple(genotype[gene] for _, gene in genes)
                block = block_of(stage, shared, own, channels, width, layer == 0)
                channels = block.channels
                blocks.append(block)
        chosen = {key: self._pick(choices, gene, genotype) for key, choices, gene in self.head_genes}
        blocks += head_blocks(chosen, channels, float(width))
        return Architecture(int(resolution), tuple(blocks), self.num_classes, bn_eps=self.spec.bn_eps)

    def encode(self, architecture: Architecture) -> Genotype:
        """The canonical genotype of a network of this space, the inverse of `decode`.

        Raises:
            SpaceError: the network is not a point of the space.
        """
        (resolutions, _), (widths, _) = self.global_genes
        spatial = tuple(b for b in architecture.blocks if not isinstance(b, PoolBlock | LinearBlock))
        for (r, resolution), (w, width) in product(enumerate(resolutions), enumerate(widths)):
            if resolution != architecture.resolution:
                continue
            for choices in self._parse(0, spatial, 0, architecture, float(width)):
                genotype = self._assemble(r, w, choices)
                if self.decode(genotype) == architecture:
                    return genotype
        raise SpaceError(f"network {architecture.id} is not a point of {self.name}")

    def layers(self) -> frozenset[Layer]:
        """Every layer that some network of the space has: the keys that a latency table must cover."""
        found: set[Layer] = set()
        for resolution, width in product(self.spec.resolution, self.spec.width):
            states = {(3, int(resolution))}  # (channels, size) of the maps that can enter a stage
            for stage in self.stages:
                states = stage_layers(stage, states, float(width), found)
            for (channels, size), chosen in product(states, all_chosen(self.spec.head)):
                found.update(head_layers(head_blocks(chosen, channels, float(width)), channels, size, self.num_classes))
        return frozenset(found)

    # How genes lie in a genotype: resolution, width, then stage by stage, the head last.

    @cached_property
    def _layout(self) -> tuple[tuple[Gene, ...], tuple[Stage, ...]]:
        genes: list[Gene] = []

        def add(name: str, choices: Sequence[Scalar]) -> int:
            genes.append(Gene(name, tuple(choices)))
            return len(genes) - 1

        for key in ("resolution", "width"):
            if len(choices := getattr(self.spec, key)) > 1:
                add(key, choices)
        stages = []
        for s, spec in enumerate(self.spec.stages):
            free = [key for key, choices in spec.options.items() if len(choices) > 1]
            shared = tuple(
                (key, add(f"stages[{s}].{key}", spec.options[key])) for key in free if key not in spec.per_layer
            )
            own = tuple(
                tuple(
                    (key, add(f"stages[{s}].layers[{i}].{key}", spec.options[key]))
                    for key in free
                    if key in spec.per_layer
                )
                for i in range(spec.max_depth)
            )
            stages.append(Stage(spec, shared, own))
        for key, choices in self.spec.head.items():
            if len(choices) > 1:
                add(f"head.{key}", choices)
        return tuple(genes), tuple(stages)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages with the places of their genes."""
        return self._layout[1]

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {gene.name: index for index, gene in enumerate(self.genes)}

    @cached_property
    def global_genes(self) -> tuple[tuple[tuple[Scalar, ...], int | None], ...]:
        """Choices of resolution and of width, each with its gene if there is more than one."""
        return tuple((getattr(self.spec, key), self._positions.get(key)) for key in ("resolution", "width"))

    @cached_property
    def head_genes(self) -> tuple[tuple[str, tuple[Scalar, ...], int | None], ...]:
        """Key and choices of the head, each with its gene if there is more than one."""
        return tuple((key, choices, self._positions.get(f"head.{key}")) for key, choices in self.spec.head.items())

    @staticmethod
    def _pick(choices: tuple[Scalar, ...], gene: int | None, genotype: Genotype) -> Scalar:
        return choices[0] if gene is None else choices[genotype[gene]]

    def _require_valid(self, genotype: Genotype) -> None:
        if len(genotype) != len(self.genes):
            raise SpaceError(f"{self.name}: a genotype of {len(genotype)} genes; expected {len(self.genes)}")
        for gene, choice in zip(self.genes, genotype, strict=True):
            if not 0 <= choice < len(gene.choices):
                raise SpaceError(f"{self.name}: {gene.name}: choice {choice}; expected 0 to {len(gene.choices) - 1}")

    # Encoding is parsing: where a stage ends is not written in a network, so all depths are tried in order
    # and the first complete parse is the canonical one.

    def _parse(
        self, s: int, blocks: tuple[SpatialBlock, ...], start: int, architecture: Architecture, width: float
    ) -> Iterator[dict[int, int]]:
        channels = blocks[start - 1].channels if start else architecture.in_channels
        if s == len(self.stages):
            yield from self._parse_head(blocks[start:], architecture.blocks[start:], channels, width)
            return
        stage = self.stages[s]
        for here, end in parse_stage(stage, blocks, start, channels, width):
            for rest in self._parse(s + 1, blocks, end, architecture, width):
                yield here | rest

    def _parse_head(
        self, left: tuple[SpatialBlock, ...], tail: tuple[Block, ...], channels: int, width: float
    ) -> Iterator[dict[int, int]]:
        if len(left) > 1:
            return
        for picks in product(*(range(len(choices)) for _, choices, _ in self.head_genes)):
            chosen = {key: choices[c] for (key, choices, _), c in zip(self.head_genes, picks, strict=True)}
            if head_blocks(chosen, channels, width) == tail:
                yield {gene: c for (_, _, gene), c in zip(self.head_genes, picks, strict=True) if gene is not None}
                return

    def _assemble(self, r: int, w: int, choices: Mapping[int, int]) -> Genotype:
        (_, resolution_gene), (_, width_gene) = self.global_genes
        known = {**choices, **{g: c for g, c in ((resolution_gene, r), (width_gene, w)) if g is not None}}
        return tuple(known.get(index, 0) for index in range(len(self.genes)))


def head_layers(blocks: tuple[Block, ...], channels: int, size: int, num_classes: int) -> Iterator[Layer]:
    """The layers of a head and of the classifier behind it."""
    for block in blocks:
        layers = lower_block(block, channels, size)
        yield from layers
        channels, size = layers[-1].out_channels, layers[-1].out_size
    yield Layer("linear", channels, num_classes, 1, bias=True, role="classifier")


def all_chosen(options: Options) -> Iterator[dict[str, Scalar]]:
    """Every choice of one value for each key, in order."""
    for values in product(*options.values()):
        yield dict(zip(options, values, strict=True))
