"""Tables and numbers as people read them; imported by commands once they have something to print."""

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from nas.architecture import Architecture, ConvBlock, LinearBlock, MBConvBlock, PoolBlock, op_name
from nas.json_file import finite
from nas.layers import Layer, lower

Record = Mapping[str, Any]


def print_json(data: object) -> None:
    """To stdout, indented, for scripts and people. JSON knows no infinity and no NaN: they become null."""
    print(json.dumps(finite(data), indent=2, allow_nan=False))


def print_csv(records: Sequence[Record], columns: Sequence[str]) -> None:
    """To stdout, with a header; nested values are left out by the choice of columns."""
    writer = csv.DictWriter(sys.stdout, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """To stdout; columns whose name ends in a space are aligned left, others right."""
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    console = Console(highlight=False)
    if not console.is_terminal:  # the same without colours, and in no time for thousands of rows
        print("\n".join(([title] if title else []) + plain_table(columns, cells)))
        return
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.strip(), justify="left" if column.endswith(" ") else "right", no_wrap=True)
    for row in cells:
        table.add_row(*row)
    console.print(table)


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table, aligned as in `print_table`.

    >>> plain_table(("name ", "ms"), [["a", "1.5"], ["longer", "12"]])
    ['name     ms', 'a       1.5', 'longer   12']
    """
    lines = [[column.strip() for column in columns], *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    sides = [str.ljust if column.endswith(" ") else str.rjust for column in columns]
    return [
        "  ".join(side(cell, width) for side, cell, width in zip(sides, line, widths, strict=True)).rstrip()
        for line in lines
    ]


def block_rows(architecture: Architecture) -> list[list[object]]:
    """One row per block, the classifier last: op, size of its input, widths, kernel, stride, SE, act, skip, MAdds."""
    layers = lower(architecture)
    rows = []
    for index in range(len(architecture.blocks) + 1):
        mine = [layer for layer in layers if layer.block == index]
        rows.append([index, *_block_row(architecture, index, mine), f"{sum(x.macs for x in mine) / 1e6:.2f}"])
    return rows


BLOCK_COLUMNS = ("#", "op ", "input ", "expand", "out", "kernel", "stride", "SE", "act ", "skip ", "MAdds M")


def _block_row(architecture: Architecture, index: int, layers: Sequence[Layer]) -> list[object]:
    entry = f"{layers[0].size}² x {layers[0].in_channels}"
    out = layers[-1].out_channels
    if index == len(architecture.blocks):
        return ["classifier", entry, None, out, None, None, None, None, None]
    match architecture.blocks[index]:
        case PoolBlock():
            return ["pool", entry, None, out, None, None, None, None, None]
        case LinearBlock(act=act):
            return ["linear", entry, None, out, None, None, None, act, None]
        case block:
            mid = block.mid_channels if isinstance(block, MBConvBlock) else None
            se = 0 if isinstance(block, ConvBlock) else block.se_channels
            skip = None if block.skip == "none" else block.skip
            return [op_name(block), entry, mid, out, block.kernel, block.stride, se or None, block.act, skip]
