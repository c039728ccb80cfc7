"""`AdaptEvaluator`: a pruned network with the weights of its parent, trained a little and measured."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nas.architecture import Architecture
from nas.errors import NasError
from nas.evaluators.proxy import trial_weights
from nas.network.build import Network, build
from nas.network.importance import score_filters
from nas.network.inherit import inherit
from nas.network.taylor import Scores, loss_change
from nas.network.widths import wire
from nas.training.batches import train_batches
from nas.training.checkpoint import read_network, save_weights
from nas.training.data import Data, load_data
from nas.training.distill import distillation
from nas.training.full import checkpoint_path, require_classes
from nas.training.loop import Recipe, measure, train
from nas.training.shared import SharedData, share_data
from nas.trial import Metrics, Outcome, Report, Trial

_TAYLOR_BATCHES = 4  # of 64 training images each
_TAYLOR_BATCH = 64


@dataclass(frozen=True, slots=True)
class AdaptEvaluator:
    """Fills `nas.trial.Evaluator` for the trials of `nas.strategies.netadapt.NetAdapt`.

    The first trial is the seed, with the weights of the file `seed` or, if None, fresh ones. A trial with a parent
    begins with its weights, in `folder`; one without any is trained from scratch. Proposals are trained by `short`, on
    `images` of the training set for each epoch, the same for all cuts of one network: in as few passes as there are
    different ones for, each reported as the epoch that it ends with. The seed, and what asks for as many epochs as
    `long`, are trained on all images by `long`. Without epochs no weights are written: a proposal is measured as it is
    or, with `estimates`, has only a `loss_change`, computed from its parent alone (`nas.network.taylor`). Unless it is
    to be `tested`, nothing sees the test images.
    """

    data: str
    folder: Path
    seed: Path | None
    short: Recipe
    long: Recipe
    images: int | None = None  # None: all
    val_images: int | None = None
    importance: str = "l2"
    estimates: bool = False
    distill: bool = False
    scratch_lr: float = 0.1  # in place of the long recipe's where the weights are fresh
    tested: bool = True
    threads: int = 1

    def evaluate(self, trial: Trial, report: Report) -> Outcome:
        """Inherit, train, measure on held-out images; seed and last training have `test_accuracy` and `test_loss`, too.

        Raises:
            NasError: data or weights that cannot be had, weights that cannot be written.
        """
        torch.set_num_threads(self.threads)
        if self.estimates and trial.proposal.epochs == 0 and trial.proposal.parent is not None:
            return Outcome(self._estimated(trial.proposal.architecture, trial.proposal.parent))
        data = load_data(self.data, resolution=self.short.resolution).limited(val_images=self.val_images)
        require_classes(trial.proposal.architecture, data)
        network = self._network(trial, data)
        epochs = self.short.epochs if trial.proposal.epochs is None else trial.proposal.epochs
        if not epochs and trial.number:
            return Outcome(measure(network, data, data.val, self.short.resolution))
        path = trial_weights(self.folder, trial.number)
        outcome = (
            self._train(trial, network, data, epochs, report) if epochs else Outcome(self._measured(network, data))
        )
        if outcome.error is None:
            save_weights(path, network, {"architecture": trial.proposal.architecture.to_json(), "data": self.data})
            checkpoint_path(path).unlink(missing_ok=True)
        return outcome

    def shared(self) -> SharedData:
        """The images that its trials see."""
        return share_data(self.data, self.short.resolution, None, self.val_images, test=self.tested)

    def _network(self, trial: Trial, data: Data) -> Network:
        """The trial's network before any training of its own."""
        architecture, parent = trial.proposal.architecture, trial.proposal.parent
        if parent is not None:
            found, network = read_network(trial_weights(self.folder, parent))
            return (
                network if found == architecture else inherit(network, found, architecture, self._worth(parent).scores)
            )
        if trial.number == 0 and self.seed is not None:
            return read_network(self.seed)[1]
        return build(architecture, seed=trial.seed)

    def _worth(self, number: int) -> "_Worth":
        path = trial_weights(self.folder, number)
        return _worth(path, _age(path), self.importance, self)

    def _estimated(self, child: Architecture, parent: int) -> Metrics:
        worth = self._worth(parent)
        return {"loss_change": loss_change(worth.losses, worth.scores, wire(child).widths)}

    def _train(self, trial: Trial, network: Network, data: Data, epochs: int, report: Report) -> Outcome:
        last = trial.number > 0 and epochs == self.long.epochs
        if trial.number and not last:
            drawn, passes = _drawn(data, self.images, epochs, (self.short.seed, trial.proposal.parent or 0))
            recipe = replace(self.short, epochs=passes, seed=trial.seed)
            return train(network, drawn, recipe, lambda done, metrics: report(done * epochs // passes, metrics))
        fresh = trial.proposal.parent is None and (last or self.seed is None)
        recipe = replace(self.long, epochs=epochs, seed=trial.seed, lr=self.scratch_lr if fresh else self.long.lr)
        teacher = read_network(trial_weights(self.folder, 0))[1] if self.distill and last else None
        loss = distillation(teacher, recipe) if teacher is not None else None
        checkpoint = checkpoint_path(trial_weights(self.folder, trial.number))
        outcome = train(network, data, recipe, report, checkpoint, loss=loss)
        return (
            outcome if outcome.error else replace(outcome, metrics={**outcome.metrics, **self._tested(network, data)})
        )

    def _measured(self, network: Network, data: Data) -> Metrics:
        return {**measure(network, data, data.val, self.short.resolution), **self._tested(network, data)}

    def _tested(self, network: Network, data: Data) -> Metrics:
        if not self.tested:
            return {}
        tested = measure(network, data, data.test, self.long.resolution)
        return {f"test_{name}": value for name, value in tested.items()}


@dataclass(frozen=True, slots=True)
class _Worth:
    """What the filters of a network are worth: what its cuts keep has the highest scores."""

    scores: Scores
    losses: Scores  # those of importance taylor, for estimates


def _age(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError as error:
        raise NasError(f"{path}: the weights to inherit: {error.strerror}") from None


@lru_cache(maxsize=2)
def _worth(path: Path, age: int, importance: str, evaluator: AdaptEvaluator) -> _Worth:
    """All cuts of one network share it."""
    architecture, network = read_network(path)
    taylor = evaluator.estimates or importance == "taylor"
    losses = score_filters(network, architecture, "taylor", _taylor_batches(evaluator)) if taylor else ()
    scores = losses if importance == "taylor" else score_filters(network, architecture, importance)
    return _Worth(scores, losses)


def _taylor_batches(evaluator: AdaptEvaluator) -> Iterator[tuple[Tensor, Tensor]]:
    resolution = evaluator.short.resolution
    data = load_data(evaluator.data, resolution=resolution)
    batches = train_batches(data, _TAYLOR_BATCH, resolution, np.random.default_rng(0))
    return islice(batches, _TAYLOR_BATCHES)


def _drawn(data: Data, images: int | None, epochs: int, seed: tuple[int, int]) -> tuple[Data, int]:
    """What `epochs` of so many training images see, and how often: as many different images as there are.

    They are the same for all children of a parent, so that chance favours none.
    """
    there = len(data.train)
    if images is None or images >= there:
        return data, epochs
    passes = math.ceil(images * epochs / there)
    places = np.random.default_rng(seed).permutation(there)[: images * epochs // passes]
    return replace(data, train=data.train.subset(places)), passes
