"""The order of the modules: who may import whom, and where the heavy packages live (docs/architecture.md)."""

import ast
import re
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import click
import pytest

from nas.cli.main import nas

ROOT = Path(__file__).parents[1]

# A module imports only from a lower number; parts of one number do not know each other. Inside a part, which is a
# module or a package directly below nas/, modules import each other freely, but not in a circle.
LAYERS = {
    "errors": 0,
    "resources": 0,
    "architecture": 1,
    "json_file": 1,
    "pareto": 1,
    "picture": 1,
    "rank": 1,
    "storage": 1,
    "reward": 1,
    "yaml_file": 1,
    "layers": 2,
    "trial": 2,
    "latency": 3,
    "network": 3,
    "space": 3,
    "stopping": 3,
    "accuracy": 4,
    "batch": 4,
    "executors": 4,
    "store": 4,
    "strategies": 4,
    "training": 4,
    "begun": 5,
    "evaluators": 5,
    "exchange": 5,
    "export": 5,
    "forking": 5,
    "report": 5,
    "study": 5,
    "sources": 5,
    "adapt": 6,
    "check": 6,
    "search": 6,
    "pipeline": 7,
    "cli": 8,
}

# Packages that are slow to import, each with the only modules (or packages of modules) that may import it.
HOMES = {
    "torch": ("network", "training", "evaluators", "export", "sources", "strategies.controller"),
    "torchvision": ("training.cifar10", "sources"),
    "onnx": ("latency.graph", "latency.qdq"),
    "onnxruntime": ("latency.session", "latency.board_runner", "export"),
    "optuna": ("strategies.optuna", "exchange.optuna"),
    "sqlalchemy": ("store",),
    "alembic": ("store",),
    "sklearn": ("training.data", "strategies.gaussian_process"),
    "scipy": (
        "latency.fit",
        "latency.confidence",
        "latency.corrections",
        "latency.score",
        "strategies.acquisition",
        "strategies.posterior",
        "accuracy.score",
        "pipeline.interval",
    ),
    "matplotlib": ("picture",),
    "moocore": ("pareto",),
    "pyarrow": ("exchange.table",),
    "ray": ("executors.ray",),
    "upath": ("storage",),
}


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(path): path for path in sorted((ROOT / "nas").rglob("*.py"))}


@cache
def imports(module: str) -> frozenset[str]:
    """All that the module imports anywhere, inside functions and by `import_module` too, by full name."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                found |= {alias.name for alias in names}
            case ast.ImportFrom(module=str(source), names=names, level=0):
                whole = {f"{source}.{alias.name}" for alias in names}
                found |= {name if name in MODULES else source for name in whole}
            case ast.ImportFrom():
                pytest.fail(f"{module}: a relative import")
            case ast.Constant(value=str(text)) if text in MODULES and text != "nas":
                found.add(text)  # the name of a module, for import_module
    return frozenset(found)


def ours(module: str) -> set[str]:
    return {name for name in imports(module) if name in MODULES}


def part(module: str) -> str:
    """The module or package directly below nas/; empty for nas itself, which everyone may import."""
    return module.partition(".")[2].partition(".")[0]


def lives_in(module: str, home: str) -> bool:
    return f"{module}.".startswith(f"nas.{home}.")


def test_every_part_has_a_layer():
    assert {part(module) for module in MODULES} - {""} == LAYERS.keys()


def test_modules_import_only_from_lower_layers():
    wrong = [
        f"{module} ({LAYERS[part(module)]}) imports {other} ({LAYERS[part(other)]})"
        for module in MODULES
        for other in ours(module)
        if part(other) not in ("", part(module)) and LAYERS[part(other)] >= LAYERS.get(part(module), -1)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_modules_import_each_other_in_a_circle():
    try:
        TopologicalSorter({module: ours(module) - {module} for module in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("package", HOMES)
def test_a_heavy_package_is_imported_only_in_its_home(package):
    users = {module for module in MODULES if package in {name.partition(".")[0] for name in imports(module)}}
    assert {module for module in users if not any(lives_in(module, home) for home in HOMES[package])} == set()
    assert all(any(lives_in(module, home) for module in users) for home in HOMES[package]), "an empty home"


def test_the_command_line_starts_without_heavy_packages():
    loaded = loaded_by("--help")
    assert "nas.cli.main" in loaded
    assert not loaded & {*HOMES, "numpy", "rich", "yaml"}


@pytest.mark.parametrize("command", nas.list_commands(click.Context(nas)))
def test_the_help_of_a_command_needs_no_heavy_package(command):
    assert not loaded_by(command, "--help") & HOMES.keys()


def loaded_by(*arguments: str) -> set[str]:
    """The modules that a fresh process has loaded when `nas` has answered."""
    script = f"""
import sys
from nas.cli.main import main
sys.argv = ["nas", *{arguments!r}]
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.startswith("Usage: nas")
    return set(run.stderr.split())


def test_every_module_has_a_docstring():
    without = [module for module, path in MODULES.items() if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]
    assert without == []


def test_the_documented_layers_and_homes_are_the_tested_ones():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    layers = {name: int(number) for number, names in _rows(text, r"\d") for name in names}
    homes = {package.strip("`"): tuple(names) for package, names in _rows(text, r"`\w+`")}
    assert layers == LAYERS
    assert homes == HOMES


def _rows(text: str, first: str) -> list[tuple[str, list[str]]]:
    """First cell, and the names in backticks of the second, of the tables' rows whose first cell matches."""
    rows = re.findall(rf"^\| ({first}) \| ([^|]*) \|", text, re.MULTILINE)
    return [(cell, re.findall(r"`([\w.]+)`", names)) for cell, names in rows]
