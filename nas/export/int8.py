"""Static quantisation to int8 with ONNX Runtime's own tool."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, final

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from nas.errors import NasError
from nas.training.batches import eval_batches
from nas.training.data import Data

CALIBRATION_IMAGES = 256
_BATCH = 32


def quantise(float_file: Path, int8_file: Path, data: Data, resolution: int) -> None:
    """Write `int8_file`: weights int8 per channel, activations uint8 with ranges seen on training images.

    Raises:
        NasError: the tool fails on the network.
    """
    prepared = int8_file.with_suffix(".prepared.onnx")
    try:
        quant_pre_process(float_file, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            int8_file,
            _Images(data, resolution),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
    except Exception as error:  # the tool's exceptions have no common base
        raise NasError(f"{int8_file}: cannot be quantised: {' '.join(str(error).split())}") from error
    finally:
        prepared.unlink(missing_ok=True)


@final
class _Images(CalibrationDataReader):  # type: ignore[misc]
    """Training images as the network sees them, without augmentation."""

    def __init__(self, data: Data, resolution: int) -> None:
        places = np.random.default_rng(0).permutation(len(data.train))[:CALIBRATION_IMAGES]
        self._batches = self._cut(data, data.train.subset(places), resolution)

    @staticmethod
    def _cut(data: Data, images: Any, resolution: int) -> Iterator[dict[str, np.ndarray]]:
        for x, _ in eval_batches(data, images, resolution, _BATCH):
            yield {"images": np.ascontiguousarray(x.numpy())}

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next images; None at the end."""
        return next(self._batches, None)
