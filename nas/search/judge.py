"""Who judges the networks of a search, with all that it needs at hand before work begins."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nas.accuracy.predictor import load_predictor
from nas.evaluators.predictor import PredictorEvaluator
from nas.forking import MODEL, SUPERNET
from nas.search.settings import SearchSettings
from nas.training.data import load_data
from nas.trial import Evaluator, Metrics

if TYPE_CHECKING:
    from nas.evaluators.supernet import SupernetEvaluator

Watch = Callable[[int, int, Metrics], None]
"""As in `nas.training.supernet`, which means importing torch."""


def judged_by(settings: SearchSettings) -> dict[str, str]:
    """What every trial of the study says of its accuracy: the evaluator, and the version of what judges all of them."""
    if settings.evaluator == "supernet":
        return {"evaluator": settings.evaluator, SUPERNET: _supernet_evaluator(settings).version}
    model = {} if settings.accuracy_version is None else {MODEL: settings.accuracy_version}
    return {"evaluator": settings.evaluator, **model}


def make_evaluator(settings: SearchSettings, folder: Path, threads: int) -> Evaluator:
    """The evaluator, when all that it needs is there: a download or a broken folder shows before work."""
    if settings.data is None:
        return PredictorEvaluator(load_predictor(settings.space))
    from nas.evaluators.proxy import ProxyEvaluator  # noqa: PLC0415 - torch
    from nas.training.loop import Recipe  # noqa: PLC0415

    proxy = settings.proxy
    assert proxy is not None
    load_data(settings.data, resolution=proxy.resolution)
    return ProxyEvaluator(
        data=settings.data,
        recipe=Recipe(epochs=proxy.epochs, resolution=proxy.resolution),
        train_images=proxy.train_images,
        val_images=proxy.val_images,
        folder=folder,
        threads=threads,
    )


def make_supernet_evaluator(settings: SearchSettings, train_threads: int, threads: int, watch: Watch) -> Evaluator:
    """The evaluator of a supernet that is in the cache, or is trained now; see `nas.training.supernet_job`."""
    evaluator = replace(_supernet_evaluator(settings), threads=threads)
    evaluator.job.ready(watch, threads=train_threads)
    return evaluator


def _supernet_evaluator(settings: SearchSettings) -> "SupernetEvaluator":
    from nas.evaluators.supernet import SupernetEvaluator  # noqa: PLC0415 - torch
    from nas.training.supernet_job import supernet_job  # noqa: PLC0415

    proxy = settings.proxy
    assert proxy is not None
    assert settings.data is not None
    job = supernet_job(
        settings.space,
        settings.data,
        resolution=proxy.resolution,
        epochs=proxy.epochs,
        train_images=proxy.train_images,
    )
    return SupernetEvaluator(job, proxy.val_images, settings.own_images)
