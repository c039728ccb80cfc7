"""`FullEvaluator`: trains a network properly, from scratch; what the cheap evaluators are compared with."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from nas.architecture import Architecture
from nas.errors import StudyError
from nas.executors.kept import kept_name
from nas.training.data import load_data
from nas.training.full import train_fully
from nas.training.loop import Recipe
from nas.training.shared import SharedData, share_data
from nas.trial import Outcome, Report, Trial


@dataclass(frozen=True, slots=True)
class FullEvaluator:
    """Fills `nas.trial.Evaluator`; its metrics are those of `train_fully`, with `test_accuracy`.

    The state is saved in `folder` after every epoch, so that the same trial goes on where it was stopped.
    """

    data: str
    recipe: Recipe
    folder: Path
    train_images: int | None = None  # None: all
    val_images: int | None = None
    threads: int = 1
    clip: float | None = None  # of the norm of the gradients

    def evaluate(self, trial: Trial, report: Report) -> Outcome:
        """Train the trial's network with the recipe and the trial's seed.

        Raises:
            DataError: the data cannot be had, or has another number of classes than the network.
            StudyError: the trial asks for the weights of a parent.
            NasError: the weights cannot be written.
        """
        if trial.proposal.parent is not None:
            raise StudyError(f"trial {trial.number} is to inherit weights; it is trained from scratch")
        torch.set_num_threads(self.threads)
        data = load_data(self.data, resolution=self.recipe.resolution).limited(self.train_images, self.val_images)
        architecture = trial.proposal.architecture
        recipe = replace(self.recipe, seed=trial.seed)
        weights = full_weights(self.folder, architecture, trial.seed)
        return train_fully(architecture, data, recipe, report, weights, clip=self.clip)

    def shared(self) -> SharedData:
        """The images that its trials see."""
        return share_data(self.data, self.recipe.resolution, self.train_images, self.val_images, test=True)


def full_weights(folder: Path, architecture: Architecture, seed: int = 0) -> Path:
    """Where the weights of a network that was trained with this seed lie."""
    return folder / f"{kept_name(architecture, seed)}.safetensors"
