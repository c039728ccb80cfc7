"""The command that repeats a study, made of its settings."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from nas.store.records import StudyRecord

_SEARCH = {
    "target": "--target",
    "space": "--space",
    "data": "--data",
    "evaluator": "--evaluator",
    "strategy": "--strategy",
    "objectives": "--objectives",
    "reward": "--reward",
    "trials": "--trials",
    "seed": "--seed",
    "confidence": "--confidence",
    "own_images": "--own-images",
}
_PROXY = {"resolution": "--proxy-resolution", "epochs": "--proxy-epochs", "train_images": "--proxy-images"}
_ADAPT = {
    "source": "--from",
    "target": "--target",
    "data": "--data",
    "rule": "--rule",
    "importance": "--importance",
    "proposals": "--proposals",
    "delta": "--delta",
    "step": "--steps",
    "epochs": "--epochs",
    "images": "--images",
    "val_images": "--val-images",
    "lr": "--lr",
    "final_lr": "--final-lr",
    "seed_epochs": "--seed-epochs",
    "final_epochs": "--final-epochs",
    "resolution": "--resolution",
    "seed": "--seed",
}


def command(record: StudyRecord, runs: Sequence[Mapping[str, Any]] = ()) -> str | None:
    """The command that makes the same study, for a shell; None for studies that no command of ours made.

    A study that is a part of one of the `runs` (records of `nas run`) is made by that; how many held-out images judge
    a network of a search is no option of `nas search`, but of a study file.
    """
    settings = {"evaluator": "proxy"} | dict(record.settings)  # older studies do not say that it was the proxy
    for run in runs:
        if record.name.startswith(f"{run['study']}-{run['scale']}-"):
            return shlex.join(["nas", "run", f"{run['study']}/study.yaml", "--scale", run["scale"]])
    if "source" in settings and "rule" in settings:
        words = ["nas", "adapt", *_options(settings, _ADAPT), *_flags(settings, ("from_scratch", "distill"))]
    elif "space" in settings and "strategy" in settings:
        proxy = settings.get("proxy") or {}
        words = ["nas", "search", *_options(settings, _SEARCH), *_options(proxy, _PROXY)]
        words += _flags(settings, ("explore_over_budget", "early_stop"))
    else:
        return None
    return shlex.join([*words, "--budget", f"{settings['budget_ms']!r}ms", "--study", record.name])


def _options(settings: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    given = [(option, settings[key]) for key, option in names.items() if settings.get(key) is not None]
    return [word for option, value in given for word in (option, str(value))]


def _flags(settings: Mapping[str, Any], names: tuple[str, ...]) -> list[str]:
    return [f"--{name.replace('_', '-')}" for name in names if settings.get(name)]
