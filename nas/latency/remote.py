"""Measure ops and whole networks on a board that `ssh` reaches; rows are kept as they come back."""

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

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
from nas.latency.ssh import LinkError, SshAddress, run_script
from nas.latency.table import COEFFICIENTS, DEVICE, Row, as_deployed
from nas.latency.targets import load_folder
from nas.layers import Layer, lower

RECONNECTS = 5
"""Attempts in a row that bring nothing new before a fill gives up."""

BOARD = "board.json"
"""What the board said of itself when its table was begun."""

_SCRIPT = Path(__file__).with_name("board_runner.py")
_CALL = "call"
_FACTS = ("device", "runtime_version", "core")
_LONGEST_PAUSE_S = 16.0


@dataclass(slots=True)
class _Fill:
    """A table that is being filled from a board."""

    address: SshAddress
    table: HostTable
    ops: dict[str, Layer]  # by the name that travels
    networks: dict[str, Architecture]
    progress: Callable[[int, int], None]
    pause_s: float
    dtype: Dtype
    facts: dict[str, str] = field(default_factory=dict)

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
        while missing := self.missing:
            reason = "the script ended early"
            try:
                self._connect(missing, total)
            except LinkError as error:
                if not self.facts:
                    raise
                reason = str(error)
            failures = failures + 1 if len(self.missing) == len(missing) else 0
            if failures == RECONNECTS:
                raise LatencyError(
                    f"{reason}; gave up after {RECONNECTS} attempts without a new row. What was measured is kept: the "
                    f"same command goes on"
                )
            if self.missing:
                time.sleep(min(self.pause_s * 2**failures, _LONGEST_PAUSE_S))

    def _connect(self, missing: Sequence[str], total: int) -> None:
        call_ms = math.nan
        for record in run_script(self.address, _SCRIPT.read_bytes(), self._models(missing)):
            if "name" not in record:
                self._meet(record)
                continue
            name, ms, spread = self._timing(record)
            if name == _CALL:
                call_ms = ms
            elif name in self.ops:
                self.table.add([Row(self.ops[name], max(ms - call_ms, 0.0), spread)], {})
            else:
                self.table.add([], {self.networks[name]: Measured(ms, spread)})
            if name != _CALL:
                self.progress(total - len(self.missing), total)

    def _models(self, missing: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """The op of one value, whose time is that of a call, comes first in each connection."""
        rng = Repeating(np.random.PCG64(0))
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
        for key in ("device", "runtime_version", "dtype"):
            if known[key] != facts[key]:
                raise LatencyError(
                    f"{self.address}: {key} is {facts[key]}, and {self.table.folder.name} was measured with "
                    f"{known[key]}; expected another --target"
                )
        self.facts = facts

    def _timing(self, record: dict[str, Any]) -> tuple[str, float, float]:
        name, ms, spread = (record.get(key) for key in ("name", "ms", "spread"))
        numbers = isinstance(ms, float) and isinstance(spread, float) and 0 <= ms < math.inf and 0 <= spread < math.inf
        if not numbers or not (name == _CALL or name in self.ops or name in self.networks):
            raise LatencyError(f"{self.address}: said {record}; expected a name that was sent, ms and spread")
        assert isinstance(name, str)
        assert isinstance(ms, float)
        assert isinstance(spread, float)
        return name, ms, spread


def measure_board(  # noqa: PLR0913 - what, where to, and how to go about it
    address: SshAddress,
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
        LatencyError: too few networks, a fitted target in the folder, no link, another board, a runtime that fails.
    """
    if (folder / COEFFICIENTS).exists() and not (folder / BOARD).exists():
        raise LatencyError(f"{folder}: a fitted target; expected another --target for a measured one")
    wanted = {as_deployed(layer) for layer in layers}
    wanted |= {as_deployed(layer) for network in architectures for layer in lower(network)}
    with open_table(folder, HostSetup(dtype=dtype)) as table:
        ops = {f"op-{i}": layer for i, layer in enumerate(sorted(wanted, key=str))}
        networks = {f"network-{i}": network for i, network in enumerate(dict.fromkeys(architectures))}
        require_networks(len({*table.networks, *networks.values()}))
        _Fill(address, table, ops, networks, progress, pause_s, dtype).run()
        if not table.calibrated:
            table.calibrate("")
        _sign(address, folder, dtype)
    return load_folder(folder)


def _read_facts(path: Path) -> dict[str, str]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        facts = None
    if not isinstance(facts, dict) or not all(isinstance(facts.get(key), str) for key in _FACTS):
        raise LatencyError(f"{path}: broken; expected {', '.join(_FACTS)} in JSON")
    return {"dtype": "float32"} | facts  # boards were measured before there was another


def _sign(address: SshAddress, folder: Path, dtype: Dtype) -> None:
    """Put the board's name where the calibration has put this machine's."""
    facts = _read_facts(folder / BOARD)
    device = replace(
        read_device(folder / DEVICE),
        device=facts["device"],
        runtime_version=facts["runtime_version"],
        core=facts["core"],
        provenance=provenance(f"nas latency measure --device {address}", dtype),
    )
    write_device(device, folder / DEVICE)
