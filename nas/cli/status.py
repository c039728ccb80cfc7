"""`nas status`: how far a study is, who works on it, and when it will end."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from nas.cli.options import json_option, store_option
from nas.cli.records import trial_record
from nas.errors import NasError
from nas.store.records import StoredTrial, StudyRecord

if TYPE_CHECKING:  # importing them means importing sqlalchemy
    from nas.store.activity import Activity
    from nas.store.store import Store

_WATCH_SECONDS = 2.0


@click.command()
@click.argument("study", required=False)
@click.option("--watch", is_flag=True, help="Go on showing it until all trials have ended, or Ctrl-C.")
@store_option
@json_option
def status(study: str | None, watch: bool, store_url: str, as_json: bool) -> None:
    """Show how far STUDY is, or all studies: trials, pace, the best, the driver and the workers.

    Only the database is read, so any host that reaches it can ask.
    """
    from nas.cli import tables  # noqa: PLC0415
    from nas.store.store import Store  # noqa: PLC0415

    if watch and as_json:
        raise NasError("--watch is for people; expected --json without it")
    with Store.open_existing(store_url) as store:
        if as_json:
            tables.print_json([_record(seen) for seen in _look(store, study)])
        elif watch:
            _watch(store, study)
        else:
            click.echo(_text(_look(store, study)))


@dataclass(frozen=True, slots=True)
class Seen:
    """A study as it was when somebody looked."""

    study: StudyRecord
    activity: "Activity"
    best: StoredTrial | None

    @property
    def planned(self) -> int:
        """Trials that the study was begun with, or has by now, if more were asked for later."""
        return max(int(self.study.settings.get("trials", 0)), sum(self.activity.counts.values()))

    @property
    def complete(self) -> bool:
        """Whether nothing is left to wait for."""
        return self.activity.driver is None and self.activity.ended >= self.planned

    @property
    def estimated_end(self) -> datetime | None:
        """At the recent pace."""
        return self.activity.estimated_end(self.planned)


def _look(store: "Store", name: str | None) -> list[Seen]:
    names = [record.name for record in store.studies()] if name is None else [name]
    return [_seen(store, each) for each in names]


def _seen(store: "Store", name: str) -> Seen:
    activity, record = store.activity(name), store.study(name)
    assert record is not None, "its activity was there"
    best = store.most_accurate(name, 1, record.settings.get("budget_ms"))
    return Seen(record, activity, best[0] if best else None)


def _watch(store: "Store", name: str | None) -> None:
    """Draw in place on a terminal; elsewhere a line for each change."""
    from rich.console import Console  # noqa: PLC0415
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False)
    if not console.is_terminal:
        _print_changes(store, name)
        return
    with Live(console=console, auto_refresh=False) as live:
        while True:
            found = _look(store, name)
            live.update(Text(_text(found)), refresh=True)
            if all(seen.complete for seen in found):
                return
            time.sleep(_WATCH_SECONDS)


def _print_changes(store: "Store", name: str | None) -> None:
    shown = dict[str, str]()
    while True:
        found = _look(store, name)
        for seen in found:
            change = f"{_counts(seen)}; {_best(seen)}; {_driver(seen)}"
            if shown.get(seen.study.name) != change:
                click.echo(f"{seen.activity.at:%Y-%m-%d %H:%M:%S} UTC {seen.study.name}: {change}")
            shown[seen.study.name] = change
        if all(seen.complete for seen in found):
            return
        time.sleep(_WATCH_SECONDS)


def _text(found: Sequence[Seen]) -> str:
    return "\n\n".join(_lines(seen) for seen in found) or "no study yet"


def _lines(seen: Seen) -> str:
    activity = seen.activity
    lines = [seen.study.name, f"  trials   {_counts(seen)}", f"  best     {_best(seen)}", f"  pace     {_pace(seen)}"]
    lines.append(f"  driver   {_driver(seen)}{_heartbeat(seen)}")
    for worker in activity.workers:
        doing = ", ".join(f"trial:{id}" for id in worker.running) or f"idle, last at work {_ago(seen, worker.seen_at)}"
        lines.append(f"  worker   {worker.pid} on {worker.host}: {doing}; {worker.ended} ended recently")
    return "\n".join(lines)


def _counts(seen: Seen) -> str:
    states = ", ".join(f"{count} {state.value}" for state, count in seen.activity.counts.items() if count)
    return f"{seen.activity.ended}/{seen.planned} ended ({states or 'none begun'})"


def _best(seen: Seen) -> str:
    best = seen.best
    if best is None:
        return "none within the budget yet"
    latency = "" if best.latency_ms is None else f" at {best.latency_ms:.1f} ms"
    return f"{best.trial.accuracy or 0:.2%}{' predicted' if best.predicted else ''}{latency} (trial:{best.id})"


def _pace(seen: Seen) -> str:
    recent, overall = seen.activity.recent_per_hour, seen.activity.per_hour
    words = "nothing ended in the last 10 minutes" if recent is None else f"{recent:.0f} trials an hour"
    words += "" if overall is None else f" ({overall:.0f} since it began)"
    end = seen.estimated_end
    return words if end is None else f"{words}, ends about {end:%Y-%m-%d %H:%M} UTC"


def _driver(seen: Seen) -> str:
    driver = seen.activity.driver
    if driver is None:
        return "none"
    return f"process {driver.pid} on {driver.host} since {driver.since:%Y-%m-%d %H:%M} UTC"


def _heartbeat(seen: Seen) -> str:
    driver = seen.activity.driver
    return "" if driver is None or driver.heartbeat_at is None else f", heartbeat {_ago(seen, driver.heartbeat_at)}"


def _ago(seen: Seen, then: datetime) -> str:
    return f"{(seen.activity.at - then).total_seconds():.0f} s ago"


def _record(seen: Seen) -> dict[str, Any]:
    """One study of `nas status --json`; documented in docs/json.md."""
    activity = seen.activity
    return {
        "study": seen.study.name,
        "at": activity.at.isoformat(),
        "trials": {state.value: count for state, count in activity.counts.items()},
        "ended": activity.ended,
        "planned": seen.planned,
        "best": trial_record(seen.best) if seen.best else None,
        "recent_per_hour": activity.recent_per_hour,
        "per_hour": activity.per_hour,
        "estimated_end": _iso(seen.estimated_end),
        "driver": None if activity.driver is None else _plain(asdict(activity.driver)),
        "workers": [_plain(asdict(worker)) for worker in activity.workers],
    }


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    return {key: _iso(value) if isinstance(value, datetime) else value for key, value in record.items()}


def _iso(time_: datetime | None) -> str | None:
    return None if time_ is None else time_.isoformat()
