"""`nas latency estimate`: what networks will take."""

from typing import Any

import click

from nas.cli.latency.common import miss_option, progress_bar
from nas.cli.options import json_option, resolve_network, store_option
from nas.latency.model import LatencyModel
from nas.latency.on_miss import MeasuringModel, OnMiss, load_model
from nas.space import Reference


@click.command()
@click.argument("archs", nargs=-1, required=True, metavar="ARCH...")
@click.option("--target", "targets", multiple=True, default=("pixel",), show_default=True, help="Can be repeated.")
@miss_option
@store_option
@json_option
def estimate(archs: tuple[str, ...], targets: tuple[str, ...], on_miss: OnMiss, store_url: str, as_json: bool) -> None:
    """Predict the latency of each ARCH: a reference network's name, a JSON file, or trial:ID."""
    from nas.cli import tables  # noqa: PLC0415

    models = [load_model(target, on_miss) for target in targets]
    networks = [resolve_network(arch, store_url) for arch in archs]
    for model in models:
        if isinstance(model, MeasuringModel):
            with progress_bar(f"measuring what the table of {model.target} lacks") as model.progress:
                model.prepare(network.architecture for network in networks)
    records = [_record(network, model) for network in networks for model in models]
    for record in records:
        if record["interpolated"]:
            click.echo("{architecture} on {target}: {interpolated} ops interpolated".format(**record), err=True)
    if as_json:
        tables.print_json(records)
        return
    columns = ("architecture ", "target ", "ms", "low", "high", "interpolated ops")
    figures = ("ms", "low_ms", "high_ms")
    tables.print_table(
        columns,
        [
            [r["architecture"], r["target"], *(f"{r[key]:.2f}" for key in figures), r["interpolated"] or None]
            for r in records
        ],
    )


def _record(network: Reference, model: LatencyModel) -> dict[str, Any]:
    found = model.estimate(network.architecture)
    return {
        "architecture": network.name,
        "target": model.target,
        "ms": found.ms,
        "low_ms": found.low_ms,
        "high_ms": found.high_ms,
        "interpolated": len(found.interpolated),
    }
