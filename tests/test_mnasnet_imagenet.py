"""The space `mnasnet_imagenet` is that of the table of networks trained on ImageNet, value for value."""

import csv
import re
from pathlib import Path

import pytest

from nas.layers import Layer, lower, total_macs, total_params
from nas.space import load_space

TABLE = Path(__file__).parents[2] / "shared" / "data" / "accuracy" / "accel_nasbench_mnasnet_imagenet.csv"
SPACE = load_space("mnasnet_imagenet")
GENES = {gene.name: (index, gene) for index, gene in enumerate(SPACE.genes)}


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    if not TABLE.exists():
        pytest.skip("the table of trained networks is not here")
    with TABLE.open(encoding="utf-8") as lines:
        return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def genotype(arch: str) -> tuple[int, ...]:
    """The table's `e4k5l2s ...` as a genotype with ReLU."""
    choices = [0] * len(SPACE.genes)
    for stage, text in enumerate(arch.split(), start=1):
        expand, kernel, depth, se = re.fullmatch(r"e(\d)k(\d)l(\d)(s?)", text).groups()
        chosen = {"expand": int(expand), "kernel": int(kernel), "depth": int(depth), "se": 0.25 if se else "none"}
        for key, value in chosen.items():
            index, gene = GENES[f"stages[{stage}].{key}"]
            choices[index] = gene.choices.index(value)
    return tuple(choices)


def test_every_choice_of_the_table_is_in_the_space_and_no_other(rows):
    drawn = [genotype(row["arch"]) for row in rows]
    for index, gene in enumerate(SPACE.genes):
        choices = 1 if gene.name.endswith(".act") else len(gene.choices)
        assert {network[index] for network in drawn} == set(range(choices)), gene.name


def test_params_and_macs_are_those_of_the_table(rows):
    """Params to the table's four decimals. Its MACs (of the tool thop) count more than convolutions and linear layers:
    four for each value of a batch norm, and each value that enters or leaves an average pooling."""
    for row in rows[::40]:
        layers = lower(SPACE.decode(genotype(row["arch"])))
        assert total_params(layers) == pytest.approx(float(row["params_m"]) * 1e6, abs=51)
        assert total_macs(layers) + _more(layers) == pytest.approx(float(row["macs_m"]) * 1e6, abs=501)


def _more(layers: tuple[Layer, ...]) -> int:
    norms = sum(4 * layer.out_values for layer in layers if layer.norm)
    return norms + sum(layer.in_values + layer.out_values for layer in layers if layer.kind == "pool")
