"""What a database meets in the world: killed and competing writers, full disks, other versions, broken files."""

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import nas
from nas.architecture import Architecture, ConvBlock, PoolBlock
from nas.errors import StoreError
from nas.store import database, schema
from nas.store.database import Database
from nas.store.store import Sizes, Store
from nas.trial import Outcome, Proposal, Trial, TrialState
from tests import postgres

REPOSITORY = Path(nas.__file__).parents[1]

WRITER = """
import sys
from nas.architecture import Architecture, ConvBlock, PoolBlock
from nas.store.store import Sizes, Store
from nas.trial import Outcome, Proposal, Trial, TrialState

url, study, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
with Store.open(url) as store:
    if store.study(study) is None:
        store.create_study(study, {})
    first = len(store.trials(study))
    for number in range(first, first + count):
        network = Architecture(32, (ConvBlock(number + 1, 3, 2, "relu"), PoolBlock()))
        trial = Trial(number, Proposal(network), 0, TrialState.RUNNING)
        store.add_trial(study, trial, Sizes(number, 2, 3), 1.0 + number, "pixel1", "v1", {})
        store.report(study, number, 1, {"accuracy": 0.1})
        store.finish(study, number, Outcome({"accuracy": 0.5}), told=number)
        print(number, flush=True)
"""


def writer(url, study, count, **kwargs):
    """A process that records trials and prints the number of each one that the store has acknowledged."""
    arguments = [sys.executable, "-c", WRITER, str(url), study, str(count)]
    return subprocess.Popen(
        arguments, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs
    )


def add(store, number, error=None):
    network = Architecture(32, (ConvBlock(8, 3, 2, "relu"), PoolBlock()))
    store.add_trial("s", Trial(number, Proposal(network), 0, TrialState.RUNNING), Sizes(1, 2, 3), 1.0, "t", "v", {})
    store.finish("s", number, Outcome({"accuracy": 0.5}, error), told=number)


def integrity(path):
    connection = sqlite3.connect(path)
    try:
        return connection.execute("PRAGMA integrity_check").fetchall(), connection.execute(
            "PRAGMA foreign_key_check"
        ).fetchall()
    finally:
        connection.close()


SOUND = ([("ok",)], [])


# Killed and competing writers


@pytest.mark.parametrize("acknowledged", [1, 2, 17])
def test_a_writer_killed_in_the_middle_loses_nothing_that_was_acknowledged(tmp_path, acknowledged):
    path = tmp_path / "trials.db"
    process = writer(path, "s", 100_000)
    for _ in range(acknowledged):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    rest, errors = process.communicate()
    last = acknowledged - 1 + len(rest.splitlines())
    assert (process.returncode, errors) == (-signal.SIGKILL, "")
    with Store.open(path) as store:
        found = store.trials("s")
        assert [stored.trial.number for stored in found][: last + 1] == list(range(last + 1))
        assert all(stored.trial.state is TrialState.COMPLETE for stored in found[: last + 1])
        assert len(found) <= last + 2  # at most one more had been begun
        for stored in found[last + 1 :]:
            if stored.trial.state is TrialState.RUNNING:
                assert store.requeue("s", stored.trial.number, "killed") is TrialState.WAITING
    assert integrity(path) == SOUND
    assert writer(path, "s", 1).wait() == 0  # and the next process goes on


def test_processes_that_write_at_once_all_get_their_turn(tmp_path):
    """They also create the database at once, which only one of them can do."""
    path = tmp_path / "trials.db"
    processes = [writer(path, f"study {index}", 60) for index in range(4)]
    outputs = [process.communicate() for process in processes]
    assert [errors for _, errors in outputs] == [""] * 4
    with Store.open(path) as store:
        for index in range(4):
            assert store.study_summary(f"study {index}")[TrialState.COMPLETE] == 60
        assert [stored.trial.number for stored in store.trials("study 0")] == list(range(60))
    assert integrity(path) == SOUND


def test_a_reader_neither_waits_for_a_writer_nor_sees_half_a_transaction(tmp_path):
    with Store.open(tmp_path / "trials.db") as store, Store.open(tmp_path / "trials.db") as other:
        store.create_study("s", {})
        with store._database.write() as connection:
            connection.execute(sa.update(schema.studies).values(owner="half"))
            with other._database.read() as reader:
                assert reader.execute(sa.select(schema.studies.c.owner)).scalar() is None


