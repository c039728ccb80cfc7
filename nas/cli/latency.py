"""`nas latency`: devices, estimates and measurements."""

from collections.abc import Sequence
from random import Random

import click

from nas.architecture import Architecture
from nas.cli.options import json_option, resolve_network, store_option
from nas.errors import LatencyError
from nas.latency.host import HOST
from nas.latency.model import LatencyModel
from nas.latency.targets import list_targets, load_target
from nas.layers import lower
from nas.space import SearchSpace, load_space

_CALIBRATION_NETWORKS = 20


@click.group()
def latency() -> None:
    """List devices; estimate or measure latency."""


@latency.command("list")
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
                _error(d.error),
            ]
            for d in devices
        ],
    )
    if HOST not in {device.target for device in devices}:
        click.echo("\nhost, this machine, is measured on first use, or by: nas latency measure --target host")


def _error(error: object) -> str:
    assert isinstance(error, dict)
    return f"{error['mape']:.1f} % ({error['networks']:.0f} networks)"


@latency.command()
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


@latency.command()
@click.argument("archs", nargs=-1, metavar="[ARCH]...")
@click.option("--target", default=HOST, show_default=True, help="host, this machine, is what can be measured.")
@click.option("--space", default="mobilenet_v3", show_default=True, help="The space whose ops are measured.")
@click.option("--classes", default=1000, show_default=True, type=click.IntRange(min=1), help="Of the classifier.")
@store_option
@json_option
def measure(  # noqa: PLR0913, PLR0917 - the command's options
    archs: tuple[str, ...], target: str, space: str, classes: int, store_url: str, as_json: bool
) -> None:
    """Measure each op of a space, and of each ARCH if given, on this machine, one thread, with ONNX Runtime.

    Only what the table lacks is measured, so that a run that was stopped goes on where it was.
    """
    if target != HOST:
        load_target(target)  # an unknown one is another mistake
        raise LatencyError(f"{target} cannot be measured from here; only --target {HOST} can")
    networks = [resolve_network(arch, store_url).architecture for arch in archs]
    model = _measured_host(load_space(space).with_num_classes(classes), networks)
    device = next(device for device in list_targets() if device.target == HOST)
    if as_json:
        from nas.cli import tables  # noqa: PLC0415

        tables.print_json({"target": model.target, "version": model.version, "error": dict(device.error)})
        return
    click.echo(f"host: {device.device}, {device.runtime} {device.runtime_version}; mean error {_error(device.error)}")


def ready_target(name: str, space: SearchSpace) -> LatencyModel:
    """The latency model of a search's target; `host` is measured first where its table lacks ops of the space."""
    return _measured_host(space) if name == HOST else load_target(name)


def _measured_host(space: SearchSpace, others: Sequence[Architecture] = ()) -> LatencyModel:
    """The table of this machine with all ops of the space and of `others`."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    from nas.latency.measure import fill_host_table  # noqa: PLC0415 - onnxruntime

    rng = Random(0)
    networks = [space.decode(space.sample(rng)) for _ in range(_CALIBRATION_NETWORKS)]
    columns = (TextColumn("measuring ops on this machine"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("ops", total=None)
        return fill_host_table(
            space.layers().union(*map(lower, others)),
            architectures=networks,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
