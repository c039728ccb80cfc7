"""What ops cost inside a network, from what they cost alone: coefficients that whole networks teach."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log2, sqrt

import numpy as np

from nas.latency.calibration import with_base
from nas.latency.features import NETWORK
from nas.layers import Layer

BLOCK = 16
"""Channels that the runtime pads to: widths of one multiple cost the same."""

ALIGNED = 4
"""Convolutions of other widths leave the runtime's blocked layout, where the features say nothing of their time."""

MAPS = (7, 14, 28, 56, 112)
"""Map sizes with a coefficient of their own; other sizes take that of the nearest."""

STRENGTH = 1e-4
"""Of the ridge that holds every coefficient at its start: 1 for measured rows, 0 for the rest."""

ROBUST_ROUNDS = 4
OUTLIER = 2.5
"""Networks whose error is beyond this many median errors count less: a disturbed measurement is no truth."""

_LESS = "less"
"""Of the fit alone: the network's constant where it is negative."""

_FREE_ACTS = ("none", "relu", "relu6")  # clamped while the result is stored

Op = tuple[Layer, float]
"""An op as deployed, and its milliseconds alone."""


@dataclass(frozen=True, slots=True)
class Corrections:
    """Milliseconds per unit of each feature of `op_features`; a feature that no network had counts as at its start."""

    coefficients: Mapping[str, float]

    def op_ms(self, layer: Layer, alone_ms: float) -> float:
        """What the op adds to a network."""
        found = op_features(layer, alone_ms)
        return sum(self.coefficients.get(name, _start(name)) * value for name, value in found.items())

    @property
    def base_ms(self) -> float:
        """What every network pays once; negative where large networks cost more than in proportion to their ops."""
        return self.coefficients.get(NETWORK, 0.0)


def op_features(layer: Layer, alone_ms: float) -> dict[str, float]:
    """The time of the op alone (`row_*`), and in millions what a runtime's time depends on: work, values, weights.

    A row says how the op's time differs from that of its kind, and contains copies between layouts and a call, which
    no op pays inside a network. The others say what those of its kind cost there. Of widths that are no multiple of
    `ALIGNED` the row is all that is known: up to four times what the padded width takes, copies included.
    """
    return {"row_unaligned": alone_ms} if _unaligned(layer) else _features(layer, alone_ms)


def _features(layer: Layer, alone_ms: float) -> dict[str, float]:
    pixels, map_ = layer.out_size**2, min(MAPS, key=lambda size: abs(log2(size / layer.out_size)))
    inner, outer = _padded(layer.in_channels), _padded(layer.out_channels)
    ins, outs = inner * layer.size**2 / 1e6, outer * pixels / 1e6
    act = outs * (layer.act not in _FREE_ACTS)
    match layer.kind:
        case "conv" if layer.out_size == 1:
            return {"row_gate": alone_ms, "gate_weights": layer.weights / 1e6, "gate": 1.0}
        case "conv" if layer.kernel == 1:
            work = {f"pointwise_macs_{map_}": inner * outs, "pointwise_weights": inner * outer / 1e6}
            values = {"pointwise_in": ins, "pointwise_out": outs, "pointwise_act": act}
            return {"row_pointwise": alone_ms, "op": 1.0, **work, **values}
        case "conv":
            return {"row_conv": alone_ms, "conv_out": outs, "conv_act": act}
        case "depthwise" | "avgpool":
            values = {f"depthwise_k{layer.kernel}_s{layer.stride}": outs, f"depthwise_{map_}": outs}
            return {"row_depthwise": alone_ms, "op": 1.0, **values, "depthwise_in": ins, "depthwise_act": act}
        case "linear":
            return {"row_linear": alone_ms, "linear_weights": layer.weights / 1e6}
        case _:
            ragged = ins * (layer.in_channels % BLOCK > 0)
            values = {layer.kind: ins, f"{layer.kind}_{map_}": ins, f"{layer.kind}_ragged": ragged}
            return {f"row_{layer.kind}": alone_ms, **values}


def network_features(ops: Sequence[Op]) -> dict[str, float]:
    """Sum of the features of all ops, and the constant of the network."""
    total = {NETWORK: 1.0}
    for layer, alone_ms in ops:
        for name, value in op_features(layer, alone_ms).items():
            total[name] = total.get(name, 0.0) + value
    return total


def fit_corrections(networks: Sequence[Mapping[str, float]], measured_ms: Sequence[float]) -> Corrections:
    """The coefficients with the least squares of relative errors, by the networks' features.

    Those of ops are not negative, so that no op costs less than nothing; the network's constant may be. A ridge keeps
    those near their start that the networks do not tell apart; outliers count less.
    """
    from scipy.optimize import nnls  # type: ignore[import-untyped]  # noqa: PLC0415 - slow to import

    names = [_LESS, *sorted({name for features in networks for name in features})]
    ms = np.array(measured_ms)
    matrix = np.array([[features.get(name, 0.0) for name in names] for features in networks]) / ms[:, None]
    matrix[:, 0] = -1 / ms
    scale = np.sqrt((matrix**2).mean(0)) + 1e-12
    ridge = sqrt(STRENGTH * len(ms))
    start = ridge * scale * np.array([_start(name) for name in names])
    matrix, weights = matrix / scale, np.ones(len(ms))
    for _ in range(ROBUST_ROUNDS):
        solution, _ = nnls(
            np.vstack([matrix * weights[:, None], ridge * np.eye(len(names))]), np.concatenate([weights, start])
        )
        errors = np.abs(matrix @ solution - 1)
        bound = OUTLIER * max(float(np.median(errors)), 1e-6)
        weights = np.sqrt(np.minimum(1, bound / np.maximum(errors, 1e-9)))
    found = dict(zip(names, map(float, solution / scale), strict=True))
    found[NETWORK] = found.pop(NETWORK) - found.pop(_LESS)  # which puts it last
    return Corrections({name: float(f"{coefficient:.6g}") for name, coefficient in found.items()})


def predict(corrections: Corrections, features: Mapping[str, float]) -> float:
    """Milliseconds of a network by its features."""
    ops = (
        corrections.coefficients.get(name, _start(name)) * value for name, value in features.items() if name != NETWORK
    )
    return with_base(sum(ops), corrections.base_ms)


def cross_validated(networks: Sequence[Mapping[str, float]], measured_ms: Sequence[float], folds: int) -> list[float]:
    """The estimate of each network by corrections that have not seen it nor the others of its fold."""
    estimates = [0.0] * len(networks)
    for fold in range(folds):
        kept = [index for index in range(len(networks)) if index % folds != fold]
        corrections = fit_corrections([networks[i] for i in kept], [measured_ms[i] for i in kept])
        for index in range(fold, len(networks), folds):
            estimates[index] = predict(corrections, networks[index])
    return estimates


def _unaligned(layer: Layer) -> bool:
    inside = layer.kind == "depthwise" or (layer.kind == "conv" and layer.kernel == 1)
    return inside and layer.out_size > 1 and (layer.in_channels % ALIGNED or layer.out_channels % ALIGNED) > 0


def _start(name: str) -> float:
    return 1.0 if name.startswith("row_") else 0.0


def _padded(channels: int) -> int:
    return -(-channels // BLOCK) * BLOCK
