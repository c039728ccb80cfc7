"""Search spaces whose networks have all been trained: `AccuracyTable`, from the files of ../shared/data/accuracy."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from nas.latency.targets import load_target
from nas.reward import make_reward
from nas.space import Genotype, SearchSpace, load_space
from nas.space.search_space import Gene
from nas.space.spec import Scalar
from nas.strategies.costs import BatchCost, Costs, Genotypes
from nas.strategies.problem import Candidate, Problem

Values = NDArray[np.float64]

FOLDER = Path(__file__).parents[2] / "shared" / "data" / "accuracy"


@dataclass(frozen=True, slots=True)
class Network:
    """What stands for an `Architecture`: a row of a table."""

    id: str
    row: int


@dataclass(frozen=True)
class AccuracyTable:
    """Trained networks, with the part of `nas.space.SearchSpace` that strategies use.

    A genotype that is not in the table stands for the network next to it, so that strategies which draw and mutate
    find their way in a table that holds a few networks of a large space.
    """

    name: str
    genes: tuple[Gene, ...]
    rows: NDArray[np.intp]  # (N, genes)
    accuracies: Values  # (N, seeds) or (N,), shares
    costs: Values  # (N,): what the budget limits
    macs: Values
    params: Values
    listed_costs: Values  # of all lines of the file, repetitions too: budgets are quantiles of these
    isomorphic: tuple[slice, ...] = field(default=())  # genes whose nonzero choices may move to the front

    @property
    def quality(self) -> Values:
        """The accuracy (N,) by which a network is judged: the mean of its trainings."""
        return self.accuracies.reshape(len(self.rows), -1).mean(1)

    @property
    def genotype_count(self) -> int:
        """Number of networks."""
        return len(self.rows)

    def genotypes(self) -> Iterator[Genotype]:
        """The networks of the table."""
        return (tuple(row) for row in self.rows.tolist())

    def sample(self, rng: Random) -> Genotype:
        """A random network of the table."""
        return tuple(self.rows[rng.randrange(len(self.rows))].tolist())

    def mutate(self, genotype: Genotype, rng: Random) -> Genotype:
        """Another network, next to one that differs in one gene."""
        same = self.index(genotype)
        while True:
            gene = rng.randrange(len(self.genes))
            mutant = list(genotype)
            mutant[gene] = rng.randrange(len(self.genes[gene].choices))
            if mutant[gene] != genotype[gene] and (found := self._nearest(tuple(mutant), same)) != same:
                return tuple(self.rows[found].tolist())

    def canonical(self, genotype: Genotype) -> Genotype:
        """The network of the table next to the genotype."""
        return tuple(self.rows[self.index(genotype)].tolist())

    def decode(self, genotype: Genotype) -> Network:
        """What stands for the network."""
        index = self.index(genotype)
        return Network(f"{self.name}/{index}", index)

    def index(self, genotype: Genotype) -> int:
        """The row of the network, or of the nearest one."""
        return self._nearest(genotype, None)

    def _indices(self, genotypes: Genotypes) -> NDArray[np.intp]:
        """`index` of many genotypes; those that are rows of the table are found at once."""
        codes = np.ravel_multi_index(tuple(genotypes.T), tuple(len(gene.choices) for gene in self.genes))
        places = np.searchsorted(self._codes[0], codes).clip(max=len(self.rows) - 1)
        found = self._codes[1][places]
        for other in np.flatnonzero(self._codes[0][places] != codes):
            found[other] = self.index(tuple(genotypes[other].tolist()))
        return found

    @cached_property
    def _codes(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The rows as numbers in ascending order, and where they stand."""
        codes = np.ravel_multi_index(tuple(self.rows.T), tuple(len(gene.choices) for gene in self.genes))
        order = np.argsort(codes)
        return codes[order], order

    def _nearest(self, genotype: Genotype, other_than: int | None) -> int:
        point = list(genotype)
        for genes in self.isomorphic:
            point[genes] = sorted(point[genes], key=lambda choice: choice == 0)
        found = self._index.get(tuple(point))
        if found is not None:
            return found
        distances = (np.abs(self.rows - np.array(point)) / self._longest).sum(1)
        if other_than is not None:
            distances[other_than] = np.inf
        return int(np.argmin(distances))

    @cached_property
    def _index(self) -> dict[Genotype, int]:
        return {tuple(row): index for index, row in reversed(list(enumerate(self.rows.tolist())))}

    @cached_property
    def _longest(self) -> Values:
        return np.array([len(gene.choices) - 1 for gene in self.genes], np.float64)

    def budget(self, share: float) -> float:
        """The cost that this share of the networks keeps to."""
        return float(np.quantile(self.listed_costs, share))

    def problem(self, budget: float, front: tuple[str, ...] = ()) -> Problem:
        """Find the most accurate network whose cost is at most `budget`, which strategies know as milliseconds."""
        return TableProblem(
            front=front,
            space=self,  # type: ignore[arg-type]
            latency_ms=lambda network: float(self.costs[network.row]),
            budget_ms=budget,
            reward=make_reward("hard", budget),
            costs=Costs(*(self._costs(values) for values in (self.costs, self.macs, self.params))),
        )

    def _costs(self, values: Values) -> BatchCost:
        def costs(genotypes: Genotypes) -> Values:
            return values[self._indices(genotypes)]

        return costs


