"""Every command that trains, on a Ray cluster of this host; and a trial that no worker survives."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from nas.cli.main import nas
from nas.executors.local import LocalExecutor
from nas.executors.ray.cluster import RayCluster
from nas.executors.ray.executor import RayExecutor
from nas.store.store import Store
from nas.trial import TrialState
from tests import test_check, test_pipeline, test_supernet_search
from tests.executor_helpers import Dying
from tests.pipeline_helpers import write_study
from tests.study_helpers import open_study


@pytest.fixture
def away(ray_nodes, tmp_path, monkeypatch):
    """A folder to work in, where no trial runs but on the cluster."""

    def refuse(*_trials):
        raise AssertionError("a trial ran beside the cluster")

    monkeypatch.setattr(LocalExecutor, "run", refuse)
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(arguments):
    return json.loads(CliRunner().invoke(nas, [*arguments.split(), "--json"], catch_exceptions=False).stdout)


def test_a_trial_that_kills_three_workers_has_failed_with_the_reason(ray_nodes, tmp_path):
    with Store.open(tmp_path / "trials.db") as store:
        with open_study(store, trials=5) as study:
            RayExecutor(RayCluster(), workers=2).run(study, Dying(tmp_path, number=2, times=10))
        found = {stored.trial.number: stored for stored in store.trials("s")}
        with open_study(store, trials=5):
            pass  # who goes on comes to the same proposals
    states = {number: stored.trial.state for number, stored in found.items()}
    assert states == {0: "complete", 1: "complete", 2: TrialState.FAILED, 3: "complete", 4: "complete"}
    assert found[2].lost == 3
    assert "died" in found[2].trial.outcome.error
    assert len(list(tmp_path.glob("death-*"))) == 3
    assert sorted(stored.trial.told for stored in found.values()) == list(range(5))


@pytest.mark.long  # each worker of a command imports torch
def test_the_best_of_a_supernet_are_trained_on_the_cluster(away):
    (away / "little.yaml").write_text(test_check.SPACE)
    search = f"{test_supernet_search.ARGUMENTS} --space little.yaml --final-epochs 1 --finalists 2"
    found = run(f"{search} --ray auto")
    assert found["trials"]["complete"] == 6
    assert len(found["finalists"]) == 2
    assert all(Path(record["weights"]).exists() for record in found["finalists"])


def test_an_evaluator_is_checked_on_the_cluster(away):
    (away / "little.yaml").write_text(test_check.SPACE)
    command = f"{test_check.ARGUMENTS} --space little.yaml --evaluator proxy"
    assert run(f"{command} --ray auto")["networks"] == 3


@pytest.mark.long
def test_a_network_is_trimmed_on_the_cluster(away):
    trained = "--resolution 16 --epochs 1 --images 96 --val-images 100 --seed-epochs 1 --final-epochs 2"
    found = run(
        f"adapt --from reference:mobilenet_v3_small --budget 15ms --data digits --delta 0.2 {trained} --ray auto"
    )
    assert found["path"][-1]["latency_ms"] <= 15
    with Store.open(away / "runs/trials.db") as store:
        assert {stored.trial.state for stored in store.trials()} == {TrialState.COMPLETE}


@pytest.mark.long  # two whole studies, from block search to report
def test_a_study_file_comes_to_the_same_report_as_on_this_host(ray_nodes, tmp_path, monkeypatch):
    records = []
    for name, where in (("local", ""), ("cluster", "--ray auto")):
        folder = tmp_path / name
        write_study(folder)
        monkeypatch.chdir(folder)
        records.append(run(f"run study.yaml --workers 1 --store {folder}/trials.db {where}"))
    local, cluster = map(test_pipeline.decisions, records)
    assert cluster == local
