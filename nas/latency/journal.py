"""`Journal`: single readings on disk, until they are rows of a table; a run that was killed goes on from them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nas.architecture import Architecture
from nas.errors import LatencyError
from nas.latency.table import row_key
from nas.latency.watch import Reading
from nas.layers import Layer

JOURNAL = "readings.csv"

Item = Layer | Architecture
"""What is measured: an op as deployed, or a whole network."""


@dataclass(frozen=True)
class Journal:
    """Readings by the names of their items; a line each of name, milliseconds, sentinel and others."""

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
        line = f"{_name(item)},{reading.ms:.6g},{reading.sentinel_ms:.6g},{reading.others:.2f}\n"
        try:
            with self.path.open("ab", buffering=0) as file:
                file.write(line.encode())
        except OSError as error:
            raise LatencyError(f"{self.path}: {error.strerror}") from None
        self._readings.setdefault(_name(item), []).append(reading)

    def forget(self) -> None:
        """Its readings are rows now."""
        self.path.unlink(missing_ok=True)
        self._readings.clear()


def read_journal(folder: Path) -> Journal:
    """The journal of a table's folder, up to its last whole line.

    Raises:
        LatencyError: a line that is no reading.
    """
    journal = Journal(folder / JOURNAL)
    text = journal.path.read_text(encoding="utf-8") if journal.path.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    for number, line in enumerate(whole.splitlines(), start=1):
        cells = line.split(",")
        try:
            name, ms, sentinel_ms, others = cells
            reading = Reading(float(ms), float(sentinel_ms), float(others))
        except ValueError:
            raise LatencyError(
                f"{journal.path}:{number}: {line[:60]!r}; expected name, ms, sentinel ms and cores. Delete the file"
            ) from None
        journal._readings.setdefault(name, []).append(reading)
    if whole != text:
        journal.path.write_text(whole, encoding="utf-8")
    return journal


def _name(item: Item) -> str:
    return item.id if isinstance(item, Architecture) else row_key(item)
