"""`train_supernet()`: all networks of a space trained at once, in shared weights (BigNAS, 2003.11142).

Each step trains the largest network, the smallest and some random ones on the same images: the sandwich rule. The
largest learns from the labels, the others from its outputs too: in-place distillation.
"""

import json
import math
import statistics
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from nas.errors import NasError
from nas.layers import lower, total_macs
from nas.network.build import Network
from nas.network.supernet import Supernet
from nas.space import Genotype, SearchSpace
from nas.space.places import largest, places_of, smallest, widest
from nas.training.batches import Batch, steps_per_epoch, train_batch
from nas.training.calibration import judge
from nas.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from nas.training.data import Data
from nas.training.distributed import ALONE, Peers
from nas.training.loop import Recipe, make_optimizer, pick_device, precision
from nas.trial import Metrics

Watch = Callable[[int, int, Metrics], None]
"""`watch(step, steps, metrics)` now and then; steps count from 1, the metrics are the latest."""

_SAVE_SECONDS = 60.0  # between checkpoints
_WATCH_SECONDS = 5.0
_SHOWN_IMAGES = 1000  # for the accuracies that are shown on the way
_MIDDLE_OF = 15  # random networks


@dataclass(frozen=True, slots=True)
class SupernetRecipe:
    """How to train: `training` as for one network, with `networks` of them in each step (BigNAS has 4).

    All but the largest learn from its outputs and, to the share `labels`, from the labels: while the largest still
    knows little, there is little to learn from it. (On digits, after the same steps, 16 random networks of a small
    space had 83 % on average with a half, 74 % with outputs alone, 70 % with labels alone: one run each.) The norm of
    the sum of all gradients is at most `clip`.
    """

    training: Recipe
    networks: int = 4
    labels: float = 0.5
    clip: float = 2.0


@final
class Family:
    """The networks of a space, whose weights are those of one supernet."""

    def __init__(self, space: SearchSpace, *, seed: int = 0) -> None:
        places = widest(space)
        self.space = space
        self.supernet = Supernet(
            {name: place.layers for name, place in places.items()},
            [name for name, place in places.items() if place.residual],
            seed=seed,
        )

    def network(self, genotype: Genotype) -> Network:
        """The network of a canonical genotype; it shares its weights."""
        return self.supernet.subnetwork(self.space.decode(genotype), places_of(self.space, genotype))

    def middle(self) -> Genotype:
        """Of some random networks the one of median MAdds, always the same."""
        rng = Random(0)
        drawn = [self.space.sample(rng) for _ in range(_MIDDLE_OF)]
        cost = {genotype: total_macs(lower(self.space.decode(genotype))) for genotype in drawn}
        return next(genotype for genotype in drawn if cost[genotype] == statistics.median_low(cost.values()))


def train_supernet(  # noqa: PLR0913, PLR0917 - what is trained, how, and who takes part
    family: Family, data: Data, recipe: SupernetRecipe, watch: Watch, checkpoint: Path, peers: Peers = ALONE
) -> Metrics:
    """Train the family's weights in place.

    Metrics: `accuracy_smallest`, `accuracy_middle` and `accuracy_largest` on held-out images, `train_loss` of the
    largest over the last epoch (as far as it was trained without a pause), `train_seconds`, and `images_per_second`,
    each image counted once for all networks of its step. The state is saved in `checkpoint` every minute; called
    again, the training goes on at the step that was saved, and on the CPU its result is that of an unbroken one.
    `peers` are the processes that share the work: each takes its part of every batch, and the first saves, judges and
    calls `watch`.

    Raises:
        NasError: the loss is no number any more, or the checkpoint cannot be written or is another training's.
    """
    return _Training(family, data, recipe, checkpoint, peers).run(watch)


