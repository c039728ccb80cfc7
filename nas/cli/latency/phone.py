"""`nas latency measure --models DIR`: whole networks in the user's own model files, timed on a phone."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nas.cli.latency.common import progress_bar
from nas.cli.options import resolve_network
from nas.errors import LatencyError

if TYPE_CHECKING:
    from nas.latency.adb import AdbLink


def phone_link(device: str, runner: str | None, cores: str | None, models: Path | None) -> "AdbLink | None":
    """The phone that the options mean; None if the device is none.

    Raises:
        LatencyError: no address of a phone, or options that do not go together.
    """
    if not device.startswith("adb:"):
        if runner or cores or models:
            raise LatencyError("--runner, --cores and --models are those of a phone; expected --device adb://SERIAL")
        return None
    from nas.latency.adb import parse_adb  # noqa: PLC0415

    link = parse_adb(device, runner, cores)
    if models is None and link.runner.program.suffix != ".onnx":
        raise LatencyError(
            f"--runner: {link.runner.name} takes model files that nas does not make; expected --models DIR"
        )
    return link


def time_user_models(link: "AdbLink", folder: Path, target: str, store_url: str, *, as_json: bool) -> None:
    """Time the models of a folder into TARGET.csv, and say how a target is made of it.

    Raises:
        LatencyError: no model in the folder, no phone, or a program that fails.
        NasError: a file that is named for no network.
    """
    from nas.cli import tables  # noqa: PLC0415
    from nas.latency.phone_models import time_models  # noqa: PLC0415 - scipy

    suffix, path = link.runner.program.suffix, Path(f"{target}.csv")
    models = {_network(file, store_url): file for file in sorted(folder.glob(f"*{suffix}"))}
    if not models:
        raise LatencyError(f"{folder}: no {suffix} files; expected one for each network, such as mobilenet_v2{suffix}")
    with progress_bar(f"timing models on {link}") as progress:
        count = time_models(link, models, path, progress)
    if as_json:
        tables.print_json({"csv": str(path), "networks": count})
        return
    click.echo(f"{count} networks in {path}; next: nas latency fit --csv {path} --target {target} [--like pixel]")


def _network(file: Path, store_url: str) -> str:
    """What `nas latency fit` knows the network of a model by: the JSON file beside it, else its name."""
    beside = file.with_suffix(".json")
    if beside.is_file():
        return str(beside.resolve())
    resolve_network(file.stem, store_url)  # an unknown one is found before anything is timed
    return file.stem
