"""`study_record`: all that a study found, as the plain data of `report.json`."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from random import Random
from typing import Any

from nas import __version__
from nas.pipeline.agreement import Agreement, agreement, choices_of, draw
from nas.pipeline.bench import Bench
from nas.pipeline.interval import difference_interval
from nas.pipeline.networks import block_rows, measured, short_name
from nas.pipeline.steps import Result, architecture_of
from nas.study import software_versions

_DRAWN = 300  # random networks that say what chance gives


def study_record(bench: Bench, done: Mapping[str, Result]) -> dict[str, Any]:
    """The record that `nas run --json` prints, of the results by step; docs/json.md describes it."""
    searched, trimmed, compared, ablated = (done[step] for step in ("search", "adapt", "compare", "ablate"))
    reference = short_name(bench.study.reference)
    of = reference if bench.study.ablations.of == "reference" else "found"
    return {
        "study": bench.study.name,
        "scale": bench.scale.name,
        "data": bench.data.partition(":")[0],
        "target": bench.latency.target,
        "latency_version": bench.latency.version,
        "reference": reference,
        "target_ms": bench.study.search.budget_ms,
        "budget_ms": bench.budget_ms,
        "seconds": {step: round(seconds, 1) for step, seconds in bench.clock.seconds.items()},
        "search": [{key: value for key, value in one.items() if key != "architecture"} for one in searched["winners"]],
        "best": searched["best"],
        "path": trimmed["path"],
        "networks": [{"name": name, **_costs(record)} for name, record in compared.items()],
        "claims": [_claim(name, compared) for name in compared if name != "found"],
        "blocks": block_rows(architecture_of(compared["found"]), bench.reference),
        "ablations": {"of": of, "rows": _ablation_rows(compared[of], compared["found"], ablated)},
        "agreement": [asdict(one) for one in _agreement(bench, searched)],
        "export": done["export"],
        "recipe": {part: asdict(getattr(bench.scale, part)) for part in ("search", "adapt", "train")},
        "versions": {"nas": __version__, **software_versions()},
    }


def _costs(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != "architecture"}


def _claim(name: str, compared: Result) -> dict[str, Any]:
    """The found network against another one: difference of the mean test accuracies, with its interval.

    `ahead` and `behind`: by more than the interval.
    """
    ours, theirs = compared["found"], compared[name]
    difference = difference_interval(measured(ours), measured(theirs))
    return {
        "against": name,
        "difference": difference.mean,
        "low": difference.low,
        "high": difference.high,
        "ahead": difference.low > 0,
        "behind": difference.high < 0,
        "latency_difference_ms": ours["latency_ms"] - theirs["latency_ms"],
    }


def _ablation_rows(base: Mapping[str, Any], found: Mapping[str, Any], ablated: Result) -> list[dict[str, Any]]:
    """Each network without something, and how it differs from the one that has it."""
    rows = []
    for what, record in ablated.items():
        whole = found if what.startswith("netadapt") else base
        difference = difference_interval(measured(record), measured(whole))
        rows.append(
            {
                "without": what,
                **_costs(record),
                "accuracy_change": difference.mean,
                "change_low": difference.low,
                "change_high": difference.high,
                "latency_change_ms": record["latency_ms"] - whole["latency_ms"],
            }
        )
    return rows


def _agreement(bench: Bench, searched: Result) -> Iterable[Agreement]:
    """Of the winners of all searches, beside random networks of the latencies that a winner can have."""
    space = bench.space
    winners = [choices_of(space, space.encode(architecture_of(one))) for one in searched["winners"]]
    target_ms, rng = bench.study.search.budget_ms, Random(f"{bench.study.name}/chance")
    drawn = draw(space, bench.batch_ms, (bench.budget_ms, target_ms), _DRAWN, rng)
    drawn = drawn or draw(space, bench.batch_ms, (0.0, target_ms), _DRAWN, rng)
    return agreement(bench.reference_choices, winners, [choices_of(space, genotype) for genotype in drawn])
