"""Whole networks in the user's own model files, timed on a phone into a file that `nas latency fit` takes."""

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path

from nas.errors import LatencyError
from nas.latency.adb import AdbLink
from nas.latency.csv_file import append, read_cells, repair
from nas.latency.own_target import COLUMNS
from nas.latency.remote import RECONNECTS
from nas.latency.ssh import LinkError


def time_models(
    link: AdbLink,
    models: Mapping[str, Path],
    path: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Time the models (by network) that `path`, a CSV file of network and ms, lacks; how many it has in the end.

    Each is on disk before the next is timed. A link that breaks is made again.

    Raises:
        LatencyError: no phone, a link that breaks again and again, a program that fails, a file that is no such table
            or cannot be written.
    """
    try:
        repair(path, ",".join(COLUMNS) + "\n")
    except OSError as error:
        raise LatencyError(f"{path}: {error.strerror}") from None
    known = {cells["network"] for _, cells in read_cells(path, COLUMNS)}
    missing = [network for network in models if network not in known]
    total, failures = len(missing), 0
    while missing:
        before = len(missing)
        try:
            names = {f"network-{i}": network for i, network in enumerate(missing)}
            for record in link.run((name, models[network].read_bytes()) for name, network in names.items()):
                if "name" in record:
                    network = names[record["name"]]
                    append(path, _line(network, record["ms"]))
                    missing.remove(network)
                    progress(total - len(missing), total)
        except LinkError as error:
            failures = failures + 1 if len(missing) == before else 1
            if failures == RECONNECTS or len(missing) == total:
                raise LatencyError(f"{error}; what was measured is kept: the same command goes on") from None
    return len(models)


def _line(network: str, ms: float) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow((network, f"{ms:.6g}"))
    return line.getvalue()
