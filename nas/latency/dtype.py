"""The number formats in which networks are measured."""

from typing import Literal

Dtype = Literal["float32", "int8"]

_QUANTISATION = (
    "static, QDQ: activations uint8 per tensor, weights int8 per output channel and symmetric, bias int32; "
    "h-swish and the hard sigmoid stay float32, as onnxruntime.quantization.quantize_static leaves them"
)


def provenance(source: str, dtype: Dtype, note: str = "") -> tuple[dict[str, str], ...]:
    """What `device.yaml` says of measurements by a command: how they went, and how the networks were quantised."""
    measured = {"source": source, "used_for": "ops and whole networks"} | ({"note": note} if note else {})
    quantised = {"source": _QUANTISATION, "used_for": "int8"}
    return (measured,) if dtype == "float32" else (measured, quantised)
