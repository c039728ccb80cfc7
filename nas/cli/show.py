"""`nas show`: one network, block by block."""

from typing import Any

import click

from nas.cli.options import json_option, resolve_network, store_option
from nas.latency.model import Latency
from nas.latency.targets import load_target
from nas.layers import lower, peak_activation_bytes, total_macs, total_params
from nas.space import Published, Reference


@click.command()
@click.argument("arch")
@click.option("--target", default="pixel", show_default=True, help="The device whose latency is estimated.")
@store_option
@json_option
def show(arch: str, target: str, store_url: str, as_json: bool) -> None:
    """Show ARCH: a reference network's name, a JSON file, or trial:ID."""
    from nas.cli import tables  # noqa: PLC0415 - rich is not needed for an error

    network = resolve_network(arch, store_url)
    record = network_record(network, target)
    if as_json:
        tables.print_json(record)
        return
    architecture = network.architecture
    tables.print_table(
        tables.BLOCK_COLUMNS, tables.block_rows(architecture), title=f"{network.name}  {architecture.id}"
    )
    latency = record["latency"]
    interval = f"{latency['low_ms']:.1f} to {latency['high_ms']:.1f}"
    if latency["interpolated"]:
        interval += f"; {latency['interpolated']} ops interpolated, which nas latency estimate measures where it can"
    click.echo(f"""
resolution       {architecture.resolution}
MAdds            {record["macs"] / 1e6:.1f} M
params           {record["params"]:,}
peak activations {record["peak_activation_bytes"] / 1e6:.2f} MB (float32)
latency          {latency["ms"]:.1f} ms on {latency["target"]}, predicted ({interval})""")
    for entry in network.published:
        click.echo(f"published        {_published_line(entry)}")


def network_record(network: Reference, target: str) -> dict[str, Any]:
    """What `nas show --json` prints; documented in docs/json.md."""
    model = load_target(target)
    layers = lower(network.architecture)
    return {
        "name": network.name,
        "id": network.architecture.id,
        "resolution": network.architecture.resolution,
        "params": total_params(layers),
        "macs": total_macs(layers),
        "peak_activation_bytes": peak_activation_bytes(layers),
        "latency": latency_record(model.target, model.estimate(network.architecture)),
        "published": [_published_record(entry) for entry in network.published],
    }


def latency_record(target: str, latency: Latency) -> dict[str, Any]:
    """Milliseconds with the interval of the target's error."""
    return {
        "target": target,
        "ms": latency.ms,
        "low_ms": latency.low_ms,
        "high_ms": latency.high_ms,
        "interpolated": len(latency.interpolated),
    }


def _published_record(entry: Published) -> dict[str, Any]:
    return {
        "source": entry.source,
        "top1": entry.top1,
        "madds_m": entry.madds_m,
        "params_m": entry.params_m,
        "latency_ms": dict(entry.latency_ms),
        "note": entry.note,
    }


def _published_line(entry: Published) -> str:
    figures = [f"{device} {ms:g} ms" for device, ms in entry.latency_ms.items()]
    if entry.params_m is not None:
        figures.insert(0, f"params {entry.params_m:g} M")
    if entry.madds_m is not None:
        figures.insert(0, f"MAdds {entry.madds_m:g} M")
    if entry.top1 is not None:
        figures.insert(0, f"top-1 {entry.top1} %")
    note = f"; {entry.note}" if entry.note else ""
    return f"{', '.join(figures)} ({entry.source}{note})"
