"""Words of the command line: budgets, limits and networks, and the options that several commands share."""

import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.architecture import Architecture
from nas.cli.secret_arguments import STORE_VARIABLE
from nas.errors import ArchitectureError, BudgetError, NasError, SpaceError
from nas.space import Reference, read_reference, references
from nas.store.records import StoredTrial

if TYPE_CHECKING:
    from nas.store.store import Store

DEFAULT_STORE = "sqlite:///runs/trials.db"

_DURATIONS_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_COUNTS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
_BYTES = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9}
_LARGEST = 1e15
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*([A-Za-zµ]*)")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parse_budget(text: str) -> float:
    """Milliseconds of a duration with a unit, such as `60ms`.

    Raises:
        BudgetError: no unit, an unknown one, or nothing above zero.
    """
    return _quantity(text, _DURATIONS_MS, "a duration above zero with its unit, such as 60ms")


def parse_count(text: str) -> int:
    """A count such as `4M` params."""
    return int(_quantity(text, _COUNTS, "a count above zero, such as 4M or 900k"))


def parse_bytes(text: str) -> int:
    """A size of memory such as `2MB`."""
    return int(_quantity(text, _BYTES, "a size above zero with its unit, such as 2MB"))


def parse_share(text: str) -> float:
    """A share such as the confidence `0.95`.

    Raises:
        BudgetError: no number above 0 and below 1.
    """
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 < share < 1:
        raise BudgetError(f"{text!r} is not a share above 0 and below 1, such as 0.95")
    return share


def _quantity(text: str, units: dict[str, float], expected: str) -> float:
    match = _QUANTITY.fullmatch(text.strip())
    if match is None or match[2] not in units or not 0 < float(match[1]) < _LARGEST:
        raise BudgetError(f"{text!r} is not {expected}")
    return float(match[1]) * units[match[2]]


class Parsed(click.ParamType[Any]):
    """An option whose text is read by one of the functions above."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The parsed value; errors name the option."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except BudgetError as error:
            name = param.opts[0] if param else self.name
            raise BudgetError(f"{name}: {error}") from None


DURATION = Parsed("duration", parse_budget)
COUNT = Parsed("count", parse_count)
SHARE = Parsed("share", parse_share)
BYTES = Parsed("size", parse_bytes)
SEED = click.IntRange(0, 2**32 - 1)  # what numpy and Optuna take

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
store_option = click.option(
    "--store",
    "store_url",
    default=DEFAULT_STORE,
    show_default=True,
    metavar="URL",
    envvar=STORE_VARIABLE,
    show_envvar=True,
    help="The trial database.",
)


def resolve_network(text: str, store_url: str) -> Reference:
    """The network that ARCH stands for: a reference name, a JSON file, or `trial:ID`.

    Raises:
        NasError: it stands for none; the message says what would.
    """
    if text.startswith("trial:"):
        from nas.store.store import Store  # noqa: PLC0415 - sqlalchemy is not needed otherwise

        with Store.open_existing(store_url) as store:
            return Reference(text, stored_trial(text, store).trial.proposal.architecture, ())
    if text.endswith(".json"):
        return Reference(Path(text).stem, _read_network(Path(text)), ())
    if text in references():
        return read_reference(text)
    raise SpaceError(f"unknown network {text!r}; expected trial:ID, a JSON file, or one of {', '.join(references())}")


def stored_trial(text: str, store: "Store") -> StoredTrial:
    """The trial that `trial:ID`, or the ID alone, stands for.

    Raises:
        NasError: no ID, or no such trial.
    """
    number = text.removeprefix("trial:")
    if not number.isdecimal():
        raise NasError(f"{text!r} is not a trial; expected trial:ID with the ID that `nas trials list` shows")
    stored = store.trial(int(number))
    if stored is None:
        raise NasError(f"there is no trial {number} in the database; `nas trials list` shows what there is")
    return stored


def _read_network(path: Path) -> Architecture:
    try:
        return Architecture.from_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArchitectureError(f"{path}: {error.strerror}") from None
    except (ArchitectureError, UnicodeDecodeError) as error:
        raise ArchitectureError(f"{path}: {error}") from None
