"""The wheel: all that the package reads at run time ships inside, and an unpacked copy works by itself."""

import json
import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
DATA = {"search_spaces": "nas/data/search_spaces", "latency_models": "nas/data/latency_models"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The unpacked wheel, as it would lie in site-packages."""
    folder = tmp_path_factory.mktemp("installed")
    with ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(installed: Path, cwd: Path, code: str, *arguments: str) -> str:
    """What Python prints, with the unpacked wheel before any other nas and away from the checkout."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, check=True, capture_output=True, text=True).stdout


def nas(installed: Path, cwd: Path, *arguments: str):
    return json.loads(run(installed, cwd, "from nas.cli.main import main; main()", *arguments, "--json"))


@pytest.mark.parametrize("folder", DATA)
def test_every_data_file_ships_unchanged(wheel, folder):
    files = {path.relative_to(ROOT / folder).as_posix(): path for path in (ROOT / folder).rglob("*") if path.is_file()}
    assert files
    with ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if name.startswith(f"{DATA[folder]}/")}
        assert shipped == {f"{DATA[folder]}/{name}" for name in files}
        for name, path in files.items():
            assert archive.read(f"{DATA[folder]}/{name}") == path.read_bytes()


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    files = {path for path in (ROOT / "nas").rglob("*") if path.is_file() and path.parent.name != "__pycache__"}
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    code = {name for name in names if not name.startswith("nas/data/")}
    assert code == {path.relative_to(ROOT).as_posix() for path in files}


def test_an_installed_copy_reads_its_own_data(installed, tmp_path):
    code = "from nas.resources import data_dir; print(data_dir('search_spaces'), data_dir('latency_models'), sep='\\n')"
    folders = run(installed, tmp_path, code).splitlines()
    assert folders == [str((installed / folder).resolve()) for folder in DATA.values()]


def test_an_installed_copy_knows_the_spaces_and_reference_networks(installed, tmp_path):
    found = nas(installed, tmp_path, "space", "list")
    assert [space["name"] for space in found["spaces"]] == sorted(p.stem for p in ROOT.glob("search_spaces/*.yaml"))
    assert found["references"] == sorted(p.stem for p in ROOT.glob("search_spaces/reference/*.yaml"))


def test_an_installed_copy_estimates_latency(installed, tmp_path):
    assert nas(installed, tmp_path, "show", "mobilenet_v3_large")["latency"]["ms"] > 0


def test_an_installed_copy_makes_a_database(installed, tmp_path):
    make = "import sys; from nas.store.store import Store; Store.open(sys.argv[1]).close()"
    run(installed, tmp_path, make, str(tmp_path / "trials.db"))
    assert nas(installed, tmp_path, "trials", "list", "--store", f"sqlite:///{tmp_path / 'trials.db'}") == []
