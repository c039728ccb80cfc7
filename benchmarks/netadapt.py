"""NetAdapt against its peers, side by side: `python -m benchmarks.netadapt --weights FILE [--smallest] [--json]`.

MobileNetV2 with ImageNet weights (FILE: torchvision's .pth) is fine-tuned on CIFAR-10 at 64 px, then trimmed to shares
of its predicted latency by

- `ours`: `nas adapt`, --proposals halving; `ours-full`: each proposal fine-tuned; `ours-zero`: none;
- `tp-magnitude`, `tp-group`: Torch-Pruning (pip install torch-pruning), global and iterative, by its magnitude
  importance of single layers and of groups;
- `uniform`: one width multiplier for all widths, filters by L2 norm.

All see the same number of fine-tuning images in total (that of `ours`) under the same recipe; but `ours-full`, which
has the same last training as `ours` behind proposals that see more. Every figure is kept in --out as soon as it is
there, and a run goes on from that file. `--smallest` takes digits, a small network, one share and one seed: it shows
that the benchmark works, not who is better.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from nas import adapt as job
from nas.architecture import Architecture, ConvBlock, MBConvBlock, PoolBlock
from nas.begun import Milliseconds
from nas.cli.adapt_progress import adapt_progress
from nas.latency.host import host_setup
from nas.latency.on_miss import load_model
from nas.latency.steps import width_steps
from nas.network.build import Network, build, module_name
from nas.network.importance import score_filters
from nas.network.inherit import inherit
from nas.network.widths import wire, with_widths
from nas.sources import Source, for_classes, load_source
from nas.store.store import Store
from nas.training.checkpoint import read_network, save_weights
from nas.training.data import Data, describe_data, load_data
from nas.training.loop import Recipe, measure, train

METHODS = ("ours", "ours-full", "ours-zero", "tp-magnitude", "tp-group", "uniform")
TP_STEPS = 5  # between which Torch-Pruning's networks are fine-tuned

SMALL = Architecture(
    32,
    (
        ConvBlock(32, 3, 2, "relu6"),
        MBConvBlock(32, 96, 3, 1, "relu6", skip="identity"),
        MBConvBlock(48, 128, 3, 2, "relu6"),
        MBConvBlock(48, 192, 3, 1, "relu6", skip="identity"),
        ConvBlock(96, 1, 1, "relu6"),
        PoolBlock(),
    ),
)


@dataclass(frozen=True)
class Setting:
    """What is compared; the seed network is trained for `seed_epochs`."""

    data: str
    resolution: int
    target: str
    shares: tuple[float, ...]
    seeds: tuple[int, ...]
    seed_epochs: int
    seed_lr: float
    epochs: int
    images: int
    val_images: int
    final_epochs: int


FULL = Setting("cifar10", 64, "host", (0.7, 0.5, 0.35), (0, 1), 6, 0.02, 2, 1600, 1000, 10)
SMALLEST = Setting("digits", 16, "pixel", (0.7,), (0,), 16, 0.1, 2, 160, 150, 4)


class Bench:
    """One seed network and what it is trimmed by."""

    def __init__(self, setting: Setting, weights: Path | None, folder: Path) -> None:
        self.setting, self.folder = setting, folder
        self.model = load_model(setting.target, "interpolate")
        self.latency_ms = Milliseconds(self.model)
        self.data: Data = load_data(setting.data, resolution=setting.resolution)
        self.source = (
            Source("small", SMALL, build(SMALL))
            if weights is None
            else load_source(f"reference:mobilenet_v2,{weights}")
        )

    def seed_file(self) -> Path:
        """The seed network, fine-tuned once for all."""
        path = self.folder / "seed.safetensors"
        if not path.exists():
            source = for_classes(self.source, describe_data(self.setting.data).num_classes)
            assert source.network is not None
            images = self.setting.seed_epochs * len(self.data.train)
            self.fine_tune(source.network, images, seed=0, lr=self.setting.seed_lr)
            save_weights(path, source.network, {"architecture": source.architecture.to_json()})
        return path

    def fine_tune(self, network: Network, images: int, seed: int, lr: float = 0.02) -> None:
        """The recipe of all, on so many images: whole epochs, the last one on a part."""
        whole, rest = divmod(images, len(self.data.train))
        for epochs, data in ((whole, self.data), (1, self.data.limited(train_images=max(rest, 64)))):
            if epochs and (data is self.data or rest >= 64):
                recipe = Recipe(epochs, self.setting.resolution, batch_size=64, lr=lr, weight_decay=5e-4, seed=seed)
                outcome = train(network, data, recipe, lambda epoch, metrics: False)
                assert outcome.error is None, outcome.error

    def judged(self, architecture: Architecture, network: Network, images: int, seconds: float) -> dict[str, float]:
        """Figures of a finished network."""
        from nas.latency.measure import measure_network  # noqa: PLC0415

        setup = host_setup(self.setting.target)
        return {
            "accuracy": measure(network, self.data, self.data.test, self.setting.resolution)["accuracy"],
            "latency_ms": self.latency_ms(architecture),
            **({"measured_ms": measure_network(architecture, setup)} if setup else {}),
            "fine_tuning_images": images,
            "seconds": seconds,
        }

    def ours(self, proposals: str, budget_ms: float, seed: int, images: int | None) -> dict[str, float]:
        """`nas adapt`; where `images` are given, what the proposals leave of them goes into the last training."""
        setting, began = self.setting, time.perf_counter()
        source = load_source(str(self.seed_file()))
        settings = job.AdaptSettings(
            budget_ms=budget_ms,
            source="seed.safetensors",
            architecture=source.architecture.id,
            target=self.model.target,
            latency_version=self.model.version,
            resolution=setting.resolution,
            data=setting.data,
            proposals=proposals,  # type: ignore[arg-type]
            step=width_steps(setting.target).step(),
            epochs=setting.epochs,
            images=setting.images,
            val_images=setting.val_images,
            final_epochs=0 if images is not None else setting.final_epochs,
            seed=seed,
        )
        with Store.open(self.folder / "trials.db") as store, adapt_progress(budget_ms) as listener:
            found = job.adapt(settings, source, latency=self.model, store=store, listener=listener, workers=_workers())
            trials = store.trials(found.study)
        training = sum(s.trial.outcome.metrics.get("train_seconds", 0.0) for s in trials if s.trial.outcome)
        busy = sum((s.ended_at - s.started_at).total_seconds() for s in trials if s.ended_at and s.started_at)
        spent = sum(_images(s.trial.proposal.epochs or 0, setting, len(self.data.train)) for s in trials[1:])
        architecture, network = read_network(found.weights)
        if architecture != found.path[-1].architecture:  # nothing was trained: its weights are still the parent's
            scores = score_filters(network, architecture, "l2")
            network = inherit(network, architecture, found.path[-1].architecture, scores)
            architecture = found.path[-1].architecture
        if images is not None:
            self.fine_tune(network, max(0, images - spent), seed)
        figures = self.judged(architecture, network, max(spent, images or 0), time.perf_counter() - began)
        iterations = len(found.path) - 1
        return {
            **figures,
            "iterations": iterations,
            "worker_seconds_per_iteration": busy / iterations,
            "share_training": training / busy,
        }

    def uniform(self, budget_ms: float, seed: int, images: int) -> dict[str, float]:
        """The largest multiplier, in hundredths, of all widths that meets the budget."""
        began = time.perf_counter()
        architecture, parent = read_network(self.seed_file())
        widths = [(i, w.channels) for i, w in enumerate(wire(architecture).widths) if w.kind != "squeeze"]
        child = next(
            cut
            for share in range(99, 0, -1)
            if self.latency_ms(cut := with_widths(architecture, {i: _eights(c * share / 100) for i, c in widths}))
            <= budget_ms
        )
        network = inherit(parent, architecture, child, score_filters(parent, architecture, "l2"))
        self.fine_tune(network, images, seed)
        return self.judged(child, network, images, time.perf_counter() - began)

    def torch_pruning(self, reduction: str, budget_ms: float, seed: int, images: int) -> dict[str, float]:
        """Cut in small steps until the budget is met; each fifth of the way fine-tuned with a tenth of the images."""
        import torch_pruning as tp  # noqa: PLC0415

        began = time.perf_counter()
        architecture, network = read_network(self.seed_file())
        example = torch.zeros(1, 3, self.setting.resolution, self.setting.resolution)
        pruner = tp.pruner.BasePruner(
            network.eval(),
            example,
            importance=tp.importance.GroupMagnitudeImportance(p=2, group_reduction=reduction),
            global_pruning=True,
            pruning_ratio=0.95,
            max_pruning_ratio=0.9,
            iterative_steps=100,
            round_to=8,
            ignored_layers=[network.classifier],
        )
        start_ms = self.latency_ms(architecture)
        spent, due = 0, 1
        while (now_ms := self.latency_ms(_read_back(network, architecture))) > budget_ms:
            if (start_ms - now_ms) / (start_ms - budget_ms) >= due / TP_STEPS:
                due += 1
                spent += images // (2 * TP_STEPS)
                self.fine_tune(network, images // (2 * TP_STEPS), seed)
                network.eval()
            pruner.step()
        child = _read_back(network, architecture)
        pruned = build(child)
        pruned.load_state_dict(network.state_dict())
        self.fine_tune(pruned, images - spent, seed)
        return self.judged(child, pruned, images, time.perf_counter() - began)


def _read_back(network: Network, architecture: Architecture) -> Architecture:
    """The network that another tool has left."""
    blocks: list[Any] = list(architecture.blocks)
    wiring = wire(architecture)
    for item in wiring.wires:
        if item.writes is not None and item.layer.role != "depthwise":
            module = network.get_submodule(module_name(item.layer, architecture))
            channels = len(getattr(module, "conv", getattr(module, "linear", module)).weight)
            for place, name in wiring.widths[item.writes].places:
                blocks[place] = replace(blocks[place], **{name: channels})
    return replace(architecture, blocks=tuple(blocks))


def _eights(channels: float) -> int:
    return max(8, int(channels) // 8 * 8)


def _images(epochs: int, setting: Setting, everything: int) -> int:
    return epochs * (everything if epochs == setting.final_epochs else min(setting.images, everything))


def _workers() -> int:
    return len(os.sched_getaffinity(0))


def compare(bench: Bench, out: Path, methods: tuple[str, ...]) -> dict[str, Any]:
    """All figures; those that are in `out` are not computed again. `ours` comes first: it sets the number of images."""
    found: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {}
    architecture, network = read_network(bench.seed_file())
    start_ms = bench.latency_ms(architecture)
    found.setdefault("seed", bench.judged(architecture, network, 0, 0.0))
    for share in bench.setting.shares:
        for seed in bench.setting.seeds:
            for method in methods:
                key = f"{share:g}/{seed}/{method}"
                if key in found:
                    continue
                images = None if method == "ours" else int(found[f"{share:g}/{seed}/ours"]["fine_tuning_images"])
                found[key] = _run(bench, method, share * start_ms, seed, images)
                out.write_text(json.dumps(found, indent=2))
    return found


def _run(bench: Bench, method: str, budget_ms: float, seed: int, images: int | None) -> dict[str, float]:
    ways: dict[str, Callable[[], dict[str, float]]] = {
        "ours": lambda: bench.ours("halving", budget_ms, seed, None),
        "ours-full": lambda: bench.ours("full", budget_ms, seed, None),
        "ours-zero": lambda: bench.ours("zero", budget_ms, seed, images),
        "tp-magnitude": lambda: bench.torch_pruning("first", budget_ms, seed, images or 0),
        "tp-group": lambda: bench.torch_pruning("mean", budget_ms, seed, images or 0),
        "uniform": lambda: bench.uniform(budget_ms, seed, images or 0),
    }
    return {"budget_ms": budget_ms, **ways[method]()}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="MobileNetV2's ImageNet weights, torchvision's .pth")
    parser.add_argument("--smallest", action="store_true")
    parser.add_argument("--methods", nargs="*", default=METHODS, choices=METHODS)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/netadapt.json"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.smallest and options.weights is None:
        parser.error("give --weights FILE, or --smallest")
    torch.set_num_threads(1)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    folder = options.out.with_suffix("")
    folder.mkdir(exist_ok=True)
    bench = Bench(SMALLEST if options.smallest else FULL, None if options.smallest else options.weights, folder)
    found = compare(bench, options.out, tuple(options.methods))
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for key, figures in found.items():
        cells = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        print(f"{key:24} {cells}")


if __name__ == "__main__":
    main()
