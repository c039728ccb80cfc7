"""`load_effects`: published effects of choices that no trained network of a table had."""

from pathlib import Path
from typing import Any

from nas.accuracy.model import Effect
from nas.errors import SpecError
from nas.space import SearchSpace
from nas.yaml_file import load_yaml, require_keys

_KEYS = frozenset({"key", "stages", "choice", "instead_of", "points", "source"})


def load_effects(path: Path, space: SearchSpace) -> tuple[Effect, ...]:
    """The file's effects, one for each gene; the stages of an entry share its points evenly.

    Raises:
        SpecError: the file is wrong, or names what the space does not have.
    """
    entries = require_keys(str(path), load_yaml(path), frozenset({"effects"}), frozenset({"effects"}))["effects"]
    if not isinstance(entries, list):
        raise SpecError(f"{path}: effects: expected a list")
    return tuple(
        effect for i, entry in enumerate(entries) for effect in _effects(f"{path}: effects[{i}]", entry, space)
    )


def _effects(place: str, data: object, space: SearchSpace) -> list[Effect]:
    entry = require_keys(place, data, _KEYS, _KEYS)
    stages, points = entry["stages"], entry["points"]
    if not isinstance(stages, list) or not stages:
        raise SpecError(f"{place}.stages: found {stages!r}; expected a list of stages")
    if not isinstance(points, int | float):
        raise SpecError(f"{place}.points: found {points!r}; expected a number")
    return [_effect(place, f"stages[{stage}].{entry['key']}", entry, space, points / len(stages)) for stage in stages]


def _effect(place: str, name: str, entry: dict[str, Any], space: SearchSpace, points: float) -> Effect:
    choices = next((gene.choices for gene in space.genes if gene.name == name), None)
    if choices is None:
        raise SpecError(f"{place}: space {space.name} has no gene {name}")
    for key in ("choice", "instead_of"):
        if entry[key] not in choices:
            raise SpecError(f"{place}.{key}: found {entry[key]!r}; expected one of {', '.join(map(str, choices))}")
    return Effect(name, entry["choice"], entry["instead_of"], round(points, 4), str(entry["source"]))
