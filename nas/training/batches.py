"""Image sets as batches of tensors: read, augmented, resized and normalised; channels last in memory."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from nas.training.data import Data, ImageSet

Batch = tuple[Tensor, Tensor]
_EVAL_BATCH = 64  # of 250, what a layer writes no longer fits in caches: up to twice the time


def train_batches(data: Data, batch_size: int, resolution: int, rng: np.random.Generator) -> Iterator[Batch]:
    """One epoch in random order: images (B, 3, R, R), randomly shifted by up to an eighth and mirrored; labels (B,)."""
    order = rng.permutation(len(data.train))
    for step in range(steps_per_epoch(len(order), batch_size)):
        yield train_batch(data, order[step * batch_size : (step + 1) * batch_size], resolution, rng)


def train_batch(data: Data, places: NDArray[np.int64], resolution: int, rng: np.random.Generator) -> Batch:
    """The training images at these places, randomly shifted and mirrored, and their labels."""
    images = _shifted(data.train.read(places), rng)
    if data.flip:
        mirrored = rng.random(len(images)) < 0.5
        images[mirrored] = images[mirrored, :, ::-1]
    return _tensors(data, images, data.train.labels[places], resolution)


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Full batches; what remains is left out, so that batch norm never sees a handful, unless it is all there is."""
    return max(1, images // batch_size)


def eval_batches(data: Data, images: ImageSet, resolution: int, batch_size: int = _EVAL_BATCH) -> Iterator[Batch]:
    """All images in order, as they are."""
    for start in range(0, len(images), batch_size):
        places = np.arange(start, min(start + batch_size, len(images)))
        yield _tensors(data, images.read(places), images.labels[places], resolution)


def _shifted(images: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Each image moved by its own offset; what enters is the mirrored border."""
    batch, height, width, _ = images.shape
    reach = height // 8
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="reflect")
    rows = rng.integers(0, 2 * reach + 1, (batch, 1)) + np.arange(height)
    columns = rng.integers(0, 2 * reach + 1, (batch, 1)) + np.arange(width)
    shifted: NDArray[np.uint8] = padded[np.arange(batch)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return shifted


def _tensors(data: Data, images: NDArray[np.uint8], labels: NDArray[np.int64], resolution: int) -> Batch:
    x = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()  # (B, 3, H, W), channels last
    if x.shape[-1] != resolution:
        x = functional.interpolate(x, size=(resolution, resolution), mode="bilinear", antialias=True)
    mean, std = (255 * torch.tensor(values).view(1, 3, 1, 1) for values in (data.mean, data.std))
    return (x - mean) / std, torch.from_numpy(labels)
