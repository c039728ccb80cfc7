"""`nas latency measure`: the table of this machine, of a board or of a phone."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nas.cli.latency.common import (
    classes_option,
    dtype_option,
    error_text,
    measured_host,
    networks_to_fit,
    progress_bar,
    require_host,
    space_option,
    threads_option,
)
from nas.cli.latency.phone import phone_link, time_user_models
from nas.cli.options import json_option, resolve_network, store_option
from nas.errors import LatencyError
from nas.latency.dtype import Dtype
from nas.latency.host import HOST
from nas.latency.targets import new_target
from nas.layers import Layer, lower
from nas.space import SearchSpace, load_space

if TYPE_CHECKING:
    from nas.latency.model import OpSumModel
    from nas.latency.remote import Link


@click.command()
@click.argument("archs", nargs=-1, metavar="[ARCH]...")
@click.option("--target", default=HOST, show_default=True, help="host is this machine; with --device, a new name.")
@click.option(
    "--device",
    metavar="ADDRESS",
    help="ssh://USER@HOST[:PORT], a Linux board with python3, numpy and onnxruntime; or adb://SERIAL, with --runner.",
)
@click.option(
    "--runner", metavar="NAME=PATH", help="Of adb://: ort_perf_test or tflite_benchmark, built for the phone."
)
@click.option("--cores", metavar="MASK", help="Of adb://: the cores to run on, in hexadecimal, such as f0.")
@click.option(
    "--models",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Of adb://: time the model files in this folder instead.",
)
@space_option
@classes_option
@threads_option
@dtype_option
@click.option("--quick", is_flag=True, help="Fewer networks and shorter readings: a minute or two, and a larger error.")
@store_option
@json_option
def measure(  # noqa: PLR0913, PLR0917 - the command's options
    archs: tuple[str, ...], target: str, device: str | None, runner: str | None, cores: str | None,
    models: Path | None, space: str, classes: int, threads: int | None, dtype: Dtype | None, quick: bool,
    store_url: str, as_json: bool,
) -> None:  # fmt: skip
    """Measure each op of a space, and of each ARCH if given, here or on a board with ONNX Runtime.

    Whole networks of the space are measured, too: they correct what the ops take alone. Only what the table lacks is
    measured, so that a run that was stopped goes on where it was.
    """
    found = load_space(space).with_num_classes(classes)
    others = frozenset(layer for arch in archs for layer in lower(resolve_network(arch, store_url).architecture))
    if device is not None:
        if target == HOST:
            raise LatencyError("--device is not this machine; expected --target with a name for it")
        if threads not in (None, 1):
            raise LatencyError("--threads: a board is measured with one thread; expected --threads 1 or none")
        phone = phone_link(device, runner, cores, models)
        if phone is not None and models is not None:
            time_user_models(phone, models, target, store_url, as_json=as_json)
            return
        model = _measured_board(phone or _board(device), target, dtype or "float32", found, others, quick=quick)
    else:
        phone_link("", runner, cores, models)
        setup = require_host(target, threads, dtype, f"only --target {HOST} can, or a board that --device names")
        model = measured_host(found, setup, others, quick=quick)
    if as_json:
        from nas.cli import tables  # noqa: PLC0415

        tables.print_json({"target": model.target, "version": model.version, "error": dict(model.device.error)})
        return
    runtime = f"{model.device.runtime} {model.device.runtime_version}"
    click.echo(f"{model.target}: {model.device.device}, {runtime}; mean error {error_text(model.device.error)}")
    for item in model.device.provenance:
        if note := item.get("note"):
            click.echo(note)


def _measured_board(  # noqa: PLR0913
    link: "Link", target: str, dtype: Dtype, space: SearchSpace, others: frozenset[Layer], *, quick: bool
) -> "OpSumModel":
    from nas.latency.bench import FULL, QUICK  # noqa: PLC0415 - onnxruntime
    from nas.latency.remote import measure_board  # noqa: PLC0415 - onnx

    folder = new_target(target, replace=True)  # a table that exists is added to
    networks = networks_to_fit(space, QUICK if quick else FULL)
    with progress_bar(f"measuring ops and networks on {link}") as progress:
        return measure_board(
            link, folder, space.layers() | others, architectures=networks, dtype=dtype, progress=progress
        )


def _board(device: str) -> "Link":
    from nas.latency.ssh import parse_address  # noqa: PLC0415

    return parse_address(device)
