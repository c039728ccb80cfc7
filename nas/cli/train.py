"""`nas train`: one network, trained longer, with a final test-set figure."""

import hashlib
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import click

from nas.cli.options import SEED, json_option, resolve_network, store_option
from nas.errors import NasError
from nas.trial import Report


@click.command()
@click.argument("arch")
@click.option("--data", required=True, help="cifar10, digits or imagefolder:DIR.")
@click.option("--epochs", default=30, show_default=True, type=click.IntRange(min=1))
@click.option("--resolution", type=click.IntRange(16), help="Pixels in training.  [default: what suits the data]")
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The weights.  [default: runs/train/...]")
@store_option
@json_option
def train(  # noqa: PLR0913, PLR0917 - the command's options
    arch: str,
    data: str,
    epochs: int,
    resolution: int | None,
    seed: int,
    out: Path | None,
    store_url: str,
    as_json: bool,
) -> None:
    """Train ARCH from scratch (a reference network, a JSON file or trial:ID) and measure it on the test set.

    The state is saved after each epoch: the same command goes on where it stopped. The classifier is made for the
    classes of the data.
    """
    from nas.cli import tables  # noqa: PLC0415
    from nas.training.data import data_content, describe_data, load_data  # noqa: PLC0415

    info = describe_data(data)
    network = resolve_network(arch, store_url).architecture.with_num_classes(info.num_classes)
    resolution = resolution or info.resolution
    digest = hashlib.sha256(f"{data_content(data)} {epochs} {resolution} {seed}".encode()).hexdigest()[:6]
    weights = out or Path("runs/train") / f"{network.id}-{data.partition(':')[0]}-{digest}.safetensors"

    from nas.training.full import full_recipe, train_fully  # noqa: PLC0415 - torch

    try:
        outcome = train_fully(
            network,
            load_data(data, resolution=resolution),
            full_recipe(epochs, resolution, seed),
            _progress(epochs),
            weights,
        )
    except KeyboardInterrupt:
        click.echo("nas: stopped; the same command goes on after the last epoch that ended", err=True)
        raise SystemExit(130) from None
    if outcome.error is not None:
        raise NasError(outcome.error)
    record = {"architecture": network.id, "data": data, "epochs": epochs, "weights": str(weights), **outcome.metrics}
    if as_json:
        tables.print_json(record)
        return
    click.echo(
        f"{arch}: {outcome.metrics['test_accuracy']:.2%} on the test set of {data} after {epochs} epochs at "
        f"{resolution} px ({outcome.metrics['accuracy']:.2%} on held-out images); weights in {weights}"
    )


def _progress(epochs: int) -> Report:
    begun, first = time.monotonic(), 0

    def report(epoch: int, metrics: Mapping[str, float]) -> bool:
        nonlocal first
        first = first or epoch  # a resumed training does not begin with 1
        left = (time.monotonic() - begun) / (epoch - first + 1) * (epochs - epoch)
        print(
            f"epoch {epoch}/{epochs}: accuracy {metrics['accuracy']:.2%}, loss {metrics['loss']:.3f}; "
            f"about {left / 60:.0f} min left",
            file=sys.stderr,
            flush=True,
        )
        return False

    return report
