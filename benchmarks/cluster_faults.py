"""A search on three nodes of this host, with PostgreSQL: 60 trials of which two nodes and the driver are killed."""

import json
import time
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.cluster_scene import ended, scene, verdict, wait


def three_kills(folder: Path, trials: int = 60) -> dict[str, Any]:
    """Two nodes and the driver killed while so many trials are made."""
    rng, begun = Random(0), time.monotonic()
    plan = [(trials // 6, "node"), (trials * 5 // 12, "driver"), (trials * 2 // 3, "node")]
    with scene(folder, trials) as found:
        for count, fault in plan:
            wait(found, lambda count=count: ended(found) >= count)
            found.do(fault, rng)
        assert found.driver is not None
        out, _ = found.driver.communicate()
        if found.driver.returncode or not out:
            raise RuntimeError(f"the driver ended: {found.said[-2000:]}")
        return {
            **verdict(found, time.monotonic() - begun),
            "complete_by_the_command": json.loads(out)["trials"]["complete"],
        }
