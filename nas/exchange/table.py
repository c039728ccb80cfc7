"""Trials as CSV and Parquet: one line per trial, with the columns of the view `nas_trials` (docs/store.md)."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any

from nas.errors import StoreError

Line = Mapping[str, Any]

_GROUP = 50_000  # lines of one row group
_TEXTS = ("study", "state", "target", "latency_version", "architecture", "error", "host", "evaluator")
_TIMES = ("started_at", "ended_at")
_FLOATS = ("accuracy", "latency_ms")


def write_csv(lines: Iterable[Line], columns: Iterable[str], file: IO[str]) -> int:
    """Write a header and the lines, times in ISO 8601, nothing for what is not known; returns how many lines."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    count = 0
    for line in lines:
        writer.writerow(value.isoformat() if isinstance(value, datetime) else value for value in line.values())
        count += 1
    return count


def write_parquet(lines: Iterable[Line], columns: Iterable[str], path: Path) -> int:
    """Write the lines with their types; returns how many.

    Raises:
        StoreError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - slow to import, and optional
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError:
        raise StoreError("Parquet needs pyarrow; try `pip install 'nas[parquet]'`") from None
    texts, times = dict.fromkeys(_TEXTS, pa.string()), dict.fromkeys(_TIMES, pa.timestamp("us", tz="UTC"))
    types = {**texts, **times, **dict.fromkeys(_FLOATS, pa.float64())}
    schema = pa.schema([(name, types.get(name, pa.int64())) for name in columns])
    count = 0
    with pq.ParquetWriter(path, schema) as writer:
        for group in _groups(iter(lines)):
            writer.write_table(pa.Table.from_pylist(group, schema))
            count += len(group)
    return count


def _groups(lines: Iterator[Line]) -> Iterator[list[Line]]:
    while group := list(islice(lines, _GROUP)):
        yield group
