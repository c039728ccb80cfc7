"""`nas adapt`: trim a network to a latency budget."""

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from nas.cli.options import DURATION, SEED, json_option, store_option, stored_trial
from nas.cli.ray_options import default_workers, ray_options, reached

if TYPE_CHECKING:  # importing them means importing torch
    from nas.adapt.run import AdaptResult
    from nas.adapt.settings import AdaptSettings
    from nas.executors.ray.cluster import RayCluster
    from nas.latency.model import LatencyModel
    from nas.sources import Source
    from nas.store.store import Store, StoredTrial

_FROM = "trial:ID, reference:NAME[,WEIGHTS], torchvision:NAME, or a .safetensors file of `nas train`."


@click.command()
@click.option("--from", "source", required=True, help=_FROM)
@click.option("--target", default="pixel", show_default=True, help="A device of `nas latency list`, or host.")
@click.option("--budget", required=True, type=DURATION, help="Largest latency, with its unit: 40ms.")
@click.option("--data", default="cifar10", show_default=True, help="cifar10, digits or imagefolder:DIR.")
@click.option("--rule", type=click.Choice(["netadapt", "mobilenet_v3"]), default="netadapt", show_default=True)
@click.option("--importance", type=click.Choice(["l2", "bn_scale", "taylor"]), default="taylor", show_default=True)
@click.option("--proposals", type=click.Choice(["halving", "full", "zero"]), default="halving", show_default=True)
@click.option("--delta", type=click.FloatRange(0, 1, True, True), help="First step, as a share of the seed's latency.")
@click.option("--steps", type=click.IntRange(1), help="Cut widths to multiples of this.  [default: the target's]")
@click.option("--epochs", default=2, show_default=True, type=click.IntRange(1), help="Of a proposal's training.")
@click.option("--images", default=1600, show_default=True, type=click.IntRange(1), help="In an epoch of a proposal.")
@click.option("--val-images", default=400, show_default=True, type=click.IntRange(1), help="That judge a proposal.")
@click.option("--seed-epochs", default=0, show_default=True, type=click.IntRange(0), help="To train the seed before.")
@click.option("--final-epochs", default=10, show_default=True, type=click.IntRange(0), help="To train the result.")
@click.option("--from-scratch", is_flag=True, help="Train the result anew, as MobileNetV3 did.")
@click.option("--distill", is_flag=True, help="Let the result learn from the seed's outputs, too.")
@click.option("--resolution", type=click.IntRange(16), help="Pixels in training.  [default: what suits the data]")
@click.option("--lr", default=0.005, show_default=True, type=click.FloatRange(0, 1, True), help="Of proposals.")
@click.option("--final-lr", default=0.02, show_default=True, type=click.FloatRange(0, 1, True), help="Of the result.")
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--workers", type=click.IntRange(min=1), help="Processes.  [default: one a core]")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Threads of each process.")
@click.option("--study", help="Name of the study.  [default: made from the options]")
@ray_options
@store_option
@json_option
def adapt(  # noqa: PLR0913, PLR0917 - the command's options
    source: str,
    target: str,
    budget: float,
    data: str,
    steps: int | None,
    resolution: int | None,
    workers: int | None,
    threads: int,
    cluster: "RayCluster | None",
    study: str | None,
    store_url: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Cut the widths of a network, one at a time and always where it costs least, until it meets a latency budget.

    Every proposal is a recorded trial with its parent: the same command goes on where it stopped.
    """
    from nas.adapt.settings import AdaptSettings, require_sound  # noqa: PLC0415
    from nas.cli import tables  # noqa: PLC0415
    from nas.cli.adapt_progress import adapt_progress  # noqa: PLC0415
    from nas.latency.targets import load_target  # noqa: PLC0415
    from nas.store.store import Store  # noqa: PLC0415
    from nas.training.data import describe_data  # noqa: PLC0415

    info = describe_data(data)
    latency = load_target(target, as_calibrated=True)  # of thousands of cuts: too many to measure each
    settings = AdaptSettings(
        budget_ms=budget,
        source=source,
        architecture="",
        target=latency.target,
        latency_version=latency.version,
        resolution=resolution or info.resolution,
        data=data,
        step=steps or _step(target),
        **options,
    )
    require_sound(settings)
    open_store = Store.open_existing if source.startswith("trial:") else Store.open
    with reached(cluster), open_store(store_url) as store, adapt_progress(budget) as listener:
        stored = stored_trial(source, store) if source.startswith("trial:") else None
        from nas.adapt import run as job  # noqa: PLC0415 - torch, which no mistake above has to wait for

        seed = _source(source, stored, store)
        settings = replace(settings, architecture=seed.architecture.id)
        _say_if_met(seed, latency, settings)
        try:
            found = job.adapt(
                settings,
                seed,
                latency=latency,
                store=store,
                listener=listener,
                workers=workers or default_workers(cluster),
                threads=threads,
                cluster=cluster,
                name=study,
            )
        except KeyboardInterrupt:
            click.echo("nas: stopped; the same command goes on where it stopped", err=True)
            raise SystemExit(130) from None
    record = result_record(found, latency)
    if as_json:
        tables.print_json(record)
    else:
        _print_result(record, settings)


def _source(text: str, stored: "StoredTrial | None", store: "Store") -> "Source":
    from nas.adapt.trained import trial_source  # noqa: PLC0415
    from nas.sources import load_source  # noqa: PLC0415

    return load_source(text) if stored is None else trial_source(stored, store)


def _say_if_met(seed: "Source", latency: "LatencyModel", settings: "AdaptSettings") -> None:
    """That there is nothing to cut, before what remains is trained; where the target is measured, that decides."""
    from nas.latency.host import host_setup  # noqa: PLC0415

    trainable = seed.network is not None or settings.seed_epochs
    if (
        trainable
        and host_setup(latency.target) is None
        and (ms := latency.estimate(seed.architecture).ms) <= settings.budget_ms
    ):
        epochs = settings.final_epochs
        click.echo(
            f"{seed.name} is predicted to take {ms:.2f} ms on {latency.target}, within the budget of "
            f"{settings.budget_ms:g} ms: nothing to cut, "
            + (f"only its last training of {epochs} epochs follows" if epochs else "and nothing to train"),
            err=True,
        )


def _step(target: str) -> int:
    """The target's own step; says on stderr if it could be measured and was not."""
    from nas.latency.steps import width_steps  # noqa: PLC0415 - numpy

    found = width_steps(target)
    if found.source == "assumed":
        click.echo(
            f"widths are cut to multiples of {found.step()}, which is assumed; nas latency steps --target {target} "
            f"would measure what suits {target}",
            err=True,
        )
    return found.step()


def result_record(found: "AdaptResult", latency: "LatencyModel") -> dict[str, Any]:
    """What `nas adapt --json` prints; documented in docs/json.md."""
    final, last = found.final.trial, found.path[-1]
    trained = final.number != last.number or last.holder == last.number
    estimates = [latency.estimate(step.architecture) for step in (found.path[0], found.path[-1])]
    return {
        "study": found.study,
        "trials": {state.value: count for state, count in found.counts.items()},
        "target": latency.target,
        "path": [
            {
                "trial": found.ids[step.number],
                "architecture": step.architecture.id,
                "cut": None if step.cut is None else str(step.cut),
                "channels": step.channels,
                "others": step.others,
                "proposals": step.proposals,
                "accuracy": step.accuracy,
                "latency_ms": step.latency_ms,
            }
            for step in found.path
        ],
        "final": {
            "trial": found.final.id,
            "architecture": final.proposal.architecture.id,
            "accuracy": final.accuracy,
            "test_accuracy": final.outcome.metrics.get("test_accuracy") if final.outcome else None,
            "macs": found.final.macs,
            "params": found.final.params,
            "weights": str(found.weights) if trained else None,
        },
        "latency": [
            {
                "network": name,
                "ms": estimate.ms,
                "low_ms": estimate.low_ms,
                "high_ms": estimate.high_ms,
                "interpolated": len(estimate.interpolated),
                "measured_ms": _measured_ms(step.architecture, latency.target),
            }
            for name, step, estimate in zip(("seed", "final"), (found.path[0], found.path[-1]), estimates, strict=True)
        ],
    }


def _measured_ms(architecture: Any, target: str) -> float | None:
    """The whole network on this machine; None for a device that cannot be measured from here."""
    from nas.latency.host import host_setup  # noqa: PLC0415

    setup = host_setup(target)
    if setup is None:
        return None
    from nas.latency.measure import measure_network  # noqa: PLC0415 - onnxruntime

    return measure_network(architecture, setup)


def _print_result(record: dict[str, Any], settings: "AdaptSettings") -> None:
    from nas.cli import tables  # noqa: PLC0415

    click.echo(f"study {record['study']}: {', '.join(f'{n} {state}' for state, n in record['trials'].items() if n)}\n")
    tables.print_table(
        ("trial ", "cut ", "to", "others cut", "of proposals", "accuracy", f"{record['target']} ms"),
        [
            (
                f"trial:{step['trial']}",
                step["cut"] or "(seed)",
                step["channels"],
                step["others"] or None,
                step["proposals"] or None,
                f"{step['accuracy']:.2%}",
                f"{step['latency_ms']:.2f}",
            )
            for step in record["path"]
        ],
    )
    click.echo()
    for entry in record["latency"]:
        measured = "" if entry["measured_ms"] is None else f", measured {entry['measured_ms']:.2f} ms"
        interval = f"{entry['low_ms']:.2f} to {entry['high_ms']:.2f}"
        if entry["interpolated"]:
            interval += f"; {entry['interpolated']} of its ops interpolated"
        click.echo(f"{entry['network']:5}  predicted {entry['ms']:.2f} ms ({interval}){measured}")
    final = record["final"]
    test = "" if final["test_accuracy"] is None else f", {final['test_accuracy']:.2%} on the test set"
    click.echo(
        f"\nbudget {settings.budget_ms:g} ms: trial:{final['trial']}, {final['accuracy']:.2%} on held-out images{test}"
    )
    if final["weights"] is None:
        following = f"nas train trial:{final['trial']} --data {shlex.quote(settings.data)}"
        click.echo(f"nothing was trained, no weights were kept of it\nnext: {following}")
        return
    click.echo(f"weights in {final['weights']}\nnext: nas export trial:{final['trial']} --format onnx --check")
