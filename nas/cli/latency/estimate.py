"""`nas latency estimate`: what networks will take."""

import click

from nas.cli.options import json_option, resolve_network, store_option
from nas.latency.targets import load_target


@click.command()
@click.argument("archs", nargs=-1, required=True, metavar="ARCH...")
@click.option("--target", "targets", multiple=True, default=("pixel",), show_default=True, help="Can be repeated.")
@store_option
@json_option
def estimate(archs: tuple[str, ...], targets: tuple[str, ...], store_url: str, as_json: bool) -> None:
    """Predict the latency of each ARCH: a reference network's name, a JSON file, or trial:ID."""
    from nas.cli import tables  # noqa: PLC0415

    models = [load_target(target) for target in targets]
    records = []
    for arch in archs:
        network = resolve_network(arch, store_url)
        for model in models:
            found = model.estimate(network.architecture)
            if found.interpolated:
                count = len(found.interpolated)
                click.echo(f"{network.name} on {model.target}: {count} ops interpolated from other widths", err=True)
            records.append(
                {
                    "architecture": network.name,
                    "target": model.target,
                    "ms": found.ms,
                    "low_ms": found.low_ms,
                    "high_ms": found.high_ms,
                }
            )
    if as_json:
        tables.print_json(records)
        return
    tables.print_table(
        ("architecture ", "target ", "ms", "low", "high"),
        [[r["architecture"], r["target"], *(f"{r[key]:.2f}" for key in ("ms", "low_ms", "high_ms"))] for r in records],
    )
