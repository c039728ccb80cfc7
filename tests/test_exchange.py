"""Trials for other programs: what they read is what was recorded."""

import csv
import io
import json
import re
import shutil
import signal
import sqlite3
import subprocess
import time
import urllib.request
from datetime import UTC, datetime
from random import Random

import optuna
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from nas.cli.main import nas
from nas.errors import NasError
from nas.space import load_reference
from nas.store.records import COLUMNS
from nas.store.store import Sizes, Store
from nas.trial import Outcome, Proposal, Trial, TrialState
from tests.study_helpers import SPACE, drive, open_study


@pytest.fixture
def url(tmp_path):
    """Two studies: one of six trials of a space, one of a network of no space that failed."""
    path = tmp_path / "trials.db"
    with Store.open(path) as store:
        store.create_study("s", {"space": "mobilenet_v2", "seed": 3})
        with open_study(store, trials=6) as study:
            drive(study, Random(0), workers=2)
        store.create_study("other", {})
        network = Trial(0, Proposal(load_reference("mobilenet_v3_small")), 0, TrialState.RUNNING)
        store.add_trial("other", network, Sizes(1, 2, 3), 8.5, "pixel1", "v1", {})
        store.finish("other", 0, Outcome(error='memory, "all" of it'), told=0)
    return f"sqlite:///{path}"


@pytest.fixture
def recorded(url):
    with Store.open(url) as store:
        return store.trials()


def run(*arguments):
    found = CliRunner().invoke(nas, ["trials", "export", *map(str, arguments)])
    if isinstance(found.exception, NasError):
        raise found.exception
    assert found.exit_code == 0, found.output
    return found


def test_csv_has_a_line_for_every_trial_with_all_columns(url, recorded):
    lines = list(csv.DictReader(io.StringIO(run("--store", url).stdout)))
    assert [tuple(line) for line in lines] == [COLUMNS] * 7
    for line, stored in zip(lines, recorded, strict=True):
        assert (int(line["trial"]), line["study"], line["state"]) == (stored.id, stored.study, stored.trial.state)
        assert line["accuracy"] == ("" if stored.trial.accuracy is None else repr(stored.trial.accuracy))
        assert float(line["latency_ms"]) == stored.latency_ms
        assert datetime.fromisoformat(line["ended_at"]) == stored.ended_at
    assert lines[-1]["error"] == 'memory, "all" of it'


def test_parquet_has_the_same_lines_with_their_types(url, recorded, tmp_path):
    run("--format", "parquet", "--output", tmp_path / "trials.parquet", "--store", url)
    table = pq.read_table(tmp_path / "trials.parquet")
    assert tuple(table.column_names) == COLUMNS
    for line, stored in zip(table.to_pylist(), recorded, strict=True):
        assert (line["trial"], line["accuracy"], line["macs"]) == (stored.id, stored.trial.accuracy, stored.macs)
        assert line["started_at"] == stored.started_at.astimezone(UTC)


def test_a_study_can_be_named(url, tmp_path):
    out = tmp_path / "other.csv"
    assert "1 trials written" in run("other", "--output", out, "--store", url).output
    assert [line["study"] for line in csv.DictReader(out.open())] == ["other"]


def test_optuna_reads_states_values_and_the_choices_of_every_gene(url, recorded, tmp_path):
    said = run("--format", "optuna", "--output", tmp_path / "optuna.db", "--store", url).output
    assert "1 trials show no parameters" in said
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    assert sorted(optuna.get_all_study_names(storage)) == ["other", "s"]
    study = optuna.load_study(study_name="s", storage=storage)
    assert study.metric_names == ["accuracy", "latency_ms"]
    assert study.user_attrs == {"space": "mobilenet_v2", "seed": 3}
    for trial, stored in zip(study.trials, recorded, strict=False):
        assert trial.values == [stored.trial.accuracy, stored.latency_ms]
        chosen = {gene.name: [str(c) for c in gene.choices].index(trial.params[gene.name]) for gene in SPACE.genes}
        assert SPACE.decode(tuple(chosen.values())) == stored.trial.proposal.architecture
        assert trial.user_attrs["trial"] == stored.id
        assert trial.datetime_complete.astimezone(UTC) == stored.ended_at
    assert {trial.user_attrs["trial"] for trial in study.best_trials} <= {stored.id for stored in recorded}
    (failed,) = optuna.load_study(study_name="other", storage=storage).trials
    assert failed.state is optuna.trial.TrialState.FAIL


def test_the_view_answers_sql_that_people_write(url, recorded):
    with sqlite3.connect(f"file:{url.removeprefix('sqlite:///')}?mode=ro", uri=True) as connection:
        query = "SELECT trial, accuracy FROM nas_trials WHERE state = 'complete' ORDER BY accuracy DESC LIMIT 1"
        best = max((s for s in recorded if s.trial.accuracy), key=lambda s: s.trial.accuracy)
        assert connection.execute(query).fetchone() == (best.id, best.trial.accuracy)
        with pytest.raises(sqlite3.OperationalError):
            connection.execute("DELETE FROM nas_trials")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "parquet"], "expected --output FILE"),
        (["--output", "there.csv"], "there.csv: exists already"),
        (["--output", "absent/trials.csv"], "absent/trials.csv: No such file"),
        (["flowers"], "no study 'flowers'"),
        (["flowers", "--format", "optuna", "--output", "new.db"], "no study 'flowers'"),
    ],
)
def test_an_export_that_cannot_be_written_is_one_line_and_leaves_nothing(
    url, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.csv").touch()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(NasError, match=message):
        run(*arguments, "--store", url)
    assert sorted(path for path in tmp_path.iterdir() if "-wal" not in path.name and "-shm" not in path.name) == before


def test_a_full_disk_is_one_line(url, tmp_path, small_files):
    with small_files(100_000), pytest.raises(NasError, match=r"new\.db"):
        run("--format", "optuna", "--output", str(tmp_path / "new.db"), "--store", url)
    assert not list(tmp_path.glob("new.db*"))


@pytest.mark.long
def test_optuna_dashboard_shows_the_study_in_a_browser(url, tmp_path):
    """Needs Debian's chromium and the package optuna-dashboard; a picture of the page is left in the folder."""
    dashboard, chromium = shutil.which("optuna-dashboard"), shutil.which("chromium")
    if dashboard is None or chromium is None:
        pytest.skip("optuna-dashboard or chromium is not installed")
    run("--format", "optuna", "--output", tmp_path / "optuna.db", "--store", url)
    command = [dashboard, f"sqlite:///{tmp_path / 'optuna.db'}", "--host", "127.0.0.1", "--port", "8917"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        studies = _studies("http://127.0.0.1:8917")
        (number,) = [study["study_id"] for study in studies if study["study_name"] == "s"]
        page = f"http://127.0.0.1:8917/dashboard/studies/{number}/trials?numbers=0"
        browse = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=15000"]
        shot = [*browse, f"--screenshot={tmp_path / 'dashboard.png'}", "--window-size=1400,900", page]
        subprocess.run(shot, check=True, capture_output=True, timeout=120)
        text = subprocess.run([*browse, "--dump-dom", page], check=True, capture_output=True, text=True, timeout=120)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
    assert re.search(r"stages\[\d\]", text.stdout), "no gene is shown"
    assert text.stdout.count("Complete") >= 6
    assert (tmp_path / "dashboard.png").stat().st_size > 10_000


def _studies(address, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{address}/api/studies") as answer:
                return json.load(answer)["study_summaries"]
        except OSError:
            time.sleep(0.2)
    pytest.fail("the dashboard did not answer")
