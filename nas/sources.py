"""Networks with weights from elsewhere: our files, torchvision's networks and their like, timm's."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from nas.architecture import Architecture
from nas.errors import ArchitectureError, NasError
from nas.json_file import load_json
from nas.network.build import Network, build
from nas.network.timm_strings import read_timm
from nas.network.weights import copy_in_order
from nas.space import load_reference, references
from nas.training.checkpoint import read_network, read_tensors

TORCHVISION: Final = {
    "mobilenet_v2": "mobilenet_v2",
    "mobilenet_v3_large": "mobilenet_v3_large",
    "mobilenet_v3_small": "mobilenet_v3_small",
    "mnasnet1_0": "mnasnet_b1",
}
"""torchvision's networks by its names, and ours for the same architecture."""

SUPPORTED: Final = (
    "trial:ID, reference:NAME, reference:NAME,FILE, torchvision:NAME, timm:DEFINITION.json,FILE or FILE.safetensors of "
    "`nas train`, where FILE is .safetensors or .pth"
)


@dataclass(frozen=True, slots=True)
class Source:
    """A network to begin with; `network` is None where it has no weights of its own."""

    name: str
    architecture: Architecture
    network: Network | None


def load_source(text: str) -> Source:
    """The network that `text` names, with its weights; trials are not known here.

    Raises:
        NasError: it names none, its weights cannot be had, or they are those of another network.
    """
    kind, _, rest = text.partition(":")
    name, _, file = rest.partition(",")
    match kind:
        case "reference":
            architecture = _reference(name)
            return Source(text, architecture, _filled(architecture, Path(file)) if file else None)
        case "timm" if name.endswith(".json"):
            architecture = _timm(Path(name))
            return Source(text, architecture, _filled(architecture, Path(file)) if file else None)
        case "torchvision" if name in TORCHVISION and not file:
            return _torchvision(text, name)
        case _ if text.endswith(".safetensors") and kind == text:
            architecture, network = read_network(Path(text))
            return Source(text, architecture, network)
    raise NasError(f"cannot begin with {text!r}; supported: {SUPPORTED}; torchvision has {', '.join(TORCHVISION)}")


def for_classes(source: Source, num_classes: int, seed: int = 0) -> Source:
    """The same with a classifier for so many classes: a fresh one unless it has as many already."""
    architecture = source.architecture.with_num_classes(num_classes)
    if source.network is None or architecture == source.architecture:
        return Source(source.name, architecture, source.network)
    network = build(architecture, seed=seed)
    state = {name: value for name, value in source.network.state_dict().items() if not name.startswith("classifier.")}
    network.load_state_dict(state, strict=False)
    return Source(source.name, architecture, network)


def read_state(path: Path) -> Mapping[str, Tensor]:
    """The weights of a `.safetensors` or `.pth` file, in its order; nothing in it is executed.

    Raises:
        NasError: no such file, another kind of file, or a pickle that holds more than weights.
    """
    if path.suffix == ".safetensors":
        return read_tensors(path)
    if path.suffix not in (".pth", ".pt"):
        raise NasError(f"{path}: not a file of weights; expected .safetensors or .pth")
    try:
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise NasError(f"{path}: {error.strerror}") from None
    except pickle.UnpicklingError:
        raise NasError(
            f"{path}: refused: it is damaged or holds more than weights, which loading would execute"
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise NasError(f"{path}: not a file of weights: {' '.join(str(error).split())[:200]}") from None
    for key in ("state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise NasError(f"{path}: holds {type(loaded).__name__}; expected a state dict of tensors")
    return loaded


def _reference(name: str) -> Architecture:
    if name not in references():
        raise NasError(f"unknown network {name!r}; expected one of {', '.join(references())}")
    return load_reference(name)


def _timm(path: Path) -> Architecture:
    """The network of a file that `nas export --format timm` wrote, or of its part `timm` alone."""
    definition = load_json(path)
    if isinstance(definition, Mapping) and isinstance(definition.get("timm"), Mapping):
        definition = definition["timm"]
    try:
        return read_timm(definition)
    except ArchitectureError as error:
        raise NasError(f"{path}: {error}") from None


def _filled(architecture: Architecture, path: Path) -> Network:
    """The network with the file's weights, under our names or in the order in which the layers run.

    The file says how many classes the classifier tells apart.
    """
    state = read_state(path)
    architecture = architecture.with_num_classes(_classes(path, state))
    network = build(architecture)
    own = network.state_dict()
    try:
        if state.keys() == own.keys():
            copy_in_order({name: state[name] for name in own}, network)
        else:
            copy_in_order(_shaped(state, list(own.values())), network)
    except ArchitectureError as error:
        raise NasError(f"{path}: the weights of another network: {error}") from None
    return network


def _classes(path: Path, state: Mapping[str, Tensor]) -> int:
    biases = [value for name, value in state.items() if name.endswith("bias")]
    if not biases:
        raise NasError(f"{path}: holds no weights of a classifier with bias")
    return len(state.get("classifier.bias", biases[-1]))


def _shaped(state: Mapping[str, Tensor], own: list[Tensor]) -> dict[str, Tensor]:
    """A linear layer may be stored as the 1x1 convolution that it is, as timm does."""
    if len(state) != len(own):
        return dict(state)
    pairs = zip(state.items(), own, strict=True)
    return {
        name: value.flatten(1) if value.ndim == 4 and mine.ndim == 2 and value.shape[2:] == (1, 1) else value
        for (name, value), mine in pairs
    }


def _torchvision(text: str, name: str) -> Source:
    from torchvision.models import get_model  # noqa: PLC0415 - slow to import

    architecture = load_reference(TORCHVISION[name])
    try:
        theirs = get_model(name, weights="DEFAULT")
    except (OSError, RuntimeError) as error:
        raise NasError(f"{text}: its weights cannot be downloaded: {' '.join(str(error).split())}") from None
    network = build(architecture)
    copy_in_order(theirs.state_dict(), network)
    return Source(text, architecture, network)
