"""`train_fully()`: one network trained for good, and measured at last on the test set."""

from pathlib import Path

from nas.architecture import Architecture
from nas.errors import DataError
from nas.network.build import build
from nas.training.checkpoint import save_weights
from nas.training.data import Data
from nas.training.loop import Recipe, measure, train
from nas.trial import Outcome, Report


def full_recipe(epochs: int, resolution: int, seed: int = 0) -> Recipe:
    """A recipe for tens of epochs: more regularisation than a proxy has time for."""
    return Recipe(epochs, resolution, batch_size=64, lr=0.1, weight_decay=5e-4, label_smoothing=0.1, seed=seed)


def train_fully(  # noqa: PLR0913 - what is trained, on what, how, who hears of it and where it is kept
    architecture: Architecture,
    data: Data,
    recipe: Recipe,
    report: Report,
    weights: Path,
    *,
    clip: float | None = None,
) -> Outcome:
    """Train from scratch and save the weights; the outcome has `test_accuracy` and `test_loss` as well.

    After each epoch all is saved beside `weights`, as `.checkpoint.safetensors`; called again with the same
    arguments, the training goes on from there. An outcome that is stopped or an error has no test figures. `clip` is
    that of `train`.

    Raises:
        DataError: the network tells apart another number of classes than the data has.
        NasError: a file that cannot be written, or the checkpoint of another training.
    """
    require_classes(architecture, data)
    network = build(architecture, seed=recipe.seed)
    outcome = train(network, data, recipe, report, checkpoint_path(weights), clip=clip)
    if outcome.error is not None or outcome.stopped:
        return outcome
    about = {"architecture": architecture.to_json(), "data": data.info.name}
    save_weights(weights, network, about)
    test = measure(network, data, data.test, recipe.resolution)
    return Outcome({**outcome.metrics, **{f"test_{name}": value for name, value in test.items()}})


def checkpoint_path(weights: Path) -> Path:
    """Where a training that is to end in the file `weights` keeps its state meanwhile."""
    return weights.with_suffix(".checkpoint.safetensors")


def require_classes(architecture: Architecture, data: Data) -> None:
    """Raise a DataError unless the network tells apart as many classes as the data has."""
    if architecture.num_classes != data.info.num_classes:
        raise DataError(
            f"{data.info.name} has {data.info.num_classes} classes, the network tells apart {architecture.num_classes}"
        )
