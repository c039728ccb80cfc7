"""`load_study`: a study file, checked key by key before anything runs."""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from nas.begun import require_name
from nas.errors import NasError, SpecError
from nas.pipeline.spec import (
    ABLATIONS,
    Ablations,
    AdaptScale,
    BlockSearch,
    Scale,
    SearchScale,
    StudyFile,
    TrainScale,
    Trimming,
)
from nas.reward import make_reward
from nas.space import load_space, reference_spec
from nas.strategies.netadapt_settings import RULES, Rule
from nas.strategies.registry import STRATEGIES
from nas.training.data import describe_data
from nas.yaml_file import load_yaml, require_keys

Reader = Callable[[str, object], Any]
"""`reader(place, found)`: the value, or a SpecError that names the place."""

_Part = TypeVar("_Part")
_BUDGET = re.compile(r"(\d+(?:\.\d+)?)\s*ms")
_SUFFIXES = (".yaml", ".yml")


def load_study(path: Path) -> StudyFile:
    """The study that the file describes; names of networks and spaces that end in .yaml are files beside it.

    Raises:
        SpecError: with file, place, finding and expectation.
    """
    data = _mapping(str(path), load_yaml(path), _STUDY)
    most, budget = data["search"].budget_ms, data["adapt"].budget_ms
    if budget is not None and budget > most:
        raise _expected(f"{path}: adapt.budget", f"{budget:g}ms", f"at most that of the search, {most:g}ms")
    return StudyFile(
        path=path,
        name=data["name"],
        target=data["target"],
        space=_known(path, "space", data["space"], load_space),
        reference=_known(path, "reference", data["reference"], reference_spec),
        search=data["search"],
        adapt=data["adapt"],
        scaled=tuple(_known(path, "scaled", name, reference_spec) for name in data["scaled"]),
        ablations=data["ablations"],
        scales=data["scales"],
    )


def require_scale(study: StudyFile, name: str | None) -> Scale:
    """The scale of that name, or the first one.

    Raises:
        NasError: the study has no such scale.
    """
    if name is None:
        return next(iter(study.scales.values()))
    if name not in study.scales:
        raise NasError(f"{study.path}: scale {name!r}; expected one of {', '.join(study.scales)}")
    return study.scales[name]


def _known(path: Path, key: str, name: str, load: Callable[[str | Path], object]) -> str:
    """The name that a loader takes; a file's is seen from the study file."""
    found = str(path.parent / name) if name.endswith(_SUFFIXES) else name
    try:
        load(found)
    except NasError as error:
        raise SpecError(f"{path}: {key}: {error}") from None
    return found


def _mapping(place: str, data: object, readers: Mapping[str, Reader]) -> dict[str, Any]:
    """All keys of `readers`, each read by its own."""
    keys = frozenset(readers)
    given = require_keys(place, data, keys, keys)
    separator = ": " if place.endswith(_SUFFIXES) else "."
    return {key: reader(f"{place}{separator}{key}", given[key]) for key, reader in readers.items()}


def _part(kind: Callable[..., _Part], readers: Mapping[str, Reader]) -> Reader:
    return lambda place, found: kind(**_mapping(place, found, readers))


def _expected(place: str, found: object, expected: str) -> SpecError:
    return SpecError(f"{place}: found {found!r}; expected {expected}")


def _text(place: str, found: object) -> str:
    if not isinstance(found, str) or not found:
        raise _expected(place, found, "text")
    return found


def _name(place: str, found: object) -> str:
    name = _text(place, found)
    try:
        require_name(name)
    except NasError as error:
        raise SpecError(f"{place}: {error}") from None
    return name


def _word(*words: str) -> Reader:
    def read(place: str, found: object) -> str:
        if found not in words:
            raise _expected(place, found, f"one of {', '.join(words)}")
        return str(found)

    return read


def _list(reader: Reader, least: int = 0) -> Reader:
    def read(place: str, found: object) -> tuple[Any, ...]:
        if not isinstance(found, list) or len(found) < least or len({repr(one) for one in found}) < len(found):
            raise _expected(place, found, f"a list of at least {least} different members")
        return tuple(reader(f"{place}[{index}]", one) for index, one in enumerate(found))

    return read