def test_a_failed_transaction_leaves_nothing_behind(tmp_path):
    with Store.open(tmp_path / "trials.db") as store:
        store.create_study("s", {})
        with pytest.raises(ZeroDivisionError), store._database.write() as connection:
            connection.execute(sa.update(schema.studies).values(name="half"))
            raise ZeroDivisionError
        assert [study.name for study in store.studies()] == ["s"]


# A full disk


def test_a_full_database_is_one_clear_line_and_stays_valid(tmp_path):
    path = tmp_path / "trials.db"
    with Store.open(path) as store:
        store.create_study("s", {})
        pages = _pragma(store, "page_count") + 10
        assert _pragma(store, f"max_page_count = {pages}") == pages
        number = 0
        with pytest.raises(StoreError) as caught:
            while True:
                add(store, number, error="x" * 1000)
                number += 1
        assert str(caught.value) == (
            f"{path}: the disk is full; free some space and run the same command again, what was recorded is kept"
        )
        _pragma(store, "max_page_count = 100000")
        recorded = store.trials("s")
        assert [stored.trial.number for stored in recorded if stored.trial.state.ended] == list(range(number))
    assert integrity(path) == SOUND


def test_a_file_that_may_not_grow_is_one_clear_line_and_stays_valid(tmp_path):
    """The operating system refuses the write in the middle of a search, as a disk quota does."""
    path = tmp_path / "trials.db"
    assert writer(path, "s", 3).wait() == 0
    limit = path.stat().st_size + 200_000
    process = writer(path, "s", 100_000, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    acknowledged, errors = process.communicate()
    assert process.returncode == 1
    assert errors.splitlines()[-1].startswith(f"nas.errors.StoreError: {path}: ")
    assert "disk" in errors.splitlines()[-1]
    with Store.open(path) as store:
        ended = [stored.trial.number for stored in store.trials("s") if stored.trial.state.ended]
        assert ended == list(range(3 + len(acknowledged.splitlines())))
        assert len(ended) > 3
    assert integrity(path) == SOUND


def _pragma(store, text):
    with store._database.read() as connection:
        return connection.exec_driver_sql(f"PRAGMA {text}").scalar()


# The schema and its versions


def test_the_migrations_build_the_tables_that_the_code_expects(store_url):
    with Store.open(store_url) as store, store._database.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": schema.VERSION_TABLE, "compare_type": True}
        )
        assert compare_metadata(context, schema.metadata) == []
        assert context.get_current_revision() == schema.HEAD
        assert [column["name"] for column in _columns(store, schema.VIEW)] == list(schema.view.c.keys())


def test_every_process_keeps_up_with_the_others_on_postgresql_too(postgresql):
    url = postgres.database(postgresql, "writers")
    processes = [writer(url, f"study {index % 2}", 30) for index in (0, 1)]
    assert [process.communicate()[1] for process in processes] == ["", ""]
    with Store.open(url) as store:
        assert [store.study_summary(f"study {index}")[TrialState.COMPLETE] for index in (0, 1)] == [30, 30]


def test_the_index_of_the_front_is_as_the_code_expects(tmp_path):
    """Autogenerate does not compare expressions and predicates of indexes."""
    expected = sa.create_engine("sqlite://")
    schema.metadata.create_all(expected)
    sql = "SELECT replace(replace(sql, char(10), ''), '  ', ' ') FROM sqlite_master WHERE name = 'ix_trials_front'"
    with Store.open(tmp_path / "trials.db") as store, store._database.read() as connection, expected.begin() as other:
        assert connection.exec_driver_sql(sql).scalar() == other.exec_driver_sql(sql).scalar() is not None
    expected.dispose()


def test_head_is_the_newest_migration():
    assert ScriptDirectory.from_config(database._alembic_config()).get_current_head() == schema.HEAD


