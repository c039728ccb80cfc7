"""The target `host`: what this machine is, and where its table lies in the user's cache."""

import hashlib
import platform
import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from nas.latency.dtype import Dtype
from nas.resources import cache_dir

HOST = "host"

# Tables that were made in another way are not gone on with.
_METHOD = "isolated ops, corrected by networks; the fastest third of readings"
_METHODS: dict[Dtype, str] = {"float32": _METHOD, "int8": f"{_METHOD}; exact products"}
_NAME = re.compile(rf"{HOST}(?:-(?P<threads>[2-9]|[1-9]\d+)t)?(?P<int8>-int8)?")


@dataclass(frozen=True, slots=True)
class HostSetup:
    """How this machine runs networks; each setup is a device of its own."""

    threads: int = 1
    dtype: Dtype = "float32"

    @property
    def name(self) -> str:
        """The target's name: `host`, `host-4t` with four threads, `host-int8` and `host-4t-int8` quantised."""
        threads = "" if self.threads == 1 else f"-{self.threads}t"
        return HOST + threads + ("" if self.dtype == "float32" else f"-{self.dtype}")

    @property
    def options(self) -> str:
        """What the commands that measure it are told."""
        threads = "" if self.threads == 1 else f" --threads {self.threads}"
        return f"--target {HOST}{threads}" + ("" if self.dtype == "float32" else f" --dtype {self.dtype}")

    @property
    def folder(self) -> Path:
        """Where its table lies; another CPU or another version of the runtime has another folder."""
        identity = "\n".join((cpu_model(), runtime_version(), self.dtype, str(self.threads), _METHODS[self.dtype]))
        key = hashlib.sha256(identity.encode()).hexdigest()[:12]
        return cache_dir() / "latency" / key / self.name


FLOAT = HostSetup()


def host_setup(target: str) -> HostSetup | None:
    """The setup of a target that is this machine, None for every other target."""
    match = _NAME.fullmatch(target)
    return match and HostSetup(int(match["threads"] or 1), "int8" if match["int8"] else "float32")


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
