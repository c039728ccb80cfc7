"""Exported files in ONNX Runtime: what they compute, how right they are, how long they take."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import thread_time_ns

import numpy as np
import onnxruntime as ort
import torch
from torch import nn

from nas.errors import NasError
from nas.latency.session import session
from nas.training.batches import eval_batches
from nas.training.data import Data, ImageSet

TOLERANCE = 1e-4
"""Largest difference between a logit of the exported network and torch's."""

_RUNS = 40
_WARM_UP = 5


@dataclass(frozen=True, slots=True)
class Judged:
    """A file on images with labels: share that is right; and milliseconds of CPU for one image, lower quartile."""

    accuracy: float
    ms: float


def largest_difference(path: Path, network: nn.Module, data: Data, resolution: int, images: int = 64) -> float:
    """Of any logit of held-out images between the file and torch.

    Raises:
        NasError: it is larger than `TOLERANCE`, or no number.
    """
    run = _loaded(path)
    network.eval()
    largest = np.float32(0.0)
    for x, _ in eval_batches(data, data.val.subset(np.arange(min(images, len(data.val)))), resolution):
        with torch.inference_mode():
            expected = network(x).numpy()
        difference = np.abs(run.run(None, {"images": _plain(x)})[0] - expected).max()
        largest = np.maximum(largest, difference)  # unlike max(), NaN stays
    if not largest <= TOLERANCE:
        raise NasError(f"{path}: differs from torch by {largest:.2g}; expected at most {TOLERANCE:g}")
    return float(largest)


def judge(paths: Sequence[Path], data: Data, images: ImageSet, resolution: int) -> list[Judged]:
    """Accuracy and latency of files on the same images; their runs take turns, so that all see the same machine."""
    sessions = [_loaded(path) for path in paths]
    right = [0] * len(paths)
    for x, labels in eval_batches(data, images, resolution):
        for index, run in enumerate(sessions):
            right[index] += int((run.run(None, {"images": _plain(x)})[0].argmax(1) == labels.numpy()).sum())
    one = _plain(x[:1])
    times: list[list[float]] = [[] for _ in paths]
    for turn in range(_WARM_UP + _RUNS):
        for index, run in enumerate(sessions):
            started = thread_time_ns()
            run.run(None, {"images": one})
            if turn >= _WARM_UP:
                times[index].append((thread_time_ns() - started) / 1e6)
    return [Judged(count / len(images), float(np.quantile(ms, 0.25))) for count, ms in zip(right, times, strict=True)]


def _loaded(path: Path) -> ort.InferenceSession:
    try:
        return session(path)
    except Exception as error:  # of the runtime
        raise NasError(f"{path}: ONNX Runtime does not run it: {' '.join(str(error).split())}") from None


def _plain(x: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(x.numpy())
