"""`nas latency`: devices, estimates and measurements."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import click

from nas.architecture import Architecture
from nas.cli.options import json_option, resolve_network, store_option
from nas.errors import LatencyError
from nas.latency.host import HOST, host_threads
from nas.latency.model import LatencyModel, OpSumModel
from nas.latency.targets import list_targets, load_target, new_target
from nas.layers import Layer, lower
from nas.space import SearchSpace, load_space

if TYPE_CHECKING:  # importing it means importing onnxruntime
    from nas.latency.measure import Effort


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


_target = click.option("--target", default=HOST, show_default=True, help="host, this machine, is what can be measured.")
_space = click.option("--space", default="mobilenet_v3", show_default=True, help="The space that the networks are of.")
_classes = click.option(
    "--classes", default=1000, show_default=True, type=click.IntRange(min=1), help="Of the classifier."
)
_threads = click.option("--threads", default=1, show_default=True, type=click.IntRange(min=1), help="Of the runtime.")


@latency.command()
@click.argument("archs", nargs=-1, metavar="[ARCH]...")
@click.option("--target", default=HOST, show_default=True, help="host is this machine; with --device, a new name.")
@click.option("--device", metavar="ssh://USER@HOST[:PORT]", help="A Linux board with python3, numpy and onnxruntime.")
@_space
@_classes
@_threads
@click.option("--quick", is_flag=True, help="Fewer networks and shorter readings: a minute or two, and a larger error.")
@store_option
@json_option
def measure(  # noqa: PLR0913, PLR0917 - the command's options
    archs: tuple[str, ...], target: str, device: str | None, space: str, classes: int, threads: int, quick: bool,
    store_url: str, as_json: bool,
) -> None:  # fmt: skip
    """Measure each op of a space, and of each ARCH if given, here or on a board with ONNX Runtime.

    Whole networks of the space are measured, too: they correct what the ops take alone. Only what the table lacks is
    measured, so that a run that was stopped goes on where it was.
    """
    found = load_space(space).with_num_classes(classes)
    others = frozenset(layer for arch in archs for layer in lower(resolve_network(arch, store_url).architecture))
    if device is not None:
        if threads > 1:
            raise LatencyError("--threads: a board is measured with one thread; expected --threads 1 or none")
        model = _measured_board(device, target, found, others, quick=quick)
    else:
        _require_host(target, f"only --target {HOST} can, or a board that --device names")
        model = _measured_host(found, threads, others, quick=quick)
    if as_json:
        from nas.cli import tables  # noqa: PLC0415

        tables.print_json({"target": model.target, "version": model.version, "error": dict(model.device.error)})
        return
    runtime = f"{model.device.runtime} {model.device.runtime_version}"
    click.echo(f"{model.target}: {model.device.device}, {runtime}; mean error {_error(model.device.error)}")
    for item in model.device.provenance:
        if note := item.get("note"):
            click.echo(note)


@latency.command()
@click.option("--csv", "path", required=True, type=click.Path(path_type=Path), help="Rows of network,ms.")
@click.option("--target", required=True, help="Name of the new target.")
@click.option("--device", help="What was measured, as people know it.  [default: the target's name]")
@click.option("--runtime", default="not recorded", show_default=True)
@click.option("--runtime-version", default="not recorded", show_default=True)
@click.option("--threads", default=1, show_default=True, type=click.IntRange(min=1))
@click.option("--core", default="not recorded", show_default=True)
@click.option("--dtype", default="float32", show_default=True)
@click.option("--resolution", default=224, show_default=True, type=click.IntRange(min=1), help="Of layer strings.")
@click.option("--classes", default=1000, show_default=True, type=click.IntRange(min=1), help="Of layer strings.")
@click.option("--like", help="Take the ops of this target, and fit a scale and an offset alone.")
@click.option("--out", type=click.Path(path_type=Path), help="Make the folder here.  [default: in the user's cache]")
@click.option("--replace", is_flag=True, help="Replace a target of that name.")
@store_option
@json_option
def fit(  # noqa: PLR0913, PLR0917 - the command's options
    path: Path,
    target: str,
    device: str | None,
    runtime: str,
    runtime_version: str,
    threads: int,
    core: str,
    dtype: str,
    resolution: int,
    classes: int,
    like: str | None,
    out: Path | None,
    replace: bool,
    store_url: str,
    as_json: bool,
) -> None:
    """Make a target of measured whole networks: a CSV file with the columns network and ms.

    A network is a reference network's name, a JSON file (its path relative to the CSV file), trial:ID, or a layer
    string such as `c3s2i3o32 ds3s1i32o16 mb5s2i16m96o24se gap`.
    """
    from nas.cli import tables  # noqa: PLC0415
    from nas.latency.fit import parse_network  # noqa: PLC0415 - scipy
    from nas.latency.own_target import Origin, fit_own_target, read_measurements  # noqa: PLC0415 - scipy

    def resolve(text: str) -> Architecture:
        if " " in text:
            return parse_network(text, resolution, classes)
        return resolve_network(str(path.parent / text) if text.endswith(".json") else text, store_url).architecture

    folder = new_target(target, out, replace=replace)
    samples = read_measurements(path, resolve)
    origin = Origin(device or target, runtime, runtime_version, threads, core, dtype, source=path.name)
    made = fit_own_target(samples, origin, folder, like=like)
    if as_json:
        tables.print_json(
            {"target": target, "folder": str(folder), "error": dict(made.error), "interval": made.interval}
        )
        return
    click.echo(
        f"{target}: {len(samples)} networks, mean error {_error(made.error)} on networks left out, "
        f"interval of {made.coverage:.0%} +-{made.interval:.1%}; in {folder}"
    )


@latency.command()
@_target
@_space
@_classes
@_threads
@click.option("--networks", default=100, show_default=True, type=click.IntRange(min=9), help="How many to draw.")
@click.option("--seed", default=0, show_default=True, help="Of the draw.")
@click.option(
    "--pruned", is_flag=True, help="Cut their widths as pruning does; the table's own error is left as it is."
)
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), help="Predicted against measured, as an image."
)
@json_option
def validate(  # noqa: PLR0913, PLR0917
    target: str, space: str, classes: int, threads: int, networks: int, seed: int, pruned: bool, plot: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Measure networks whole that the table was not fitted on, and compare with the estimates.

    The error and the interval that follow from it are stored with the table.
    """
    from nas.cli import tables  # noqa: PLC0415
    from nas.latency.measure import validate_host  # noqa: PLC0415 - onnxruntime

    _require_host(target)
    drawn = draw_networks(load_space(space).with_num_classes(classes), networks, f"validate {seed}", pruned=pruned)
    with _progress("measuring whole networks") as progress:
        found = validate_host(drawn, threads=threads, store=not pruned, progress=progress)
    if plot is not None:
        from nas.latency.validation import plot_validation  # noqa: PLC0415 - scipy

        plot_validation(found, plot)
    if as_json:
        tables.print_json(found.to_dict())
        return
    tables.print_table(
        ("networks", "mean error", "worst", "within 5 %", "within 10 %", "Spearman", "Kendall"),
        [
            [
                f"{found.score[key]:g}"
                for key in ("networks", "mape", "worst", "within_5", "within_10", "spearman", "kendall")
            ]
        ],
    )
    click.echo(found.note)


