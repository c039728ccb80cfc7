"""`nas space fit-accuracy`: an accuracy model for a space, from networks of it that were trained."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.cli.options import json_option
from nas.errors import AccuracyError

if TYPE_CHECKING:
    from nas.accuracy.model import AccuracyModel

_PREDICTS = "top-1 on held-out images after the training that the fitted networks had"


@click.command("fit-accuracy")
@click.option("--space", "name", required=True, help="A space of `nas space list`, or a YAML file.")
@click.option(
    "--data", required=True, type=click.Path(path_type=Path), help="CSV: a network and its accuracy in each row."
)
@click.option("--predicts", default=_PREDICTS, help="What the accuracies are, in words that searches will show.")
@click.option("--effects", type=click.Path(path_type=Path), help="YAML.  [default: effects.yaml beside the model]")
@click.option("--out", type=click.Path(path_type=Path), help="The model.  [default: NAME/accuracy.json by the space]")
@click.option("--overwrite", is_flag=True, help="Replace a model that is there.")
@json_option
def fit_accuracy(  # noqa: PLR0913, PLR0917 - the command's options
    name: str, data: Path, predicts: str, effects: Path | None, out: Path | None, overwrite: bool, as_json: bool
) -> None:
    """Fit a model that predicts the accuracy of any network of a space, for searches without --data.

    The file of trained networks is described in docs/accuracy.md. A fifth of the networks is held out to measure the
    error; the model is then fitted on all of them.
    """
    from nas.accuracy.effects import load_effects  # noqa: PLC0415 - numpy is not needed for --help
    from nas.accuracy.fit import fit_accuracy  # noqa: PLC0415
    from nas.accuracy.model import accuracy_file, save_accuracy_model  # noqa: PLC0415
    from nas.accuracy.predictor import unknown_choices  # noqa: PLC0415
    from nas.accuracy.table import provenance, read_trained  # noqa: PLC0415
    from nas.cli import tables  # noqa: PLC0415
    from nas.space import load_space  # noqa: PLC0415

    space = load_space(name)
    path = out or accuracy_file(name)
    if path.exists() and not overwrite:
        raise AccuracyError(f"{path}: a model is there already; expected --overwrite to replace it, or another --out")
    beside = path.parent / "effects.yaml"
    listed = effects or (beside if beside.exists() else None)
    trained = read_trained(data, space)
    click.echo(f"fitting on {len(trained)} trainings of {len(set(trained.ids))} networks", err=True)
    model = fit_accuracy(
        space,
        trained,
        predicts=predicts,
        effects=() if listed is None else load_effects(listed, space),
        provenance=provenance(data),
    )
    save_accuracy_model(model, path)
    if unknown := unknown_choices(space, model):
        click.echo(
            f"nothing is known of {', '.join(unknown)}: no search can predict them; take them out of {name}, or give "
            f"their effects in {beside}",
            err=True,
        )
    if as_json:
        tables.print_json(_record(model, path))
    else:
        _print(model, path)


def _record(model: "AccuracyModel", path: Path) -> dict[str, Any]:
    """What `--json` prints; documented in docs/json.md."""
    return {
        "space": model.space,
        "model": str(path),
        "networks": model.networks,
        "half_width": model.half_width,
        "error": dict(model.error),
    }


def _print(model: "AccuracyModel", path: Path) -> None:
    click.echo(f"{model.networks} networks; {model.predicts}")
    for name in ("held_out", "cross_validation"):
        figures = model.error[name]
        if not figures["networks"]:
            continue
        inside = f", {figures['inside_interval']:.1f} % inside the interval" if "inside_interval" in figures else ""
        kendall = "not defined" if figures["kendall"] is None else f"{figures['kendall']:.3f}"
        click.echo(
            f"{name.replace('_', ' ')}: {figures['networks']} trainings, Kendall {kendall}, "
            f"mean error {figures['mae']:.2f} points{inside}"
        )
    click.echo(f"interval of a prediction: +-{model.half_width:.2f} points (90 %)\nwritten to {path}")
