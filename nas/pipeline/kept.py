"""What a step leaves in a file: its result, what it was made from, and how long that took, kills included."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas.errors import NasError
from nas.storage import write_bytes

_EVERY_SECONDS = 5.0


def load_result(
    path: Path, inputs: Mapping[str, Any], *, growing: str | None = None, anew: str | None = None
) -> dict[str, Any] | None:
    """The result that `save_result` wrote from the same inputs; None if there is none yet.

    None, too, if all that differs is that the list `growing` of the inputs has more members now, or that `anew` is
    another one: what is made of it is soon made again.

    Raises:
        NasError: it was made from other inputs, or the file is damaged.
    """
    if not path.exists():
        return None
    kept = read_json(path)
    made, wanted = kept.get("inputs"), plain(inputs)
    if not isinstance(made, dict) or "result" not in kept:
        raise NasError(f"{path}: not the result of a step; remove it and run again")
    differing = sorted(key for key in made.keys() | wanted.keys() if made.get(key) != wanted.get(key))
    if differing == [growing] and set(made.get(growing, ())) < set(wanted.get(growing, ())):
        return None
    if differing and differing == [anew]:
        return None
    if differing:
        key = differing[0]
        raise NasError(
            f"{path}: was made with {key}={_short(made.get(key))}, not {_short(wanted.get(key))}; move the folder "
            f"{path.parent} away to do this step anew, or put that back"
        )
    result: dict[str, Any] = kept["result"]
    return result


def save_result(path: Path, inputs: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """Write both in one step; returns the result as it will be read."""
    read: dict[str, Any] = plain(result)
    write_json(path, {"inputs": plain(inputs), "result": read})
    return read


def plain(data: Any) -> Any:
    """What comes back when it is written as JSON and read."""
    return json.loads(json.dumps(data))


def read_json(path: Path) -> dict[str, Any]:
    """The object that a file of ours holds.

    Raises:
        NasError: it cannot be read, or holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NasError(f"{path}: not the JSON that was saved there ({error}); remove it and run again") from None
    if not isinstance(found, dict):
        raise NasError(f"{path}: not the JSON that was saved there; remove it and run again")
    return found


def write_json(path: Path, data: object) -> None:
    """Replace the file in one step.

    Raises:
        NasError: it cannot be written; a former one stays as it was.
    """
    write_text(path, json.dumps(data, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """As `write_json`."""
    write_bytes(path, text.encode())


@dataclass
class Clock:
    """Wall seconds of each step over all runs; a kill loses those since the last news, of which `tick` hears."""

    path: Path
    _step: str = field(default="", init=False)
    _seconds: dict[str, float] = field(default_factory=dict, init=False)
    _heard: float = field(default=0.0, init=False)
    _saved: float = field(default=0.0, init=False)

    @property
    def seconds(self) -> dict[str, float]:
        """By name of the step."""
        return dict(self._seconds)

    def begin(self, step: str) -> None:
        """From now on time goes to this step."""
        if self.path.exists():
            self._seconds = {str(name): float(value) for name, value in read_json(self.path).items()}
        self._step, self._heard = step, time.monotonic()

    def tick(self) -> None:
        """The step is at work."""
        now = time.monotonic()
        self._seconds[self._step] = self._seconds.get(self._step, 0.0) + now - self._heard
        self._heard = now
        if now - self._saved > _EVERY_SECONDS:
            self.end()

    def end(self) -> None:
        """Keep what was counted."""
        write_json(self.path, self._seconds)
        self._saved = time.monotonic()


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) < 80 else f"{text[:77]}..."
