"""How often networks of a space make the same choices as a published one, beside what chance gives."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np

from nas.architecture import Architecture, Block, MBConvBlock
from nas.space import Genotype, SearchSpace
from nas.strategies.costs import BatchCost

_BATCH = 4096
_BATCHES = 64
_RESAMPLES = 2000
COVERAGE = 0.95


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of one kind of choice: the share of equal choices of the found networks, and of random ones.

    `low` and `high` bound, with `COVERAGE`, the mean of as many random networks as different ones were found: a share
    inside is what chance gives.
    """

    kind: str
    choices: int  # of the reference
    found: float | None  # None: no found network has a choice to compare
    chance: float | None
    low: float | None
    high: float | None


def untrimmed(network: Architecture) -> Architecture:
    """The network with every expanded width put back to a multiple of the block's input: what NetAdapt began with.

    >>> from nas.space import load_reference
    >>> [block.mid_channels for block in untrimmed(load_reference("mobilenet_v3_large")).blocks[7:10]]
    [160, 160, 160]
    """
    blocks, channels = list[Block](), network.in_channels
    for block in network.blocks:
        if isinstance(block, MBConvBlock):
            expand = max(2, round(block.mid_channels / channels))
            blocks.append(replace(block, mid_channels=expand * channels))
        else:
            blocks.append(block)
        channels = getattr(block, "channels", channels)
    return replace(network, blocks=tuple(blocks))


def choices_of(space: SearchSpace, genotype: Genotype) -> dict[str, object]:
    """What the network chose, by the gene's name; nothing of layers that it does not have."""
    chosen: dict[str, object] = {
        gene.name: gene.choices[choice] for gene, choice in zip(space.genes, space.canonical(genotype), strict=True)
    }
    for s, stage in enumerate(space.stages):
        depth = chosen.get(f"stages[{s}].depth", stage.spec.max_depth)
        for name in list(chosen):
            place = name.removeprefix(f"stages[{s}].")
            layer = int(place[len("layers[") :].partition("]")[0]) if place.startswith("layers[") else 0
            if place not in (name, "depth") and layer >= int(str(depth)):
                del chosen[name]
    return chosen


def agreement(
    reference: Mapping[str, object], found: Sequence[Mapping[str, object]], drawn: Sequence[Mapping[str, object]]
) -> list[Agreement]:
    """Kind by kind: choices (as `choices_of`) of networks that were found and drawn, against those of the reference."""
    kinds = dict.fromkeys(_kind(name) for name in reference)
    ends = Counter(tuple(network.items()) for network in found)  # searches that end alike say no more than one
    return [_of_kind(kind, reference, found, drawn, list(ends.values())) for kind in kinds]


def draw(
    space: SearchSpace, latency_ms: BatchCost, within_ms: tuple[float, float], count: int, rng: Random
) -> list[Genotype]:
    """Up to `count` random networks whose latency is within the two bounds; fewer where they are rare."""
    generator, accepted = np.random.default_rng(rng.getrandbits(64)), list[Genotype]()
    limits = np.array([len(gene.choices) for gene in space.genes])
    for _ in range(_BATCHES):
        genotypes = generator.integers(0, limits, (_BATCH, len(limits)))
        latencies = latency_ms(genotypes)
        inside = genotypes[(latencies >= within_ms[0]) & (latencies <= within_ms[1])]
        accepted += [tuple(map(int, row)) for row in inside[: count - len(accepted)]]
        if len(accepted) == count:
            break
    return accepted


def _kind(name: str) -> str:
    """`kernel` of `stages[2].layers[1].kernel`; the head's choices are kinds of their own, and so is the stem's width.

    >>> _kind("stages[2].layers[1].kernel"), _kind("head.type"), _kind("stages[0].channels")
    ('kernel', 'head.type', 'stem channels')
    """
    if name == "stages[0].channels":
        return "stem channels"
    return name if name.startswith("head.") else name.rpartition(".")[2]


def _of_kind(
    kind: str,
    reference: Mapping[str, object],
    found: Sequence[Mapping[str, object]],
    drawn: Sequence[Mapping[str, object]],
    counts: Sequence[int],  # how many of those that were found are equal, for each that is different
) -> Agreement:
    names = [name for name in reference if _kind(name) == kind]
    ours, theirs = (_shares(names, reference, networks) for networks in (found, drawn))
    if not (ours and theirs):
        return Agreement(kind, len(names), _mean(ours), _mean(theirs), None, None)
    means = np.average(np.random.default_rng(0).choice(theirs, (_RESAMPLES, len(counts))), axis=1, weights=counts)
    low, high = np.percentile(means, [50 * (1 - COVERAGE), 50 * (1 + COVERAGE)])
    return Agreement(kind, len(names), _mean(ours), _mean(theirs), float(low), float(high))


def _shares(
    names: Sequence[str], reference: Mapping[str, object], networks: Sequence[Mapping[str, object]]
) -> list[float]:
    """Of each network the share of equal choices among those that both have."""
    both = [[name for name in names if name in network] for network in networks]
    return [
        sum(network[name] == reference[name] for name in common) / len(common)
        for network, common in zip(networks, both, strict=True)
        if common
    ]


def _mean(shares: Sequence[float]) -> float | None:
    return sum(shares) / len(shares) if shares else None
