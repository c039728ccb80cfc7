"""The steps of a study that take time. Each keeps what it did; called again, it does the rest, or nothing."""

from collections.abc import Mapping
from dataclasses import asdict
from random import Random
from typing import Any

from nas.adapt.run import adapt
from nas.adapt.settings import AdaptSettings
from nas.architecture import Architecture
from nas.errors import NasError
from nas.executors.kept import evaluate_all
from nas.latency.steps import width_steps
from nas.pipeline.ablation import without
from nas.pipeline.bench import Bench
from nas.pipeline.kept import load_result, save_result
from nas.pipeline.networks import network_record, short_name
from nas.pipeline.scaling import random_feasible, scaled_network, scaled_reference
from nas.reward import make_reward
from nas.search import ProxyTraining, SearchSettings, search
from nas.sources import Source
from nas.space.files import space_version
from nas.store.records import StoredTrial

Result = dict[str, Any]


def search_blocks(bench: Bench) -> Result:
    """Independent block searches; of each its winner, `best` is the place of the best one.

    Raises:
        BudgetError: no network of the space meets the target latency.
        NasError: no trial of a search has an accuracy.
    """
    inputs = {
        "space": space_version(bench.study.space),
        "latency": bench.latency.version,
        "data": bench.content,
        **asdict(bench.study.search),
        "reward": bench.reward,
        **asdict(bench.scale.search),
    }
    path = bench.folder / "search.json"
    if (kept := load_result(path, inputs)) is not None:
        return kept
    winners = [_search_once(bench, seed) for seed in range(bench.scale.search.repeats)]
    best = max(range(len(winners)), key=lambda place: winners[place]["reward"])
    return save_result(path, inputs, {"winners": winners, "best": best})


def trim(bench: Bench, searched: Result) -> Result:
    """NetAdapt from the best winner to the budget; its path and the network at its end.

    Raises:
        BudgetError: cutting widths does not reach the budget.
    """
    seed = architecture_of(searched["winners"][searched["best"]])
    settings = _adapt_settings(bench, seed)
    inputs = {**asdict(settings), "content": bench.content}
    path = bench.folder / "adapt.json"
    if (kept := load_result(path, inputs)) is not None:
        return kept
    with bench.timed(bench.show.adapt(bench.budget_ms)) as listener:
        found = adapt(
            settings,
            Source(settings.source, seed, None),
            latency=bench.latency,
            store=bench.store,
            listener=listener,
            workers=bench.workers,
            cluster=bench.cluster,
            name=bench.study_name("adapt"),
            tested=False,
        )
    steps = [
        {
            "trial": found.ids[step.number],
            "cut": None if step.cut is None else str(step.cut),
            "channels": step.channels,
            "others": step.others,
            "accuracy": step.accuracy,
            "latency_ms": step.latency_ms,
        }
        for step in found.path
    ]
    return save_result(
        path, inputs, {"study": found.study, "path": steps, "architecture": found.path[-1].architecture.to_dict()}
    )


def compare(bench: Bench, trimmed: Result) -> Result:
    """The found network, the reference, others at the same latency and a random one, trained alike.

    Raises:
        NasError: of a network fewer than two trainings did not fail.
    """
    others = {
        f"{short_name(name)}, scaled": scaled_reference(name, bench.num_classes, bench.budget_ms, bench.latency_ms)
        for name in bench.study.scaled
    }
    networks = {
        "found": architecture_of(trimmed),
        short_name(bench.study.reference): bench.reference,
        **others,
        "random": random_feasible(bench.problem, Random(f"{bench.study.name}/random")),
    }
    return _trained(bench, "compare", networks)


def ablate(bench: Bench, searched: Result, trimmed: Result) -> Result:
    """Networks without one thing each, trained as those of `compare`; a thing that a network lacks is left out.

    Raises:
        NasError: of a network fewer than two trainings did not fail.
    """
    base = bench.reference if bench.study.ablations.of == "reference" else architecture_of(trimmed)
    networks: dict[str, Architecture] = {}
    for what in bench.study.ablations.without:
        if what == "netadapt":
            winner = architecture_of(searched["winners"][searched["best"]])
            networks["netadapt"] = winner
            networks["netadapt, uniform widths"] = scaled_network(winner, bench.budget_ms, bench.latency_ms)
        elif (changed := without(base, what)) != base:
            networks[what] = changed
    return _trained(bench, "ablate", networks)


