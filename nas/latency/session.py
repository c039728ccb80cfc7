"""`session()`: a model in ONNX Runtime on the CPU, whose products of integers are exact on every processor."""

from pathlib import Path

import onnxruntime as ort


def session(model: Path | bytes, threads: int = 1) -> ort.InferenceSession:
    """A session of a file or a serialised graph.

    On x86 processors without VNNI the runtime's products of uint8 and int8 overflow 16 bits by default: a network of
    digits lost 7.6 points by it. They are made exact here, and take longer: that is what such a network costs there.

    What the runtime raises if it does not take the model has no common base.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors alone
    options.add_session_config_entry("session.x64quantprecision", "1")  # no effect with VNNI or on ARM
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
