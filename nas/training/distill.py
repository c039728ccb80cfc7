"""Distillation: a network learns from the soft outputs of a larger one as well as from labels (1503.02531)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.training.loop import Loss, Recipe, pick_device

TEMPERATURE = 4.0
SHARE = 0.5  # of the teacher in the loss


def distillation(teacher: nn.Module, recipe: Recipe) -> Loss:
    """Half cross-entropy to the labels, half KL divergence to the teacher's outputs at temperature 4.

    The divergence counts times the square of the temperature, so that its gradients keep their size. The teacher goes
    to the device of trainings.
    """
    teacher.eval().to(pick_device(), memory_format=torch.channels_last)  # type: ignore[call-overload]

    def loss(images: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            soft = functional.log_softmax(teacher(images).float() / TEMPERATURE, dim=1)
        own = functional.log_softmax(logits / TEMPERATURE, dim=1)
        divergence = functional.kl_div(own, soft, reduction="batchmean", log_target=True) * TEMPERATURE**2
        hard = functional.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
        return (1 - SHARE) * hard + SHARE * divergence

    return loss
