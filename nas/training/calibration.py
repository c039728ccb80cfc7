"""Batch norm's statistics, measured anew on training images for weights that were not trained as they are used."""

import numpy as np
import torch
from torch import nn

from nas.training.batches import eval_batches
from nas.training.data import Data, ImageSet
from nas.training.loop import measure, precision
from nas.trial import Metrics

_BATCH = 250  # statistics of many images at a time
CALIBRATION_IMAGES = 2000
"""Enough for a sub-network's statistics (BigNAS, 2003.11142; Universally Slimmable Networks, 1903.05134)."""


def judge(network: nn.Module, data: Data, images: ImageSet, resolution: int, calibration: int) -> Metrics:
    """`accuracy` and `loss` on `images` once batch norm knows `calibration` training images."""
    calibrate(network, data, resolution, calibration)
    return measure(network, data, images, resolution)


@torch.no_grad()
def calibrate(network: nn.Module, data: Data, resolution: int, images: int = CALIBRATION_IMAGES) -> None:
    """Set batch norm's statistics to the mean over batches of the first `images` training images, as they are."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches instead of a moving one
    device = next(network.parameters()).device
    network.train()
    first = data.train.subset(np.arange(min(images, len(data.train))))
    for x, _ in eval_batches(data, first, resolution, _BATCH):
        with precision(device):
            network(x.to(device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
