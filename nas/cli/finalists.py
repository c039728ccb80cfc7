"""The best networks of a supernet search, each trained alone: what the supernet's figures are worth."""

from pathlib import Path
from typing import Any

import click

from nas.cli.records import trial_record
from nas.errors import NasError
from nas.executors.ray.cluster import RayCluster
from nas.search import TOP, SearchResult, SearchSettings
from nas.storage import is_local
from nas.store.records import StoredTrial


def finalist_count(given: int | None, epochs: int | None, evaluator: str, trials: int) -> int:
    """How many of the best are trained alone: as many as `given`, else 3 of a supernet's and none of others.

    Raises:
        NasError: finalists without images, more of them than there can be, or epochs of none.
    """
    count = given if given is not None else 3 if evaluator == "supernet" else 0
    if count and evaluator == "predictor":
        raise NasError("--finalists are trained on images; expected --data, too")
    if given and given > (most := min(trials, TOP)):
        raise NasError(f"--finalists {given} of {trials} trials; expected at most {most}")
    if epochs and not count:
        raise NasError("--final-epochs is about finalists, and there are none; expected --finalists, too")
    return count


def train_finalists(  # noqa: PLR0913, PLR0917 - which networks, how and where
    found: SearchResult,
    settings: SearchSettings,
    folder: Path,
    count: int,
    epochs: int,
    workers: int,
    cluster: RayCluster | None = None,
) -> list[dict[str, Any]]:
    """Records of the `count` best trials, the most accurate training first; weights go into `folder`.

    `accuracy` is that of the search, `trained_accuracy` that of the training from scratch; both are of images held
    out from the training set. What was trained before is not trained again. Images have the size that suits the data,
    or that of the search if it is larger: a supernet learns from small ones.

    Raises:
        NasError: a network could not be trained, or its weights not be written.
    """
    from nas.evaluators.full import FullEvaluator, full_weights  # noqa: PLC0415 - torch
    from nas.executors.kept import evaluate_all  # noqa: PLC0415
    from nas.training.data import describe_data  # noqa: PLC0415
    from nas.training.full import full_recipe  # noqa: PLC0415

    assert settings.data is not None
    assert settings.proxy is not None
    resolution = max(settings.proxy.resolution, describe_data(settings.data).resolution)
    folder /= f"{epochs}-epochs-{resolution}px"
    recipe = full_recipe(epochs, resolution)
    evaluator = FullEvaluator(settings.data, recipe, folder.absolute(), settings.proxy.train_images)
    best = found.top[:count]
    networks = [stored.trial.proposal.architecture for stored in best]
    kept = folder if is_local(folder) else Path("runs", found.study, "finalists", folder.name)
    seed = settings.seed

    def say(line: str) -> None:
        click.echo(line, err=True)

    trained = evaluate_all(networks, evaluator, kept, workers, say, (seed,), cluster)
    records = [
        {
            **trial_record(stored),
            "trained_accuracy": metrics["accuracy"],
            "epochs": epochs,
            "resolution": resolution,
            "weights": str(full_weights(folder, stored.trial.proposal.architecture, seed)),
        }
        for stored, metrics in zip(best, trained, strict=True)
    ]
    return sorted(records, key=lambda record: -record["trained_accuracy"])


def winner_of(found: SearchResult, finalists: list[dict[str, Any]]) -> StoredTrial | None:
    """The network to go on with: the best of the finalists, or that of the search if none was trained alone."""
    if not finalists:
        return found.best
    return next(stored for stored in found.top if stored.id == finalists[0]["trial"])


def print_finalists(records: list[dict[str, Any]]) -> None:
    """Both figures of each, as a table."""
    from nas.cli import tables  # noqa: PLC0415

    rows = [
        [f"trial:{r['trial']}", f"{r['latency_ms']:.1f}", f"{r['accuracy']:.2%}", f"{r['trained_accuracy']:.2%}"]
        for r in records
    ]
    how = f"for {records[0]['epochs']} epochs at {records[0]['resolution']} px"
    click.echo(f"\ntrained from scratch {how} (images held out from the training set):\n")
    tables.print_table(("trial ", "latency ms", "in the search", "trained"), rows)
    click.echo(f"\nweights of the best: {records[0]['weights']}")
