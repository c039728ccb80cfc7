"""`folded()`: a trained network as bare weights and biases, batch norm folded in, as deployment computes it."""

import numpy as np
import torch
from torch import Tensor, nn

from nas.architecture import Architecture
from nas.latency.graph import Kernels, kernel_shape
from nas.layers import Layer
from nas.network.build import Network, module_name


def folded(network: Network, architecture: Architecture) -> Kernels:
    """Of each layer of the network its weights and bias in float32; folding is computed in float64."""

    def kernel(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
        module = network.get_submodule(module_name(layer, architecture))
        weight, bias = _folded(module)
        return weight.float().numpy().reshape(kernel_shape(layer)), bias.float().numpy()

    return kernel


@torch.no_grad()
def _folded(module: nn.Module) -> tuple[Tensor, Tensor]:
    filters = getattr(module, "conv", getattr(module, "linear", module))
    assert isinstance(filters, nn.Conv2d | nn.Linear)
    weight = filters.weight.cpu().double()
    bias = torch.zeros(len(weight), dtype=torch.float64) if filters.bias is None else filters.bias.cpu().double()
    norm = getattr(module, "norm", None)
    if isinstance(norm, nn.BatchNorm2d):
        assert norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight.cpu().double() / (norm.running_var.cpu().double() + norm.eps).sqrt()
        weight = weight * scale.view(-1, *[1] * (weight.ndim - 1))
        bias = (bias - norm.running_mean.cpu().double()) * scale + norm.bias.cpu().double()
    return weight, bias
