"""A network as a record of a study: what it is, what it costs, and how it was trained."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from typing import Any

from nas.architecture import Architecture, ConvBlock, LinearBlock, MBConvBlock, PoolBlock, SepConvBlock, op_name
from nas.errors import NasError
from nas.latency.model import LatencyModel
from nas.layers import lower, total_macs, total_params
from nas.pipeline.interval import mean_interval
from nas.trial import Metrics


def short_name(reference: str) -> str:
    """The name of a reference network that may be a file."""
    return Path(reference).stem


def network_record(network: Architecture, latency: LatencyModel, trainings: Sequence[Metrics]) -> dict[str, Any]:
    """Costs, and the test accuracies of the trainings, None for those that failed; mean and interval of the others.

    Raises:
        NasError: fewer than two trainings did not fail.
    """
    layers, estimate = lower(network), latency.estimate(network)
    accuracies = [run.get("test_accuracy") for run in trainings]
    ended = [accuracy for accuracy in accuracies if accuracy is not None]
    if len(ended) < 2:
        raise NasError(
            f"network {network.id}: {len(ended)} of {len(trainings)} trainings ended without an error; expected at "
            f"least 2, for an interval: give more `seeds`, or a smaller `lr`"
        )
    return {
        "id": network.id,
        "latency_ms": estimate.ms,
        "low_ms": estimate.low_ms,
        "high_ms": estimate.high_ms,
        "macs": total_macs(layers),
        "params": total_params(layers),
        "test_accuracies": accuracies,
        "test_accuracy": asdict(mean_interval(ended)),
        "train_seconds": sum(run["train_seconds"] for run in trainings if run),
        "architecture": network.to_dict(),
    }


def measured(record: Mapping[str, Any]) -> list[float]:
    """The test accuracies of a network's trainings that did not fail."""
    return [accuracy for accuracy in record["test_accuracies"] if accuracy is not None]


def label(name: str, record: Mapping[str, Any]) -> str:
    """The name, with how many of the network's trainings failed if any did.

    >>> label("found", {"test_accuracies": [0.5, None, 0.6]})
    'found (1 of 3 trainings failed)'
    """
    every = len(record["test_accuracies"])
    failed = every - len(measured(record))
    return f"{name} ({failed} of {every} trainings failed)" if failed else name


def block_rows(found: Architecture, reference: Architecture) -> list[dict[str, Any]]:
    """The blocks of both side by side, aligned by the size of their output and their order within it.

    The pooled part of the head is the size 1.
    """
    ours, theirs = _by_size(found), _by_size(reference)
    return [
        {"size": size, "found": here, "reference": there}
        for size in sorted(ours.keys() | theirs.keys(), reverse=True)
        for here, there in zip_longest(ours.get(size, []), theirs.get(size, []))
    ]


def _by_size(network: Architecture) -> Mapping[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    layers, channels = lower(network), network.in_channels
    for index, block in enumerate(network.blocks):
        if isinstance(block, PoolBlock):
            continue
        size = [layer for layer in layers if layer.block == index][-1].out_size
        found.setdefault(1 if isinstance(block, LinearBlock) else size, []).append(_described(block, channels))
        channels = block.channels
    return found


def _described(block: ConvBlock | SepConvBlock | MBConvBlock | LinearBlock, in_channels: int) -> dict[str, Any]:
    """`expand` is the inner width over that of the input, 1 where nothing is expanded."""
    return {
        "op": op_name(block),
        "kernel": getattr(block, "kernel", None),
        "mid_channels": block.mid_channels if isinstance(block, MBConvBlock) else None,
        "expand": round(block.mid_channels / in_channels, 2) if isinstance(block, MBConvBlock) else 1,
        "se": bool(getattr(block, "se_channels", 0)),
        "act": block.act,
        "channels": block.channels,
    }
