"""`nas trials export`: the recorded trials for other programs."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nas.cli.options import store_option
from nas.errors import NasError
from nas.store.records import COLUMNS

if TYPE_CHECKING:
    from nas.space import SearchSpace
    from nas.store.store import Store


@click.command("export")
@click.argument("studies", nargs=-1)
@click.option("--format", "kind", type=click.Choice(["csv", "parquet", "optuna"]), default="csv", show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="A new file.  [default: stdout, for CSV]")
@store_option
def export(studies: tuple[str, ...], kind: str, output: Path | None, store_url: str) -> None:
    """Write the trials of all STUDIES, or of those named, as a table or as a storage of Optuna's.

    See docs/store.md for the columns. What --format optuna writes is opened by: optuna-dashboard sqlite:///FILE
    """
    from nas.exchange.table import write_csv, write_parquet  # noqa: PLC0415
    from nas.store.store import Store  # noqa: PLC0415

    if output is None and kind != "csv":
        raise NasError(f"--format {kind} writes a file; expected --output FILE")
    if output is not None and output.exists():
        raise NasError(f"--output {output}: exists already; expected a new file")
    with Store.open_existing(store_url) as store:
        names = list(studies) or None
        for name in studies:
            store.study_summary(name)  # an unknown one is an error, before anything is written
        if output is None:
            write_csv(store.lines(names), COLUMNS, sys.stdout)
            return
        part = output.with_name(f"{output.name}.part")
        try:
            part.touch()  # SQLite would not say why it cannot
            if kind == "csv":
                with part.open("w", encoding="utf-8", newline="") as file:
                    count = write_csv(store.lines(names), COLUMNS, file)
            elif kind == "parquet":
                count = write_parquet(store.lines(names), COLUMNS, part)
            else:
                count = _write_optuna(store, studies, part)
            part.replace(output)
        except OSError as error:
            raise NasError(f"--output {output}: {error.strerror or error}") from None
        finally:
            part.unlink(missing_ok=True)
    click.echo(f"{count} trials written to {output}", err=True)


def _write_optuna(store: "Store", names: tuple[str, ...], path: Path) -> int:
    """Write the studies; says on stderr which of their trials show no choices."""
    from nas.exchange.optuna import StudyToExport, write_optuna  # noqa: PLC0415

    records = [record for record in store.studies() if not names or record.name in names]
    found = [
        StudyToExport(record.name, _space(record.settings.get("space")), record.settings, store.trials(record.name))
        for record in records
    ]
    if bare := write_optuna(found, path):
        click.echo(f"{bare} trials show no parameters: their networks are no points of their study's space", err=True)
    return sum(len(study.trials) for study in found)


def _space(name: object) -> "SearchSpace | None":
    from nas.space import load_space  # noqa: PLC0415

    try:
        return load_space(str(name)) if name else None
    except NasError as error:
        click.echo(f"without the choices of its networks: {error}", err=True)
        return None