def draw_networks(space: SearchSpace, count: int, seed: str, *, pruned: bool = False) -> list[Architecture]:
    """Random networks of the space, the same for a seed; a longer draw begins with the shorter one."""
    from nas.latency.pruned import pruned as cut  # noqa: PLC0415

    rng = Random(f"{seed} {pruned}")
    drawn = (space.decode(space.sample(rng)) for _ in range(count))
    return [cut(network, rng) if pruned else network for network in drawn]


def ready_target(name: str, space: SearchSpace) -> LatencyModel:
    """The latency model of a search's target; `host` is measured first where its table lacks ops of the space."""
    threads = host_threads(name)
    return _measured_host(space, threads, quick=True) if threads else load_target(name)


def _require_host(target: str, expected: str = f"only --target {HOST} can") -> None:
    if target != HOST:
        load_target(target)  # an unknown one is another mistake
        raise LatencyError(f"{target} cannot be measured from here; {expected}")


def _measured_host(
    space: SearchSpace, threads: int, others: frozenset[Layer] = frozenset(), *, quick: bool
) -> OpSumModel:
    """The table of this machine with all ops of the space, and `others`."""
    from nas.latency.measure import FULL, QUICK, fill_host_table  # noqa: PLC0415 - onnxruntime

    effort = QUICK if quick else FULL
    networks, layers = _networks_to_fit(space, effort), space.layers() | others
    with _progress("measuring ops and networks on this machine") as progress:
        return fill_host_table(layers, architectures=networks, threads=threads, effort=effort, progress=progress)


def _networks_to_fit(space: SearchSpace, effort: "Effort") -> list[Architecture]:
    return draw_networks(space, effort.networks, "fit") + draw_networks(space, effort.pruned, "fit", pruned=True)


def _measured_board(
    device: str, target: str, space: SearchSpace, others: frozenset[Layer], *, quick: bool
) -> OpSumModel:
    from nas.latency.measure import FULL, QUICK  # noqa: PLC0415 - onnxruntime
    from nas.latency.remote import measure_board  # noqa: PLC0415 - onnx
    from nas.latency.ssh import parse_address  # noqa: PLC0415

    address, folder = parse_address(device), new_target(target, replace=True)  # a table that exists is added to
    networks = _networks_to_fit(space, QUICK if quick else FULL)
    with _progress(f"measuring ops and networks on {address}") as progress:
        return measure_board(address, folder, space.layers() | others, architectures=networks, progress=progress)


@contextmanager
def _progress(text: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr with the time left; what it yields takes the steps done and their number."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn(text), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(text, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
