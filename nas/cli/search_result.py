"""What `nas search` prints at its end, for people."""

from typing import Any

import click

from nas.accuracy.model import COVERAGE, load_accuracy_model
from nas.cli import tables
from nas.cli.finalists import print_finalists, winner_of
from nas.cli.records import front_table
from nas.latency.model import LatencyModel
from nas.search import SearchResult, SearchSettings
from nas.store.records import StoredTrial, StudyRecord


def print_answer(
    found: SearchResult,
    settings: SearchSettings,
    latency: LatencyModel,
    finalists: list[dict[str, Any]],
    verified: dict[str, Any] | None,
) -> None:
    """All that there is to say, and the commands to go on with."""
    _print_result(found, settings, latency)
    if finalists:
        print_finalists(finalists)
    if verified:
        _print_verified(verified)
    if winner := winner_of(found, finalists):
        train = f"nas train trial:{winner.id} --data {settings.data or 'imagefolder:DIR'}"
        click.echo(f"\nnext: {train}    nas show trial:{winner.id}    nas pareto {found.study} --plot front.png")


def _print_result(found: SearchResult, settings: SearchSettings, latency: LatencyModel) -> None:
    """The best network and the front."""
    click.echo(f"study {found.study}: {', '.join(f'{n} {state.value}' for state, n in found.counts.items() if n)}")
    if (tried := sum(found.counts.values())) < settings.trials:
        click.echo(f"the space has no more than these {tried} networks within the budget that the strategy could find")
    if (best := found.best) is None:
        return
    expected = latency.estimate(best.trial.proposal.architecture)
    sure = f", at most {expected.high_ms:.1f} ms with confidence {settings.confidence:g}" if settings.confidence else ""
    if expected.interpolated:
        sure += f"; {len(expected.interpolated)} of its ops interpolated"
    click.echo(
        f"best within {settings.budget_ms:g} ms: trial:{best.id}, {_judgement(best, settings)}, "
        f"{best.latency_ms:.1f} ms on {best.target} (predicted{sure})\n"
    )
    if best.predicted:
        _print_predicted(found, settings)
    else:
        click.echo(f"{_front_of(settings)}:\n")
        tables.print_table(*front_table(found.front))
    if settings.evaluator == "supernet":
        own = f" --own-images {settings.own_images}" if settings.own_images else ""
        click.echo(
            f"\nShared weights order networks roughly: `nas space check --evaluator supernet{own}` tells how far that "
            "is the order of their trainings."
        )


def say_if_nothing_forked(fork: bool, record: StudyRecord | None) -> None:
    """That --fork was for nothing, where it was."""
    if fork and record and record.fork_of is None:
        click.echo(f"--fork: nothing has changed since study {record.name} began, so it went on", err=True)


def _judgement(best: StoredTrial, settings: SearchSettings) -> str:
    if settings.proxy is None:
        return f"predicted accuracy {best.trial.accuracy:.2%}"
    if settings.evaluator == "supernet":
        own = " and the start of a training of its own, on average" if settings.own_images else ""
        return f"{best.trial.accuracy:.2%} on held-out images with the supernet's weights{own}"
    return f"{best.trial.accuracy:.2%} on held-out images after {settings.proxy.epochs} epochs"


def _front_of(settings: SearchSettings) -> str:
    """The front by its objectives, if they are other ones than accuracy and latency."""
    if settings.objectives in {"accuracy", "accuracy,latency"}:
        return "the front"
    return f"the front of {settings.objectives.replace(',', ', ')}"


def _print_predicted(found: SearchResult, settings: SearchSettings) -> None:
    """The most accurate networks with their intervals, and what the figures are."""
    model = load_accuracy_model(settings.space)
    click.echo(f"the ten most accurate ({_front_of(settings)} has {len(found.front)} networks):\n")
    tables.print_table(*front_table(found.top))
    click.echo(
        f"\nNo network was trained. Accuracies are predictions of {model.predicts}, fitted on {model.networks} trained "
        f"networks of the space; +- is the interval in which {100 * COVERAGE:.0f} % of networks lie."
    )
    for source in sorted({effect.source.partition(":")[0] for effect in model.effects}):
        click.echo(f"Choices that none of them had count with a published effect ({source}), and widen the interval.")


def _print_verified(verified: dict[str, Any]) -> None:
    inside = "inside" if verified["within_interval"] else "OUTSIDE"
    predicted = f"{verified['ms']:.2f} ms ({verified['low_ms']:.2f} to {verified['high_ms']:.2f} ms)"
    click.echo(
        f"\nverified on {verified['target']}: measured {verified['measured_ms']:.2f} ms, {inside} the predicted "
        f"{predicted}; error {verified['error']:+.1f} %"
    )
