"""Reference networks on this machine, float32 and int8 side by side: `python -m benchmarks.latency_dtypes [--json]`.

Both are measured whole, in one run and in random order, beside the sentinel; nothing is estimated.
"""

import argparse
import json
from dataclasses import dataclass
from random import Random

from nas.latency.bench import open_bench
from nas.latency.host import FLOAT, HostSetup
from nas.latency.watch import Reading, report, spread, spread_out, typical_ms
from nas.space import load_reference, references

PASSES = 9
INT8 = HostSetup(dtype="int8")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Milliseconds of a network, from the fastest third of `PASSES` sessions; `spread` is the larger of both."""

    network: str
    float32_ms: float
    int8_ms: float
    spread: float

    @property
    def speedup(self) -> float:
        """Above 1 where int8 is faster."""
        return self.float32_ms / self.int8_ms


def compare(names: list[str]) -> tuple[list[Comparison], str]:
    """The networks in order, and how the measuring went."""
    benches = {setup: open_bench(setup) for setup in (FLOAT, INT8)}
    found: dict[tuple[str, HostSetup], list[Reading]] = {(name, setup): [] for name in names for setup in benches}
    for name, setup in spread_out(dict.fromkeys(found, PASSES), Random(0)):
        found[name, setup].append(benches[setup].read(load_reference(name)))
    rows = [
        Comparison(
            name,
            typical_ms(found[name, FLOAT]),
            typical_ms(found[name, INT8]),
            max(spread(found[name, setup]) for setup in benches),
        )
        for name in names
    ]
    return rows, report(reading for readings in found.values() for reading in readings).note


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    rows, note = compare(list(references()))
    if as_json:
        records = [
            {
                "network": row.network,
                "float32_ms": row.float32_ms,
                "int8_ms": row.int8_ms,
                "speedup": row.speedup,
                "spread": row.spread,
            }
            for row in rows
        ]
        print(json.dumps({"networks": records, "note": note}, indent=2))
        return
    print(f"{'network':34} {'float32 ms':>10} {'int8 ms':>8} {'speed-up':>8} {'spread':>7}")
    for row in rows:
        print(f"{row.network:34} {row.float32_ms:10.3f} {row.int8_ms:8.3f} {row.speedup:8.2f} {row.spread:7.1%}")
    print(note)


if __name__ == "__main__":
    main()