def _count(least: int) -> Reader:
    def read(place: str, found: object) -> int:
        if type(found) is not int or found < least:
            raise _expected(place, found, f"a whole number, at least {least}")
        return found

    return read


def _images(place: str, found: object) -> int | None:
    return None if found == "all" else int(_count(1)(place, found))


def _share(place: str, found: object) -> float:
    """From 0 up to, but not including, 1."""
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < 1:
        raise _expected(place, found, "a number from 0 to below 1")
    return float(found)


def _rate(place: str, found: object) -> float:
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found < math.inf:
        raise _expected(place, found, "a number above 0")
    return float(found)


def _flag(place: str, found: object) -> bool:
    if not isinstance(found, bool):
        raise _expected(place, found, "true or false")
    return found


def _budget(place: str, found: object) -> float:
    match = _BUDGET.fullmatch(found) if isinstance(found, str) else None
    if match is None or not 0 < float(match[1]) < math.inf:
        raise _expected(place, found, "a latency with its unit, such as 80ms")
    return float(match[1])


def _budget_or_reference(place: str, found: object) -> float | None:
    return None if found == "reference" else _budget(place, found)


def _delta(place: str, found: object) -> float | None:
    return None if found == "rule" else _share(place, found) or None


def _reward(place: str, found: object) -> str:
    name = _text(place, found)
    if "@" in name:
        raise _expected(
            place, found, "no @: latencies below NetAdapt's budget are counted as that, whatever the reward"
        )
    try:
        make_reward(name, 1.0)
    except NasError as error:
        raise SpecError(f"{place}: {error}") from None
    return name


def _data(place: str, found: object) -> str:
    """A folder of images need not be there yet: `--data` may name another."""
    spec = _text(place, found)
    if not (spec.startswith("imagefolder:") and spec.partition(":")[2]):
        try:
            describe_data(spec)
        except NasError as error:
            raise SpecError(f"{place}: {error}") from None
    return spec


_SEARCH: dict[str, Reader] = {
    "resolution": _count(16),
    "epochs": _count(1),
    "train_images": _images,
    "val_images": _images,
    "trials": _count(1),
    "repeats": _count(1),
    "evaluator": _word("proxy", "supernet"),
    "early_stop": _flag,
}
_ADAPT: dict[str, Reader] = {
    "resolution": _count(16),
    "seed_epochs": _count(1),
    "epochs": _count(1),
    "images": _images,
    "val_images": _images,
    "proposals": _word("halving", "full", "zero"),
    "delta": _delta,
    "lr": _rate,
}
_TRAIN: dict[str, Reader] = {
    "resolution": _count(16),
    "epochs": _count(1),
    "train_images": _images,
    "val_images": _images,
    "batch_size": _count(1),
    "lr": _rate,
    "weight_decay": _share,
    "label_smoothing": _share,
    "seeds": _list(_count(0), least=2),
}


def _scales(place: str, found: object) -> dict[str, Scale]:
    readers = {
        "data": _data,
        "search": _part(SearchScale, _SEARCH),
        "adapt": _part(AdaptScale, _ADAPT),
        "train": _part(TrainScale, _TRAIN),
    }
    if not isinstance(found, dict) or not found:
        raise _expected(place, found, "at least one scale by its name, such as small")
    return {
        (name := _name(place, key)): Scale(name=name, **_mapping(f"{place}.{key}", scale, readers))
        for key, scale in found.items()
    }


def _block_search(budget: float, reward: str, strategy: str) -> BlockSearch:
    return BlockSearch(budget, reward, strategy)


def _trimming(budget: float | None, rule: Rule) -> Trimming:
    return Trimming(budget, rule)


_STUDY: dict[str, Reader] = {
    "name": _name,
    "target": _text,
    "space": _text,
    "reference": _text,
    "search": _part(_block_search, {"budget": _budget, "reward": _reward, "strategy": _word(*STRATEGIES)}),
    "adapt": _part(_trimming, {"budget": _budget_or_reference, "rule": _word(*RULES)}),
    "scaled": _list(_text),
    "ablations": _part(Ablations, {"of": _word("reference", "found"), "without": _list(_word(*ABLATIONS))}),
    "scales": _scales,
}
