"""`nas latency fit`: a target of the user's own figures."""

from pathlib import Path

import click

from nas.architecture import Architecture
from nas.cli.options import json_option, resolve_network, store_option
from nas.errors import LatencyError
from nas.latency.targets import new_target


@click.command()
@click.option("--csv", "path", type=click.Path(path_type=Path), help="Whole networks: rows of network,ms.")
@click.option("--blocks", type=click.Path(path_type=Path), help="Blocks measured alone: rows of block,size,ms.")
@click.option("--target", required=True, help="Name of the new target.")
@click.option("--device", help="What was measured, as people know it.  [default: the target's name]")
@click.option("--runtime", default="not recorded", show_default=True)
@click.option("--runtime-version", default="not recorded", show_default=True)
@click.option("--threads", default=1, show_default=True, type=click.IntRange(min=1))
@click.option("--core", default="not recorded", show_default=True)
@click.option("--dtype", default="float32", show_default=True)
@click.option("--resolution", default=224, show_default=True, type=click.IntRange(min=1), help="Of layer strings.")
@click.option("--classes", default=1000, show_default=True, type=click.IntRange(min=1), help="Of layer strings.")
@click.option("--like", help="Take the ops of this target, and fit a scale and an offset alone.")
@click.option("--out", type=click.Path(path_type=Path), help="Make the folder here.  [default: in the user's cache]")
@click.option("--replace", is_flag=True, help="Replace a target of that name.")
@store_option
@json_option
def fit(  # noqa: PLR0913, PLR0917 - the command's options
    path: Path | None,
    blocks: Path | None,
    target: str,
    device: str | None,
    runtime: str,
    runtime_version: str,
    threads: int,
    core: str,
    dtype: str,
    resolution: int,
    classes: int,
    like: str | None,
    out: Path | None,
    replace: bool,
    store_url: str,
    as_json: bool,
) -> None:
    """Make a target of measured networks (--csv), of blocks (--blocks), or of both.

    A network is a reference network's name, a JSON file (its path relative to the CSV file), trial:ID, or a layer
    string such as `c3s2i3o32 ds3s1i32o16 mb5s2i16m96o24se gap`. A block is one word of such a string, and size the
    height and width of its input. The error is that of networks left out, or of blocks where there are no networks.
    """
    from nas.cli import tables  # noqa: PLC0415
    from nas.latency.fit import parse_network  # noqa: PLC0415 - scipy
    from nas.latency.own_target import Origin, fit_own_target, read_blocks, read_measurements  # noqa: PLC0415 - scipy

    def resolve(text: str) -> Architecture:
        if " " in text:
            return parse_network(text, resolution, classes)
        assert path is not None
        return resolve_network(str(path.parent / text) if text.endswith(".json") else text, store_url).architecture

    if blocks is not None and like:
        raise LatencyError("--blocks and --like do not go together: with --like a scale and an offset alone are fitted")
    if path is None and (blocks is None or like):
        raise LatencyError(f"--csv is missing; expected measured networks{' for --like' if like else ', or --blocks'}")
    folder = new_target(target, out, replace=replace)
    samples = read_measurements(path, resolve) if path else []
    measured = read_blocks(blocks) if blocks else []
    origin = Origin(
        device or target,
        runtime,
        runtime_version,
        threads,
        core,
        dtype,
        source=" and ".join(file.name for file in (path, blocks) if file),
    )
    made = fit_own_target(samples, origin, folder, blocks=measured, like=like)
    if as_json:
        tables.print_json(
            {"target": target, "folder": str(folder), "error": dict(made.error), "interval": made.interval}
        )
        return
    found = f"{len(samples)} networks" + (f" and {len(measured)} blocks" if measured else "")
    click.echo(
        f"{target}: {found}, mean error {made.error['mape']:.1f} % on {made.error['networks']:.0f} left out, "
        f"interval of {made.coverage:.0%} +-{made.interval:.1%}; in {folder}"
    )
    for item in made.provenance:
        if note := item.get("note"):
            click.echo(note)
