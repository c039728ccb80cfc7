"""`nas latency validate`: estimates beside measurements."""

from pathlib import Path

import click

from nas.cli.latency.common import (
    classes_option,
    draw_networks,
    dtype_option,
    progress_bar,
    require_host,
    space_option,
    threads_option,
)
from nas.cli.options import json_option
from nas.latency.dtype import Dtype
from nas.latency.host import HOST
from nas.space import load_space


@click.command()
@click.option("--target", default=HOST, show_default=True, help="host, this machine, is what can be measured.")
@space_option
@classes_option
@threads_option
@dtype_option
@click.option("--networks", default=100, show_default=True, type=click.IntRange(min=9), help="How many to draw.")
@click.option("--seed", default=0, show_default=True, help="Of the draw.")
@click.option(
    "--pruned", is_flag=True, help="Cut their widths as pruning does; the table's own error is left as it is."
)
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), help="Predicted against measured, as an image."
)
@json_option
def validate(  # noqa: PLR0913, PLR0917
    target: str, space: str, classes: int, threads: int | None, dtype: Dtype | None, networks: int, seed: int,
    pruned: bool, plot: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Measure networks whole that the table was not fitted on, and compare with the estimates.

    The error and the interval that follow from it are stored with the table.
    """
    from nas.cli import tables  # noqa: PLC0415
    from nas.latency.measure import validate_host  # noqa: PLC0415 - onnxruntime

    setup = require_host(target, threads, dtype)
    drawn = draw_networks(load_space(space).with_num_classes(classes), networks, f"validate {seed}", pruned=pruned)
    with progress_bar("measuring whole networks") as progress:
        found = validate_host(drawn, setup=setup, store=not pruned, progress=progress)
    if plot is not None:
        from nas.latency.validation import plot_validation  # noqa: PLC0415 - scipy

        plot_validation(found, plot)
    if as_json:
        tables.print_json({"target": setup.name, **found.to_dict()})
        return
    tables.print_table(
        ("networks", "mean error", "worst", "within 5 %", "within 10 %", "Spearman", "Kendall"),
        [
            [
                f"{found.score[key]:g}"
                for key in ("networks", "mape", "worst", "within_5", "within_10", "spearman", "kendall")
            ]
        ],
    )
    click.echo(found.note)
