"""`nas export`: a trained network as a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.cli.options import json_option, resolve_network, store_option, stored_trial
from nas.errors import NasError

if TYPE_CHECKING:  # importing it means importing torch
    from nas.export.files import Trained
    from nas.store.records import StoredTrial


@click.command()
@click.argument("arch")
@click.option("--format", "format_", required=True, type=click.Choice(["onnx", "onnx-int8", "state-dict", "timm"]))
@click.option("--check", is_flag=True, help="Compare the ONNX file with torch on held-out images.")
@click.option("--data", help="What it was trained on.  [default: what its study says]")
@click.option("--resolution", type=click.IntRange(16), help="Pixels of an image.  [default: those of its training]")
@click.option("--untrained", is_flag=True, help="Export a network without weights, with random ones.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder.  [default: runs/export/...]")
@store_option
@json_option
def export(  # noqa: PLR0913, PLR0917 - the command's options
    arch: str,
    format_: str,
    check: bool,
    data: str | None,
    resolution: int | None,
    untrained: bool,
    out: Path | None,
    store_url: str,
    as_json: bool,
) -> None:
    """Write ARCH with its weights as a file, and beside it a JSON file that says what it is.

    ARCH is trial:ID, a .safetensors file of `nas train`, reference:NAME,WEIGHTS or torchvision:NAME; with --untrained
    also a reference network's name or a JSON file.
    """
    from nas.cli import tables  # noqa: PLC0415

    _require_possible(arch, format_, check, data, store_url)
    from nas.export.files import export as write  # noqa: PLC0415 - torch, which no mistake above has to wait for

    trained = _trained(arch, data, resolution, untrained, store_url)
    folder = out or Path("runs/export") / f"{trained.architecture.id}-{trained.resolution}px"
    record = write(trained, format_, folder, check=check)
    if as_json:
        tables.print_json(record)
        return
    click.echo(f"{folder / record['file']}: {arch}, {record['params']:,} params, images of {trained.resolution} px")
    if record["opset"]:
        click.echo(f"opset {record['opset']}, any number of images at once")
    if "check" in record:
        click.echo(f"largest difference from torch on held-out images: {record['check']['max_difference']:.2g}")
    for name, judged in record.get("compared", {}).items():
        click.echo(f"{name:8} {judged['test_accuracy']:.2%} on the test set, {judged['ms']:.2f} ms on this machine")


def _require_possible(arch: str, format_: str, check: bool, data: str | None, store_url: str) -> None:
    """Raise a NasError for what is known to be wrong without torch."""
    from nas.store.store import Store  # noqa: PLC0415
    from nas.training.data import describe_data  # noqa: PLC0415

    if check and not format_.startswith("onnx"):
        raise NasError(f"--check compares ONNX files with torch; there is nothing to compare in {format_}")
    if data:
        describe_data(data)
    if arch.startswith("trial:"):
        with Store.open_existing(store_url) as store:
            stored_trial(arch, store)
    elif ":" not in arch and not arch.endswith(".safetensors"):
        resolve_network(arch, store_url)


def _trained(arch: str, data: str | None, resolution: int | None, untrained: bool, store_url: str) -> "Trained":
    from nas.adapt.trained import trained_by, trial_source  # noqa: PLC0415
    from nas.export.files import Trained  # noqa: PLC0415
    from nas.network.build import build  # noqa: PLC0415
    from nas.sources import Source, load_source  # noqa: PLC0415
    from nas.store.store import Store  # noqa: PLC0415
    from nas.training.data import describe_data, load_data  # noqa: PLC0415

    metrics, provenance = dict[str, float](), dict[str, Any]()
    if arch.startswith("trial:"):
        with Store.open_existing(store_url) as store:
            stored = stored_trial(arch, store)
            study = store.study(stored.study)
            source = trial_source(stored, store)
            provenance = _provenance(stored, trained_by(stored, store))
        settings = study.settings if study else {}
        data = data or settings.get("data")
        resolution = resolution or settings.get("resolution") or settings.get("proxy", {}).get("resolution")
        metrics = dict(stored.trial.outcome.metrics) if stored.trial.outcome else {}
    elif ":" in arch or arch.endswith(".safetensors"):
        source = load_source(arch)
    else:
        source = Source(arch, resolve_network(arch, store_url).architecture, None)
    network = source.network
    if network is None:
        if not untrained:
            raise NasError(f"{arch} has no weights; give reference:NAME,WEIGHTS, or --untrained for random ones")
        network, provenance = build(source.architecture), {"weights": "random"}
    resolution = resolution or (describe_data(data).resolution if data else source.architecture.resolution)
    images = load_data(data, resolution=resolution) if data else None
    if images and images.info.num_classes != source.architecture.num_classes:
        raise NasError(
            f"{images.info.name} has {images.info.num_classes} classes, {arch} tells apart "
            f"{source.architecture.num_classes}; expected the data that it was trained on"
        )
    return Trained(arch, source.architecture, network, resolution, images, metrics, provenance)


def _provenance(stored: "StoredTrial", trained: "StoredTrial") -> dict[str, Any]:
    """Where the weights come from, and the latency for which the network was chosen; two trials if one reused."""
    return {
        "study": trained.study,
        "trial": trained.id,
        "target": stored.target,
        "predicted_ms": stored.latency_ms,
        "latency_version": stored.latency_version,
        "versions": dict(trained.versions),
    }
