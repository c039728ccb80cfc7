"""Reference networks on this machine, float32 and int8 side by side: `python -m benchmarks.latency_dtypes [--json]`.

Both are measured whole, in one run and in random order, beside the sentinel; nothing is estimated.
"""

import argparse
import json
from dataclasses import dataclass
from random import Random

from nas.latency.host import FLOAT, HostSetup
from nas.latency.measure import FULL, Bench, open_bench
from nas.latency.watch import Plan, watched
from nas.space import load_reference, references

PASSES = 5
INT8 = HostSetup(dtype="int8")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Milliseconds of a network; each is the median of `PASSES` sessions, `spread` half their range, the larger one."""

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
    bench = open_bench()
    benches = {setup: Bench(setup, bench.sentinel) for setup in (FLOAT, INT8)}
    items = [(name, setup) for name in names for setup in benches]
    plan = Plan(PASSES, step=1, group=len(items))

    def read_ms(item: tuple[str, HostSetup]) -> float:
        name, setup = item
        return benches[setup].network_ms(load_reference(name), FULL.network_ms)

    found = {reading.item: reading for reading in watched(items, read_ms, bench.sentinel, plan, Random(0))}
    rows = [
        Comparison(
            name,
            found[name, FLOAT].ms,
            found[name, INT8].ms,
            max(found[name, setup].spread for setup in benches),
        )
        for name in names
    ]
    disturbed = sum(not bench.sentinel.quiet(reading.sentinel_ms) for reading in found.values())
    return rows, f"{bench.sentinel.repeats} readings taken again; {disturbed} of {len(items)} kept disturbed"


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
