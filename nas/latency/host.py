"""The target `host`: what this machine is, and where its table lies in the user's cache."""

import hashlib
import platform
import re
from importlib.metadata import version
from pathlib import Path

from nas.resources import cache_dir

HOST = "host"
DTYPE = "float32"

_METHOD = "isolated ops, corrected by networks"  # tables that were made in another way are not gone on with


def host_name(threads: int = 1) -> str:
    """The target's name: `host` with one thread, `host-4t` with four."""
    return HOST if threads == 1 else f"{HOST}-{threads}t"


def host_threads(target: str) -> int | None:
    """The threads of a target that is this machine, None for every other target."""
    if target == HOST:
        return 1
    match = re.fullmatch(rf"{HOST}-([2-9]|[1-9]\d+)t", target)
    return int(match[1]) if match else None


def host_dir(threads: int = 1) -> Path:
    """The folder of this machine's table; another CPU or another version of the runtime has another folder."""
    identity = "\n".join((cpu_model(), runtime_version(), DTYPE, str(threads), _METHOD))
    key = hashlib.sha256(identity.encode()).hexdigest()[:12]
    return cache_dir() / "latency" / key / host_name(threads)


def runtime_version() -> str:
    """The installed version of ONNX Runtime."""
    return version("onnxruntime")


def cpu_model() -> str:
    """The CPU's name as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def governor() -> str:
    """The frequency governor of the first core, "unknown" where the system does not tell."""
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return "unknown"
