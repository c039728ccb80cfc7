"""Fit the Pixel 1 model again from `../shared/data` and judge it: `python -m benchmarks.latency [--json] [--write]`.

Prints the error on networks that the fit has not seen, and the paper's figures beside the estimates.
`--write` replaces `latency_models/pixel1/`, which is how that folder was made.
`--host` compares predictors of this machine's latencies instead; `nas latency measure --target host` comes first.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import hypot
from pathlib import Path

from benchmarks.latency_host import compare, print_comparison
from nas.architecture import Activation, Architecture, PoolBlock
from nas.errors import LatencyError, NasError
from nas.latency.calibration import COVERAGE, Calibration, calibrate, half_width, leave_one_out
from nas.latency.device import Device, write_device
from nas.latency.fit import FitError, Sample, fit_coefficients, judge, read_samples, slope, split, sum_ms
from nas.latency.score import error_summary
from nas.latency.table import COEFFICIENT_COLUMNS, COEFFICIENTS, DEVICE
from nas.resources import data_dir
from nas.space import load_reference

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "pixel1"
FILES = ("random_mobilenet_v3_like_search", "random_proxylessnas_search", "random_proxylessnas_enlarged_search")

PAPER = {
    "mobilenet_v3_large": 51.0,
    "mobilenet_v3_large_075": 39.0,
    "mnasnet_a1": 71.0,
    "proxylessnas_mobile": 72.0,
    "mobilenet_v2": 64.0,
    "mobilenet_v3_small": 15.8,
    "mobilenet_v3_small_075": 12.8,
    "mnasnet_small": 20.3,
    "mobilenet_v2_035": 16.6,
}
"""MobileNetV3 (1905.02244v5), table 3, column P-1: milliseconds on a Pixel 1, float32, one big core."""

UNSEEN = {"mobilenet_v3_large_minimalistic": 44.1, "mobilenet_v3_small_minimalistic": 12.2}
"""TensorFlow models, research/slim/nets/mobilenet: the same scale, in no fit and no calibration."""

HSWISH_MS = {"relu": 50.5, "published": 51.4, "hswish": 53.5}
"""The same paper, table 5: MobileNetV3-Large with ReLU alone, as published, and h-swish from 16 channels on."""


@dataclass(frozen=True)
class Pixel1:
    """The fit and its calibration; `errors` are relative, each of the paper's networks left out of the calibration."""

    coefficients: Mapping[str, float]
    fit: FitError
    fit_by_file: Mapping[str, FitError]
    calibration: Calibration
    errors: list[float]

    @property
    def interval(self) -> float:
        """Half-width from both errors of an estimate: that of the ops (`fit`) and that of the scale (`errors`)."""
        return hypot(half_width(self.errors), self.fit.p90 / 100)

    def estimate(self, name: str) -> float:
        """Milliseconds of a reference network on the paper's scale."""
        return self.calibration(sum_ms(load_reference(name), self.coefficients))


def fit_pixel1(data: Path = DATA) -> Pixel1:
    """Fit on four of five rows of each file, judge on the fifth, calibrate to the paper.

    H-swish costs too little in the lookup table to be seen there. Its coefficient is the paper's table 5,
    brought to the table's scale by a first fit without it.

    Raises:
        LatencyError: the files are absent.
    """
    if not data.is_dir():
        raise LatencyError(f"{data}: absent; expected the random_* files that docs/latency.md describes")
    files = {name: split(read_samples(data / f"{name}.csv")) for name in FILES}
    seen = [sample for train, _ in files.values() for sample in train]
    unseen = [sample for _, test in files.values() for sample in test]
    paper = list(PAPER.values())
    without = fit_coefficients(seen, {"hswish_values": 0.0})
    hswish = slope("hswish_values", hswish_samples()) / calibrate(paper_sums(without), paper).scale
    coefficients = fit_coefficients(seen, {"hswish_values": hswish})
    coefficients = {name: round(value, 4) for name, value in coefficients.items()}
    return Pixel1(
        coefficients,
        judge(unseen, coefficients),
        {name: judge(test, coefficients) for name, (_, test) in files.items()},
        calibrate(paper_sums(coefficients), paper),
        leave_one_out(paper_sums(coefficients), paper),
    )


def paper_sums(coefficients: Mapping[str, float]) -> list[float]:
    """Milliseconds of the paper's networks on the scale of the lookup table."""
    return [sum_ms(load_reference(name), coefficients) for name in PAPER]


def hswish_samples() -> list[Sample]:
    """MobileNetV3-Large with the three choices of activation of the paper's table 5, ReLU first."""
    large = load_reference("mobilenet_v3_large")
    variants = {"relu": _with_act(large, "relu"), "published": large, "hswish": _with_act(large, "hswish")}
    return [Sample(variants[name], ms) for name, ms in HSWISH_MS.items()]


