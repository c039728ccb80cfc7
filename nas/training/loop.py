"""`train()`: the one training loop, from a few epochs of a proxy to the full training of a winner."""

import json
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Optimizer

from nas.training.batches import eval_batches, steps_per_epoch, train_batches
from nas.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from nas.training.data import Data, ImageSet
from nas.trial import Metrics, Outcome, Report

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""`loss(images, logits, labels)` of a batch, all on one device."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train: SGD with Nesterov momentum, the learning rate up in a line, then down along a cosine to zero.

    `lr` is its peak, for the given batch size; `warmup` is the rising share of all steps. Weight decay spares biases
    and batch norm. `seed` decides the order of the images and how they are shifted and mirrored.
    """

    epochs: int
    resolution: int
    batch_size: int = 32
    lr: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 1e-4
    label_smoothing: float = 0.0
    warmup: float = 0.2
    seed: int = 0

    def lr_at(self, step: int, steps: int) -> float:
        """Learning rate of one of `steps` steps, counted from 0."""
        rising = self.warmup * steps
        if step < rising:
            return self.lr * (step + 1) / (rising + 1)
        return self.lr * (1 + math.cos(math.pi * (step - rising) / (steps - rising))) / 2


def train(  # noqa: PLR0913 - what is trained, on what, how, and who hears of it
    network: nn.Module,
    data: Data,
    recipe: Recipe,
    report: Report,
    checkpoint: Path | None = None,
    *,
    loss: Loss | None = None,
    clip: float | None = None,
) -> Outcome:
    """Train `network` in place and measure it on the held-out images after each epoch.

    `loss` is in place of the cross-entropy to the labels, smoothed as the recipe says. The norm of all gradients
    together is at most `clip`, if given.

    Metrics: `accuracy` and `loss` (held out), `train_loss`, and over the whole training `train_seconds` and
    `images_per_second` of the training steps alone. With `checkpoint` the state is saved there after each epoch, and
    a training that finds it goes on from it; on the CPU, the result is that of an unbroken one. A loss that is no
    number ends the training with an error.

    Raises:
        NasError: the checkpoint cannot be written, or belongs to another training.
    """
    device = pick_device()
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(network, recipe)
    clipped = {} if clip is None else {"clip": clip}  # without one, settings are those of earlier checkpoints
    settings = json.dumps({**asdict(recipe), **clipped, "data": data.content, "images": len(data.train)})
    done = Progress(0, {}, settings)
    if checkpoint is not None and checkpoint.exists():
        done = load_checkpoint(checkpoint, network, optimizer, settings)
    metrics = done.metrics
    images = min(len(data.train), steps_per_epoch(len(data.train), recipe.batch_size) * recipe.batch_size)
    for epoch in range(done.epoch + 1, recipe.epochs + 1):
        started = time.perf_counter()
        train_loss = _train_epoch(network, optimizer, data, recipe, epoch, loss or _cross_entropy(recipe), clip)
        seconds = metrics.get("train_seconds", 0.0) + time.perf_counter() - started
        if not math.isfinite(train_loss):
            return Outcome(error=f"the loss became {train_loss} in epoch {epoch}; a smaller learning rate may help")
        metrics = {
            **measure(network, data, data.val, recipe.resolution),
            "train_loss": train_loss,
            "train_seconds": seconds,
            "images_per_second": epoch * images / seconds,
        }
        if checkpoint is not None:
            save_checkpoint(checkpoint, network, optimizer, Progress(epoch, metrics, settings))
        if report(epoch, metrics) and epoch < recipe.epochs:
            return Outcome(metrics, stopped=True)
    return Outcome(metrics)


@torch.inference_mode()
def measure(network: nn.Module, data: Data, images: ImageSet, resolution: int) -> Metrics:
    """`accuracy` from 0 to 1 and mean `loss` on a set of images, which must be of `data`."""
    device = next(network.parameters()).device
    network.eval()
    correct = loss = 0.0
    for x, labels in eval_batches(data, images, resolution):
        with precision(device):
            logits = network(x.to(device)).float().cpu()
        loss += functional.cross_entropy(logits, labels, reduction="sum").item()
        correct += (logits.argmax(1) == labels).sum().item()
    return {"accuracy": correct / len(images), "loss": loss / len(images)}


def pick_device(rank: int = 0) -> torch.device:
    """The CUDA device of that number if there are any, else the CPU."""
    return torch.device("cuda", rank) if torch.cuda.is_available() else torch.device("cpu")


def _cross_entropy(recipe: Recipe) -> Loss:
    return lambda images, logits, labels: functional.cross_entropy(
        logits, labels, label_smoothing=recipe.label_smoothing
    )


def _train_epoch(  # noqa: PLR0913, PLR0917 - the state of a training
    network: nn.Module,
    optimizer: Optimizer,
    data: Data,
    recipe: Recipe,
    epoch: int,
    loss_of: Loss,
    clip: float | None,
) -> float:
    """Mean loss. All randomness follows from seed and epoch, so that a resumed training draws the same."""
    device = next(network.parameters()).device
    rng = np.random.default_rng([recipe.seed, epoch])
    per_epoch = steps_per_epoch(len(data.train), recipe.batch_size)
    total = torch.zeros((), device=device)
    network.train()
    for index, (x, labels) in enumerate(train_batches(data, recipe.batch_size, recipe.resolution, rng)):
        lr = recipe.lr_at((epoch - 1) * per_epoch + index, recipe.epochs * per_epoch)
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.zero_grad()
        images = x.to(device, non_blocking=True)
        with precision(device):
            logits = network(images)
        loss = loss_of(images, logits.float(), labels.to(device))
        loss.backward()  # type: ignore[no-untyped-call]
        if clip is not None:
            nn.utils.clip_grad_norm_(network.parameters(), clip)
        optimizer.step()
        total += loss.detach()
    return total.item() / per_epoch


def make_optimizer(network: nn.Module, recipe: Recipe, *, fused: bool = False) -> Optimizer:
    """The recipe's SGD; weight decay for what has more than one dimension. `fused`: all weights in one call."""
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim == 1]
    groups = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=True, fused=fused)


def precision(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 where a GPU has it (no loss scaling is needed then); on CPUs it was seen to be slower than float32."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.autocast("cuda", torch.bfloat16)
    return nullcontext()
