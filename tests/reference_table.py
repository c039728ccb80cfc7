"""The computed tables of docs/search_spaces.md; `python -m tests.reference_table references` prints one."""

import sys
from collections.abc import Iterable

from nas.layers import lower, total_macs, total_params
from nas.space import load_space, read_reference, references, spaces

_SPACES = """\
| space | genes | genotypes |
|---|---:|---:|"""
_REFERENCES = """\
| network | MAdds, M | published | params, M | published | top-1, % (published) |
|---|---:|---:|---:|---:|---:|"""


def space_table() -> str:
    """One row for each space that ships."""
    found = map(load_space, spaces())
    rows = [f"| `{space.name}` | {len(space.genes)} | {space.genotype_count:.2g} |" for space in found]
    return "\n".join([_SPACES, *rows])


def reference_table() -> str:
    """One row for each reference network; where sources differ, their figures stand in the order of the file."""
    return "\n".join([_REFERENCES, *map(_row, references())])


def _row(name: str) -> str:
    reference = read_reference(name)
    layers, published = lower(reference.architecture), reference.published
    cells = [
        f"`{name}`",
        f"{total_macs(layers) / 1e6:.1f}",
        _figures(entry.madds_m for entry in published),
        f"{total_params(layers) / 1e6:.2f}",
        _figures(entry.params_m for entry in published),
        _figures(entry.top1 for entry in published),
    ]
    return f"| {' | '.join(cells)} |"


def _figures(values: Iterable[float | None]) -> str:
    return " / ".join(dict.fromkeys(f"{value:g}" for value in values if value is not None))


TABLES = {"spaces": space_table, "references": reference_table}

if __name__ == "__main__":
    print(TABLES[sys.argv[1]]())
