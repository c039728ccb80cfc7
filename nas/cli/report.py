"""`nas report`: what studies found, as a page or a picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.cli.options import json_option, store_option
from nas.errors import NasError
from nas.report.kinds import largest_budget

if TYPE_CHECKING:
    from nas.store.store import Store

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("studies", nargs=-1)
@click.option("--html", type=_FILE, help="Write a page that needs nothing but a browser.")
@click.option("--png", type=_FILE, help="Draw the front, for a paper or a README.")
@click.option("--measured", type=_FILE, multiple=True, help="JSON of nas latency validate, or search --verify.")
@click.option("--run", "runs", type=_FILE, multiple=True, help="A report.json of nas run: trainings compared.")
@store_option
@json_option
def report(  # noqa: PLR0913, PLR0917 - the command's options
    studies: tuple[str, ...],
    html: Path | None,
    png: Path | None,
    measured: tuple[Path, ...],
    runs: tuple[Path, ...],
    store_url: str,
    as_json: bool,
) -> None:
    """Show all STUDIES of the database, or those named, on one page: fronts, networks, progress, provenance."""
    from nas.cli import tables  # noqa: PLC0415
    from nas.report.compared import read_run  # noqa: PLC0415
    from nas.report.content import page_content  # noqa: PLC0415
    from nas.report.html import write_page  # noqa: PLC0415
    from nas.report.measured import read_measured  # noqa: PLC0415
    from nas.store.store import Store  # noqa: PLC0415

    if html is None and png is None:
        raise NasError("nothing to write; expected --html FILE or --png FILE")
    found, records = [read_measured(path) for path in measured], [read_run(path) for path in runs]
    record: dict[str, Any] = {"html": None, "png": None}
    with Store.open_existing(store_url) as store:
        content = page_content(store, studies, found, records)
        if png is not None:
            record["png"] = _drawn(store, studies, png)
    if html is not None:
        record["html"] = {"file": str(html), "bytes": write_page(content, html)}
    record = {
        "studies": [study["name"] for study in content["studies"]],
        "trials": len(content["trials"]["id"]),
        **record,
    }
    if as_json:
        tables.print_json(record)
        return
    for written in filter(None, (record["html"], record["png"])):
        click.echo(f"{written['file']}  {written['bytes'] / 1e6:.2f} MB, {record['trials']} trials")


def _drawn(store: "Store", studies: tuple[str, ...], path: Path) -> dict[str, Any]:
    """The front of studies that can be compared, as `nas pareto --plot` draws it.

    Raises:
        NasError: they cannot be compared, or the file cannot be written.
    """
    from nas.cli.pareto import comparable  # noqa: PLC0415
    from nas.report.drawing import load_device  # noqa: PLC0415
    from nas.report.front import plot_front  # noqa: PLC0415 - matplotlib is slow to import
    from nas.report.references import published_ms  # noqa: PLC0415

    records = comparable(store, studies, None)
    names, limit = [record.name for record in records], largest_budget(records)
    front = store.front(names, max_latency_ms=limit)
    published = {}
    if front and front[0].target:
        published = published_ms(load_device(front[0].target), front[0].trial.proposal.architecture.num_classes)
    plot_front(store.points(names), front, path, budget_ms=limit, published=published)
    return {"file": str(path), "bytes": path.stat().st_size}