def write_folder(model: Pixel1, folder: Path) -> None:
    """Write `coefficients.csv` and `device.yaml`."""
    lines = [",".join(COEFFICIENT_COLUMNS)]
    for name, value in sorted(model.coefficients.items()):
        lines.append(f"{name},{value:.4f},{_EVIDENCE.get(name, 'fit to the random networks')}")
    (folder / COEFFICIENTS).write_text("\n".join(lines) + "\n", encoding="utf-8")
    device = Device(
        target="pixel1",
        device="Google Pixel 1",
        aliases=("pixel",),
        runtime="TensorFlow Lite",
        runtime_version="of 2018 and 2019, not recorded by the sources",
        threads=1,
        core="one big core",
        dtype="float32",
        resolution=224,
        date="2019",
        provenance=_PROVENANCE,
        fit={key: round(value, 4) for key, value in asdict(model.fit).items()},
        error=error_summary(model.errors),
        calibration=Calibration(round(model.calibration.scale, 4), round(model.calibration.offset_ms, 4)),
        networks=PAPER,
        coverage=COVERAGE,
        interval=round(model.interval, 4),
    )
    write_device(device, folder / DEVICE)


def to_dict(model: Pixel1) -> dict[str, object]:
    """The figures as plain data."""
    return {
        "fit": asdict(model.fit),
        "fit_by_file": {name: asdict(error) for name, error in model.fit_by_file.items()},
        "calibration": asdict(model.calibration),
        "error": error_summary(model.errors),
        "interval": model.interval,
        "networks": [
            {"network": name, "paper_ms": ms, "estimated_ms": model.estimate(name), "left_out_error": error}
            for (name, ms), error in zip(PAPER.items(), model.errors, strict=True)
        ],
        "unseen": [
            {"network": name, "published_ms": ms, "estimated_ms": model.estimate(name)} for name, ms in UNSEEN.items()
        ],
        "coefficients": dict(model.coefficients),
    }


def print_tables(model: Pixel1) -> None:
    """The figures for people."""
    print(f"{'networks that the fit has not seen':42}{'n':>5}{'mean %':>9}{'<=5 %':>9}{'<=10 %':>9}{'Spearman':>10}")
    for name, error in (*model.fit_by_file.items(), ("all three", model.fit)):
        shares = f"{error.networks:5}{error.mape:9.2f}{error.within_5:9.1f}{error.within_10:9.1f}"
        print(f"{name:42}{shares}{error.spearman:10.4f}")
    print(f"\n{'1905.02244, table 3, Pixel 1':42}{'paper':>8}{'ours':>8}{'error %':>9}{'left out %':>12}")
    for (name, ms), error in zip(PAPER.items(), model.errors, strict=True):
        ours = model.estimate(name)
        print(f"{name:42}{ms:8.1f}{ours:8.1f}{(ours / ms - 1) * 100:9.1f}{error * 100:12.1f}")
    for name, ms in UNSEEN.items():
        ours = model.estimate(name)
        print(f"{name + ' (in no fit)':42}{ms:8.1f}{ours:8.1f}{(ours / ms - 1) * 100:9.1f}")
    summary = error_summary(model.errors)
    print(f"\nleft out: mean {summary['mape']} %, worst {summary['worst']} %")
    print(f"interval of {COVERAGE:.0%}: +-{model.interval:.1%}")


def main() -> None:
    """Parse, fit, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--write", action="store_true", help="replace latency_models/pixel1/")
    parser.add_argument("--host", action="store_true", help="compare predictors on this machine instead")
    parser.add_argument("--space", default="mobilenet_v3", help="of the networks that --host measures")
    parser.add_argument("--networks", type=int, default=100, help="that --host measures")
    parser.add_argument("--seed", type=int, default=0, help="of their draw")
    options = parser.parse_args()
    try:
        if options.host:
            records = compare(options.space, options.networks, options.seed)
            return print(json.dumps(records, indent=2)) if options.json else print_comparison(records)
        model = fit_pixel1()
        if options.write:
            write_folder(model, data_dir("latency_models") / "pixel1")
    except NasError as error:
        sys.exit(f"error: {error}")
    if options.json:
        print(json.dumps(to_dict(model), indent=2))
    else:
        print_tables(model)


def _with_act(architecture: Architecture, act: Activation) -> Architecture:
    blocks = tuple(block if isinstance(block, PoolBlock) else replace(block, act=act) for block in architecture.blocks)
    return replace(architecture, blocks=blocks)


_EVIDENCE = {
    "hswish_values": "1905.02244 table 5",
    "im2col_values": "fit; first convolutions alone",
}

_TUNAS = (
    "google-research/google-research, tunas/cost_model_data.py (read from a fork with identical payload at"
    " commit 79fc3780368d3359c348b02d5ca20c70ac71c3d8): Pixel 1 cost models that the TuNAS authors"
    " fitted to NetAdapt's lookup tables"
)
_PROVENANCE = (
    {
        "source": _TUNAS,
        "licence": "Apache-2.0",
        "used_for": "coefficients, from random networks that these models evaluated; about 1.2 times the paper's ms",
    },
    {
        "source": "MobileNetV3, arXiv 1905.02244v5, table 3 column P-1, and table 5",
        "licence": "figures cited",
        "used_for": "calibration (scale), and the coefficient of h-swish",
    },
    {
        "source": "python -m benchmarks.latency --write",
        "used_for": "making these files",
    },
)

if __name__ == "__main__":
    main()
