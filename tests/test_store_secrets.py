"""A password of a database is never printed, logged or stored, whatever goes wrong, on a server that asks for one."""

import json
import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from nas.cli.secret_arguments import without_secret
from nas.errors import StoreError
from nas.store.store import Store
from nas.store.url import StoreUrl
from tests import postgres
from tests.study_helpers import open_study

ROOT = Path(__file__).parents[1]
PASSWORD = "s3cr3t p@ss/wörd"
QUOTED = "s3cr3t%20p%40ss%2Fw%C3%B6rd"
PARTS = ("s3cr3t", "ss/w", "ss%2Fw", "wörd", "w%C3%B6rd")
NAS = [sys.executable, "-c", "from nas.cli.main import main; main()"]


@pytest.fixture(scope="module")
def url():
    if reason := postgres.unavailable():
        pytest.skip(reason)
    with postgres.running(PASSWORD) as server:
        assert QUOTED in server.url
        yield server.url


@pytest.fixture(scope="module")
def full(url):
    """A database with a study of two trials, one of them running."""
    found = postgres.database(url, "full")
    with Store.open(found) as store, open_study(store) as study:
        study.ask()
        study.ask()
    return found


def run(*arguments, cwd, **environment):
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = [*NAS, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=300)


def assert_clean(text):
    assert not [part for part in PARTS if part in text], text


def broken_urls(url):
    return {
        "wrong password": url.replace(QUOTED, f"{QUOTED}x"),
        "wrong host": f"postgresql+psycopg://nas:{QUOTED}@nosuch.invalid/full",
        "closed port": f"postgresql+psycopg://nas:{QUOTED}@localhost:1/full",
        "missing database": url.replace("/postgres?", "/nosuch?"),
        "missing driver": url.replace("+psycopg", "+psycopg2"),
        "unknown driver": url.replace("+psycopg", "+nosuch"),
        "unknown database": url.replace("postgresql+psycopg", "mysql"),
        "unknown option": f"{url}&nosuch={QUOTED}",
        "password as an option": f"{url.replace(f':{QUOTED}', '')}x&password={QUOTED}",
        "not quoted": url.replace(QUOTED, PASSWORD),
        "no slashes": url.replace("://", ":"),
        "port that is none": f"postgresql+psycopg://nas:{QUOTED}@localhost:{QUOTED}/full",
    }


@pytest.mark.parametrize("what", broken_urls(""))
def test_a_database_that_cannot_be_opened_is_one_line_without_the_password(url, what, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError) as caught:
        Store.open(broken_urls(url)[what])
    assert_clean("".join(traceback.format_exception(caught.value)))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir()), "a file of that name was made"


def test_commands_that_work_and_commands_that_fail_show_no_password(full, url, tmp_path):
    """By the real program, with the URL on its command line."""
    for arguments in (
        ("status", "s"),
        ("status", "--json"),
        ("trials", "list"),
        ("trials", "show", "trial:1", "--json"),
    ):
        done = run(*arguments, "--store", full, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert_clean(done.stdout + done.stderr)
    for what in ("wrong password", "closed port", "missing database"):
        done = run("status", f"--store={broken_urls(url)[what]}", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("nas: postgresql+psycopg://nas:***@")
        assert len(done.stderr.splitlines()) == 1
        assert_clean(done.stderr)
    assert_clean(run("trials", "show", "trial:77", "--store", full, cwd=tmp_path).stderr)
    assert_clean(run("status", "--help", cwd=tmp_path, NAS_STORE=full).stdout)


def test_nothing_in_the_database_and_no_file_holds_the_password(full, tmp_path):
    search = ("search", "--target", "pixel", "--budget", "60ms", "--trials", "20", "--study", "found")
    done = run(*search, "--store", full, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_clean(done.stdout + done.stderr)
    assert json.loads(done.stdout)["trials"]["complete"] == 20
    assert_clean("".join(path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()))
    dump = run("trials", "export", cwd=tmp_path, NAS_STORE=full)
    assert len(dump.stdout.splitlines()) == 23
    assert_clean(dump.stdout)
    with Store.open(full) as store, store._database.read() as connection:
        for table in ("studies", "trials", "receipts", "epochs"):
            assert_clean(str(connection.exec_driver_sql(f"SELECT * FROM {table}").all()))


def test_the_command_line_of_a_running_command_does_not_show_the_password(full, tmp_path):
    """Which every user of the host could read, and which Ray records."""
    command = [*NAS, "status", "s", "--watch", "--store", full]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    watching = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True)
    try:
        assert " s: 0/" in watching.stdout.readline()
        shown = Path(f"/proc/{watching.pid}/cmdline").read_text()
        assert "status\0s\0--watch" in shown
        assert_clean(shown)
    finally:
        watching.kill()
        watching.communicate()


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["nas", "status"], None),
        (["nas", "status", "--store", "sqlite:///a:b@c.db"], None),
        (["nas", "status", "--store", "postgresql://me@host/x"], None),
        (["nas", "status", "--store", "postgresql://me:pw@host/x", "s"], (["nas", "status", "s"], "postgresql://me:pw@host/x")),
        (["nas", "--store=postgresql://host/x?password=pw"], (["nas"], "postgresql://host/x?password=pw")),
        (["nas", "--store"], None),
        (["nas", "--store", "postgresql://me:pw@host/x", "--store", "b.db"], (["nas"], "b.db")),
    ],
)  # fmt: skip
def test_only_a_url_with_a_password_leaves_the_command_line(arguments, found):
    assert without_secret(arguments) == found


def test_redaction_takes_out_each_form_of_each_password():
    url = StoreUrl.parse("postgresql://me:p%40ss@host/x?sslpassword=other")
    assert url.redact("p@ss, p%40ss and\n other") == "***, *** and ***"
    assert url.place == "postgresql://me:***@host/x"
