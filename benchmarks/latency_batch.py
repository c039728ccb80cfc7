"""Latency of many genotypes, one core: `python -m benchmarks.latency_batch [--json]`.

All ways start from the same random genotypes of one space and give the same milliseconds, which is checked:

- `tables`: `nas.batch.compile_space`, one call for all genotypes.
- `dictionary`: the network is decoded, and a dictionary tells what each of its blocks costs, in a Python loop.
- `dictionary, keys at hand`: that loop alone, its keys made beforehand: what no way of looking up blocks can beat.
- `single estimate`: the network is decoded and estimated by the model.
"""

import argparse
import json
import sys
from collections.abc import Callable
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from nas.architecture import Block
from nas.batch import compile_space
from nas.errors import NasError
from nas.latency.calibration import LEAST_SHARE
from nas.latency.model import OpSumModel
from nas.latency.targets import load_target
from nas.layers import Layer, lower_block
from nas.space import Genotype, SearchSpace, load_space

Key = tuple[Block, int, int] | int
"""A block with the channels and the size of its input; an integer is the width before the classifier."""

REPEATS = 5


def block_keys(space: SearchSpace, genotype: Genotype) -> list[Key]:
    """What the dictionary is asked for one network."""
    architecture = space.decode(genotype)
    keys: list[Key] = []
    channels, size = architecture.in_channels, architecture.resolution
    for block in architecture.blocks:
        keys.append((block, channels, size))
        channels = getattr(block, "channels", channels)
        size = -(-size // getattr(block, "stride", size))  # a pooling has no stride, and leaves one pixel
    return [*keys, channels]


def key_ms(space: SearchSpace, model: OpSumModel, key: Key) -> float:
    """What the dictionary answers."""
    if isinstance(key, int):
        return model.ops_ms([Layer("linear", key, space.num_classes, 1, bias=True)])
    return model.ops_ms(lower_block(*key))


def seconds(run: Callable[[], object]) -> float:
    """The fastest of some runs: what the work takes when nothing else disturbs."""
    times = []
    for _ in range(REPEATS):
        begin = perf_counter()
        run()
        times.append(perf_counter() - begin)
    return min(times)


def random_genotypes(space: SearchSpace, count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Uniform choices (N, genes), not canonical."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(len(gene.choices), size=count, dtype=np.uint8) for gene in space.genes], axis=1)


def compare(space_name: str, target: str, count: int, loop_count: int) -> dict[str, object]:
    """Networks per second of each way, and how many times faster the tables are."""
    space, model = load_space(space_name), load_target(target)
    assert isinstance(model, OpSumModel)
    begin = perf_counter()
    compiled = compile_space(space, model)
    compile_seconds = perf_counter() - begin
    genotypes = random_genotypes(space, count)
    few = [tuple(map(int, row)) for row in genotypes[:loop_count]]
    keys = [block_keys(space, genotype) for genotype in few]
    costs = {key: key_ms(space, model, key) for each in keys for key in each}
    scale, offset = model.device.calibration.scale, model.device.calibration.offset_ms
    base = model.costs.base_ms

    def look_up(each: list[Key]) -> float:
        ops_ms = sum(costs[key] for key in each)
        return scale * max(ops_ms + base, LEAST_SHARE * ops_ms) + offset

    ways: dict[str, tuple[Callable[[], object], int]] = {
        "tables": (lambda: compiled.estimate(genotypes), count),
        "dictionary": (lambda: [look_up(block_keys(space, genotype)) for genotype in few], loop_count),
        "dictionary, keys at hand": (lambda: [look_up(each) for each in keys], loop_count),
        "single estimate": (lambda: [model.estimate(space.decode(g)).ms for g in few], loop_count),
    }
    expected = [model.estimate(space.decode(genotype)).ms for genotype in few]
    for found in (compiled.estimate(genotypes[:loop_count]), [look_up(each) for each in keys]):
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    rates = {name: networks / seconds(run) for name, (run, networks) in ways.items()}
    return {
        "space": space.name,
        "target": model.target,
        "genes": len(space.genes),
        "compile_seconds": compile_seconds,
        "networks_per_second": rates,
        "times_faster": {name: rates["tables"] / rate for name, rate in rates.items() if name != "tables"},
    }


def main() -> None:
    """Parse, compare, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency_batch", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--target", default="pixel1")
    parser.add_argument("--space", action="append", help="can be repeated; all shipped ones if left out")
    parser.add_argument("--networks", type=int, default=1_000_000, help="of the tables")
    parser.add_argument("--loop-networks", type=int, default=1000, help="of the loops")
    options = parser.parse_args()
    names = options.space or ["mobilenet_v3", "mnasnet", "mobilenet_v2", "mobilenet_v1"]
    try:
        found = [compare(name, options.target, options.networks, options.loop_networks) for name in names]
    except NasError as error:
        sys.exit(f"error: {error}")
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for record in found:
        head = f"{record['space']}, {record['target']}, {record['genes']} genes"
        print(f"{head}, compiled in {record['compile_seconds']:.2f} s")
        for name, rate in record["networks_per_second"].items():
            ratio = f"{record['times_faster'][name]:9.0f} x" if name != "tables" else ""
            print(f"  {name:28}{rate:14,.0f} networks/s{ratio}")


if __name__ == "__main__":
    main()
