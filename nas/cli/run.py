"""`nas run`: a study file, from block search to report."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.cli.options import json_option, store_option
from nas.cli.ray_options import default_workers, ray_options

if TYPE_CHECKING:  # importing it means importing torch
    from nas.executors.ray.cluster import RayCluster
    from nas.pipeline.bench import Bench
    from nas.pipeline.spec import Scale, StudyFile
    from nas.store.store import Store

_STEPS = ("search", "adapt", "compare", "ablate", "export", "report")  # nas.pipeline.run.STEPS, which needs torch


@click.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--scale", help="Of the study file.  [default: its first]")
@click.option("--data", help="In place of the scale's: cifar10, digits or imagefolder:DIR.")
@click.option("--until", type=click.Choice(_STEPS), default="report", show_default=True, help="The last step to do.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes.  [default: one a core]")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="For results.  [default: beside STUDY, by scale]"
)
@ray_options
@store_option
@json_option
def run(  # noqa: PLR0913, PLR0917 - the command's options
    study: Path,
    scale: str | None,
    data: str | None,
    until: str,
    workers: int | None,
    out: Path | None,
    cluster: "RayCluster | None",
    storage: str | None,
    store_url: str,
    as_json: bool,
) -> None:
    """Run a STUDY file: block search, NetAdapt, networks compared by one training, ablations, export, report.

    Every step is recorded and skipped once it is done: the same command goes on where it was stopped or killed.
    """
    from nas.cli import tables  # noqa: PLC0415
    from nas.pipeline.run import run as run_steps  # noqa: PLC0415 - torch is not needed for --help
    from nas.pipeline.study_file import load_study, require_scale  # noqa: PLC0415
    from nas.store.store import Store  # noqa: PLC0415

    spec = load_study(study)
    chosen = require_scale(spec, scale)
    with Store.open(store_url) as store:
        folder = (out or study.parent) / chosen.name
        bench = _bench(spec, chosen, data or chosen.data, store)
        workers = workers or default_workers(cluster)
        bench = replace(bench, folder=folder, workers=workers, cluster=cluster, storage=storage)
        try:
            ran = run_steps(bench, until)
        except KeyboardInterrupt:
            click.echo("nas: stopped; the same command goes on where it stopped", err=True)
            raise SystemExit(130) from None
    if ran.record is None:
        if as_json:
            tables.print_json({"study": spec.name, "scale": chosen.name, "steps": list(ran.results)})
        else:
            click.echo(f"done: {', '.join(ran.results)}; results in {bench.folder}")
    elif as_json:
        tables.print_json(ran.record)
    else:
        _print(ran.record)
        click.echo(f"\nreport: {ran.report}")


def _bench(spec: "StudyFile", scale: "Scale", data: str, store: "Store") -> "Bench":
    """With one worker, and its results beside the study file."""
    from nas.cli.adapt_progress import adapt_progress  # noqa: PLC0415
    from nas.cli.latency.common import ready_target  # noqa: PLC0415
    from nas.cli.progress import search_progress  # noqa: PLC0415
    from nas.cli.supernet_progress import SupernetProgress  # noqa: PLC0415
    from nas.latency.targets import load_target  # noqa: PLC0415
    from nas.pipeline.bench import Bench, Show  # noqa: PLC0415
    from nas.space import load_space  # noqa: PLC0415
    from nas.training.data import describe_data  # noqa: PLC0415

    ready_target(spec.target, load_space(spec.space).with_num_classes(describe_data(data).num_classes))
    return Bench(
        study=spec,
        scale=scale,
        data=data,
        folder=spec.path.parent / scale.name,
        latency=load_target(spec.target, as_calibrated=True),  # cut and scaled networks have ops that no table has
        store=store,
        workers=1,
        show=Show(lambda line: click.echo(line, err=True), search_progress, adapt_progress, SupernetProgress()),
    )


def _print(record: dict[str, Any]) -> None:
    from nas.cli import tables  # noqa: PLC0415
    from nas.pipeline.networks import label  # noqa: PLC0415

    tables.print_table(
        ("network ", "test accuracy", "interval", f"{record['target']} ms", "MAdds M", "params M"),
        [
            (
                label(one["name"], one),
                f"{one['test_accuracy']['mean']:.2%}",
                f"{one['test_accuracy']['low']:.2%} to {one['test_accuracy']['high']:.2%}",
                f"{one['latency_ms']:.2f}",
                f"{one['macs'] / 1e6:.0f}",
                f"{one['params'] / 1e6:.2f}",
            )
            for one in record["networks"]
        ],
    )
