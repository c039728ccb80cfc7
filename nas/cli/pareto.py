"""`nas pareto`: the Pareto front of the recorded trials."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nas.cli.options import BYTES, COUNT, DURATION, json_option, store_option
from nas.cli.records import COLUMNS, front_table, trial_record
from nas.errors import NasError, StudyError
from nas.store.records import StudyRecord

if TYPE_CHECKING:
    from nas.store.store import Store


@click.command()
@click.argument("studies", nargs=-1)
@click.option("--target", help="Only trials whose latency was predicted for this device.")
@click.option("--max-latency", type=DURATION, help="Such as 60ms.")
@click.option("--max-params", type=COUNT, help="Such as 4M.")
@click.option("--max-memory", type=BYTES, help="Peak activation memory, such as 2MB.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw the front to a PNG, SVG or PDF.")
@store_option
@json_option
def pareto(  # noqa: PLR0913, PLR0917 - the command's options
    studies: tuple[str, ...],
    target: str | None,
    max_latency: float | None,
    max_params: int | None,
    max_memory: int | None,
    as_csv: bool,
    plot: Path | None,
    store_url: str,
    as_json: bool,
) -> None:
    """Show which trials no other trial beats in both accuracy and latency, over all STUDIES or those named."""
    from nas.cli import tables  # noqa: PLC0415
    from nas.latency.targets import canonical_target  # noqa: PLC0415
    from nas.store.store import Store  # noqa: PLC0415

    with Store.open(store_url) as store:
        device = canonical_target(target) if target else None
        records = _comparable(store, studies, device)
        limit = max_latency or _largest_budget(records)
        names = [record.name for record in records]
        front = store.front(
            names,
            target=device,
            max_latency_ms=limit,
            max_params=max_params,
            max_peak_activation_bytes=max_memory,
        )
        if plot is not None:
            from nas.report import plot_front  # noqa: PLC0415 - matplotlib is slow to import

            plot_front([trial for name in names for trial in store.trials(name)], front, plot, budget_ms=limit)
            click.echo(f"drawn to {plot}", err=True)
    rows = [trial_record(stored) for stored in front]
    if as_json:
        tables.print_json(rows)
    elif as_csv:
        tables.print_csv(rows, COLUMNS)
    elif front:
        tables.print_table(*front_table(front))
    else:
        click.echo("no finished trial within these limits; `nas trials list` shows what there is", err=True)


def _comparable(store: "Store", names: tuple[str, ...], target: str | None) -> list[StudyRecord]:
    """The studies of those names, or all, if their accuracies and latencies mean the same.

    Raises:
        NasError: they were searched on different data, for different devices, or judged by different models.
    """
    records = store.studies()
    for name in names:
        if name not in {record.name for record in records}:
            raise StudyError(f"no study {name!r} in the database; `nas trials list` shows what there is")
    chosen = [record for record in records if not names or record.name in names]
    chosen = [record for record in chosen if target in (None, record.settings.get("target"))]
    kinds = {(*map(r.settings.get, ("data", "target")), str(_judgement(r))): r.name for r in chosen}
    if len(kinds) > 1:
        what = "; ".join(f"{name}: {data or 'predicted'} on {device}" for (data, device, _), name in kinds.items())
        raise NasError(
            f"the studies cannot be compared ({what}; what differs is data, device or judgement); "
            f"name those of one kind: nas pareto STUDY ..."
        )
    return chosen


def _judgement(record: StudyRecord) -> tuple[object, ...]:
    """What an accuracy of the study depends on besides the data."""
    return record.settings.get("proxy"), record.settings.get("accuracy_version")


def _largest_budget(records: list[StudyRecord]) -> float | None:
    """What the searches were allowed; trials beyond it, which a search may have explored, are not feasible."""
    budgets = [record.settings["budget_ms"] for record in records if "budget_ms" in record.settings]
    return max(budgets) if budgets and len(budgets) == len(records) else None
