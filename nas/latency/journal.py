"""`Journal`: single readings on disk, until they are rows of a table; a run that was killed goes on from them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nas.architecture import Architecture
from nas.errors import LatencyError
from nas.latency.csv_file import append, read_cells, repair, replace_file
from nas.latency.table import row_key
from nas.latency.watch import Reading
from nas.layers import Layer

JOURNAL = "readings.csv"

_COLUMNS = ("item", "ms", "sentinel_ms", "others")
_HEADER = ",".join(_COLUMNS) + "\n"

Item = Layer | Architecture
"""What is measured: an op as deployed, or a whole network."""


@dataclass(frozen=True)
class Journal:
    """Readings by the names of their items, a line each."""

    path: Path
    _readings: dict[str, list[Reading]] = field(default_factory=dict)

    def of(self, item: Item) -> Sequence[Reading]:
        """The item's readings so far."""
        return self._readings.get(_name(item), [])

    def add(self, item: Item, reading: Reading) -> None:
        """Keep a reading; when this returns, a kill does not lose it.

        Raises:
            LatencyError: the disk is full or not writable.
        """
        append(self.path, _line(_name(item), reading), sync=False)
        self._readings.setdefault(_name(item), []).append(reading)

    def forget(self, items: Iterable[Item]) -> None:
        """The readings of these items are rows now, or have served.

        Raises:
            LatencyError: the disk is full or not writable.
        """
        for item in items:
            self._readings.pop(_name(item), None)
        lines = (_line(name, reading) for name, readings in self._readings.items() for reading in readings)
        replace_file(self.path, _HEADER + "".join(lines))


def read_journal(folder: Path) -> Journal:
    """The journal of a table's folder; a line that a kill tore is dropped.

    Raises:
        LatencyError: a broken file, with file, line and expectation.
    """
    path, found = folder / JOURNAL, dict[str, list[Reading]]()
    repair(path, _HEADER)
    for line, cells in read_cells(path, _COLUMNS):
        name, *numbers = cells.values()
        try:
            found.setdefault(name, []).append(Reading(*map(float, numbers)))
        except ValueError:
            raise LatencyError(f"{path}:{line}: {','.join(numbers)}; expected numbers. Delete the file") from None
    return Journal(path, found)


def _line(name: str, reading: Reading) -> str:
    return f"{name},{reading.ms:.6g},{reading.sentinel_ms:.6g},{reading.others:.2f}\n"


def _name(item: Item) -> str:
    return item.id if isinstance(item, Architecture) else row_key(item)
