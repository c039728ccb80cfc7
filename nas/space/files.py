"""The spaces and reference networks that ship with the package, and files of the user's own, by name."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from nas.architecture import Architecture
from nas.errors import SpaceError, SpecError
from nas.resources import data_dir
from nas.space.search_space import SearchSpace
from nas.space.spec import Published, SpaceSpec, load_spec
from nas.yaml_file import load_yaml

_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Reference:
    """A published network with what its authors say of it."""

    name: str
    architecture: Architecture
    published: tuple[Published, ...]


def spaces() -> list[str]:
    """Names of the search spaces that ship with the package."""
    return sorted(path.stem for path in data_dir("search_spaces").glob("*.yaml"))


def references() -> list[str]:
    """Names of the reference networks that ship with the package."""
    return sorted(path.stem for path in (data_dir("search_spaces") / "reference").glob("*.yaml"))


def load_space(name: str | Path) -> SearchSpace:
    """The space of that name, or of a YAML file given by its path.

    Raises:
        SpaceError: there is no such space.
        SpecError: the file is wrong; the message says where.
    """
    return SearchSpace(load_spec(_space_path(name)))


def space_version(name: str | Path) -> str:
    """Hash of what the space's file says, whatever its comments and spacing.

    Raises:
        SpaceError: there is no such space.
        SpecError: the file is no YAML.
    """
    plain = json.dumps(load_yaml(_space_path(name)), sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()[:12]


def _space_path(name: str | Path) -> Path:
    path = Path(name)
    if path.suffix in _SUFFIXES:
        return path
    if str(name) not in spaces():
        raise SpaceError(f"unknown space {str(name)!r}; expected one of {', '.join(spaces())}, or a YAML file")
    return data_dir("search_spaces") / f"{name}.yaml"


def read_reference(name: str) -> Reference:
    """The reference network of that name with its published figures.

    Raises:
        SpaceError: there is no such network.
        SpecError: its file leaves a choice open.
    """
    spec = reference_spec(name)
    return Reference(name, SearchSpace(spec).decode(()), spec.published)


def reference_spec(name: str | Path) -> SpaceSpec:
    """What the file of a reference network says, by its name, or of a YAML file of one's own given by its path.

    Raises:
        SpaceError: there is no such network.
        SpecError: the file is wrong, or leaves a choice open.
    """
    path = Path(name)
    if path.suffix not in _SUFFIXES:
        if str(name) not in references():
            raise SpaceError(f"unknown network {str(name)!r}; expected one of {', '.join(references())}")
        path = data_dir("search_spaces") / "reference" / f"{name}.yaml"
    spec = load_spec(path)
    if genes := SearchSpace(spec).genes:
        raise SpecError(f"{path}: {genes[0].name} is a choice; a reference network has none")
    return spec


def load_reference(name: str) -> Architecture:
    """The reference network of that name; raises as `read_reference` does."""
    return read_reference(name).architecture
