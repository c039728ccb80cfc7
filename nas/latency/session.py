"""`session()`: a model in ONNX Runtime on the CPU, which computes the same on every processor."""

from pathlib import Path

import onnxruntime as ort


def session(model: Path | bytes, threads: int = 1) -> ort.InferenceSession:
    """A session of a file or a serialised graph.

    On x86 processors without VNNI the runtime's products of uint8 and int8 overflow 16 bits, and quantised networks are
    wrong by points. They are made exact here, as everywhere else, and take longer: that is what such a network costs.

    Raises:
        Exception: the runtime does not take the model; its own exceptions have no common base.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors alone
    options.add_session_config_entry("session.x64quantprecision", "1")  # no effect with VNNI or on ARM
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
