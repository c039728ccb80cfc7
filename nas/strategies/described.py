"""`Described`: genotypes with all that a model needs to judge them; `Growing`, to which some are added one by one."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nas.strategies.costs import Genotypes
from nas.strategies.gaussian_process import AccuracyModel, Values


@final
@dataclass(frozen=True, slots=True)
class Described:
    """N genotypes; every reward is linear in accuracy."""

    genotypes: Genotypes
    descriptors: Values
    costs: Values  # (N, costs): what the front is wanted of, besides accuracy
    offsets: Values  # rewards of accuracy 0
    slopes: Values

    def rewards(self, model: AccuracyModel) -> Values:
        """Expected rewards (N,)."""
        return self.offsets + self.slopes * model.mean(self.descriptors)

    def only(self, chosen: NDArray[np.intp] | list[bool] | slice) -> "Described":
        """Some of them."""
        return Described(*(values[chosen] for values in _arrays(self)))


@final
class Growing:
    """Described genotypes in arrays with room for more: hundreds are joined for each proposal, and one is added."""

    def __init__(self, first: Described) -> None:
        self._count = len(first.genotypes)
        self._room = first

    def __len__(self) -> int:
        return self._count

    def append(self, more: Described) -> None:
        """Add them at the end."""
        end = self._count + len(more.genotypes)
        if end > len(self._room.genotypes):
            self._room = join([self._room, *[more] * (1 + end // len(more.genotypes))])  # twice as much, and a little
        for values, new in zip(_arrays(self._room), _arrays(more), strict=True):
            values[self._count : end] = new
        self._count = end

    def only(self, chosen: NDArray[np.intp]) -> Described:
        """Some of them."""
        return self._room.only(chosen)


def join(parts: Sequence[Described]) -> Described:
    """All of them, one behind the other."""
    return Described(*map(np.concatenate, zip(*map(_arrays, parts), strict=True)))


def _arrays(described: Described) -> list[NDArray[Any]]:
    return [getattr(described, field.name) for field in fields(Described)]
