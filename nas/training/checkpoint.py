"""Weights on disk: safetensors files, written in one step, never pickled."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.optim import Optimizer

from nas.architecture import Architecture
from nas.errors import ArchitectureError, NasError
from nas.network.build import Network, blank
from nas.storage import is_local, read_bytes, write_bytes
from nas.trial import Metrics

_MODEL: Final = "model."
_OPTIMIZER: Final = "optimizer."


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training has come: `epoch` epochs are done; `settings` must be the same for it to go on."""

    epoch: int
    metrics: Metrics
    settings: str


def save_weights(path: Path, network: nn.Module, about: Mapping[str, str]) -> None:
    """Write the network's weights under its own parameter names, with `about` in the file's header.

    Raises:
        NasError: the file cannot be written; a former one stays as it was.
    """
    save_tensors(path, network.state_dict(), about)


def weights_version(network: nn.Module) -> str:
    """A hash of all that `save_weights` would write of the network."""
    content = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        content.update(name.encode())
        content.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return content.hexdigest()[:12]


def load_weights(path: Path, network: nn.Module) -> None:
    """Fill the network with weights that `save_weights` wrote.

    Raises:
        NasError: no such file, not safetensors, or weights of another network.
    """
    tensors, _ = _read(path)
    _fill(path, network, tensors)


def read_network(path: Path) -> tuple[Architecture, Network]:
    """The network that `save_weights` wrote, built from the architecture in the file's header.

    Raises:
        NasError: no such file, not safetensors, or a header without architecture.
    """
    tensors, about = _read(path)
    try:
        architecture = Architecture.from_json(about["architecture"])
    except (KeyError, ArchitectureError):
        raise NasError(f"{path}: its header names no architecture; expected a file that nas wrote") from None
    network = blank(architecture)
    _fill(path, network, tensors)
    return architecture, network


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file by name.

    Raises:
        NasError: no such file, or not safetensors.
    """
    return _read(path)[0]


def save_checkpoint(path: Path, network: nn.Module, optimizer: Optimizer, progress: Progress) -> None:
    """Write all that `load_checkpoint` needs to go on as if there had been no pause.

    Raises:
        NasError: the file cannot be written; a former one stays as it was.
    """
    tensors = {_MODEL + name: value for name, value in network.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"{_OPTIMIZER}{index}.{key}": value for key, value in values.items() if value is not None}
    about = {"epoch": progress.epoch, "metrics": dict(progress.metrics), "settings": progress.settings}
    save_tensors(path, tensors, {"progress": json.dumps(about)})


def load_checkpoint(path: Path, network: nn.Module, optimizer: Optimizer, settings: str) -> Progress:
    """Restore network and optimizer, and say how far they had come.

    Raises:
        NasError: not such a file, or one of another network or of other settings.
    """
    tensors, about = _read(path)
    try:
        progress = Progress(**json.loads(about["progress"]))
    except (KeyError, TypeError, ValueError):
        raise NasError(f"{path}: not a checkpoint of a training; move it away to start anew") from None
    if progress.settings != settings:
        raise NasError(f"{path}: belongs to a training with other settings; move it away to start anew")
    _fill(path, network, {name.removeprefix(_MODEL): t for name, t in tensors.items() if name.startswith(_MODEL)})
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith(_OPTIMIZER):
            index, key = name.removeprefix(_OPTIMIZER).split(".", 1)
            state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return progress


def save_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """Write tensors under these names, with `about` in the file's header.

    Raises:
        NasError: the file cannot be written; a former one stays as it was.
    """
    data = save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, dict(about))
    write_bytes(path, data, what="weights")


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        return _mapped(path) if is_local(path) else _parsed(read_bytes(path))
    except OSError as error:
        raise NasError(f"{path}: {error.strerror or 'no such file'}") from None
    except SafetensorError as error:
        raise NasError(f"{path}: not a safetensors file: {error}") from None


def _mapped(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def _parsed(data: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A file of which only the bytes are at hand: 8 of them say how long its header of JSON is."""
    tensors = load(data)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return tensors, header.get("__metadata__", {})


def _fill(path: Path, network: nn.Module, tensors: Mapping[str, Any]) -> None:
    try:
        network.load_state_dict(tensors)
    except RuntimeError:
        raise NasError(f"{path}: holds the weights of another network") from None
