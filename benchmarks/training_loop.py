"""The proxy's training loop beside torchvision's reference loop: `python -m benchmarks.training_loop [--json]`.

Both train one network on the same CIFAR-10 images at the proxy's resolution, with the same optimiser, schedule, batch
size and augmentation (shift by an eighth, mirror), on one thread. The reference is written as torchvision's
references/classification/train.py is: a dataset of PIL images with transforms, a DataLoader, channels first, loss
and top-5 accuracy read after every step. Its speed is measured with no loader process and with one, and the
faster counts: a second process is another core, which the search would give to another network. Held-out accuracies
of both after the same training are compared over several seeds, with the 95 % interval of their difference.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from nas.network.build import build
from nas.pipeline.interval import difference_interval
from nas.space import load_reference
from nas.training.data import Data, load_data
from nas.training.loop import Recipe, measure, train

RECIPE = Recipe(epochs=3, resolution=64)
NETWORKS = ("mobilenet_v3_large", "mnasnet_small")  # the last one's accuracies are compared
TRAIN_IMAGES, VAL_IMAGES = 3200, 2000
SPEED_IMAGES = 960  # of an epoch that is timed
ROUNDS = 3  # in turns, so that a busy machine slows both
SEEDS = 8


class PilImages(Dataset[tuple[Tensor, int]]):
    """As torchvision.datasets.CIFAR10 is: arrays in memory, handed out as PIL images."""

    def __init__(self, data: Data) -> None:
        self.images = data.train.read(np.arange(len(data.train)))
        self.labels = data.train.labels
        side = self.images.shape[1]
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(side, padding=side // 8, padding_mode="reflect"),
                transforms.RandomHorizontalFlip(),
                transforms.Resize(RECIPE.resolution, antialias=True),
                transforms.PILToTensor(),
                transforms.ConvertImageDtype(torch.float),
                transforms.Normalize(data.mean, data.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def reference(network: nn.Module, data: Data, recipe: Recipe, workers: int) -> float:
    """Train as torchvision's reference does; images per second of the training steps."""
    torch.manual_seed(recipe.seed)
    loader = DataLoader(
        PilImages(data), batch_size=recipe.batch_size, shuffle=True, num_workers=workers, drop_last=True,
        persistent_workers=workers > 0,
    )  # fmt: skip
    criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim == 1]
    groups = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=True)
    step, begun = 0, time.perf_counter()
    for _ in range(recipe.epochs):
        network.train()
        for image, target in loader:
            for group in optimizer.param_groups:
                group["lr"] = recipe.lr_at(step, recipe.epochs * len(loader))
            output = network(image)
            loss = criterion(output, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            _, top = output.topk(5, 1)
            (top == target[:, None]).float().sum().item()
            loss.item()
            step += 1
    return step * recipe.batch_size / (time.perf_counter() - begun)


def ours(network: nn.Module, data: Data, recipe: Recipe) -> float:
    """Train as the proxy does; images per second of the training steps."""
    outcome = train(network, data, recipe, lambda epoch, metrics: False)
    return float(outcome.metrics["images_per_second"])


def speeds(name: str, data: Data) -> dict[str, float]:
    """Median images per second of each loop over several rounds, in turns."""
    small, recipe = data.limited(SPEED_IMAGES, 250), replace(RECIPE, epochs=1)
    loops: dict[str, Callable[[nn.Module], float]] = {
        "ours": lambda network: ours(network, small, recipe),
        "reference, no loader process": lambda network: reference(network, small, recipe, 0),
        "reference, one loader process": lambda network: reference(network, small, recipe, 1),
    }
    found: dict[str, list[float]] = {loop: [] for loop in loops}
    for _ in range(ROUNDS):
        for loop, run in loops.items():
            found[loop].append(run(_network(name, 0)))
    medians = {loop: statistics.median(values) for loop, values in found.items()}
    return {**medians, "ratio": medians["ours"] / max(v for loop, v in medians.items() if loop != "ours")}


def accuracies(name: str, data: Data) -> dict[str, Any]:
    """Held-out accuracy after the proxy's training, for several seeds, and how far ours is ahead."""
    found: dict[str, list[float]] = {"ours": [], "reference": []}
    for seed in range(SEEDS):
        recipe = replace(RECIPE, seed=seed)
        for loop, run in (("ours", ours), ("reference", lambda *given: reference(*given, workers=0))):
            network = _network(name, seed)
            run(network, data, recipe)
            found[loop].append(measure(network, data, data.val, RECIPE.resolution)["accuracy"])
    return {**found, "difference": asdict(difference_interval(found["ours"], found["reference"]))}


def _network(name: str, seed: int) -> nn.Module:
    return build(load_reference(name).with_num_classes(10), seed=seed)


def figures() -> dict[str, Any]:
    """Speeds of both loops on each network, and accuracies on the last."""
    torch.set_num_threads(1)
    data = load_data("cifar10").limited(TRAIN_IMAGES, VAL_IMAGES)
    return {
        "images_per_second": {name: speeds(name, data) for name in NETWORKS},
        "accuracy": {NETWORKS[-1]: accuracies(NETWORKS[-1], data)},
    }


def main() -> None:
    """Print a line for each network, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    found = figures()
    if parser.parse_args().json:
        print(json.dumps(found, indent=2))
        return
    for kind, networks in found.items():
        for name, values in networks.items():
            print(f"{kind:18} {name:20}", ", ".join(f"{key} {_text(value)}" for key, value in values.items()))


def _text(value: float | list[float] | dict[str, float]) -> str:
    match value:
        case list():
            return " ".join(f"{v:.3f}" for v in value)
        case dict():
            return "{mean:.3f} ({low:.3f} to {high:.3f})".format(**value)
    return f"{value:.3g}"


if __name__ == "__main__":
    main()
