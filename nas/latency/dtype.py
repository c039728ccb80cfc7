"""The number formats in which networks are measured."""

from typing import Literal

Dtype = Literal["float32", "int8"]

QUANTISATION = (
    "static, QDQ: activations uint8 per tensor, weights int8 per output channel and symmetric, bias int32; "
    "h-swish and the hard sigmoid stay float32, as onnxruntime.quantization.quantize_static leaves them"
)
"""What int8 means here, for `device.yaml`."""
