"""Real kills of `nas run`, with real workers: `pytest -m long tests/test_pipeline_killed.py`, two minutes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline_helpers import write_study
from tests.test_pipeline import decisions

ROOT = Path(__file__).parents[1]
COMMAND = "import sys; from nas.cli.main import main; main()"
KILLS = {  # step: lines on stderr within it after which the whole group of processes dies
    "search": 3,
    "adapt": 5,
    "compare": 6,
    "ablate": 12,
    "export": 0,
}


def begin(folder, workers):
    arguments = ["run", "study.yaml", "--store", "trials.db", "--workers", str(workers), "--json"]
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_in(step, lines, folder, workers):
    """Begin, and `kill -9` once the step has said so much; its workers end with it."""
    process, left = begin(folder, workers), None
    for line in process.stderr:
        if left is None and line.endswith(f": {step}\n"):
            left = lines
        elif left:
            left -= 1
        if left == 0:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, f"it ended before it could be killed in {step}"


def finish(folder, workers):
    process = begin(folder, workers)
    out, err = process.communicate()
    assert process.returncode == 0, err
    return json.loads(out)


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_in_every_step_it_comes_to_its_end(workers, tmp_path):
    """And to the same one, if one worker ends its trials in one order."""
    write_study(tmp_path)
    for step, lines in KILLS.items():
        kill_in(step, lines, tmp_path, workers)
    record = finish(tmp_path, workers)
    assert decisions(finish(tmp_path, workers)) == decisions(record)  # all was done
    trials = (tmp_path / "report.trials.csv").read_text().splitlines()[1:]
    assert len({line.split(",")[0] for line in trials}) == len(trials)
    if workers == 1:
        write_study(tmp_path / "whole")
        assert decisions(finish(tmp_path / "whole", workers)) == decisions(record)
