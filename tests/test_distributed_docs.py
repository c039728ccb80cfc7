"""What docs/distributed.md shows is what the installed Ray takes; nothing here starts a cluster."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from nas.cli.main import nas
from nas.errors import StoreError
from nas.store.store import Store
from tests.study_helpers import open_study

TEXT = (Path(__file__).parents[1] / "docs/distributed.md").read_text(encoding="utf-8")
RAY = importlib.util.find_spec("ray")

needs_ray = pytest.mark.skipif(RAY is None, reason="ray is not installed")


def block(kind):
    (found,) = re.findall(rf"```{kind}\n(.+?)```", TEXT, re.DOTALL)
    return found


@needs_ray
def test_the_cluster_file_keeps_to_the_schema_of_ray():
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((Path(RAY.origin).parent / "autoscaler/ray-schema.json").read_text())
    cluster = yaml.safe_load(block("yaml"))
    jsonschema.validate(cluster, schema)
    assert cluster["head_node_type"] in cluster["available_node_types"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(cluster | {"wrong": 1}, schema)


@needs_ray
def test_the_options_of_ray_start_exist():
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--help"]
    known = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = {option for line in re.findall(r"ray start .*", TEXT) for option in re.findall(r"--[a-z-]+", line)}
    named = set(re.findall(r"`(--[a-z-]*port)`", TEXT))
    assert used and len(named) == 8
    assert not [option for option in used | named if option not in known]


def test_the_script_for_slurm_is_one():
    assert subprocess.run(["bash", "-n"], input=block("slurm"), text=True, check=False).returncode == 0


def test_the_roles_of_the_database_can_do_what_is_said_and_no_more(postgresql):
    import psycopg  # noqa: PLC0415

    setup, _, grants = block("sql").partition("\\connect trials\n")
    with psycopg.connect(postgresql.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("SELECT 1")
        for statement in setup.replace(" nas ", " nas_driver ").replace("OWNER nas;", "OWNER nas_driver;").split(";\n"):
            if statement.strip():
                connection.execute(statement)
    trials = postgresql.replace("/postgres?", "/trials?")
    with psycopg.connect(trials.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(re.sub(r"\bnas\b", "nas_driver", grants))
    with Store.open(trials.replace("nas@", "nas_driver@")) as store, open_study(store) as study:
        study.ask()
    reader = trials.replace("nas@", "nas_reader@")
    shown = CliRunner().invoke(nas, ["status", "s", "--store", reader], catch_exceptions=False).stdout
    assert "1 waiting" in shown
    with Store.open(reader) as store, pytest.raises(StoreError, match="permission denied for table studies"):
        store.create_study("mine", {})
