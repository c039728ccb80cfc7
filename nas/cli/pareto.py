"""`nas pareto`: the Pareto front of the recorded trials."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nas.architecture import Architecture
from nas.cli.options import BYTES, COUNT, DURATION, json_option, store_option
from nas.cli.records import COLUMNS, front_table, trial_record
from nas.errors import NasError, StudyError
from nas.report.kinds import kind, largest_budget
from nas.store.records import FRONT_OBJECTIVES, OBJECTIVES, Objective, Predictor, StudyRecord

if TYPE_CHECKING:
    from nas.latency.model import LatencyModel
    from nas.store.store import Store


@click.command()
@click.argument("studies", nargs=-1)
@click.option("--target", help="Latencies of this device; trials searched for another one are rescored, not trained.")
@click.option("--objectives", default="accuracy,latency", show_default=True, help=f"Of {', '.join(OBJECTIVES)}.")
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
    objectives: str,
    max_latency: float | None,
    max_params: int | None,
    max_memory: int | None,
    as_csv: bool,
    plot: Path | None,
    store_url: str,
    as_json: bool,
) -> None:
    """Show which trials no other trial beats in all objectives, over the STUDIES named.

    With no STUDY: over the latest one and all that can be compared with it. With --target, too: over those that were
    searched for it or, if there are none, over all.
    """
    from nas.cli import tables  # noqa: PLC0415
    from nas.latency.targets import canonical_target  # noqa: PLC0415
    from nas.store.store import Store  # noqa: PLC0415

    if as_csv and as_json:
        raise NasError("--csv and --json; expected one of them")
    compared = parse_objectives(objectives)
    with Store.open_existing(store_url) as store:
        device = canonical_target(target) if target else None
        records = comparable(store, studies, device)
        model = _other_model(records, device) if device else None
        limit = max_latency or (largest_budget(records) if model is None else None)
        names = [record.name for record in records]
        predictor = rescored(store, names, model) if model else None
        front = store.front(
            names,
            max_latency_ms=limit,
            max_params=max_params,
            max_peak_activation_bytes=max_memory,
            objectives=compared,
            predictor=predictor,
        )
        if plot is not None:
            from nas.report.front import plot_front  # noqa: PLC0415 - matplotlib is slow to import

            staircase = set(compared) == set(FRONT_OBJECTIVES)
            plot_front(store.points(names, predictor), front, plot, budget_ms=limit, staircase=staircase)
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


def parse_objectives(text: str) -> tuple[Objective, ...]:
    """The objectives of `accuracy,latency,params`.

    Raises:
        NasError: an unknown one, one twice, or fewer than two.
    """
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in OBJECTIVES:
            raise NasError(f"--objectives: unknown objective {name!r}; expected some of {', '.join(OBJECTIVES)}")
    if len(names) < 2 or len(set(names)) < len(names):
        raise NasError(f"--objectives: {text!r}; expected two or more different ones, such as accuracy,latency")
    return tuple(OBJECTIVES[name] for name in names)


def rescored(store: "Store", names: list[str], model: "LatencyModel") -> Predictor:
    """Make sure that the model's latency of every complete trial is in the store; says on stderr what is new.

    Raises:
        MissingOpError: the model's table lacks an op of a network; what was rescored before it is kept.
    """
    predictor, interpolated, done = Predictor(model.target, model.version), 0, 0

    def latency_ms(architecture: Architecture) -> float:
        nonlocal interpolated
        latency = model.estimate(architecture)
        interpolated += bool(latency.interpolated)
        return latency.ms

    for done in store.rescore(names, predictor, latency_ms):
        click.echo(f"{done} networks rescored for {model.target}, without training", err=True)
    if interpolated:
        click.echo(f"{interpolated} of them have ops that were not measured, but interpolated", err=True)
    return predictor


def comparable(store: "Store", names: tuple[str, ...], target: str | None) -> list[StudyRecord]:
    """The studies of those names, if their accuracies, and without a target their latencies, mean the same.

    Without names the latest study and those like it; says on stderr how many others there are.

    Raises:
        NasError: those named were searched on different data, for different devices, or judged in different ways.
    """
    records = store.studies()
    for name in names:
        if name not in {record.name for record in records}:
            raise StudyError(f"no study {name!r} in the database; `nas trials list` shows what there is")
    chosen = [record for record in records if not names or record.name in names]
    if target is not None and not names:
        chosen = [record for record in chosen if record.settings.get("target") == target] or chosen
    if not names and chosen:
        latest = kind(chosen[-1], target)
        alike = [record for record in chosen if kind(record, target) == latest]
        if other := len(chosen) - len(alike):
            what = f"{latest.judge} on {latest.device}"
            click.echo(f"studies like the latest, {what}; {other} of other kinds left out", err=True)
        return alike
    kinds = {kind(record, target): record.name for record in chosen}
    if len(kinds) > 1:
        what = "; ".join(f"{name}: {of.judge} on {of.device}" for of, name in kinds.items())
        raise NasError(
            f"the studies cannot be compared ({what}; what differs is data, device, latency table, evaluator or its "
            f"settings); name those of one kind: nas pareto STUDY ...; --target takes all latencies from one table"
        )
    return chosen


def _other_model(records: list[StudyRecord], target: str) -> "LatencyModel | None":
    """The latency model of the target; None if the recorded latencies are its own already.

    Raises:
        LatencyError: studies of another device, and the target is not measured yet.
    """
    from nas.latency.host import host_setup  # noqa: PLC0415
    from nas.latency.targets import host_measured, load_target  # noqa: PLC0415

    foreign = [record for record in records if record.settings.get("target") != target]
    if not foreign and (setup := host_setup(target)) and not host_measured(setup):
        return None
    model = load_target(target)
    same = {record.settings.get("latency_version") for record in records} <= {model.version}
    return None if same and not foreign else model
