"""Measure ops and whole networks on a board or a phone; rows are kept as they come back over a link that may break."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf, nan
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from nas.architecture import Architecture
from nas.errors import LatencyError
from nas.latency.calibration import require_networks
from nas.latency.device import read_device, write_device
from nas.latency.dtype import Dtype, provenance
from nas.latency.graph import EMPTY, Repeating, network_graph, op_graph
from nas.latency.host import HostSetup
from nas.latency.host_table import HostTable, Measured, open_table
from nas.latency.model import OpSumModel
from nas.latency.ssh import SENTINEL, LinkError
from nas.latency.table import COEFFICIENTS, DEVICE, Row, as_deployed
from nas.latency.targets import load_folder
from nas.layers import Layer, lower

RECONNECTS = 5
"""Attempts in a row that bring nothing new before a fill gives up."""

BOARD = "board.json"
"""What the board said of itself when its table was begun."""

TOLERANCE = 0.06
"""How much slower than its best the sentinel may run beside a reading that counts."""

RETRIES = 3
"""How often a reading is taken again before it is kept as disturbed; in all, half as many are as there are models."""

_SENTINEL = Layer("conv", 64, 64, 28, 3, act="relu")
_CALL = "call"
_FACTS = ("device", "runtime_version", "core")
_LONGEST_PAUSE_S = 16.0


class Link(Protocol):
    """The way to a board; its text is the address, as in `--device`."""

    def run(self, models: Iterable[tuple[str, bytes]]) -> Iterator[dict[str, Any]]:
        """What the board says of itself (`device`, `runtime_version`, `core`), then `name`, `ms` and `spread` of each
        model as soon as it was timed, and the milliseconds of the sentinel, which comes first, beside it.

        Raises:
            LinkError: no connection, or one that broke; what came before is good.
            LatencyError: the board cannot measure.
        """  # noqa: D205
        ...


@dataclass(slots=True)
class _Fill:
    """A table that is being filled from a board."""

    link: Link
    table: HostTable
    ops: dict[str, Layer]  # by the name that travels
    networks: dict[str, Architecture]
    progress: Callable[[int, int], None]
    pause_s: float
    dtype: Dtype
    facts: dict[str, str] = field(default_factory=dict)
    beside_ms: dict[str, float] = field(default_factory=dict)  # the sentinel, beside what was kept in this run
    best_ms: float = inf  # of the sentinel
    again: Counter[str] = field(default_factory=Counter)  # readings that were thrown away

    @property
    def missing(self) -> list[str]:
        """Names of what is not yet measured."""
        ops = [name for name, layer in self.ops.items() if layer not in self.table.rows]
        return [*ops, *(name for name, network in self.networks.items() if network not in self.table.networks)]

    def run(self) -> None:
        """Measure what is missing, over as many connections as it takes.

        Raises:
            LatencyError: no connection at all, `RECONNECTS` attempts without a new row, or a script that failed.
        """
        total, failures = len(self.missing), 0
        while missing := self.missing or self._proven_slow():
            reason, before = "the link ended early", (len(missing), self.again.total())
            try:
                self._connect(missing, total)
            except LinkError as error:
                if not self.facts:
                    raise
                reason = str(error)
            failures = failures + 1 if (len(self.missing), self.again.total()) == before else 0
            if failures == RECONNECTS:
                raise LatencyError(
                    f"{reason}; gave up after {RECONNECTS} attempts without a new row. What was measured is kept: the "
                    f"same command goes on"
                )
            if self.missing:
                time.sleep(min(self.pause_s * 2**failures, _LONGEST_PAUSE_S))

    def _connect(self, missing: Sequence[str], total: int) -> None:
        call_ms = nan
        for record in self.link.run(self._models(missing)):
            if "name" not in record:
                self._meet(record)
                continue
            name, ms, spread, beside_ms = self._timing(record)
            self.best_ms = min(self.best_ms, beside_ms)
            if name == _CALL:
                call_ms = ms
                continue
            if self._disturbed(beside_ms) and self._may_repeat(name, total):
                self.again[name] += 1
                continue
            self.beside_ms[name] = beside_ms
            if name in self.ops:
                self.table.add([Row(self.ops[name], max(ms - call_ms, 0.0), spread)], {})
            else:
                self.table.add([], {self.networks[name]: Measured(ms, spread)})
            self.progress(total - len(self.missing), total)

    def _disturbed(self, beside_ms: float) -> bool:
        return beside_ms > self.best_ms * (1 + TOLERANCE)

    def _may_repeat(self, name: str, total: int) -> bool:
        return self.again[name] < RETRIES and self.again.total() < total / 2

    def _proven_slow(self) -> list[str]:
        """Names that were kept before the sentinel showed its best, which says that they were disturbed; forgotten."""
        total = len(self.beside_ms)
        slow = [n for n, ms in self.beside_ms.items() if self._disturbed(ms) and self._may_repeat(n, total)]
        slow = slow[: max(0, total // 2 - self.again.total())]
        self.again.update(slow)
        self.table.drop(
            [self.ops[name] for name in slow if name in self.ops],
            [self.networks[name] for name in slow if name in self.networks],
        )
        return slow

    @property
    def note(self) -> str:
        """How the measuring went; empty if nothing was measured."""
        kept = sum(map(self._disturbed, self.beside_ms.values()))
        return (
            f"sentinel {self.best_ms:.4f} ms; {self.again.total()} readings taken again; {kept} of "
            f"{len(self.beside_ms)} ops and networks kept although the board was not quiet"
            if self.beside_ms
            else ""
        )

    def _models(self, missing: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """The sentinel and the op of one value, whose time is that of a call, come first in each connection."""
        rng = Repeating(np.random.PCG64(0))
        yield SENTINEL, op_graph(_SENTINEL, rng, self.dtype)
        yield _CALL, op_graph(EMPTY, rng, self.dtype)
        for name in missing:
            if name in self.ops:
                yield name, op_graph(self.ops[name], rng, self.dtype)
            else:
                yield name, network_graph(lower(self.networks[name]), rng, self.dtype)

    def _meet(self, record: dict[str, Any]) -> None:
        """Make sure that it is the board whose table this is.

        Raises:
            LatencyError: another board or another runtime.
        """
        facts = {key: str(record.get(key)) for key in _FACTS} | {"dtype": self.dtype}
        path = self.table.folder / BOARD
        if not path.exists():
            draft = path.with_suffix(".new")
            draft.write_text(json.dumps(facts), encoding="utf-8")
            draft.replace(path)
        known = _read_facts(path)
        for key in ("device", "runtime_version"):
            if known[key] != facts[key]:
                raise LatencyError(
                    f"{self.link}: {key} is {facts[key]}, and {self.table.folder.name} was measured with "
                    f"{known[key]}; expected another --target"
                )
        self.facts = facts

    def _timing(self, record: dict[str, Any]) -> tuple[str, float, float, float]:
        name, *found = (record.get(key) for key in ("name", "ms", "spread", "sentinel_ms"))
        numbers = [number for number in found if isinstance(number, float) and 0 <= number < inf]
        if len(numbers) < len(found) or not (name == _CALL or name in self.ops or name in self.networks):
            raise LatencyError(f"{self.link}: said {record}; expected a name that was sent, ms, spread and sentinel_ms")
        assert isinstance(name, str)
        ms, spread, beside_ms = numbers
        return name, ms, spread, beside_ms


def measure_board(  # noqa: PLR0913 - what, where to, and how to go about it
    link: Link,
    folder: Path,
    layers: Iterable[Layer],
    *,
    architectures: Sequence[Architecture],
    dtype: Dtype = "float32",
    progress: Callable[[int, int], None] = lambda done, total: None,
    pause_s: float = 1.0,
) -> OpSumModel:
    """The model of a board, after measuring what the table in `folder` lacks of `layers` and `architectures`.

    A link that breaks is made again after `pause_s` and longer; a fill that was interrupted goes on where it stopped.

    Raises:
        LatencyError: too few networks, a fitted target in the folder, no link, another board or
            dtype, a runtime that fails.
    """
    if (folder / COEFFICIENTS).exists() and not (folder / BOARD).exists():
        raise LatencyError(f"{folder}: a fitted target; expected another --target for a measured one")
    if (folder / BOARD).exists() and (known := _read_facts(folder / BOARD)["dtype"]) != dtype:
        raise LatencyError(f"{folder.name} was measured with {known}; expected another --target for {dtype}")
    wanted = {as_deployed(layer) for layer in layers}
    wanted |= {as_deployed(layer) for network in architectures for layer in lower(network)}
    with open_table(folder, HostSetup(dtype=dtype)) as table:
        ops = {f"op-{i}": layer for i, layer in enumerate(sorted(wanted, key=str))}
        networks = {f"network-{i}": network for i, network in enumerate(dict.fromkeys(architectures))}
        require_networks(len({*table.networks, *networks.values()}))
        fill = _Fill(link, table, ops, networks, progress, pause_s, dtype)
        fill.run()
        if not table.calibrated:
            table.calibrate("")
        if fill.facts or not _signed(folder):
            _sign(link, folder, dtype, fill.note)
    return load_folder(folder)


def _read_facts(path: Path) -> dict[str, str]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        facts = None
    if not isinstance(facts, dict) or not all(isinstance(facts.get(key), str) for key in _FACTS):
        raise LatencyError(f"{path}: broken; expected {', '.join(_FACTS)} in JSON")
    return {"dtype": "float32"} | facts  # boards were measured before there was another


def _signed(folder: Path) -> bool:
    """Whether the last calibration was followed by the board's name: a kill may come between the two."""
    return any("--device" in item["source"] for item in read_device(folder / DEVICE).provenance)


def _sign(link: Link, folder: Path, dtype: Dtype, note: str) -> None:
    """Put the board's name where the calibration has put this machine's."""
    facts = _read_facts(folder / BOARD)
    device = replace(
        read_device(folder / DEVICE),
        device=facts["device"],
        runtime_version=facts["runtime_version"],
        core=facts["core"],
        provenance=provenance(f"nas latency measure --device {link}", dtype, note),
    )
    write_device(device, folder / DEVICE)
