"""`nas space check`: whether a cheap evaluator is to be believed."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.cli.options import cores, json_option
from nas.cli.ray_options import ray_options

if TYPE_CHECKING:  # importing them means importing torch
    from nas.check import Check
    from nas.executors.ray.cluster import RayCluster
    from nas.rank import Agreement
    from nas.search import ProxyTraining
    from nas.trial import Evaluator

FOLDER = Path("runs/check")


@click.command()
@click.option("--evaluator", type=click.Choice(["supernet", "proxy"]), required=True, help="What is to be checked.")
@click.option("--space", default="mobilenet_v3", show_default=True, help="A space of `nas space list`, or a YAML file.")
@click.option("--data", default="cifar10", show_default=True, help="cifar10, digits or imagefolder:DIR.")
@click.option("--networks", default=12, show_default=True, type=click.IntRange(min=3), help="How many to train.")
@click.option("--epochs", default=30, show_default=True, type=click.IntRange(1), help="Epochs of each training.")
@click.option(
    "--trainings", default=1, show_default=True, type=click.IntRange(1, 100), help="Of each: how far do several agree?"
)
@click.option("--images", type=click.IntRange(1), help="Images of each training.  [default: all]")
@click.option("--resolution", type=click.IntRange(16), help="Pixels.  [default: what suits the data]")
@click.option("--proxy-epochs", type=click.IntRange(1), help="Epochs of the evaluator.  [default: what suits the data]")
@click.option("--proxy-images", type=click.IntRange(2), help="Images of the evaluator.  [default: what suits the data]")
@click.option("--own-images", type=int, help="Of those of the supernet: train each network on so many, too.")
@click.option("--seed", default=0, show_default=True, help="Other seeds draw other networks.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes.  [default: one a core]")
@ray_options
@json_option
def check(  # noqa: PLR0913, PLR0917 - the command's options
    evaluator: str,
    space: str,
    data: str,
    networks: int,
    epochs: int,
    trainings: int,
    images: int | None,
    resolution: int | None,
    proxy_epochs: int | None,
    proxy_images: int | None,
    own_images: int | None,
    seed: int,
    workers: int | None,
    cluster: "RayCluster | None",
    storage: str | None,
    as_json: bool,
) -> None:
    """Train random networks properly and compare their order with the one that a cheap evaluator gives.

    Both accuracies are of images that no training has seen: the evaluator's of those held out from the training set,
    the training's of the test set. All that is done is kept in runs/check: the same command goes on where it stopped,
    and --networks can be raised. Networks that were trained for one evaluator are not trained again for the other.

    With --trainings 2 or more each network is trained with so many seeds, and the evaluator is compared with their
    mean. Trainings that hardly agree on the order leave little that an evaluator could be right about; how much, is
    said, too.
    """
    from nas.check import check as compare  # noqa: PLC0415 - torch
    from nas.check import check_record, random_networks  # noqa: PLC0415
    from nas.cli import tables  # noqa: PLC0415
    from nas.evaluators.full import FullEvaluator  # noqa: PLC0415
    from nas.search import proxy_training, require_own_images  # noqa: PLC0415
    from nas.space import load_space  # noqa: PLC0415
    from nas.storage import open_folder  # noqa: PLC0415
    from nas.training.data import data_content, describe_data, load_data  # noqa: PLC0415
    from nas.training.full import full_recipe  # noqa: PLC0415

    info = describe_data(data)
    training = proxy_training(data, evaluator, resolution=resolution, epochs=proxy_epochs, train_images=proxy_images)
    require_own_images(own_images, evaluator, training)
    found_space = load_space(space).with_num_classes(info.num_classes)
    drawn = random_networks(found_space, networks, seed)
    pixels = resolution or info.resolution
    load_data(data, resolution=pixels)  # a download or a broken folder shows before work
    workers = workers or (cores() if cluster is None else networks)
    content = data_content(data)  # other images in the same folder are other results
    truth_key = _digest(content, pixels, epochs, images)
    trained_in = open_folder(storage or str(FOLDER)) / f"trained-{truth_key}"
    truth = FullEvaluator(data, full_recipe(epochs, pixels), trained_in, images)
    try:
        if evaluator == "supernet":
            judge, content = _supernet(space, data, training, own_images, workers if cluster is None else cores())
        else:
            judge = _proxy(data, training)
        judged_in = FOLDER / f"{evaluator}-{_digest(judge, content)}"
        found = compare(drawn, judge, truth, judged_in, workers, _say, cluster, trainings)
    except KeyboardInterrupt:
        click.echo("nas: stopped; the same command goes on where it stopped", err=True)
        raise SystemExit(130) from None
    about = {"space": space, "data": data, "evaluator": evaluator, "own_images": own_images, "epochs": epochs}
    if as_json:
        tables.print_json({**about, **check_record(found)})
        return
    _print(evaluator if own_images is None else f"{evaluator} and start", data, epochs, found)


def _supernet(
    space: str, data: str, training: "ProxyTraining", own_images: int | None, threads: int
) -> tuple["Evaluator", str]:
    """The supernet of a search, trained, and the name of its file: another one once space or images have changed."""
    from nas.cli.supernet_progress import SupernetProgress  # noqa: PLC0415
    from nas.evaluators.supernet import SupernetEvaluator  # noqa: PLC0415 - torch
    from nas.training.supernet_job import supernet_job  # noqa: PLC0415

    job = supernet_job(
        space, data, resolution=training.resolution, epochs=training.epochs, train_images=training.train_images
    )
    path = job.ready(SupernetProgress(), threads=threads)
    return SupernetEvaluator(job, training.val_images, own_images), path.name


def _proxy(data: str, training: "ProxyTraining") -> "Evaluator":
    """The short training of a search."""
    from nas.evaluators.proxy import ProxyEvaluator  # noqa: PLC0415 - torch
    from nas.training.loop import Recipe  # noqa: PLC0415

    recipe = Recipe(epochs=training.epochs, resolution=training.resolution)
    return ProxyEvaluator(data, recipe, training.train_images, training.val_images)


def _digest(*settings: Any) -> str:
    return hashlib.sha256(repr(settings).encode()).hexdigest()[:8]


def _say(line: str) -> None:
    click.echo(line, err=True)


def _print(evaluator: str, data: str, epochs: int, found: "Check") -> None:
    from nas.cli import tables  # noqa: PLC0415

    rows = [
        [c.architecture.id, f"{c.judged:.2%}", *(f"{accuracy:.2%}" for accuracy in c.trainings)]
        for c in sorted(found.compared, key=lambda c: -c.trained)
    ]
    count = len(found.compared[0].trainings)
    tables.print_table(("network ", evaluator, f"test, {epochs} epochs", *["again"] * (count - 1)), rows)
    judging = sum(c.judge_seconds for c in found.compared) / len(rows)
    training = sum(c.train_seconds for c in found.compared) / len(rows)
    click.echo(
        f"\nKendall's tau between {evaluator} and training on {data}: {_tau(found.order)} ({len(rows)} networks); "
        f"{judging:.1f} s to judge one, {training:.0f} s to train it{f' {count} times' if count > 1 else ''}"
    )
    if found.repeated:
        click.echo(f"between two trainings of the same networks: {_tau(found.repeated)}")
    if found.attainable and found.attainable.kendall is not None:
        click.echo(f"so an evaluator that knew what each network has on average could expect {_tau(found.attainable)}")


def _tau(order: "Agreement") -> str:
    """With its interval; or why there is none."""
    from nas.check import COVERAGE  # noqa: PLC0415

    if order.kendall is None:
        return "not defined, one of the two finds all networks equal"
    if order.low is None:
        return f"{order.kendall:.2f}, too few networks for an interval"
    return f"{order.kendall:.2f}, {order.low:.2f} to {order.high:.2f} with confidence {COVERAGE:g}"
