"""`nas search` on real images (scikit-learn's digits), as a process: end to end, killed, interrupted, resumed."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from nas.network.build import build
from nas.store.store import Store
from nas.training.checkpoint import load_weights
from nas.trial import TrialState

ROOT = Path(__file__).parents[2]
SEARCH = (
    "search", "--data", "digits", "--evaluator", "proxy", "--budget", "40ms", "--proxy-epochs", "1",
    "--proxy-resolution", "16", "--proxy-images", "256",
)  # fmt: skip


# A shell's background job ignores Ctrl-C, and its children inherit that; this search is to hear it all the same.
MAIN = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from nas.cli.main import main; main()"


def start(folder, *args):
    """The command as a process of its own group, as a shell would start it."""
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, *args],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(folder, *args):
    process = start(folder, *args)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def states(folder):
    """Numbers of trials by state; empty before there is a database with a study."""
    if not (folder / "runs/trials.db").exists():
        return {}
    with Store.open(folder / "runs/trials.db") as store:
        studies = store.studies()
        return {state: n for state, n in store.study_summary(studies[0].name).items() if n} if studies else {}


def wait_for(process, happened):
    while process.poll() is None and not happened():
        time.sleep(0.05)
    assert process.poll() is None, process.communicate()[1]


def kill(process):
    """kill -9, of the search alone: its workers have to notice by themselves."""
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def done(folder):
    return sum(n for state, n in states(folder).items() if state.ended)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a finished search of four trials, and what it printed."""
    folder = tmp_path_factory.mktemp("search")
    return folder, json.loads(finish(folder, *SEARCH, "--trials", "4", "--workers", "2", "--json"))


def test_a_search_trains_its_trials_and_reports_the_best_within_the_budget(finished):
    _, found = finished
    assert list(found) == ["study", "trials", "best", "front", "interpolated", "top"]
    assert found["trials"]["complete"] == 4
    assert found["best"]["latency_ms"] <= 40
    assert found["best"]["accuracy"] == max(point["accuracy"] for point in found["front"])
    latencies = [point["latency_ms"] for point in found["front"]]
    assert latencies == sorted(latencies)


def test_pareto_trials_and_weights_tell_the_same_story(finished):
    folder, found = finished
    assert json.loads(finish(folder, "pareto", "--json")) == found["front"]
    trials = json.loads(finish(folder, "trials", "list", "--json"))
    assert [trial["state"] for trial in trials] == ["complete"] * 4
    shown = json.loads(finish(folder, "trials", "show", f"trial:{found['best']['trial']}", "--json"))
    assert shown["metrics"]["accuracy"] == found["best"]["accuracy"]
    assert [epoch["epoch"] for epoch in shown["epochs"]] == [1]
    with Store.open(folder / "runs/trials.db") as store:
        stored = store.trial(found["best"]["trial"])
    load_weights(
        folder / "runs" / found["study"] / f"trial-{stored.trial.number}.safetensors",
        build(stored.trial.proposal.architecture),
    )


def test_the_front_is_drawn(finished):
    folder, _ = finished
    finish(folder, "pareto", "--plot", "front.png")
    assert (folder / "front.png").read_bytes().startswith(b"\x89PNG")
    finish(folder, "pareto", "--plot", "front.svg")
    assert "budget 40 ms" in (folder / "front.svg").read_text()


def test_the_same_command_again_trains_nothing_and_more_trials_go_on(finished):
    folder, found = finished
    again = json.loads(finish(folder, *SEARCH, "--trials", "4", "--workers", "2", "--json"))
    assert again == found
    more = json.loads(finish(folder, *SEARCH, "--trials", "5", "--json"))
    assert more["study"] == found["study"]
    assert more["trials"]["complete"] == 5


def test_killed_at_five_moments_every_trial_is_there_once_and_none_is_stuck(tmp_path):
    command = (*SEARCH, "--trials", "6", "--workers", "2", "--study", "killed")
    moments = [
        lambda process, before: (tmp_path / "runs/trials.db").exists(),
        lambda process, before: process.pid in drivers(tmp_path),
        lambda process, before: done(tmp_path) > before,
        lambda process, before: process.pid in drivers(tmp_path),
        lambda process, before: done(tmp_path) > before,
    ]
    kept: dict[int, tuple] = {}
    for moment in moments:
        before, process = done(tmp_path), start(tmp_path, *command)
        wait_for(process, partial(moment, process, before))
        kill(process)
        kept = _require_kept(tmp_path, kept)
    found = json.loads(finish(tmp_path, *command, "--json"))
    assert found["trials"] == {"waiting": 0, "running": 0, "complete": 6, "stopped": 0, "failed": 0}
    final = _require_kept(tmp_path, kept)
    assert sorted(final) == [0, 1, 2, 3, 4, 5]
    assert len({architecture for architecture, _ in final.values()}) == 6


def drivers(folder):
    """The commands whose trials run: a trial names its driver and then its worker, which is of the driver's session."""
    with Store.open(folder / "runs/trials.db") as store:
        pids = {s.pid for s in store.trials(states=[TrialState.RUNNING])}
    return {session for pid in pids if (session := _session(pid)) is not None}


def _session(pid):
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None  # of a driver that was killed


def _require_kept(folder, before):
    """What had ended before is still there, unchanged; returns all that has ended by now."""
    with Store.open(folder / "runs/trials.db") as store:
        trials = store.trials("killed") if store.study("killed") else []
    ended = {
        s.trial.number: (s.trial.proposal.architecture.id, s.trial.accuracy) for s in trials if s.trial.state.ended
    }
    assert before.items() <= ended.items()
    return ended


def test_ctrl_c_ends_cleanly_and_the_same_command_goes_on(tmp_path):
    command = (*SEARCH, "--trials", "3", "--workers", "1")
    process = start(tmp_path, *command)
    wait_for(process, lambda: done(tmp_path) >= 1)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on where it stopped" in err
    assert "Traceback" not in err
    assert TrialState.RUNNING not in states(tmp_path)
    found = json.loads(finish(tmp_path, *command, "--json"))
    assert found["trials"]["complete"] == 3


def test_two_searches_of_one_study_at_once_the_second_says_who_has_it(tmp_path):
    command = (*SEARCH, "--trials", "40", "--workers", "1", "--study", "shared")
    first = start(tmp_path, *command)
    wait_for(first, lambda: TrialState.RUNNING in states(tmp_path))
    second = start(tmp_path, *command)
    _, err = second.communicate(timeout=120)
    assert second.returncode == 2
    assert f"driven by process {first.pid}" in err
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()


def test_weights_that_cannot_be_saved_end_the_search_in_one_line_and_no_trial_is_lost(tmp_path):
    command = (*SEARCH, "--trials", "2", "--workers", "1", "--study", "blocked")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/blocked").write_text("where the folder of the weights has to be")
    process = start(tmp_path, *command)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "weights not saved" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert states(tmp_path) == {TrialState.WAITING: 1}
    (tmp_path / "runs/blocked").unlink()
    assert json.loads(finish(tmp_path, *command, "--json"))["trials"]["complete"] == 2