class _Training:
    """The state of a training between two steps."""

    def __init__(self, family: Family, data: Data, recipe: SupernetRecipe, checkpoint: Path, peers: Peers) -> None:
        self._data, self._recipe, self._path, self._peers = data, recipe.training, checkpoint, peers
        self._clip = recipe.clip
        supernet = family.supernet
        self._device = pick_device(peers.rank)
        supernet.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._optimizer = make_optimizer(supernet, self._recipe, fused=True)
        self._settings = json.dumps({**asdict(recipe), "data": data.content, "images": len(data.train)})
        done = Progress(0, {}, self._settings)
        if checkpoint.exists():
            done = load_checkpoint(checkpoint, supernet, self._optimizer, self._settings)
            _align(self._optimizer)
        self._step, self._metrics = done.epoch, dict(done.metrics)
        supernet.require_grads()
        self._family = family
        self._sandwich = Sandwich(family, recipe)
        self._per_epoch = steps_per_epoch(len(data.train), self._recipe.batch_size)
        self._losses: list[Tensor] = []  # of this epoch

    def run(self, watch: Watch) -> Metrics:
        steps = self._recipe.epochs * self._per_epoch
        saved = watched = time.monotonic()
        while self._step < steps:
            begun = time.perf_counter()
            self._train(steps)
            self._count(time.perf_counter() - begun)
            epoch_ends = self._step % self._per_epoch == 0
            if epoch_ends:
                self._judge()
            now = time.monotonic()
            if self._peers.rank == 0 and (self._step == steps or now - saved > _SAVE_SECONDS):
                progress = Progress(self._step, self._metrics, self._settings)
                save_checkpoint(self._path, self._family.supernet, self._optimizer, progress)
                saved = now
            if self._peers.rank == 0 and (epoch_ends or now - watched > _WATCH_SECONDS):
                watch(self._step, steps, self._metrics)
                watched = now
        return self._metrics

    def _train(self, steps: int) -> None:
        """One step. Its images and networks follow from the seed and its number alone."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._recipe.lr_at(self._step, steps)
        x, labels = self._batch()
        rng = Random(f"{self._recipe.seed}/{self._step}")
        self._losses.append(self._sandwich.backward(x.to(self._device), labels.to(self._device), rng))
        self._peers.average(self._family.supernet.grads())
        nn.utils.clip_grad_norm_(self._family.supernet.parameters(), self._clip)
        self._optimizer.step()
        self._step += 1

    def _batch(self) -> Batch:
        epoch, index = divmod(self._step, self._per_epoch)
        seed, size = self._recipe.seed, self._recipe.batch_size
        order = _order(seed, epoch, len(self._data.train))
        places = order[index * size : (index + 1) * size][self._peers.rank :: self._peers.size]
        rng = np.random.default_rng([seed, epoch, index, self._peers.rank])
        return train_batch(self._data, places, self._recipe.resolution, rng)

    def _count(self, seconds: float) -> None:
        self._metrics["train_seconds"] = self._metrics.get("train_seconds", 0.0) + seconds
        images = self._step * min(self._recipe.batch_size, len(self._data.train))
        self._metrics["images_per_second"] = images / self._metrics["train_seconds"]

    def _judge(self) -> None:
        """At the end of an epoch: make sure that the loss is a number, and measure three of the networks."""
        loss = torch.stack(self._losses).mean().item()
        self._losses.clear()
        if not math.isfinite(loss):
            raise NasError(f"the supernet's loss became {loss}; a smaller learning rate may help")
        self._metrics["train_loss"] = loss
        if self._peers.rank == 0:
            data = self._data.limited(val_images=_SHOWN_IMAGES)
            for name, genotype in self._sandwich.shown.items():
                network = self._family.network(genotype)
                found = judge(network, data, data.val, self._recipe.resolution, _SHOWN_IMAGES)
                self._metrics[f"accuracy_{name}"] = found["accuracy"]


def _align(optimizer: Optimizer) -> None:
    """Lay momenta out in memory as their weights are: a fused step goes through both in the order of memory."""
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[key] = torch.empty_like(parameter, requires_grad=False).copy_(value)


@lru_cache(maxsize=1)
def _order(seed: int, epoch: int, images: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(images)


@final
class Sandwich:
    """The networks of a step and their gradients."""

    def __init__(self, family: Family, recipe: SupernetRecipe) -> None:
        """`family`'s supernet must have its gradients."""
        self._family, self._recipe = family, recipe
        ends = {"smallest": smallest(family.space), "largest": largest(family.space)}
        self._largest = family.network(ends["largest"])
        self._smallest = family.network(ends["smallest"])
        self.shown = {"smallest": ends["smallest"], "middle": family.middle(), "largest": ends["largest"]}

    def networks(self, rng: Random) -> Iterator[Network]:
        """The largest network, the smallest, then random ones."""
        yield self._largest
        yield self._smallest
        for _ in range(self._recipe.networks - 2):
            yield self._family.network(self._family.space.sample(rng))

    def backward(self, x: Tensor, labels: Tensor, rng: Random) -> Tensor:
        """Set the supernet's gradients to the sum of those of the step's networks; the loss of the largest."""
        self._family.supernet.zero_grads()
        return teach(self.networks(rng), x, labels, self._recipe)


def teach(networks: Iterable[Network], x: Tensor, labels: Tensor, recipe: SupernetRecipe) -> Tensor:
    """Add to the gradients those of all `networks`; the first learns from the labels, the others from it, too.

    Images (B, 3, H, W), labels (B,); returns the loss of the first.
    """
    teacher, *students = networks
    with precision(x.device):
        logits = teacher(x)
    loss = functional.cross_entropy(logits.float(), labels, label_smoothing=recipe.training.label_smoothing)
    _backward(loss)
    soft, hard = logits.detach().float().softmax(1), functional.one_hot(labels, logits.shape[1])
    targets = torch.lerp(soft, hard.float(), recipe.labels)
    for student in students:
        with precision(x.device):
            logits = student(x)
        _backward(functional.cross_entropy(logits.float(), targets))
    return loss.detach()


def _backward(loss: Tensor) -> None:
    with warnings.catch_warnings():  # a part of a gradient is not dense in memory; writing to it is still right
        warnings.filterwarnings("ignore", message="grad and param do not obey the gradient layout contract")
        loss.backward()  # type: ignore[no-untyped-call]
