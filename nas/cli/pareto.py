"""`nas pareto`: the Pareto front of the recorded trials."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nas.cli.options import BYTES, COUNT, DURATION, json_option, store_option
from nas.cli.records import COLUMNS, FRONT_COLUMNS, front_rows, trial_record
from nas.store.records import StoredTrial

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
    from nas.latency.targets import load_target  # noqa: PLC0415
    from nas.store.store import Store  # noqa: PLC0415

    with Store.open(store_url) as store:
        front = store.front(
            list(studies) or None,
            target=load_target(target).target if target else None,
            max_latency_ms=max_latency,
            max_params=max_params,
            max_peak_activation_bytes=max_memory,
        )
        if plot is not None:
            _draw(store, studies, front, plot, max_latency)
    records = [trial_record(stored) for stored in front]
    if as_json:
        tables.print_json(records)
    elif as_csv:
        tables.print_csv(records, COLUMNS)
    elif front:
        tables.print_table(FRONT_COLUMNS, front_rows(front))
    else:
        click.echo("no finished trial within these limits; `nas trials list` shows what there is", err=True)


def _draw(
    store: "Store", studies: tuple[str, ...], front: list[StoredTrial], path: Path, budget_ms: float | None
) -> None:
    """Draw the front among all trials of the studies, with the budget that was asked for, or theirs if it is one."""
    from nas.report import plot_front  # noqa: PLC0415 - matplotlib is slow to import

    names = studies or tuple(study.name for study in store.studies())
    records = [record for name in names if (record := store.study(name)) is not None]
    budgets = {record.settings.get("budget_ms") for record in records}
    if budget_ms is None and len(budgets) == 1:
        (budget_ms,) = budgets
    plot_front([trial for name in names for trial in store.trials(name)], front, path, budget_ms=budget_ms)
    click.echo(f"drawn to {path}", err=True)
