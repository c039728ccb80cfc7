"""`AccuracyModel`: coefficients with their provenance and error, and the file that keeps them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas.accuracy.features import Seen
from nas.accuracy.ridge import Quadratic
from nas.errors import AccuracyError
from nas.resources import data_dir
from nas.storage import write_bytes

COVERAGE = 0.9
"""Share of networks whose accuracy, trained as the fitted ones were, lies within `low` and `high`."""

_DIGITS = 7  # of a coefficient; the sum of all is then right to a thousandth of a point


@dataclass(frozen=True, slots=True)
class Effect:
    """What is added for a choice that no trained network had, on the word of a publication."""

    gene: str
    choice: str | int | float
    instead_of: str | int | float
    points: float
    source: str


@dataclass(frozen=True, slots=True)
class Range:
    """Smallest and largest value among the trained networks."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class AccuracyModel:
    """What a space's accuracy file holds. Accuracies are percent; errors and effects are points of percent."""

    space: str
    predicts: str
    num_classes: int
    networks: int
    seen: Seen
    macs: Range
    params: Range
    quadratic: Quadratic
    half_width: float  # of the interval, inside the range
    effects: tuple[Effect, ...]
    error: Mapping[str, Any]
    provenance: Mapping[str, Any]

    @property
    def version(self) -> str:
        """Hash of the content: predictions of one version are comparable."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        fit = self.quadratic
        rows = [_rounded(fit.quadratic[index, index:]) for index in range(len(fit.mean))]
        return {
            "space": self.space,
            "predicts": self.predicts,
            "num_classes": self.num_classes,
            "provenance": dict(self.provenance),
            "error": dict(self.error),
            "interval": {"coverage": COVERAGE, "half_width": round(self.half_width, 4)},
            "networks": self.networks,
            "seen": {gene: list(choices) for gene, choices in self.seen.items()},
            "range": {"macs": [self.macs.low, self.macs.high], "params": [self.params.low, self.params.high]},
            "effects": [
                {"gene": e.gene, "choice": e.choice, "instead_of": e.instead_of, "points": e.points, "source": e.source}
                for e in self.effects
            ],
            "coefficients": {
                "mean": _rounded(fit.mean),
                "scale": _rounded(fit.scale),
                "intercept": round(fit.intercept, _DIGITS),
                "linear": _rounded(fit.linear),
                "quadratic": rows,
            },
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "AccuracyModel":
        """The inverse of `to_dict`; a missing or wrong entry raises KeyError, TypeError or ValueError."""
        fit, size = data["coefficients"], len(data["coefficients"]["mean"])
        quadratic = np.zeros((size, size))
        for index, row in enumerate(fit["quadratic"]):
            quadratic[index, index:] = row
        arrays = {key: np.array(fit[key], dtype=np.float64) for key in ("mean", "scale", "linear")}
        if any(array.shape != (size,) for array in arrays.values()) or len(fit["quadratic"]) != size:
            raise ValueError("coefficients of different lengths")
        return cls(
            space=str(data["space"]),
            predicts=str(data["predicts"]),
            num_classes=int(data["num_classes"]),
            networks=int(data["networks"]),
            seen={gene: tuple(choices) for gene, choices in data["seen"].items()},
            macs=Range(*map(float, data["range"]["macs"])),
            params=Range(*map(float, data["range"]["params"])),
            quadratic=Quadratic(intercept=float(fit["intercept"]), quadratic=quadratic, **arrays),
            half_width=float(data["interval"]["half_width"]),
            effects=tuple(Effect(**effect) for effect in data["effects"]),
            error=data["error"],
            provenance=data["provenance"],
        )


def accuracy_file(space: str | Path) -> Path:
    """Where the accuracy model of a space lies: `<space>/accuracy.json` beside the space's YAML file."""
    path = Path(space)
    folder = path.with_suffix("") if path.suffix in (".yaml", ".yml") else data_dir("search_spaces") / path
    return folder / "accuracy.json"


def load_accuracy_model(space: str | Path) -> AccuracyModel:
    """The accuracy model of the space of that name, or of a YAML file.

    Raises:
        AccuracyError: there is none, or its file is damaged.
    """
    path = accuracy_file(space)
    try:
        return AccuracyModel.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise AccuracyError(
            f"space {space} has no accuracy model ({path.name}); expected --data to train its networks on, "
            f"{_others()}or a model: nas space fit-accuracy --space {space} --data CSV"
        ) from None
    except OSError as error:
        raise AccuracyError(f"{path}: {error.strerror}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        found = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise AccuracyError(f"{path}: no accuracy model: {found}; fit it again with nas space fit-accuracy") from None


def spaces_with_model() -> list[str]:
    """Names of the shipped spaces that have an accuracy model."""
    return sorted(path.parent.name for path in data_dir("search_spaces").glob("*/accuracy.json"))


def save_accuracy_model(model: AccuracyModel, path: Path) -> None:
    """Write the file, a short line for each entry of the first level but the coefficients.

    Raises:
        NasError: it cannot be written; a former one stays as it was.
    """
    write_bytes(path, _text(model.to_dict()).encode(), "accuracy model")


def _others() -> str:
    names = spaces_with_model()
    return f"a space that has one (--space {' or '.join(names)}) " if names else ""


def _text(data: Mapping[str, Any]) -> str:
    """JSON with one line for each entry of the second level, so that changes can be read."""
    parts = []
    for key, value in data.items():
        if isinstance(value, dict):
            inner = ",\n".join(f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            parts.append(f"  {json.dumps(key)}: {{\n{inner}\n  }}")
        else:
            parts.append(f"  {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _rounded(values: Any) -> list[float]:
    return [float(f"{value:.{_DIGITS}g}") for value in values]