OLD = Architecture(32, (ConvBlock(8, 3, 2, "relu"), PoolBlock()))
FIRST_REVISION = """
INSERT INTO studies (id, name, settings, created_at) VALUES (1, 'old', '{"seed":7}', '2026-11-20 10:00:00');
INSERT INTO architectures (id, json, params, macs, peak_activation_bytes) VALUES ('KEY', 'JSON', 10, 20, 30);
INSERT INTO trials VALUES (1, 1, 0, 'KEY', 'complete', 0.5, 12.5, 'pixel1', 'v1', NULL, NULL, 0, 0, 99, 1,
    '{"accuracy":0.5}', NULL, FALSE, '2026-11-20 10:00:01', '2026-11-20 10:01:00', 'phoenix', 4711, '{"nas":"0.1.0"}');
INSERT INTO trials VALUES (2, 1, 1, 'KEY', 'running', NULL, NULL, NULL, NULL, 3, 0, 1, NULL, 98, 0,
    NULL, NULL, NULL, '2026-11-20 10:02:00', NULL, 'phoenix', 4711, '{}');
INSERT INTO epochs VALUES (1, 1, '{"accuracy":0.4}')
"""


def test_a_database_of_the_first_revision_is_upgraded_with_all_that_is_in_it(store_url):
    _write_first_revision(store_url)
    with Store.open(store_url) as store:
        assert [(s.name, s.settings, s.fidelity) for s in store.studies()] == [("old", {"seed": 7}, None)]
        done, running = store.trials("old")
        assert done.trial == Trial(
            0, Proposal(OLD), 0, TrialState.COMPLETE, Outcome({"accuracy": 0.5}), told=0, seed=99
        )
        assert (done.latency_ms, done.target, done.latency_version, done.source) == (12.5, "pixel1", "v1", None)
        assert (done.params, done.macs, done.peak_activation_bytes, done.lost) == (10, 20, 30, 1)
        assert (done.host, done.pid, done.versions) == ("phoenix", 4711, {"nas": "0.1.0"})
        assert (done.ended_at - done.started_at).total_seconds() == 59
        assert running.trial == Trial(1, Proposal(OLD, epochs=3, parent=0), 1, TrialState.RUNNING, seed=98)
        assert store.epochs(1) == [(1, {"accuracy": 0.4})]
        assert [s.id for s in store.front(max_latency_ms=20)] == [1]
        assert [line["trial"] for line in store.lines()] == [1, 2]
        store.finish("old", 1, Outcome({"accuracy": 0.6}), told=1)


def _write_first_revision(url):
    with closing(Database(url)) as empty:
        with empty.write() as connection:  # the fixture's is of today
            connection.exec_driver_sql(f"DROP VIEW {schema.VIEW}")
            connection.exec_driver_sql(f"DROP TABLE {schema.VERSION_TABLE}")
            schema.metadata.drop_all(connection)
        with empty.write() as connection:
            config = database._alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "0001")
            text = FIRST_REVISION.replace("KEY", OLD.id).replace("JSON", OLD.to_json())
            for statement in text.split(";\n"):
                connection.exec_driver_sql(statement)


def test_an_old_database_is_upgraded_and_keeps_its_trials(tmp_path, monkeypatch):
    """A future revision, run by the code that ships: one column more, on a database of today."""
    path = tmp_path / "trials.db"
    with Store.open(path) as store:
        store.create_study("s", {})
        add(store, 0)
        before = store.trials()
    migrations = tmp_path / "migrations"
    shutil.copytree(database.MIGRATIONS, migrations)
    (migrations / "versions" / "future.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        f"revision, down_revision = 'future', {schema.HEAD!r}\n"
        "def upgrade():\n    op.add_column('studies', sa.Column('note', sa.Text, server_default='none'))\n"
    )
    monkeypatch.setattr(database, "MIGRATIONS", migrations)
    monkeypatch.setattr(schema, "HEAD", "future")
    with Store.open(path) as store:
        assert store.trials() == before
        with store._database.read() as connection:
            assert connection.exec_driver_sql("SELECT note FROM studies").scalar() == "none"
    with pytest.raises(StoreError, match="newer nas"):  # and the code of today says so
        monkeypatch.undo()
        Store.open(path)


def test_an_upgrade_that_fails_leaves_the_old_database(tmp_path, monkeypatch):
    path = tmp_path / "trials.db"
    Store.open(path).close()
    migrations = tmp_path / "migrations"
    shutil.copytree(database.MIGRATIONS, migrations)
    (migrations / "versions" / "future.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        f"revision, down_revision = 'future', {schema.HEAD!r}\n"
        "def upgrade():\n    op.add_column('studies', sa.Column('note', sa.Text))\n    op.drop_table('absent')\n"
    )
    with monkeypatch.context() as patched, pytest.raises(StoreError, match="no such table: absent"):
        patched.setattr(database, "MIGRATIONS", migrations)
        patched.setattr(schema, "HEAD", "future")
        Store.open(path)
    with Store.open(path) as store:
        store.create_study("s", {})
        assert "note" not in [column["name"] for column in _columns(store, "studies")]


