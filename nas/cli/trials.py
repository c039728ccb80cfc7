"""`nas trials`: what was tried."""

from typing import Any

import click

from nas.cli.export_trials import export
from nas.cli.options import json_option, store_option, stored_trial
from nas.cli.records import COLUMNS, accuracy_text, trial_record
from nas.errors import NasError
from nas.store.records import StoredTrial


@click.group()
def trials() -> None:
    """List, show or export the recorded trials."""


@trials.command("list")
@click.argument("study", required=False)
@click.option("--last", type=click.IntRange(min=1), help="Only the last N.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@store_option
@json_option
def list_(study: str | None, last: int | None, as_csv: bool, store_url: str, as_json: bool) -> None:
    """List the trials of STUDY, or of all studies."""
    from nas.cli import tables  # noqa: PLC0415
    from nas.store.store import Store  # noqa: PLC0415

    if as_csv and as_json:
        raise NasError("--csv and --json; expected one of them")
    with Store.open_existing(store_url) as store:
        found = store.trials(study, last=last)
    records = [{"number": s.trial.number, "state": s.trial.state.value, **trial_record(s)} for s in found]
    if as_json:
        tables.print_json(records)
    elif as_csv:
        tables.print_csv(records, ("number", "state", *COLUMNS))
    else:
        tables.print_table(
            ("trial ", "study ", "number", "state ", "accuracy", "latency ms", "MAdds M", "params M", "seconds"),
            [_row(stored) for stored in found],
        )


@trials.command()
@click.argument("trial")
@store_option
@json_option
def show(trial: str, store_url: str, as_json: bool) -> None:
    """Show one TRIAL, given as trial:ID or as the ID alone."""
    from nas.cli import tables  # noqa: PLC0415
    from nas.store.store import Store  # noqa: PLC0415

    with Store.open_existing(store_url) as store:
        stored = stored_trial(trial, store)
        record = _full_record(stored) | {
            "epochs": [{"epoch": epoch, **metrics} for epoch, metrics in store.epochs(stored.id)]
        }
    if as_json:
        tables.print_json(record)
        return
    for key, value in record.items():
        if key not in ("network", "epochs"):
            click.echo(f"{key:22} {'' if value is None else value}")
    for line in record["epochs"]:
        click.echo(f"epoch {line.pop('epoch'):<16} {', '.join(f'{name} {value:.4g}' for name, value in line.items())}")
    click.echo()
    tables.print_table(tables.BLOCK_COLUMNS, tables.block_rows(stored.trial.proposal.architecture))


trials.add_command(export)


def _row(stored: StoredTrial) -> list[object]:
    return [
        f"trial:{stored.id}",
        stored.study,
        stored.trial.number,
        stored.trial.state.value if stored.source is None else f"{stored.trial.state.value} as trial:{stored.source}",
        f"{accuracy_text(stored)}{' predicted' if stored.predicted else ''}",
        None if stored.latency_ms is None else f"{stored.latency_ms:.1f}",
        f"{stored.macs / 1e6:.0f}",
        f"{stored.params / 1e6:.2f}",
        None if (seconds := _seconds(stored)) is None else f"{seconds:.1f}",
    ]


def _seconds(stored: StoredTrial) -> float | None:
    if stored.started_at is None or stored.ended_at is None:
        return None
    return (stored.ended_at - stored.started_at).total_seconds()


def _full_record(stored: StoredTrial) -> dict[str, Any]:
    trial = stored.trial
    return {
        **trial_record(stored),
        "number": trial.number,
        "state": trial.state.value,
        "seed": trial.seed,
        "parent": trial.proposal.parent,
        "asked_after": trial.asked_after,
        "told": trial.told,
        "lost": stored.lost,
        "source": stored.source,
        "metrics": dict(trial.outcome.metrics) if trial.outcome else {},
        "error": trial.outcome.error if trial.outcome else None,
        "started_at": None if stored.started_at is None else stored.started_at.isoformat(),
        "ended_at": None if stored.ended_at is None else stored.ended_at.isoformat(),
        "host": stored.host,
        "versions": dict(stored.versions),
        "latency_version": stored.latency_version,
        "network": trial.proposal.architecture.to_dict(),
    }
