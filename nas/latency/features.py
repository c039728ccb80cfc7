"""What the time of an op is proportional to on a phone's CPU, for devices of which only whole networks are known."""

from nas.layers import Layer

NETWORK = "network"
"""The constant that every network pays once."""

SMALL_MAP = 32
"""Pixels at which a matrix product runs at half its excess cost; 24 to 48 fit alike, 32 is also right for one pixel."""

_FUSED = ("none", "relu", "relu6")  # clamped while the result is stored: no time of their own


def features(layer: Layer) -> dict[str, float]:
    """Features of one op, in millions; the time of the op is their sum, each times its coefficient.

    - `gemm_macs`: multiply-accumulates of dense convolutions and linear layers, which run as matrix products;
      `gemm_small_map_macs` is the share that is lost where a map has few pixels;
      `im2col_values` is the copied input of kernels larger than 1.
    - `taps_k3_s1` and so on: multiply-accumulates of a depthwise kernel, without those that fall on the padding,
      which runtimes skip. An average pooling with stride moves the same values and counts as one.
    - `gate_values`, `add_values`, `hswish_values`: values that squeeze and scale, residual sum and activation read.
    """
    found: dict[str, float] = {}
    match layer.kind:
        case "conv" | "linear":
            pixels = layer.out_size**2
            found["gemm_macs"] = layer.macs / 1e6
            found["gemm_small_map_macs"] = layer.macs / 1e6 * SMALL_MAP / (SMALL_MAP + pixels)
            if layer.kernel > 1:
                found["im2col_values"] = layer.in_channels * layer.kernel**2 * pixels / 1e6
        case "depthwise" | "avgpool":
            found[f"taps_k{layer.kernel}_s{layer.stride}"] = layer.out_channels * _taps(layer) ** 2 / 1e6
        case "pool" | "scale":
            found["gate_values"] = layer.in_values / 1e6
        case "add":
            found["add_values"] = layer.out_values / 1e6
    gate = layer.act in ("sigmoid", "hsigmoid") and layer.out_size == 1  # a few hundred values: no time
    if layer.act not in _FUSED and not gate:
        found[f"{layer.act}_values"] = layer.out_values / 1e6
    return found


def _taps(layer: Layer) -> int:
    """Kernel positions on the map, along one side and over all outputs."""
    starts = range(-(layer.kernel // 2), layer.size - layer.kernel // 2, layer.stride)
    return sum(min(start + layer.kernel, layer.size) - max(start, 0) for start in starts)
