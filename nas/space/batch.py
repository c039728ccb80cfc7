"""`BatchSum`: a cost that is a sum over the blocks of a network (or the largest), for many genotypes at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np
from numpy.typing import NDArray

from nas.architecture import SpatialBlock
from nas.errors import SpaceError
from nas.layers import Layer, lower_block
from nas.space.blocks import head_blocks, stage_block
from nas.space.search_space import SearchSpace, all_chosen, head_layers
from nas.space.stage import Genotype, Stage

Cost = Callable[[Sequence[Layer]], float]
"""What the layers of one block (or the classifier) cost, as in `nas.layers.total_macs`."""

_CHUNK = 1 << 13  # genotypes whose columns and sums stay in the core's cache


@dataclass(frozen=True, slots=True)
class _Digits:
    """Some genes read as the digits of one number, the first gene the highest."""

    genes: tuple[int, ...]
    sizes: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return prod(self.sizes)

    def add_to(self, context: NDArray[np.intp], columns: NDArray[np.uint16]) -> NDArray[np.intp]:
        """The numbers (N,) of `columns` (genes, N), with `context` in front as the highest digit."""
        if not self.genes:
            return context
        # numbers up to 65,535 are added up in 16 bits, four times as many at once
        number = columns[self.genes[0]].astype(np.uint16 if self.count <= 1 << 16 else np.intp, copy=False)
        for gene, size in zip(self.genes[1:], self.sizes[1:], strict=True):
            number = number * number.dtype.type(size)
            number += columns[gene]
        index = context * self.count
        index += number
        return index


@dataclass(frozen=True, slots=True)
class _Table:
    """A cost for each context and each choice of some genes, flat."""

    digits: _Digits
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Stage:
    """Tables of one stage; the context is the map that enters and the choices of the shared genes."""

    shared: _Digits
    tables: tuple[_Table, ...]
    leaving: NDArray[np.intp]  # by context: the map that leaves


@dataclass(frozen=True, slots=True)
class BatchSum:
    """The cost of any network of a space as a sum of table entries, or the largest of them; made by `batch_sum`.

    A block depends on few genes (those its stage shares and its own) and on the map that comes in, of which there are
    few. So each layer of a stage has a table over exactly these, and a network is one entry of each.
    """

    space: SearchSpace
    start: _Digits  # resolution and width
    stages: tuple[_Stage, ...]
    head: _Table
    join: np.ufunc = np.add

    def __call__(self, genotypes: NDArray[np.integer]) -> NDArray[np.float64]:
        """The cost (N,) of genotypes (N, genes), which need not be canonical.

        Raises:
            SpaceError: a wrong shape or type, or a choice that a gene does not have.
        """
        _require_shape(self.space, genotypes)
        total = np.empty(len(genotypes))
        for begin in range(0, len(genotypes), _CHUNK):
            columns = np.ascontiguousarray(genotypes[begin : begin + _CHUNK].T)  # (genes, chunk)
            _require_choices(self.space, columns)
            total[begin : begin + _CHUNK] = self._sum(columns.astype(np.uint16))
        return total

    def _sum(self, columns: NDArray[np.uint16]) -> NDArray[np.float64]:
        state = self.start.add_to(np.zeros(columns.shape[1], np.intp), columns)
        total = np.zeros(columns.shape[1])
        for stage in self.stages:
            context = stage.shared.add_to(state, columns)
            for table in stage.tables:
                self.join(total, table.values.take(table.digits.add_to(context, columns)), out=total)
            state = stage.leaving.take(context)
        self.join(total, self.head.values.take(self.head.digits.add_to(state, columns)), out=total)
        return total


@dataclass(frozen=True, slots=True)
class _State:
    """The map that enters a stage, and the width multiplier of the network."""

    width: float
    channels: int
    size: int


def batch_sum(space: SearchSpace, cost: Cost) -> BatchSum:
    """The tables of `cost` over all networks of the space; errors of `cost` pass through."""
    return _batch(space, cost, np.add)


def batch_max(space: SearchSpace, cost: Cost) -> BatchSum:
    """As `batch_sum` for a cost that is that of the dearest block, such as `nas.layers.peak_activation_bytes`."""
    return _batch(space, cost, np.maximum)


def _batch(space: SearchSpace, cost: Cost, join: np.ufunc) -> BatchSum:
    starts = [
        _State(float(width), 3, int(resolution))
        for resolution, width in product(space.spec.resolution, space.spec.width)
    ]
    states = starts
    builder = _Builder(cost, join)
    stages = []
    for stage in space.stages:
        compiled, states = builder.stage(space, stage, states)
        stages.append(compiled)
    free = [gene for _, gene in space.global_genes if gene is not None]
    return BatchSum(space, _digits(space, free), tuple(stages), builder.head(space, states), join)


class _Builder:
    """Fills tables; the same block on the same map is lowered and priced once."""

    def __init__(self, cost: Cost, join: np.ufunc) -> None:
        self._cost, self._join = cost, join
        self._known: dict[tuple[SpatialBlock, int, int], tuple[float, int, int]] = {}

    def stage(self, space: SearchSpace, stage: Stage, states: Sequence[_State]) -> tuple[_Stage, list[_State]]:
        """The tables of a stage that maps of `states` enter, and the maps that leave it."""
        choices = list(stage.shared_choices())
        own = list(product(*(range(len(stage.spec.options[key])) for key in stage.own_keys)))
        values = np.zeros((stage.spec.max_depth, len(states) * len(choices), len(own)))
        left: dict[_State, int] = {}
        leaving = np.empty(len(states) * len(choices), np.intp)
        for context, (state, shared) in enumerate(product(states, choices)):
            depth, after = stage.depth(shared), state
            if depth > 0:
                values[0, context], after = self._layer(stage, shared, own, state, first=True)
            if depth > 1:
                values[1:depth, context], after = self._layer(stage, shared, own, after, first=False)
            leaving[context] = left.setdefault(after, len(left))
        digits = _digits(space, [gene for _, gene in stage.shared])
        return _Stage(digits, self._tables(space, stage, values), leaving), list(left)

    def _layer(
        self, stage: Stage, shared: Genotype, own: Sequence[Genotype], state: _State, *, first: bool
    ) -> tuple[list[float], _State]:
        """The cost of a layer by the choices of its own genes, and the map that leaves it whatever these are."""
        costs = []
        for choice in own:
            block = stage_block(stage.chosen(shared, choice), state.channels, state.width, first=first)
            cost, channels, size = self._block(block, state)
            costs.append(cost)
        return costs, _State(state.width, channels, size)

    def _tables(self, space: SearchSpace, stage: Stage, values: NDArray[np.float64]) -> tuple[_Table, ...]:
        """A table for each layer; one for all of them where they have no genes of their own."""
        if not stage.own_keys:
            return (_Table(_digits(space, []), self._join.reduce(values, 0).ravel()),)
        return tuple(
            _Table(_digits(space, [gene for _, gene in genes]), layer.ravel())
            for genes, layer in zip(stage.own, values, strict=True)
        )

    def _block(self, block: SpatialBlock, state: _State) -> tuple[float, int, int]:
        key = (block, state.channels, state.size)
        if key not in self._known:
            layers = lower_block(*key)
            self._known[key] = (self._cost(layers), layers[-1].out_channels, layers[-1].out_size)
        return self._known[key]

    def head(self, space: SearchSpace, states: Sequence[_State]) -> _Table:
        """The cost of head and classifier behind the last stage."""
        values = []
        for state, chosen in product(states, all_chosen(space.spec.head)):
            blocks = head_blocks(chosen, state.channels, state.width)
            layers = tuple(head_layers(blocks, state.channels, state.size, space.num_classes))
            values.append(self._cost(layers))
        return _Table(_digits(space, [gene for _, _, gene in space.head_genes if gene is not None]), np.array(values))


def _digits(space: SearchSpace, genes: Sequence[int]) -> _Digits:
    return _Digits(tuple(genes), tuple(len(space.genes[gene].choices) for gene in genes))


def _require_shape(space: SearchSpace, genotypes: NDArray[np.integer]) -> None:
    genes = len(space.genes)
    if genotypes.ndim != 2 or genotypes.shape[1] != genes or not np.issubdtype(genotypes.dtype, np.integer):
        found = f"{genotypes.dtype} of shape {genotypes.shape}"
        raise SpaceError(f"{space.name}: genotypes are {found}; expected whole numbers of shape (N, {genes})")


def _require_choices(space: SearchSpace, columns: NDArray[np.integer]) -> None:
    if not columns.size:
        return
    for gene, high, low in zip(space.genes, columns.max(1).tolist(), columns.min(1).tolist(), strict=True):
        if low < 0 or high >= len(gene.choices):
            wrong = low if low < 0 else high
            raise SpaceError(f"{space.name}: {gene.name}: choice {wrong}; expected 0 to {len(gene.choices) - 1}")
