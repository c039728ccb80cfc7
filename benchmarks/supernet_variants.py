"""Other ways to train a supernet, for equal time, against training alone: `python -m benchmarks.supernet_variants`.

A supernet of `mobilenet_v3` is trained anew by each variant, for the same processor time, on the images of
`benchmarks.supernet`; the random networks of that benchmark are judged with it, and their order is compared with that
of their own trainings, with how many separable layers they have, and between the variants. Then some training of its
own is given to each network, from the weights of one variant.

What is known is kept below runs/supernet/; a variant that is there is not trained again, nor are the networks whose
results are in report.kept.json. 50 minutes of one core.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.arguments import positive
from benchmarks.kept_files import restore
from benchmarks.supernet_scene import FOLDER, FULL, VAL_IMAGES, Sizes, say, truth
from nas.architecture import Architecture, SepConvBlock
from nas.check import random_networks
from nas.executors.kept import evaluate_all
from nas.network.build import Network
from nas.network.supernet import extract
from nas.pipeline.kept import write_json
from nas.rank import kendall, kendall_interval
from nas.space import SearchSpace, load_space
from nas.space.places import largest, smallest
from nas.training.batches import train_batch
from nas.training.calibration import CALIBRATION_IMAGES, calibrate, judge
from nas.training.checkpoint import load_weights, save_weights
from nas.training.loop import Recipe, make_optimizer, train
from nas.training.supernet import Family, teach

_STEPS = 10_000  # into which the time is cut for the learning rate


@dataclass(frozen=True, slots=True)
class Variant:
    """What a step trains: some networks that are always the same, the first of which teaches, and `drawn` random ones.

    `labels` is the share of the labels in what is taught. For the share `alone` of the time the first is trained alone;
    in all but each `every`-th step only the random ones are, from labels alone.
    """

    fixed: Sequence[str]
    drawn: int
    labels: float = 1.0
    alone: float = 0.0
    every: int = 1
    lr: float = 0.2


VARIANTS = {
    "sandwich": Variant(("largest", "smallest"), 2, labels=0.5),  # that of `nas`; BigNAS, 2003.11142
    "sandwich each 4th step": Variant(("largest", "smallest"), 2, labels=0.5, every=4),
    "one random": Variant((), 1, lr=0.05),  # SPOS, 1904.00420
    "four random": Variant((), 4),
    "smallest, one random": Variant(("smallest",), 1),
    "middle first": Variant(("middle",), 2, labels=0.5, alone=0.4),
}
TUNED = "middle first"
IMAGES = (1920, 7680)  # of a network's own training


@dataclass(frozen=True)
class Bench:
    """All variants at one resolution, for so many seconds of one core each."""

    resolution: int
    seconds: float

    @cached_property
    def sizes(self) -> Sizes:
        """Those of `benchmarks.supernet`, whose trainings are the truth, at this resolution."""
        return replace(FULL, supernet_resolution=self.resolution)

    @cached_property
    def folder(self) -> Path:
        """What is known of the variants."""
        return FOLDER / f"variants-{self.resolution}-{self.seconds:.0f}"

    @cached_property
    def data(self) -> Any:
        """The images, with those to judge by."""
        return self.sizes.job().load_data(VAL_IMAGES)

    @cached_property
    def space(self) -> SearchSpace:
        """The one of `benchmarks.supernet`."""
        return load_space("mobilenet_v3").with_num_classes(10)

    @cached_property
    def networks(self) -> list[Architecture]:
        """Those of `benchmarks.supernet`."""
        return random_networks(self.space, FULL.networks, seed=0)

    def train(self, name: str) -> dict[str, int]:
        """Train a variant; its weights are kept. Batches and networks follow from the step alone."""
        variant, family = VARIANTS[name], Family(self.space)
        recipe = self.sizes.job().recipe
        training = replace(recipe.training, lr=variant.lr, warmup=0.05)
        family.supernet.to(memory_format=torch.channels_last)
        family.supernet.require_grads()
        optimizer, draw = make_optimizer(family.supernet, training, fused=True), Draw(family, variant)
        begun, step, passes = time.process_time(), 0, 0
        while (done := (time.process_time() - begun) / self.seconds) < 1:
            for group in optimizer.param_groups:
                group["lr"] = training.lr_at(int(done * _STEPS), _STEPS)
            rng = np.random.default_rng(step)
            places = rng.permutation(len(self.data.train))[: training.batch_size]
            x, labels = train_batch(self.data, places, self.resolution, rng)
            networks, share = draw(step, done)
            family.supernet.zero_grads()
            teach(networks, x, labels, replace(recipe, labels=share))
            nn.utils.clip_grad_norm_(family.supernet.parameters(), recipe.clip)
            optimizer.step()
            step, passes = step + 1, passes + len(networks)
        self.folder.mkdir(parents=True, exist_ok=True)
        counts = {"steps": step, "passes": passes}
        save_weights(self._weights(name), family.supernet, {"counts": json.dumps(counts)})
        return counts

    def judge(self, name: str) -> dict[str, Any]:
        """Train a variant, and judge all networks with it; done once for its settings."""
        path = self.folder / f"{name}.json"
        if known := self._known(path, name):
            return known
        counts = self.train(name)
        family = self._family(name)
        judged = [
            judge(self._network(family, one), self.data, self.data.val, self.resolution, CALIBRATION_IMAGES)["accuracy"]
            for one in self.networks
        ]
        found = {"variant": name, "settings": asdict(VARIANTS[name]), **counts, "judged": judged}
        write_json(path, found)
        say(f"{name}: {counts['steps']} steps, on average {mean(judged):.1%}")
        return found

    def tuned(self, images: int) -> list[float]:
        """Accuracies after each network was trained on so many images, from the weights of one variant; done once."""
        path = self.folder / f"{TUNED}, {images} images more.json"
        if known := self._known(path, TUNED):
            return list(known["judged"])
        family, recipe = self._family(TUNED), Recipe(1, self.resolution, batch_size=64, lr=0.05)
        data = self.data.limited(train_images=images)
        found = []
        for one in self.networks:
            network = extract(self._network(family, one))
            calibrate(network, self.data, self.resolution)
            found.append(train(network, data, recipe, lambda *_: False).metrics["accuracy"])
        write_json(path, {"settings": asdict(VARIANTS[TUNED]), "judged": found})
        return found

    @staticmethod
    def _known(path: Path, name: str) -> dict[str, Any]:
        """What was found for the variant as it is now; nothing if it was another one."""
        known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return known if known.get("settings") == json.loads(json.dumps(asdict(VARIANTS[name]))) else {}

    def _family(self, name: str) -> Family:
        family = Family(self.space)
        load_weights(self._weights(name), family.supernet)
        family.supernet.to(memory_format=torch.channels_last)
        return family

    def _weights(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"

    @staticmethod
    def _network(family: Family, one: Architecture) -> Network:
        return family.network(family.space.encode(one))


class Draw:
    """The networks of each step."""

    def __init__(self, family: Family, variant: Variant) -> None:
        ends = {"largest": largest(family.space), "smallest": smallest(family.space), "middle": family.middle()}
        self._fixed = [family.network(ends[name]) for name in variant.fixed]
        self._family, self._variant = family, variant

    def __call__(self, step: int, done: float) -> tuple[list[Network], float]:
        """Of a step when the share `done` of the time is over, with the share of the labels in what they learn."""
        if done < self._variant.alone:
            return self._fixed[:1], 1.0
        rng, space = Random(step), self._family.space
        drawn = [self._family.network(space.sample(rng)) for _ in range(self._variant.drawn)]
        if step % self._variant.every:
            return drawn, 1.0
        return [*self._fixed, *drawn], self._variant.labels


def measure(bench: Bench, names: Sequence[str], workers: int) -> dict[str, Any]:
    """All figures of these variants."""
    alone = [m["test_accuracy"] for m in evaluate_all(bench.networks, truth(FULL), truth(FULL).folder, workers, say)]
    separable = [-sum(isinstance(block, SepConvBlock) for block in one.blocks) for one in bench.networks]
    torch.set_num_threads(1)
    judged = {name: bench.judge(name) for name in names}
    orders = [found["judged"] for found in judged.values()]
    pairs = [kendall(one, other) or 0.0 for one, other in combinations(orders, 2)]
    tuned = {images: bench.tuned(images) for images in IMAGES if TUNED in judged}
    return {
        "resolution": bench.resolution,
        "seconds": bench.seconds,
        "variants": [
            {**found, **against(found["judged"], alone), "tau_few_separable": kendall(found["judged"], separable)}
            for found in judged.values()
        ],
        "tau_between_variants": mean(pairs) if pairs else None,
        "trained": {"accuracies": alone, "tau_few_separable": kendall(alone, separable)},
        "tuned": [{"variant": TUNED, "images": images, **against(of, alone)} for images, of in tuned.items()],
    }


def against(judged: Sequence[float], alone: Sequence[float]) -> dict[str, Any]:
    """Their mean, and their order against that of trainings alone, with its 95 % interval."""
    return {"accuracy": mean(judged), "tau": kendall(judged, alone), "interval": kendall_interval(judged, alone)}


def main() -> None:
    """Print a table, or everything as JSON; it is the report as well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=positive, default=32)
    parser.add_argument("--seconds", type=positive, default=300, help="of one core, for each variant")
    parser.add_argument("--variant", action="append", choices=list(VARIANTS), help="only this; may be repeated")
    parser.add_argument("--workers", type=positive, default=1, help="for trainings that are not known yet")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    bench = Bench(options.resolution, options.seconds)
    restore(FOLDER / "report.kept.json", FULL.folder, FULL.settings())
    found = measure(bench, options.variant or list(VARIANTS), options.workers)
    write_json(FOLDER / f"report.{bench.folder.name}.json", found)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for row in (*found["variants"], *found["tuned"]):
        name = f"{row['variant']}, {row['images']} images more" if "images" in row else row["variant"]
        low, high = row["interval"]
        print(f"{name:36} judged {row['accuracy']:6.1%}  tau {row['tau']:5.2f} ({low:.2f} to {high:.2f})")
    if found["tau_between_variants"] is not None:
        print(f"tau between two variants, on average: {found['tau_between_variants']:.2f}")
    few = ", ".join(f"{row['variant']} {row['tau_few_separable']:.2f}" for row in found["variants"])
    print(f"tau with having few separable layers: trained alone {found['trained']['tau_few_separable']:.2f}; {few}")


if __name__ == "__main__":
    main()
