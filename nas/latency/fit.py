"""Fit per-op coefficients to the latencies of networks and blocks, and judge them on what the fit has not seen."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from scipy.optimize import nnls  # type: ignore[import-untyped]
from scipy.stats import spearmanr  # type: ignore[import-untyped]

from nas.architecture import (
    Activation,
    Architecture,
    Block,
    ConvBlock,
    LinearBlock,
    MBConvBlock,
    PoolBlock,
    SepConvBlock,
    fitting_skip,
    round_channels,
)
from nas.errors import LatencyError
from nas.latency.features import NETWORK, features
from nas.layers import Layer, lower

HELD_OUT = 5
"""Every fifth row of a file is kept from the fit."""

_BLOCK = re.compile(r"(c|ds|mb)(\d+)s(\d+)i(\d+)(?:m(\d+))?o(\d+)(se)?(hs)?")


class Measured(Protocol):
    """Something that was measured as a whole."""

    @property
    def ms(self) -> float:
        """Its milliseconds."""
        ...

    @property
    def features(self) -> Mapping[str, float]:
        """Sum of the features of all its ops, and the constant that is paid once."""
        ...


@dataclass(frozen=True, slots=True)
class Sample:
    """A network and its milliseconds."""

    architecture: Architecture
    ms: float

    @property
    def features(self) -> Mapping[str, float]:
        """See `Measured.features`."""
        return network_features(self.architecture)


@dataclass(frozen=True, slots=True)
class BlockSample:
    """One block that was measured alone, by its ops, and its milliseconds."""

    layers: tuple[Layer, ...]
    ms: float

    @property
    def features(self) -> Mapping[str, float]:
        """See `Measured.features`; a block alone pays the constant of a network."""
        return _sum_features(self.layers)


@dataclass(frozen=True, slots=True)
class FitError:
    """How far estimates are from the truth; errors and shares in percent."""

    networks: int
    mape: float
    worst: float
    p90: float
    within_5: float
    within_10: float
    spearman: float


def parse_network(text: str, resolution: int = 224, num_classes: int = 1001) -> Architecture:
    """The network of a layer string of the TuNAS random networks, as in `c3s2i3o32 mb5s2i32m96o16se gap`.

    A token is op, kernel, `s` stride, `i` input, `m` expanded and `o` output channels, `se`, `hs`. The published MAdds
    say that a block whose expanded width equals its input still has the expanding convolution. The squeeze
    is a quarter of the expanded width, rounded to 8.

    Raises:
        LatencyError: a token that is none of these, or does not take the output of the one before.
    """
    blocks: list[Block] = []
    channels = 3
    for token in text.split():
        if token == "gap":  # noqa: S105 - a pooling, no password
            blocks.append(PoolBlock())
            continue
        match = _BLOCK.fullmatch(token)
        if match is None or int(match[4]) != channels:
            raise LatencyError(
                f"layer {token!r} behind {channels} channels; expected for example mb3s1i{channels}m96o24"
            )
        blocks.append(_block(match, pooled=PoolBlock() in blocks))
        channels = int(match[6])
    return Architecture(resolution, tuple(blocks), num_classes)


def read_samples(path: Path) -> list[Sample]:
    """Networks and latencies of a `random_*` file: a comment line, then CSV with `pixel1_ms` and `arch`.

    Raises:
        LatencyError: the file is absent or a row is no network with a latency.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()[1:]
        return [Sample(parse_network(row["arch"]), float(row["pixel1_ms"])) for row in csv.DictReader(lines)]
    except OSError as error:
        raise LatencyError(f"{path}: {error.strerror}") from None
    except (KeyError, ValueError) as error:
        raise LatencyError(f"{path}: {error}; expected columns pixel1_ms and arch") from None


