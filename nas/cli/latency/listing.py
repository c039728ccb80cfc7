"""`nas latency list`: the devices."""

import click

from nas.cli.latency.common import error_text
from nas.cli.options import json_option
from nas.latency.host import HOST
from nas.latency.targets import list_targets


@click.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the devices whose latency can be estimated, with the error on networks that were not seen."""
    from nas.cli import tables  # noqa: PLC0415

    devices = list_targets()
    if as_json:
        tables.print_json(
            [
                {
                    "target": device.target,
                    "aliases": list(device.aliases),
                    "device": device.device,
                    "runtime": device.runtime,
                    "runtime_version": device.runtime_version,
                    "threads": device.threads,
                    "core": device.core,
                    "dtype": device.dtype,
                    "date": device.date,
                    "error": dict(device.error),
                }
                for device in devices
            ]
        )
        return
    tables.print_table(
        ("target ", "aliases ", "device ", "runtime ", "threads", "dtype ", "mean error"),
        [
            [
                d.target,
                ", ".join(d.aliases),
                d.device,
                f"{d.runtime} {d.runtime_version}",
                d.threads,
                d.dtype,
                error_text(d.error),
            ]
            for d in devices
        ],
    )
    if HOST not in {device.target for device in devices}:
        click.echo("\nhost, this machine, is measured on first use, or by: nas latency measure --target host")
