"""A real driver, the process of `tests.killed_study`, to which something happens while it runs."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]


def started(url: str, trials: int) -> subprocess.Popen[str]:
    """The driver, on its way."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.killed_study", url, str(trials)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def told_by(url: str, trials: int, disturb: Callable[[int], None]) -> list[int]:
    """Numbers of the trials in the order in which the driver told them; `disturb` hears how many lines it has printed.

    The driver has to end by itself, within a minute of its last line, and without an error.
    """
    driver = started(url, trials)
    assert driver.stdout is not None
    assert driver.stderr is not None
    told = []
    for count, line in enumerate(driver.stdout, 1):
        what, *number = line.split()
        if what == "told":
            told.append(int(number[0]))
        disturb(count)
    assert driver.wait(60) == 0, driver.stderr.read()
    return told