def split(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """The samples to fit on, and every fifth one to judge on."""
    seen = [sample for i, sample in enumerate(samples) if i % HELD_OUT != HELD_OUT - 1]
    return seen, list(samples[HELD_OUT - 1 :: HELD_OUT])


def parse_block(text: str, size: int) -> tuple[Layer, ...]:
    """The ops of one token of a layer string (see `parse_network`) on a map of `size` pixels; its own input is taken.

    Raises:
        LatencyError: no such token.
    """
    match = _BLOCK.fullmatch(text)
    if match is None:
        raise LatencyError(f"block {text!r}; expected for example mb3s1i16m96o24")
    network = Architecture(size, (_block(match, pooled=False), PoolBlock()), 1, in_channels=int(match[4]))
    return tuple(layer for layer in lower(network) if layer.block == 0)


def network_features(architecture: Architecture) -> dict[str, float]:
    """Sum of the features of all ops, and the constant of the network."""
    return _sum_features(lower(architecture))


def _sum_features(layers: Iterable[Layer]) -> dict[str, float]:
    total = {NETWORK: 1.0}
    for layer in layers:
        for name, value in features(layer).items():
            total[name] = total.get(name, 0.0) + value
    return total


def fit_coefficients(samples: Sequence[Measured], known: Mapping[str, float]) -> dict[str, float]:
    """Non-negative milliseconds per unit of each feature with the least squares of relative errors.

    Features in `known` keep the coefficient given there.
    """
    rows = [sample.features for sample in samples]
    names = sorted({name for row in rows for name in row} - known.keys())
    ms = np.array([sample.ms for sample in samples])
    matrix = np.array([[row.get(name, 0.0) for name in names] for row in rows])
    given = np.array([sum(known[name] * row.get(name, 0.0) for name in known) for row in rows])
    solution, _ = nnls(matrix / ms[:, None], 1 - given / ms)
    return {**dict(zip(names, solution.tolist(), strict=True)), **known}


def sum_ms(architecture: Architecture, coefficients: Mapping[str, float]) -> float:
    """Milliseconds of a network by coefficients, before calibration."""
    return sum(coefficients[name] * value for name, value in network_features(architecture).items())


def cross_validate(samples: Sequence[Measured], folds: int = 5) -> list[float]:
    """Relative error (estimated / measured - 1) of each network or block by a fit to those of the other folds.

    They lie in folds in turn, those of equal features in the same one: another reading of what is judged must not be
    fitted. A feature that no other fold has costs nothing there, which its error shows.
    """
    places = distinct(samples)
    errors = [0.0] * len(samples)
    for fold in range(folds):
        others = [sample for sample, place in zip(samples, places, strict=True) if place % folds != fold]
        coefficients = fit_coefficients(others, {})
        for i, (sample, place) in enumerate(zip(samples, places, strict=True)):
            if place % folds == fold:
                estimated = sum(coefficients.get(name, 0.0) * value for name, value in sample.features.items())
                errors[i] = estimated / sample.ms - 1
    return errors


def distinct(samples: Sequence[Measured]) -> list[int]:
    """A number for each, counted from 0 in their order; those of equal features have the same one."""
    numbers: dict[tuple[tuple[str, float], ...], int] = {}
    return [numbers.setdefault(tuple(sorted(sample.features.items())), len(numbers)) for sample in samples]


def judge(samples: Sequence[Sample], coefficients: Mapping[str, float]) -> FitError:
    """The error of coefficients on samples."""
    errors = [sum_ms(sample.architecture, coefficients) / sample.ms - 1 for sample in samples]
    return summary(errors, [sample.ms for sample in samples])


def summary(relative_errors: Sequence[float], measured_ms: Sequence[float]) -> FitError:
    """The figures of relative errors (estimated / measured - 1) of networks."""
    ms = np.array(measured_ms)
    estimated = ms * (1 + np.array(relative_errors))
    errors = np.abs(relative_errors) * 100
    return FitError(
        networks=len(ms),
        mape=float(errors.mean()),
        worst=float(errors.max()),
        p90=float(np.quantile(errors, 0.9)),
        within_5=float((errors <= 5).mean() * 100),
        within_10=float((errors <= 10).mean() * 100),
        spearman=float(spearmanr(estimated, ms).statistic),
    )


def slope(feature: str, samples: Sequence[Sample]) -> float:
    """Milliseconds per unit of one feature, from networks that differ from the first in nothing else."""
    base, *others = samples
    units = [
        network_features(s.architecture)[feature] - network_features(base.architecture).get(feature, 0.0)
        for s in others
    ]
    gains = [s.ms - base.ms for s in others]
    return float(np.dot(units, gains) / np.dot(units, units))


def _block(match: re.Match[str], *, pooled: bool) -> Block:
    op = match[1]
    kernel, stride, in_channels, channels = (int(match[i]) for i in (2, 3, 4, 6))
    act: Activation = "hswish" if match[8] else "relu"
    skip = fitting_skip("identity", in_channels, channels, stride)
    if op == "c":
        return LinearBlock(channels, act) if pooled else ConvBlock(channels, kernel, stride, act)
    mid = int(match[5] or in_channels)
    squeeze = round_channels(mid / 4) if match[7] else 0
    if op == "ds":
        return SepConvBlock(channels, kernel, stride, act, se_channels=squeeze, skip=skip)
    return MBConvBlock(channels, mid, kernel, stride, act, se_channels=squeeze, skip=skip)
