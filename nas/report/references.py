"""Published networks beside those of a study."""

from collections.abc import Mapping
from typing import Any

from nas.architecture import Architecture
from nas.layers import lower, total_macs, total_params
from nas.report.drawing import Device, Drawings, short
from nas.space import Reference, read_reference, references


def reference_records(drawings: Drawings, trials: Mapping[Architecture, int], num_classes: int) -> list[dict[str, Any]]:
    """All reference networks on the device, made for `num_classes`, the fastest first.

    What their papers say of them is for other data or another training: `trial` is the place of the trial that judged
    the network as all others of the study were, None if none did. Networks that the device's table cannot say the
    latency of are left out.
    """
    found = [_record(drawings, read_reference(name), trials, num_classes) for name in references()]
    return sorted((record for record in found if record is not None), key=lambda record: record["ms"])


WELL_KNOWN = {
    "mobilenet_v3_large": "V3-Large",
    "mobilenet_v3_large_075": "V3-Large 0.75",
    "mobilenet_v3_small": "V3-Small",
    "mobilenet_v2": "V2",
    "mnasnet_a1": "MnasNet-A1",
    "mnasnet_small": "MnasNet-Small",
    "proxylessnas_mobile": "ProxylessNAS",
}
"""The networks that a small picture has room for, by the names that it gives them."""


def published_ms(device: Device, num_classes: int) -> dict[str, float]:
    """Predicted milliseconds of the well-known networks, made for `num_classes`, that the device's table can say."""
    networks = {name: read_reference(key).architecture for key, name in WELL_KNOWN.items()}
    found = {name: device.total_ms(network.with_num_classes(num_classes)) for name, network in networks.items()}
    return {name: latency[0] for name, latency in found.items() if latency is not None}


def _record(
    drawings: Drawings, reference: Reference, trials: Mapping[Architecture, int], num_classes: int
) -> dict[str, Any] | None:
    network = reference.architecture.with_num_classes(num_classes)
    latency = drawings.device.total_ms(network)
    if latency is None:
        return None
    layers = lower(network)
    return {
        "name": reference.name,
        "ms": short(latency[0]),
        "low_ms": short(latency[1]),
        "high_ms": short(latency[2]),
        "macs": total_macs(layers),
        "params": total_params(layers),
        "trial": trials.get(network),
        "network": drawings.draw(network),
        "published": [
            {"source": entry.source, "top1": entry.top1, "latency_ms": dict(entry.latency_ms), "note": entry.note}
            for entry in reference.published
        ],
    }
