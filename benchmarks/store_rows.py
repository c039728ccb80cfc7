"""Made-up trials for `benchmarks.store`: random networks of 22 blocks with 6 choices each, inserted in bulk."""

import json
import sys
import zlib
from hashlib import sha256
from random import Random
from typing import Any

import sqlalchemy as sa

from nas.architecture import Architecture, ConvBlock, MBConvBlock, PoolBlock
from nas.store import rows, schema
from nas.store.store import Sizes, Store
from nas.trial import Outcome

CHOICES, BLOCKS = 6, 22
DISTINCT = 0.9  # the share of trials whose network is new; the others were met before
VERSIONS = {"nas": "0", "python": sys.version.split()[0], "torch": "0"}


def network(choices: tuple[int, ...]) -> Architecture:
    """The network of 22 choices from 0 to 5: kernel and expansion of each block."""
    blocks = [
        MBConvBlock(40, 40 * (3, 6)[choice % 2], (3, 5, 7)[choice // 2], stride=2 if index % 6 == 0 else 1, act="relu")
        for index, choice in enumerate(choices)
    ]
    return Architecture(224, (ConvBlock(16, 3, 2, "hswish"), *blocks, PoolBlock()), num_classes=10)


class Packer:
    """Writes the JSON of `network(choices)` from ready pieces, some ten times faster than the way over objects."""

    def __init__(self) -> None:
        dump = lambda data: json.dumps(data, sort_keys=True, separators=(",", ":"))  # noqa: E731
        plain = [network((choice,) * BLOCKS).to_dict() for choice in range(CHOICES)]
        self._pieces = [[dump(plain[c]["blocks"][1 + b]) for c in range(CHOICES)] for b in range(BLOCKS)]
        whole, first, last = dump(plain[0]), dump(plain[0]["blocks"][0]), dump(plain[0]["blocks"][-1])
        before, after = whole.index(first) + len(first) + 1, whole.rindex(last) - 1
        self._head, self._tail = whole[:before], whole[after:]
        assert Architecture.from_json(self((1, 2, 3, 4, 5, 0) * 3 + (1, 2, 3, 4))) == network(
            (1, 2, 3, 4, 5, 0) * 3 + (1, 2, 3, 4)
        )

    def __call__(self, choices: tuple[int, ...]) -> str:
        """The same as `network(choices).to_json()`."""
        return self._head + ",".join(map(list.__getitem__, self._pieces, choices)) + self._tail


def draw(rng: Random) -> tuple[int, ...]:
    """22 choices."""
    return tuple(rng.choices(range(CHOICES), k=BLOCKS))


def figures_of(rng: Random) -> tuple[Sizes, float, float]:
    """Sizes, latency in ms and accuracy, made up so that the front is as long as one of real networks."""
    latency_ms = rng.uniform(10, 120)
    accuracy = 0.8 - 2 / latency_ms - abs(rng.gauss(0, 0.03))
    return (
        Sizes(int(latency_ms * rng.uniform(3e4, 8e4)), int(latency_ms * 4e6), int(latency_ms * 5e4)),
        latency_ms,
        accuracy,
    )


def fill(store: Store, count: int, rng: Random, chunk: int = 20_000) -> None:
    """Record `count` complete trials of a study "large" in bulk, as the store itself would write them."""
    store.create_study("large", {"budget_ms": 60.0, "target": "pixel1"})
    packer, known = Packer(), list[str]()
    for start in range(0, count, chunk):
        networks, found = [], []
        for number in range(start, min(count, start + chunk)):
            sizes, latency_ms, accuracy = figures_of(rng)
            if rng.random() < DISTINCT or not known:
                text = packer(draw(rng))
                key = sha256(text.encode()).hexdigest()[:16]
                known.append(key)
                networks.append(_network_row(key, text, sizes))
            else:
                key = rng.choice(known)
            found.append(_trial_row(number, key, latency_ms, accuracy))
        with store._database.write() as connection:
            connection.execute(sa.insert(schema.architectures), networks)
            connection.execute(sa.insert(schema.trials), found)
        if sys.stderr.isatty():
            print(f"\rfilled {start + chunk}", end="", file=sys.stderr)


def _network_row(key: str, text: str, sizes: Sizes) -> dict[str, Any]:
    return {
        "id": key,
        "network": zlib.compress(text.encode()),
        "params": sizes.params,
        "macs": sizes.macs,
        "peak_activation_bytes": sizes.peak_activation_bytes,
    }


def _trial_row(number: int, key: str, latency_ms: float, accuracy: float) -> dict[str, Any]:
    started = {"number": number, "architecture_id": key, "epochs": None, "parent": None, "asked_after": number}
    latency = {"latency_ms": latency_ms, "target": "pixel1", "latency_version": "1"}
    ended = rows.end_row(Outcome({"accuracy": accuracy, "loss": 1 - accuracy}), number)
    return {"study_id": 1, "seed": number, "lost": 0, **started, **latency, **rows.start_row(VERSIONS), **ended}
