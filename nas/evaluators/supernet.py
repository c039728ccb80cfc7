"""`SupernetEvaluator`: judges by the weights of a supernet and, if asked, by the start of a training of its own.

What comes out ranks candidates; it is not the accuracy that the candidate would reach when trained alone.
"""

import time
from dataclasses import dataclass
from functools import lru_cache

import torch

from nas.architecture import Architecture
from nas.errors import StudyError
from nas.network.build import build
from nas.training.calibration import CALIBRATION_IMAGES, judge
from nas.training.data import Data
from nas.training.full import require_classes
from nas.training.loop import Recipe, train
from nas.training.supernet import Family
from nas.training.supernet_job import SharedSupernet, SupernetJob
from nas.trial import Metrics, Outcome, Report, Trial

_OWN_LR = 0.1
"""Peak learning rate of the start: as in full trainings (`nas.training.full`), for batches as large. Starts of another
one could not be compared with these, and would need another mark in `version`."""

_OWN_SEED = 0x5EED
"""Added to the trial's: the start must not share its first weights with a training that it is to foretell."""


@dataclass(frozen=True, slots=True)
class SupernetEvaluator:
    """Fills `nas.trial.Evaluator`; accuracy is measured on images held out from the training set.

    The supernet of `job` must be in the cache. Batch norm's statistics are measured anew for each candidate on
    `calibration_images` of the images that the supernet was trained on. On `own_images` of them (as far as they fill
    batches) the candidate is trained from scratch as well, once over, and its accuracy is the mean of both: shared
    weights tell little of how well a network trains, its own first steps tell some of it (2006.04492), and estimates of
    different kinds err differently (2104.01177).
    """

    job: SupernetJob
    val_images: int | None = None  # None: all
    own_images: int | None = None  # None: shared weights alone
    calibration_images: int = CALIBRATION_IMAGES
    threads: int = 1  # of each worker process

    @property
    def version(self) -> str:
        """Weights and start that it judges by: figures of another one cannot be compared with its own."""
        return self.job.version if self.own_images is None else f"{self.job.version}+{self.own_images}"

    def evaluate(self, trial: Trial, report: Report) -> Outcome:
        """Judge the trial's network; metrics: `accuracy`, `loss` and `judge_seconds`.

        With images of its own `shared_accuracy` and `own_accuracy` are what `accuracy` is the mean of; the trial's seed
        decides its first weights and the order of these images.

        Raises:
            DataError: the data cannot be had, or has another number of classes than the network.
            SpaceError: the network is not a point of the supernet's space.
            StudyError: the trial asks for the weights of a parent.
            NasError: there is no such supernet in the cache.
        """
        if trial.proposal.parent is not None:
            raise StudyError(f"trial {trial.number} is to inherit weights; the supernet evaluator has its own")
        torch.set_num_threads(self.threads)
        family, data = _loaded(self.job, self.val_images)
        require_classes(trial.proposal.architecture, data)
        begun = time.perf_counter()
        network = family.network(family.space.encode(trial.proposal.architecture))
        resolution = self.job.recipe.training.resolution
        metrics = judge(network, data, data.val, resolution, self.calibration_images)
        if self.own_images is not None:
            own = self._start(trial.proposal.architecture, data.limited(self.own_images), trial.seed)
            if own.error is not None:
                return Outcome(error=f"the start of its own training: {own.error}")
            metrics = _joined(metrics, own.metrics)
        metrics = {**metrics, "judge_seconds": time.perf_counter() - begun}
        report(1, metrics)
        return Outcome(metrics)

    def _start(self, architecture: Architecture, data: Data, seed: int) -> Outcome:
        """Train once over the images of `data`, in batches of the supernet's size."""
        supernet, seed = self.job.recipe.training, seed + _OWN_SEED
        recipe = Recipe(1, supernet.resolution, supernet.batch_size, lr=_OWN_LR, seed=seed)
        return train(build(architecture, seed=seed), data, recipe, lambda epoch, metrics: False)

    def shared(self) -> SharedSupernet:
        """The trained supernet, and its images."""
        return self.job.shared(self.val_images)


def _joined(shared: Metrics, own: Metrics) -> Metrics:
    """Means of both, and what `accuracy` is made of."""
    means = {key: (shared[key] + own[key]) / 2 for key in ("accuracy", "loss")}
    return {**means, "shared_accuracy": shared["accuracy"], "own_accuracy": own["accuracy"]}


@lru_cache(maxsize=1)
def _loaded(job: SupernetJob, val_images: int | None) -> tuple[Family, Data]:
    """Once in the life of a worker."""
    return job.load(), job.load_data(val_images)
