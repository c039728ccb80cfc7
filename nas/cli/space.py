"""`nas space`: the search spaces."""

from random import Random

import click

from nas.cli.options import json_option
from nas.cli.space_accuracy import fit_accuracy
from nas.cli.space_check import check
from nas.layers import lower, total_macs, total_params
from nas.space import Gene, load_space, references, spaces


@click.group()
def space() -> None:
    """List, show or sample search spaces; fit accuracy models for them, check evaluators on them."""


space.add_command(check)
space.add_command(fit_accuracy)


@space.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the search spaces, and the reference networks."""
    from nas.cli import tables  # noqa: PLC0415

    found = [load_space(name) for name in spaces()]
    if as_json:
        records = [{"name": s.name, "genes": len(s.genes), "genotypes": s.genotype_count} for s in found]
        tables.print_json({"spaces": records, "references": references()})
        return
    rows = [[s.name, len(s.genes), f"{s.genotype_count:.1e}", s.spec.description] for s in found]
    tables.print_table(("space ", "genes", "genotypes", "choices "), rows)
    click.echo(f"\nreference networks: {', '.join(references())}")


@space.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show the choices of the space NAME (or of a YAML file)."""
    from nas.cli import tables  # noqa: PLC0415

    found = load_space(name)
    if as_json:
        genes = [{"name": gene.name, "choices": list(gene.choices)} for gene in found.genes]
        tables.print_json({"name": found.name, "genotypes": found.genotype_count, "genes": genes})
        return
    click.echo(f"{found.name}: {found.spec.description}\n")
    tables.print_table(("gene ", "choices "), _merged(found.genes))


def _merged(genes: tuple[Gene, ...]) -> list[tuple[str, str]]:
    """One row for the genes that the layers of a stage have alike."""
    rows: dict[tuple[str, str], list[str]] = {}
    for gene in genes:
        stage, _, rest = gene.name.partition(".layers[")
        key = rest.partition("].")[2]
        place = f"{stage}.layers[*].{key}" if rest else gene.name
        rows.setdefault((place, ", ".join(map(str, gene.choices))), []).append(gene.name)
    return [(place.replace("[*]", f"[0-{len(names) - 1}]"), choices) for (place, choices), names in rows.items()]


@space.command()
@click.argument("name")
@click.option("-n", "--count", default=5, show_default=True, type=click.IntRange(min=1), help="How many networks.")
@click.option("--seed", default=0, show_default=True)
@json_option
def sample(name: str, count: int, seed: int, as_json: bool) -> None:
    """Draw random networks of the space NAME."""
    from nas.cli import tables  # noqa: PLC0415

    found, rng = load_space(name), Random(seed)
    networks = [found.decode(found.sample(rng)) for _ in range(count)]
    if as_json:
        tables.print_json([network.to_dict() for network in networks])
        return
    rows = []
    for network in networks:
        layers = lower(network)
        rows.append(
            [
                network.id,
                network.resolution,
                len(network.blocks),
                total_macs(layers) // 10**6,
                f"{total_params(layers):,}",
            ]
        )
    tables.print_table(("id ", "resolution", "blocks", "MAdds M", "params"), rows)