class TableProblem(Problem):
    """A problem whose candidates carry the genotype of the network that was trained, not of the one next to it."""

    def _candidate(self, genotype: Genotype) -> Candidate:
        return super()._candidate(self.space.canonical(genotype))


def nasbench_macro() -> AccuracyTable:
    """All networks of eight layers, each one of three ops, on CIFAR-10 with three seeds; the cost is MFLOPs.

    Of a stage's layers but the first, those that do nothing can stand anywhere: such networks are one.
    """
    stages = (2, 3, 3)
    starts = np.cumsum([0, *stages]).tolist()
    records = _read("nasbench_macro_cifar10.csv")
    table = AccuracyTable(
        name="nasbench_macro",
        genes=tuple(
            Gene(f"stages[{s}].layers[{layer}].op", ("none", "k3e3", "k5e6"))
            for s, layers in enumerate(stages)
            for layer in range(layers)
        ),
        rows=np.array([[int(digit) for digit in record["arch"]] for record in records]),
        accuracies=_column(records, "acc1", "acc2", "acc3") / 100,
        costs=_column(records, "flops") / 1e6,
        listed_costs=_column(records, "flops") / 1e6,
        macs=_column(records, "flops"),
        params=_column(records, "params"),
        isomorphic=tuple(slice(begin + 1, end) for begin, end in pairwise(starts)),
    )
    return _without_repetitions(table)


def accel_nasbench() -> AccuracyTable:
    """4,122 MnasNet networks trained on ImageNet with a short schedule, one seed; the cost is predicted Pixel 1 ms."""
    space, latency = load_space("mnasnet_imagenet"), load_target("pixel1")
    records = _read("accel_nasbench_mnasnet_imagenet.csv")
    genes = tuple(gene for gene in space.genes if not gene.name.endswith(".act"))  # the table has one activation
    points = [_accel_genotype(record["arch"], space) for record in records]
    costs = np.array([latency.estimate(space.decode(point)).ms for point in points])
    keep = [index for index, gene in enumerate(space.genes) if gene in genes]
    table = AccuracyTable(
        name="accel_nasbench",
        genes=genes,
        rows=np.array(points)[:, keep],
        accuracies=_column(records, "val_top1") / 100,
        costs=costs,
        listed_costs=costs,
        macs=_column(records, "macs_m") * 1e6,
        params=_column(records, "params_m") * 1e6,
    )
    return _without_repetitions(table)


TABLES = {"nasbench_macro": nasbench_macro, "accel_nasbench": accel_nasbench}

_BLOCK = re.compile(r"e(?P<expand>\d)k(?P<kernel>\d)l(?P<depth>\d)(?P<se>s?)")


def _accel_genotype(text: str, space: SearchSpace) -> Genotype:
    """The genotype of `e6k3l1 e4k5l2s ...`: seven blocks, all with ReLU."""
    values: dict[str, Scalar] = {}
    for stage, block in enumerate(text.split(), start=1):
        found = _BLOCK.fullmatch(block)
        assert found, block
        values |= {f"stages[{stage}].{key}": int(found[key]) for key in ("expand", "kernel", "depth")}
        values |= {f"stages[{stage}].se": 0.25 if found["se"] else "none", f"stages[{stage}].act": "relu"}
    return tuple(gene.choices.index(values[gene.name]) for gene in space.genes)


def _read(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(encoding="utf-8") as lines:
        return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def _column(records: list[dict[str, str]], *keys: str) -> Values:
    """A column (N,) of the file, or several of them (N, columns)."""
    values = np.array([[float(record[key]) for key in keys] for record in records])
    return values if len(keys) > 1 else values[:, 0]


def _without_repetitions(table: AccuracyTable) -> AccuracyTable:
    kept = [index for index, row in enumerate(table.rows.tolist()) if table.index(tuple(row)) == index]
    columns = ("rows", "accuracies", "costs", "macs", "params")
    return replace(table, **{column: getattr(table, column)[kept] for column in columns})
