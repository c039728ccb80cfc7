"""What the benchmark programs of runtimes print: `onnxruntime_perf_test` and TensorFlow Lite's `benchmark_model`."""

import re
from dataclasses import dataclass

from nas.errors import LatencyError

_NUMBER = r"([0-9.]+(?:e[+-]?[0-9]+)?)"
_ORT_LATENCY = re.compile(rf"^(Min|P50|P90) Latency(?: is|:) {_NUMBER} s(?:ec)?\s*$", re.MULTILINE)
_TFLITE_RUNS = re.compile(rf"\bcount=(\d+) first=\d+ .*?\bavg={_NUMBER} std={_NUMBER}(.*)$", re.MULTILINE)
_TFLITE_QUANTILE = re.compile(rf"\b(p5|median|p95)={_NUMBER}")
_TFLITE_END = re.compile(rf"Inference timings in us: .*\bInference \(avg\): {_NUMBER}\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of one run, and how far runs lie from it, relative to it."""

    ms: float
    spread: float


def parse_ort_perf_test(text: str) -> Timing:
    """The median of the runs, and the 90 % quantile above the least, from the statistics that `-s` prints.

    Raises:
        LatencyError: no such statistics; with the last line in their place.
    """
    seconds = {name: float(number) for name, number in _ORT_LATENCY.findall(text.replace("\r", ""))}
    if seconds.keys() != {"Min", "P50", "P90"} or seconds["P50"] <= 0:
        raise LatencyError(f"said {_last_line(text)!r}; expected Min, P50 and P90 Latency of onnxruntime_perf_test -s")
    return Timing(seconds["P50"] * 1e3, (seconds["P90"] - seconds["Min"]) / seconds["P50"])


def parse_tflite_benchmark(text: str) -> Timing:
    """The median of the runs after the warm-up, and the range of nine in ten of them.

    Programs of before 2024 print neither: then the mean and the standard deviation.

    Raises:
        LatencyError: no such line, or a run that was not ended; with the last line in its place.
    """
    text = text.replace("\r", "")
    runs, end = _TFLITE_RUNS.findall(text), _TFLITE_END.search(text)
    if not runs or not end or runs[-1][1] != end[1]:  # the last count is that of the runs, the ones before warm up
        raise LatencyError(f"said {_last_line(text)!r}; expected count=... avg=... and Inference timings in us: ...")
    _, mean, deviation, rest = runs[-1]
    quantiles = {name: float(number) for name, number in _TFLITE_QUANTILE.findall(rest)}
    if {"p5", "median", "p95"} <= quantiles.keys() and quantiles["median"] > 0:
        median = quantiles["median"]
        return Timing(median / 1e3, (quantiles["p95"] - quantiles["p5"]) / median)
    return Timing(float(mean) / 1e3, float(deviation) / float(mean))


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""
