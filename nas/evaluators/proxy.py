"""`ProxyEvaluator`: trains a candidate for a few epochs on a part of the training images, small.

What comes out ranks candidates; it is not the accuracy that full training would reach.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from nas.errors import StudyError
from nas.network.build import build
from nas.training.checkpoint import save_weights
from nas.training.data import load_data
from nas.training.full import require_classes
from nas.training.loop import Recipe, train
from nas.training.shared import SharedData, share_data
from nas.trial import Outcome, Report, Trial


@dataclass(frozen=True, slots=True)
class ProxyEvaluator:
    """Fills `nas.trial.Evaluator`; accuracy is measured on images held out from the training set.

    The candidate keeps its architecture, the images are scaled to the recipe's resolution. A trial's seed decides
    its first weights and the order of its images. `folder` takes the trained weights as `trial-N.safetensors`.
    """

    data: str
    recipe: Recipe
    train_images: int | None = None  # None: all
    val_images: int | None = None
    folder: Path | None = None
    threads: int = 1  # two processes that share two cores are many times slower with torch's own choice

    def evaluate(self, trial: Trial, report: Report) -> Outcome:
        """Train the trial's network; metrics are those of `nas.training.loop.train`.

        Raises:
            DataError: the data cannot be had, or has another number of classes than the network.
            StudyError: the trial asks for the weights of a parent.
            NasError: the weights cannot be written.
        """
        if trial.proposal.parent is not None:
            raise StudyError(f"trial {trial.number} is to inherit weights; the proxy evaluator trains from scratch")
        torch.set_num_threads(self.threads)
        data = load_data(self.data, resolution=self.recipe.resolution).limited(self.train_images, self.val_images)
        architecture = trial.proposal.architecture
        require_classes(architecture, data)
        network = build(architecture, seed=trial.seed)
        recipe = replace(self.recipe, epochs=trial.proposal.epochs or self.recipe.epochs, seed=trial.seed)
        outcome = train(network, data, recipe, report)
        if self.folder is not None and outcome.error is None:
            about = {"architecture": architecture.to_json(), "data": self.data}
            save_weights(trial_weights(self.folder, trial.number), network, about)
        return outcome

    def shared(self) -> SharedData:
        """The images that its trials see."""
        return share_data(self.data, self.recipe.resolution, self.train_images, self.val_images)


def trial_weights(folder: Path, number: int) -> Path:
    """Where the weights of a trial lie in the folder of its study."""
    return folder / f"trial-{number}.safetensors"
