"""The modules that networks are made of; each takes the `Layer` that says its shape."""

from typing import Final, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.architecture import Activation
from nas.layers import Layer

ACTIVATIONS: Final[dict[Activation, type[nn.Module]]] = {
    "none": nn.Identity,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hswish": nn.Hardswish,
    "swish": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "hsigmoid": nn.Hardsigmoid,
}


@final
class Convolution(nn.Conv2d):
    """Trained without the rim of a kernel that lies beyond a small map from each of its pixels.

    Output and gradients are the same, that of the rim is zero; but a backward pass takes its time for all of a kernel:
    7x7 on maps of 1 and 2 pixels had been a third of the step of a supernet's largest network at 32 pixels.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) to (B, C_out, ceil(H / stride), ceil(W / stride))."""
        weight, padding = self.weight, self.kernel_size[0] // 2
        if self.training:
            rim = padding + 1 - max(x.shape[-2], x.shape[-1])
            if rim > 0:
                weight, padding = weight[:, :, rim:-rim, rim:-rim], padding - rim
        return functional.conv2d(x, weight, self.bias, self.stride, padding, groups=self.groups)


def convolution(layer: Layer) -> Convolution:
    """The bare convolution, padded by half its kernel so that only the stride changes the size of a map."""
    return Convolution(
        layer.in_channels,
        layer.out_channels,
        layer.kernel,
        layer.stride,
        padding=layer.kernel // 2,
        groups=layer.groups,
        bias=layer.bias,
    )


@final
class ConvNormAct(nn.Module):
    """Convolution, batch norm, activation: what deployment fuses into one op."""

    def __init__(self, layer: Layer, bn_eps: float) -> None:
        super().__init__()
        self.conv = convolution(layer)
        self.norm = nn.BatchNorm2d(layer.out_channels, eps=bn_eps)
        self.act = ACTIVATIONS[layer.act]()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) to (B, C_out, ceil(H / stride), ceil(W / stride))."""
        out: Tensor = self.act(self.norm(self.conv(x)))
        return out


@final
class SqueezeExcite(nn.Module):
    """Each channel times a gate that has seen the mean of all channels (1709.01507)."""

    def __init__(self, reduce: Layer, excite: Layer) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = convolution(reduce)
        self.act = ACTIVATIONS[reduce.act]()
        self.excite = convolution(excite)
        self.gate = ACTIVATIONS[excite.act]()

    def forward(self, x: Tensor) -> Tensor:
        """Shape unchanged."""
        gate: Tensor = self.gate(self.excite(self.act(self.reduce(self.pool(x)))))  # (B, C, 1, 1)
        return x * gate


@final
class Residual(nn.Module):
    """The sum of a body and of its input, the input pooled where the body has a stride."""

    def __init__(self, body: nn.Sequential, shortcut: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut

    @property
    def last(self) -> ConvNormAct:
        """The convolution whose output is added."""
        last = self.body[-1]
        assert isinstance(last, ConvNormAct)
        return last

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, ceil(H / stride), ceil(W / stride))."""
        out: Tensor = self.body(x) + self.shortcut(x)
        return out


def average_pool(layer: Layer) -> nn.AvgPool2d:
    """The pooled shortcut of MnasNet's skip op.

    Padding takes no part in the mean, as in TensorFlow, where MnasNet was defined.
    """
    return nn.AvgPool2d(layer.kernel, layer.stride, padding=layer.kernel // 2, count_include_pad=False)


@final
class GlobalPool(nn.Module):
    """The mean of each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C)."""
        return torch.flatten(self.pool(x), 1)


@final
class LinearAct(nn.Module):
    """A fully connected layer with bias and an activation."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.linear = nn.Linear(layer.in_channels, layer.out_channels)
        self.act = ACTIVATIONS[layer.act]()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in) to (B, C_out)."""
        out: Tensor = self.act(self.linear(x))
        return out
