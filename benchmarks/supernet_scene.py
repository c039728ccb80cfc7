"""Who takes part in `benchmarks.supernet`: random networks, their judges, their trainings, and how much of all."""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nas.architecture import Architecture
from nas.check import random_networks
from nas.cli.supernet_progress import SupernetProgress
from nas.evaluators.full import FullEvaluator
from nas.evaluators.proxy import ProxyEvaluator
from nas.evaluators.supernet import SupernetEvaluator
from nas.space import load_space
from nas.training.full import full_recipe
from nas.training.loop import Recipe
from nas.training.supernet_job import SupernetJob, supernet_job

FOLDER = Path("runs/supernet")
CANDIDATES = 300  # of a search, whose cost is compared
VAL_IMAGES = 2000
JUDGED_BY = 0
"""The seed of what is judged, as it was kept when `nas space check` had it, too: that of each first training, whose
first weights the proxy shares."""


@dataclass(frozen=True)
class Sizes:
    """What a run costs."""

    networks: int
    alike: tuple[tuple[int, int], ...]  # how many networks by the supernet's recipe, and trainings of each
    images: int
    own_images: int  # of each candidate, beside the supernet
    resolution: int  # of the networks' own trainings, and of the proxy's
    supernet_resolution: int
    epochs: int  # of the supernet
    proxy_epochs: int
    full_epochs: int
    seeds: int
    steps: int  # of the throughput

    def job(self) -> SupernetJob:
        """The supernet."""
        return supernet_job(
            "mobilenet_v3",
            "cifar10",
            resolution=self.supernet_resolution,
            epochs=self.epochs,
            train_images=self.images,
        )

    @property
    def folder(self) -> Path:
        """What is known of runs of these sizes, with this supernet."""
        return FOLDER / f"{self.job().version}-{self.resolution}-{self.proxy_epochs}-{self.full_epochs}"

    def kept(self, judge: str) -> Path:
        """Where what it said of networks is kept."""
        return self.folder / (f"joined-{self.own_images}" if judge == "joined" else judge)

    def settings(self) -> dict[str, Any]:
        """What its results depend on."""
        supernet = {**asdict(self.job()), "version": self.job().version}  # "alike" trains by its recipe
        return {"supernet": supernet, "proxy": asdict(proxy(self)), "alone": asdict(truth(self).recipe)}


FULL = Sizes(
    networks=16,
    alike=((16, 1), (16, 2), (16, 3), (32, 1), (32, 2)),
    images=10_000,
    own_images=5000,
    resolution=64,
    supernet_resolution=32,
    epochs=16,
    proxy_epochs=3,
    full_epochs=8,
    seeds=3,
    steps=10,
)
PILOT = Sizes(
    networks=4,
    alike=((4, 1), (6, 2)),
    images=1000,
    own_images=500,
    resolution=32,
    supernet_resolution=16,
    epochs=2,
    proxy_epochs=1,
    full_epochs=2,
    seeds=1,
    steps=3,
)


def truth(sizes: Sizes) -> FullEvaluator:
    """Training from scratch, on as many images."""
    recipe = full_recipe(sizes.full_epochs, sizes.resolution)
    return FullEvaluator("cifar10", recipe, sizes.folder / "trained", sizes.images)


def alike(sizes: Sizes) -> FullEvaluator:
    """Training from scratch as the supernet was trained: images, epochs, learning rate, clipping."""
    job = sizes.job()
    folder = sizes.folder / "alike"
    return FullEvaluator(job.data, job.recipe.training, folder, job.train_images, clip=job.recipe.clip)


def proxy(sizes: Sizes) -> ProxyEvaluator:
    """The short training, on as many images."""
    return ProxyEvaluator("cifar10", Recipe(sizes.proxy_epochs, sizes.resolution), sizes.images, VAL_IMAGES)


def drawn(count: int) -> list[Architecture]:
    """The random networks whose order is asked for."""
    return random_networks(load_space("mobilenet_v3").with_num_classes(10), count, seed=0)


def supernets(sizes: Sizes) -> dict[str, SupernetEvaluator]:
    """The supernet, trained: its shared weights alone, and joined by the start of a training of each network's own."""
    sizes.job().ready(SupernetProgress(), threads=1)
    return {
        "supernet": SupernetEvaluator(sizes.job(), VAL_IMAGES),
        "joined": SupernetEvaluator(sizes.job(), VAL_IMAGES, sizes.own_images),
    }


def say(line: str) -> None:
    """Progress."""
    print(line, file=sys.stderr, flush=True)