def _columns(store, table):
    with store._database.read() as connection:
        return sa.inspect(connection).get_columns(table)


def test_an_empty_file_becomes_a_database(tmp_path):
    path = tmp_path / "trials.db"
    path.touch()
    with Store.open(path) as store:
        assert store.studies() == []


def test_a_database_of_a_newer_version_says_so(tmp_path):
    path = tmp_path / "trials.db"
    Store.open(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"UPDATE {schema.VERSION_TABLE} SET version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError) as caught:
        Store.open(path)
    assert str(caught.value) == f"{path}: was written by a newer nas; upgrade with `pip install -U nas`"


def test_a_database_of_another_program_is_left_alone(tmp_path):
    path = tmp_path / "optuna.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE trials (trial_id INTEGER)")
    connection.close()
    with pytest.raises(StoreError, match=r"optuna\.db: belongs to another program \(trials\)"):
        Store.open(path)


def test_the_migrations_work_from_an_installed_package(tmp_path):
    shutil.copytree(REPOSITORY / "nas", tmp_path / "site" / "nas", ignore=shutil.ignore_patterns("__pycache__"))
    code = "import nas, sys; from nas.store.store import Store; Store.open(sys.argv[1]).close(); print(nas.__file__)"
    run = subprocess.run(
        [sys.executable, "-c", code, "runs/trials.db"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == str(tmp_path / "site" / "nas" / "__init__.py")
    assert (tmp_path / "runs" / "trials.db").exists()


# Broken files and impossible places


def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path):
    path = tmp_path / "trials.db"
    path.write_bytes(b"accuracy,latency\n" * 1000)
    with pytest.raises(StoreError) as caught:
        Store.open(path)
    assert str(caught.value) == (
        f"{path}: not an SQLite database; choose another file, or move this one away to begin a new one"
    )
    assert path.read_bytes() == b"accuracy,latency\n" * 1000


@pytest.mark.parametrize("damage", ["truncated", "overwritten"])
def test_a_damaged_database_is_named(tmp_path, damage):
    path = tmp_path / "trials.db"
    assert writer(path, "s", 60).wait() == 0
    whole = path.read_bytes()
    path.write_bytes(whole[:9000] if damage == "truncated" else whole[:4096] + b"\xa5" * (len(whole) - 4096))
    with pytest.raises(StoreError) as caught, Store.open(path) as store:
        store.trials()
    assert str(caught.value) == (
        f"{path}: the database is damaged; restore a copy, or save what is left with `sqlite3 FILE .recover`"
    )


def test_a_folder_is_no_database(tmp_path):
    with pytest.raises(StoreError, match="cannot be opened; is it a file in a folder that you may write to"):
        Store.open(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(StoreError, match=r"runs/trials\.db: its folder cannot be created: "):
        Store.open(tmp_path / "runs" / "trials.db")


def test_a_database_that_is_read_only_is_named(tmp_path):
    path = tmp_path / "trials.db"
    with Store.open(path) as store:
        with store._database.read() as connection:
            connection.exec_driver_sql(
                "PRAGMA query_only = ON"
            )  # file modes do not stop the superuser, who may run this test
        with pytest.raises(StoreError, match="cannot be written; check the permissions"):
            store.create_study("s", {})


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://me:secret@host/trials", r"mysql://me:\*\*\*@host/trials: unknown database 'mysql'; expected one of"),
        ("nosuch://me:secret@host/trials", r"unknown database 'nosuch'; expected one of sqlite, postgresql"),
        ("sqlite+nosuch:///trials.db", r"trials\.db: unknown driver"),
        ("://me:secret@host", r"the store's URL cannot be read; expected sqlite:///FILE or postgresql://HOST/NAME"),
        ("postgresql://me:secret@host:port/trials", r"the store's URL cannot be read"),
        ("postgresql+psycopg://me:secret@localhost:1/trials?password=secret", r"postgresql\+psycopg://me:\*\*\*@local"),
    ],
)
def test_a_url_that_cannot_be_used_says_why_and_keeps_its_password(url, message):
    with pytest.raises(StoreError, match=message) as caught:
        Store.open(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
