"""CSV files that grow while something is measured: rows survive a kill, and mistakes are named by file and line."""

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from nas.errors import LatencyError


def read_cells(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells by column of each row below the header.

    Raises:
        LatencyError: an absent file, another header, a row of another length; with file, line and expectation.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise LatencyError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise LatencyError(f"{path}: not a text file; expected CSV in UTF-8") from None
    lines = csv.reader(text.splitlines(), strict=True)
    try:
        for number, cells in enumerate(lines, start=1):
            if number == 1 and tuple(cells) != columns:
                raise LatencyError(f"{path}:1: header {','.join(cells)!r}; expected {','.join(columns)}")
            if len(cells) != len(columns):
                raise LatencyError(f"{path}:{number}: {len(cells)} cells; expected {len(columns)}")
            if number > 1:
                yield number, dict(zip(columns, cells, strict=True))
    except csv.Error as error:
        raise LatencyError(f"{path}:{lines.line_num}: {error}; expected CSV") from None
    if not text.strip():
        raise LatencyError(f"{path}: empty; expected the header {','.join(columns)}")


def append(path: Path, lines: str, *, sync: bool = True) -> None:
    """After a kill the lines are there, or torn at the end, which `repair` mends. One process appends at a time.

    `sync` keeps them through a loss of power, too.

    Raises:
        LatencyError: they could not be written, and none of them is there.
    """
    try:
        with path.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                _write_all(file, lines.encode())
                if sync:
                    os.fsync(file.fileno())
            except OSError:
                file.truncate(before)
                raise
    except OSError as error:
        raise LatencyError(f"{path}: {error.strerror}") from None


def _write_all(file: BinaryIO, data: bytes) -> None:
    """A disk that is almost full takes a part of it, without an error."""
    while data:
        data = data[file.write(data) :]


def replace_file(path: Path, text: str) -> None:
    """The whole file anew: a reader sees the old one or the new one."""
    draft = path.with_suffix(".new")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise LatencyError(f"{path}: {error.strerror}") from None


def repair(path: Path, header: str) -> None:
    """Create the file with its header, or drop what stands behind its last complete line."""
    text = path.read_bytes() if path.exists() else b""
    if not text.endswith(b"\n"):
        draft = path.with_suffix(".new")
        draft.write_bytes(text[: text.rfind(b"\n") + 1] or header.encode())
        draft.replace(path)
