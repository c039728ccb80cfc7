"""Measure ops and whole networks on this machine, and keep them in its table."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from statistics import median

from nas.architecture import Architecture
from nas.errors import LatencyError
from nas.latency.bench import FULL, Bench, Effort, open_bench
from nas.latency.calibration import require_networks
from nas.latency.host import FLOAT, HOST, HostSetup, host_setup
from nas.latency.host_table import HostTable, Measured, open_host_table
from nas.latency.journal import Item
from nas.latency.model import OpSumModel
from nas.latency.table import Row
from nas.latency.targets import find_folder, load_folder, load_target
from nas.latency.validation import Validation
from nas.latency.watch import Reading, report, spread, spread_out, typical_ms
from nas.layers import Layer, lower

Progress = Callable[[int, int], None]
"""Is told the readings that have been taken, and how many there will be."""


ANCHORS = 15
"""Networks that a validation measures again to see whether the machine itself has changed."""


def _silent(done: int, total: int) -> None:
    pass


def measure_network(architecture: Architecture, setup: HostSetup = FLOAT) -> float:
    """Milliseconds of the whole network with random weights, read as those of a table are."""
    bench = open_bench(setup)
    return typical_ms([bench.read(architecture) for _ in range(bench.effort.network_passes)])


def fill_host_table(
    layers: Iterable[Layer],
    *,
    architectures: Sequence[Architecture],
    setup: HostSetup = FLOAT,
    effort: Effort = FULL,
    progress: Progress = _silent,
) -> OpSumModel:
    """The model of this machine, after measuring those of `layers` that its table lacks.

    `architectures` are whole networks of the same space that the corrections are fitted to and judged on; those that
    were measured before are not measured again. Nine are needed; the more there are, the smaller the error.
    A fill that was interrupted goes on where it stopped.

    Raises:
        LatencyError: too few networks, or the cache is not writable.
    """
    wanted = [*layers, *(layer for network in architectures for layer in lower(network))]
    with open_host_table(setup) as table:
        missing = table.missing(wanted)
        networks = [network for network in dict.fromkeys(architectures) if network not in table.networks]
        require_networks(len(table.networks) + len(networks))
        if missing or networks:
            found = _read(table, open_bench(setup, effort), [*missing, *networks], progress)
            _keep(table, found)
            summary = report(reading for readings in found.values() for reading in readings)
            table.calibrate(summary.note, summary.doubt)
        elif not table.calibrated:
            table.calibrate()
    return load_folder(table.folder)


def measure_layers(
    target: str, layers: Iterable[Layer], *, effort: Effort = FULL, progress: Progress = _silent
) -> OpSumModel:
    """The model of `target`, which is this machine, after measuring those of `layers` that its table lacks.

    The corrections and the recorded error stay as they are. Nothing is measured where nothing is missing.

    Raises:
        LatencyError: the target cannot be measured from here or has no table yet, or the cache is not writable.
    """
    if (setup := host_setup(target)) is None:
        raise LatencyError(f"{target} cannot be measured from here; expected {HOST}, or {HOST}-4t with four threads")
    find_folder(target)
    with open_host_table(setup) as table:
        if missing := table.missing(layers):
            _keep(table, _read(table, open_bench(setup, effort), missing, progress))
    return load_folder(table.folder)


def validate_host(
    architectures: Sequence[Architecture],
    *,
    setup: HostSetup = FLOAT,
    effort: Effort = FULL,
    store: bool = True,
    progress: Progress = _silent,
) -> Validation:
    """Measure whole networks and compare; those that the table was fitted on are left out.

    Ops that the table lacks are measured with them, each alone, as they are before any estimate of this machine that
    has to be right. So are `ANCHORS` networks of the table, which say how much slower or faster the machine runs now
    than when the table was made. `store` puts the error and its interval into `device.yaml`.

    Raises:
        LatencyError: this machine has no table, fewer than nine networks, or the cache is not writable.
    """
    load_target(setup.name)
    with open_host_table(setup) as table:
        networks = [network for network in dict.fromkeys(architectures) if network not in table.networks]
        require_networks(len(networks))
        missing = table.missing(layer for network in networks for layer in lower(network))
        anchors = Random(0).sample(list(table.networks), min(ANCHORS, len(table.networks)))
        found = _read(table, open_bench(setup, effort), [*missing, *networks, *anchors], progress)
        table.journal.forget([*networks, *anchors])
        _keep(table, {layer: found[layer] for layer in missing})
        model = load_target(setup.name)
        validation = Validation(
            networks=tuple(networks),
            estimated_ms=tuple(model.estimate(network).ms for network in networks),
            measured_ms=tuple(typical_ms(found[network]) for network in networks),
            drift=median(typical_ms(found[anchor]) / table.networks[anchor].ms for anchor in anchors) - 1,
            report=report(reading for readings in found.values() for reading in readings),
        )
        if store:
            table.keep_validation(validation)
    return validation


def _read(table: HostTable, bench: Bench, items: Sequence[Item], progress: Progress) -> dict[Item, Sequence[Reading]]:
    """All readings of the items, of which an interrupted run may have left some in the journal."""
    passes = {item: bench.effort.passes(item) for item in items}
    left = {item: max(count - len(table.journal.of(item)), 0) for item, count in passes.items()}
    total, remaining = sum(passes.values()), sum(left.values())
    turns = spread_out(left, Random(remaining))  # another order after an interruption
    for done, item in enumerate(turns, start=total - remaining + 1):
        table.journal.add(item, bench.read(item))
        progress(done, total)
    return {item: table.journal.of(item) for item in items}


def _keep(table: HostTable, found: Mapping[Item, Sequence[Reading]]) -> None:
    """Rows of the readings; the journal need not hold them any longer."""
    rows, networks = list[Row](), dict[Architecture, Measured]()
    for item, readings in found.items():
        if isinstance(item, Layer):
            rows.append(Row(item, typical_ms(readings), spread(readings)))
        else:
            networks[item] = Measured(typical_ms(readings), spread(readings))
    table.add(rows, networks)
    table.journal.forget(found)
