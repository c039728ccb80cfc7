"""`nas adapt` killed without a word in the middle of an iteration goes on where it was."""

import json
import os
import signal
import subprocess
import sys

from click.testing import CliRunner

from nas.adapt import run as job
from nas.cli.main import nas
from nas.network.build import build
from nas.store.store import Store
from nas.training.checkpoint import save_weights
from nas.trial import TrialState
from tests.test_adapt import SEED, SEED_MS, InProcess
from tests.test_pipeline_killed import COMMAND, ROOT

BUDGET_MS = 0.97 * SEED_MS
ENDED = 3  # trials before the kill: the seed, and two cuts of the first iteration


def test_a_study_killed_within_an_iteration_goes_on_with_the_next_trial(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_weights(tmp_path / "seed.safetensors", build(SEED), {"architecture": SEED.to_json()})
    command = (
        f"adapt --from seed.safetensors --budget {BUDGET_MS}ms --data digits --resolution 16 --delta 0.05 --epochs 1 "
        "--proposals full --images 32 --val-images 50 --final-epochs 0 --workers 1 --store a.db --study a --json"
    )
    arguments = command.split()
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    shown = 0
    while shown < ENDED:
        line = process.stderr.readline()
        assert line, "it ended before it was killed"
        shown += line.startswith("trial:")
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stderr.close()
    with Store.open("a.db") as store:
        before = {s.id: s.ended_at for s in store.trials("a") if s.trial.state is TrialState.COMPLETE}
    assert len(before) >= ENDED
    monkeypatch.setattr(job, "LocalExecutor", InProcess)
    again = CliRunner().invoke(nas, arguments, catch_exceptions=False)
    record = json.loads(again.stdout)
    with Store.open("a.db") as store:
        after = {s.id: s.ended_at for s in store.trials("a")}
    assert {number: after[number] for number in before} == before  # none of them ran again
    assert len(after) > len(before)
    assert record["path"][-1]["latency_ms"] <= BUDGET_MS
