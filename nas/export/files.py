"""`export()`: a network with its weights as a file of some format, and beside it what the file is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from nas import __version__
from nas.architecture import Architecture
from nas.errors import NasError
from nas.export.fold import folded
from nas.latency.graph import OPSET, trained_graph
from nas.layers import lower, total_macs, total_params
from nas.network.build import Network
from nas.network.timm_format import timm_definition, timm_names, timm_state
from nas.storage import write_bytes
from nas.training.checkpoint import save_tensors, save_weights
from nas.training.data import Data

FORMATS: Final = ("onnx", "onnx-int8", "state-dict", "timm")


@dataclass(frozen=True, slots=True)
class Trained:
    """A network to hand over; `data` is what it was trained on, None if nobody knows; images have `resolution`."""

    name: str
    architecture: Architecture
    network: Network
    resolution: int
    data: Data | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)


def export(trained: Trained, format: str, folder: Path, *, check: bool = False) -> dict[str, Any]:
    """Write the files into `folder`; returns what `model.json` says. A name of the file per format, see docs/export.md.

    `check` compares the ONNX file with torch on held-out images. int8 is always compared with float, on the test set.

    Raises:
        NasError: an unknown format, no data where images are needed, a difference over the tolerance, a full disk.
    """
    trained.network.eval()
    if check and format not in ("onnx", "onnx-int8"):
        raise NasError(f"--check compares ONNX files with torch; there is nothing to compare in {format}")
    match format:
        case "onnx":
            path, more = _onnx(trained, folder, check)
            return _described(path, trained, more)
        case "onnx-int8":
            return _int8(trained, folder, check)
        case "state-dict":
            path = folder / "model.safetensors"
            save_weights(path, trained.network, {"architecture": trained.architecture.to_json()})
            return _described(path, trained, {})
        case "timm":
            path = folder / "model.timm.safetensors"
            definition = timm_definition(trained.architecture)
            save_tensors(path, timm_state(trained.network, timm_names(trained.network, trained.architecture)), {})
            return _described(path, trained, {"timm": definition})
    raise NasError(f"unknown format {format!r}; expected one of {', '.join(FORMATS)}")


def _onnx(trained: Trained, folder: Path, check: bool) -> tuple[Path, dict[str, Any]]:
    """The file, and what its check found; one that is refused is not left behind, and a former one stays."""
    layers = lower(trained.architecture.with_resolution(trained.resolution))
    path = folder / "model.onnx"
    scratch = folder / ".model.unchecked.onnx" if check else path
    write_bytes(scratch, trained_graph(layers, folded(trained.network, trained.architecture)))
    if not check:
        return path, {}
    try:
        found = _checked(trained, scratch)
        scratch.replace(path)
    except NasError as error:
        raise NasError(str(error).replace(str(scratch), str(path))) from None
    finally:
        scratch.unlink(missing_ok=True)
    return path, found


def _checked(trained: Trained, path: Path) -> dict[str, Any]:
    from nas.export.runtime import TOLERANCE, largest_difference  # noqa: PLC0415 - onnxruntime

    difference = largest_difference(path, trained.network, _data(trained, "--check"), trained.resolution)
    return {"check": {"max_difference": difference, "tolerance": TOLERANCE}}


def _int8(trained: Trained, folder: Path, check: bool) -> dict[str, Any]:
    from nas.export.int8 import CALIBRATION_IMAGES, quantise  # noqa: PLC0415 - onnxruntime
    from nas.export.runtime import judge  # noqa: PLC0415

    data = _data(trained, "onnx-int8")
    path = folder / "model.int8.onnx"
    whole, more = _onnx(trained, folder, check)
    quantise(whole, path, data, trained.resolution)
    found = judge([whole, path], data, data.test, trained.resolution)
    compared = {
        name: {"test_accuracy": judged.accuracy, "ms": judged.ms}
        for name, judged in zip(("float32", "int8"), found, strict=True)
    }
    _described(whole, trained, more)
    quantisation = {"method": "static, QDQ, min-max", "calibration_images": CALIBRATION_IMAGES}
    return _described(path, trained, {**more, "quantisation": quantisation, "compared": compared})


def _data(trained: Trained, what: str) -> Data:
    if trained.data is None:
        raise NasError(f"{what} needs images; give the data that {trained.name} was trained on: --data")
    return trained.data


def _described(path: Path, trained: Trained, more: Mapping[str, Any]) -> dict[str, Any]:
    """Write the record of a file beside it, and return it."""
    layers = lower(trained.architecture.with_resolution(trained.resolution))
    data = trained.data
    record: dict[str, Any] = {
        "file": path.name,
        "network": trained.name,
        "id": trained.architecture.id,
        "input": {
            "name": "images",
            "shape": ["batch", trained.architecture.in_channels, trained.resolution, trained.resolution],
            "layout": "NCHW, RGB, float32 from 0 to 1, then (x - mean) / std",
            "mean": list(data.mean) if data else None,
            "std": list(data.std) if data else None,
        },
        "output": {"name": "logits", "class_names": list(data.info.class_names) if data else None},
        "params": total_params(layers),
        "macs": total_macs(layers),
        "metrics": dict(trained.metrics),
        "provenance": {"nas": __version__, "data": data.info.name if data else None, **trained.provenance},
        "opset": OPSET if path.suffix == ".onnx" else None,
        **more,
        "architecture": trained.architecture.to_dict(),
    }
    write_bytes(path.with_suffix(".json"), f"{json.dumps(record, indent=2)}\n".encode())
    return record
