"""`SupernetEvaluator`: judges a candidate with the weights of a trained supernet, without training it.

What comes out ranks candidates; it is not the accuracy that the candidate would reach when trained alone.
"""

import time
from dataclasses import dataclass
from functools import lru_cache

import torch

from nas.errors import StudyError
from nas.training.calibration import CALIBRATION_IMAGES, judge
from nas.training.data import Data
from nas.training.full import require_classes
from nas.training.supernet import Family
from nas.training.supernet_job import SharedSupernet, SupernetJob
from nas.trial import Outcome, Report, Trial


@dataclass(frozen=True, slots=True)
class SupernetEvaluator:
    """Fills `nas.trial.Evaluator`; accuracy is measured on images held out from the training set.

    The supernet of `job` must be in the cache. Batch norm's statistics are measured anew for each candidate on
    `calibration_images` of the images that the supernet was trained on.
    """

    job: SupernetJob
    val_images: int | None = None  # None: all
    calibration_images: int = CALIBRATION_IMAGES
    threads: int = 1  # of each worker process

    def evaluate(self, trial: Trial, report: Report) -> Outcome:
        """Judge the trial's network; metrics: `accuracy`, `loss` and `judge_seconds`.

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
        metrics = {**metrics, "judge_seconds": time.perf_counter() - begun}
        report(1, metrics)
        return Outcome(metrics)

    def shared(self) -> SharedSupernet:
        """The trained supernet, and its images."""
        return self.job.shared(self.val_images)


@lru_cache(maxsize=1)
def _loaded(job: SupernetJob, val_images: int | None) -> tuple[Family, Data]:
    """Once in the life of a worker."""
    return job.load(), job.load_data(val_images)