def architecture_of(record: Mapping[str, Any]) -> Architecture:
    """The network of a record."""
    return Architecture.from_dict(record["architecture"])


def _search_once(bench: Bench, seed: int) -> Result:
    settings = _search_settings(bench, seed)
    bench.say(f"search {seed + 1} of {bench.scale.search.repeats}: {settings.trials} trials")
    with bench.timed(bench.show.search(settings.trials, settings.budget_ms)) as listener:
        found = search(
            settings,
            latency=bench.latency,
            store=bench.store,
            listener=listener,
            workers=bench.workers,
            cluster=bench.cluster,
            name=bench.study_name(f"search-{seed}"),
            reuse=False,  # the searches are to be independent
            watch=bench.show.supernet,
        )
    reward = make_reward(settings.reward, settings.budget_ms)
    ended = [stored for stored in bench.store.trials(found.study) if stored.trial.accuracy is not None]
    best = _winner(ended, bench, settings)
    accuracy, latency_ms = best.trial.accuracy or 0.0, best.latency_ms or 0.0
    return {
        "seed": seed,
        "study": found.study,
        "trial": best.id,
        "id": best.trial.proposal.architecture.id,
        "accuracy": accuracy,
        "latency_ms": latency_ms,
        "reward": reward(accuracy, latency_ms),
        "architecture": best.trial.proposal.architecture.to_dict(),
    }


def _winner(trials: list[StoredTrial], bench: Bench, settings: SearchSettings) -> StoredTrial:
    """The largest reward among networks that leave NetAdapt something to trim; among all, if there is none of them."""
    if not trials:
        raise NasError(f"study {bench.study_name('search')}: no trial has an accuracy")
    reward = make_reward(settings.reward, settings.budget_ms)
    large = [stored for stored in trials if (stored.latency_ms or 0.0) >= bench.budget_ms]
    return max(
        large or trials, key=lambda stored: (reward(stored.trial.accuracy or 0.0, stored.latency_ms or 0.0), -stored.id)
    )


def _search_settings(bench: Bench, seed: int) -> SearchSettings:
    wanted, scale = bench.study.search, bench.scale.search
    return SearchSettings(
        budget_ms=wanted.budget_ms,
        proxy=ProxyTraining(scale.resolution, scale.epochs, scale.train_images, scale.val_images),
        target=bench.latency.target,
        latency_version=bench.latency.version,
        space=bench.study.space,
        data=bench.data,
        evaluator=scale.evaluator,
        strategy=wanted.strategy,
        reward=bench.reward,
        seed=seed,
        trials=scale.trials,
        early_stop=scale.early_stop,
        storage=bench.storage,
    )


def _adapt_settings(bench: Bench, seed: Architecture) -> AdaptSettings:
    scale = bench.scale.adapt
    return AdaptSettings(
        budget_ms=bench.budget_ms,
        source=f"winner of {bench.study_name('search')}",
        architecture=seed.id,
        target=bench.latency.target,
        latency_version=bench.latency.version,
        data=bench.data,
        rule=bench.study.adapt.rule,
        step=width_steps(bench.study.target).step(),
        final_epochs=0,  # the last network is trained anew, as MobileNetV3 was
        storage=bench.storage,
        **asdict(scale),
    )


def _trained(bench: Bench, step: str, networks: Mapping[str, Architecture]) -> Result:
    """Records of the networks by name, with the accuracies of all seeds; more seeds can be added later."""
    seeds, trainer = bench.scale.train.seeds, bench.trainer
    inputs = {
        "networks": {name: network.id for name, network in networks.items()},
        "seeds": seeds,
        "trainings": trainer.folder.name,
        "latency": bench.latency.version,
    }
    path = bench.folder / f"{step}.json"
    if (kept := load_result(path, inputs, growing="seeds")) is not None:
        return kept
    for name, network in networks.items():
        bench.say(f"{network.id} is {name}")
    results = bench.folder / trainer.folder.name  # beside the weights, unless these are elsewhere
    trained = evaluate_all(
        list(networks.values()), trainer, results, bench.workers, bench.say, seeds, cluster=bench.cluster, go_on=True
    )
    records = {}
    for place, (name, network) in enumerate(networks.items()):
        runs = [trained[place + turn * len(networks)] for turn in range(len(seeds))]
        records[name] = network_record(network, bench.latency, runs)
    saved = save_result(path, inputs, records)
    for checkpoint in trainer.folder.glob("*.checkpoint.safetensors"):  # two thirds of what the trainings have written
        checkpoint.unlink()
    return saved
