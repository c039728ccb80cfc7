"""NetAdapt against its peers, side by side: `python -m benchmarks.netadapt --weights FILE [--smallest] [--json]`.

MobileNetV2 with ImageNet weights (FILE: torchvision's .pth) is fine-tuned on CIFAR-10 at 64 px, then trimmed to shares
of its latency, measured where that is possible, by

- `ours`: `nas adapt`, --proposals halving; `ours-full`: each proposal fine-tuned; `ours-zero`: none;
- `tp-magnitude`, `tp-group`: Torch-Pruning (pip install torch-pruning), global and iterative, by its magnitude
  importance of single layers and of groups;
- `uniform`: one width multiplier for all widths, filters by L2 norm.

All see the same number of fine-tuning images in total under the same recipe; but `ours-full`, which
has the same last training as `ours` behind proposals that see more. Every figure is kept in --out as soon as it is
there, and a run goes on from that file. `--smallest` takes digits, a small network, one share and one seed: it shows
that the benchmark works, not who is better.
"""

import argparse
import json
import os
import resource
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.netadapt_latency import Follow, cut, latency_model, share_of
from nas.adapt import run as job
from nas.adapt.settings import AdaptSettings
from nas.architecture import Architecture, ConvBlock, MBConvBlock, PoolBlock
from nas.begun import Milliseconds
from nas.cli.adapt_progress import adapt_progress
from nas.latency.steps import width_steps
from nas.latency.turns import measured_latency
from nas.network.build import Network, build, module_name
from nas.network.importance import score_filters
from nas.network.inherit import inherit
from nas.network.widths import wire
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
    delta: float
    epochs: int
    images: int
    val_images: int
    total_images: int  # that fine-tune a network, by every method


FULL = Setting("cifar10", 64, "host", (0.5, 0.35, 0.7), (0, 1), 3, 0.02, 0.08, 1, 400, 300, 20_000)
SMALLEST = Setting("digits", 16, "pixel", (0.85,), (0,), 16, 0.1, 0.025, 1, 160, 150, 10_000)


class Bench:
    """One seed network and what it is trimmed by."""

    def __init__(self, setting: Setting, weights: Path | None, folder: Path, workers: int) -> None:
        self.setting, self.folder, self.workers = setting, folder, workers
        self.data: Data = load_data(setting.data, resolution=setting.resolution)
        self.judging = self.data.limited(val_images=250)  # `train` looks at them after each epoch
        self.weights = weights
        self.architecture, _ = read_network(self.seed_file())
        self.model = latency_model(setting.target, self.architecture)
        self.latency_ms = Milliseconds(self.model)
        self.step = width_steps(setting.target).step()
        self.measured_ms = measured_latency(setting.target, self.architecture, folder / "measured.json")
        self.latency = self.measured_ms or self.latency_ms

    def seed_file(self) -> Path:
        """The seed network, fine-tuned once for all and run at the resolution of the data."""
        path = self.folder / "seed.safetensors"
        if not path.exists():
            small = Source("small", SMALL, build(SMALL))
            source = small if self.weights is None else load_source(f"reference:mobilenet_v2,{self.weights}")
            source = for_classes(source, describe_data(self.setting.data).num_classes)
            assert source.network is not None
            self.fine_tune(source.network, self.setting.seed_epochs * len(self.data.train), 0, self.setting.seed_lr)
            architecture = replace(source.architecture, resolution=self.setting.resolution)
            save_weights(path, source.network, {"architecture": architecture.to_json()})
        return path

    def follow(self) -> Follow:
        """What the others meet the budget by."""
        factor = self.latency(self.architecture) / self.latency_ms(self.architecture)
        return Follow(self.latency_ms, self.measured_ms, factor)

    def fine_tune(self, network: Network, images: int, seed: int, lr: float = 0.02) -> None:
        """The recipe of all, on so many images: whole epochs, the last one on a part."""
        whole, rest = divmod(images, len(self.data.train))
        for epochs, data in ((whole, self.judging), (1, self.judging.limited(train_images=max(rest, 64)))):
            if epochs and (data is self.judging or rest >= 64):
                recipe = Recipe(epochs, self.setting.resolution, batch_size=64, lr=lr, weight_decay=5e-4, seed=seed)
                outcome = train(network, data, recipe, lambda epoch, metrics: False)
                assert outcome.error is None, outcome.error

    def judged(self, architecture: Architecture, network: Network, images: int, seconds: float) -> dict[str, Any]:
        """Figures of a finished network; `seconds` of the processor, before it is measured."""
        return {
            "accuracy": measure(network, self.data, self.data.test, self.setting.resolution)["accuracy"],
            "predicted_ms": self.latency_ms(architecture),
            "latency_ms": self.latency(architecture),
            **share_of(self.setting.target, self.architecture, architecture),
            "fine_tuning_images": images,
            "cpu_seconds": seconds,
            "architecture": architecture.to_json(),
        }

    def ours(self, proposals: str, budget_ms: float, seed: int, final_images: int | None) -> dict[str, Any]:
        """`nas adapt`; its last training has `final_images`, or what the proposals leave of the total."""
        setting, began = self.setting, _cpu_seconds()
        source = load_source(str(self.seed_file()))
        settings = AdaptSettings(
            budget_ms=budget_ms,
            source="seed.safetensors",
            architecture=source.architecture.id,
            target=self.model.target,
            latency_version=self.model.version,
            resolution=setting.resolution,
            data=setting.data,
            proposals=proposals,  # type: ignore[arg-type]
            delta=setting.delta,
            step=self.step,
            epochs=setting.epochs,
            images=setting.images,
            val_images=setting.val_images,
            final_epochs=0,
            seed=seed,
        )
        with Store.open(self.folder / "trials.db") as store, adapt_progress(budget_ms) as listener:
            found = job.adapt(
                settings,
                source,
                latency=self.model,
                store=store,
                listener=listener,
                workers=self.workers,
                measured_ms=self.measured_ms,  # the budget is a share of their seed
            )
            trials = store.trials(found.study)
        training = sum(s.trial.outcome.metrics.get("train_seconds", 0.0) for s in trials if s.trial.outcome)
        busy = sum((s.ended_at - s.started_at).total_seconds() for s in trials[1:] if s.ended_at and s.started_at)
        spent = sum((s.trial.proposal.epochs or 0) * setting.images for s in trials[1:])
        chosen, (architecture, network) = found.path[-1].architecture, read_network(found.weights)
        if architecture != chosen:  # nothing was trained: its weights are still the parent's
            network = inherit(network, architecture, chosen, score_filters(network, architecture, "l2"))
        final_images = setting.total_images - spent if final_images is None else final_images
        proposals_seconds = _cpu_seconds() - began
        self.fine_tune(network, final_images, seed)
        iterations = len(found.path) - 1
        return {
            **self.judged(chosen, network, spent + final_images, _cpu_seconds() - began),
            "weights": self.kept(f"{proposals}-{budget_ms:.3g}ms-{seed}", chosen, network),
            "final_images": final_images,
            "iterations": iterations,
            "proposals": len(trials) - 1,
            "proposals_cpu_seconds": proposals_seconds,
            "worker_seconds_per_iteration": busy / iterations,
            "share_training": training / busy,
        }

    def kept(self, name: str, architecture: Architecture, network: Network) -> str:
        """The weights, in a file that `nas export` reads."""
        about = {"architecture": architecture.to_json(), "data": self.setting.data}
        save_weights(self.folder / f"{name}.safetensors", network, about)
        return f"{name}.safetensors"

    def uniform(self, budget_ms: float, seed: int) -> dict[str, Any]:
        """The largest multiplier, in hundredths, of all widths that meets the budget."""
        began = _cpu_seconds()
        architecture, parent = read_network(self.seed_file())
        candidates = (cut(architecture, lambda share=share / 100: share, self.step) for share in range(99, 0, -1))  # type: ignore[misc]
        follow = self.follow()
        child = next(network for network in candidates if follow.meets(network, budget_ms))
        network = inherit(parent, architecture, child, score_filters(parent, architecture, "l2"))
        self.fine_tune(network, self.setting.total_images, seed)
        return self.judged(child, network, self.setting.total_images, _cpu_seconds() - began)

    def torch_pruning(self, reduction: str, budget_ms: float, seed: int) -> dict[str, Any]:
        """Cut in small steps until the budget is met; each fifth of the way fine-tuned with a tenth of the images."""
        import torch_pruning as tp  # noqa: PLC0415

        began, images = _cpu_seconds(), self.setting.total_images
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
            round_to=self.step,
            ignored_layers=[network.classifier],
        )
        follow, start_ms, spent, due = self.follow(), self.latency(architecture), 0, 1
        while not follow.meets(child := _read_back(network, architecture), budget_ms):
            now_ms = follow(child)
            if (start_ms - now_ms) / (start_ms - budget_ms) >= due / TP_STEPS:
                due += 1
                spent += images // (2 * TP_STEPS)
                self.fine_tune(network, images // (2 * TP_STEPS), seed)
                network.eval()
            pruner.step()
        pruned = build(child)
        pruned.load_state_dict(network.state_dict())
        self.fine_tune(pruned, images - spent, seed)
        return self.judged(child, pruned, images, _cpu_seconds() - began)


def _cpu_seconds() -> float:
    """Of this process and of those that it started and that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


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


def compare(bench: Bench, out: Path, methods: tuple[str, ...]) -> dict[str, Any]:
    """All figures; those that are in `out` are not computed again."""
    found: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {}
    architecture, network = read_network(bench.seed_file())
    start_ms = bench.latency(architecture)
    if "seed" not in found:
        found["seed"] = bench.judged(architecture, network, 0, 0.0)
    for share, seed in ((share, seed) for share in bench.setting.shares for seed in bench.setting.seeds):
        for method in methods:
            if (key := f"{share:g}/{seed}/{method}") not in found:
                final_images = found.get(f"{share:g}/{seed}/ours", {}).get("final_images")
                found[key] = _run(bench, method, share * start_ms, seed, final_images)
                out.write_text(json.dumps(found, indent=2))
    return found


def _run(bench: Bench, method: str, budget_ms: float, seed: int, final_images: int | None) -> dict[str, Any]:
    ways: dict[str, Callable[[], dict[str, Any]]] = {
        "ours": lambda: bench.ours("halving", budget_ms, seed, None),
        "ours-full": lambda: bench.ours("full", budget_ms, seed, final_images),
        "ours-zero": lambda: bench.ours("zero", budget_ms, seed, None),
        "tp-magnitude": lambda: bench.torch_pruning("first", budget_ms, seed),
        "tp-group": lambda: bench.torch_pruning("mean", budget_ms, seed),
        "uniform": lambda: bench.uniform(budget_ms, seed),
    }
    return {"budget_ms": budget_ms, **ways[method]()}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="MobileNetV2's ImageNet weights, torchvision's .pth")
    parser.add_argument("--smallest", action="store_true")
    parser.add_argument("--methods", nargs="*", default=METHODS, choices=METHODS)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/netadapt.json"))
    parser.add_argument("--shares", nargs="*", type=float, help="of the seed's latency, in this order  [all]")
    parser.add_argument("--seeds", nargs="*", type=int)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.smallest and options.weights is None:
        parser.error("give --weights FILE, or --smallest")
    torch.set_num_threads(1)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    folder = options.out.with_suffix("")
    folder.mkdir(exist_ok=True)
    setting = SMALLEST if options.smallest else FULL
    setting = replace(
        setting,
        shares=tuple(options.shares or setting.shares),
        seeds=tuple(setting.seeds if options.seeds is None else options.seeds),
    )
    bench = Bench(setting, None if options.smallest else options.weights, folder, options.workers)
    found = compare(bench, options.out, tuple(options.methods))
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for key, figures in found.items():
        cells = ", ".join(f"{name} {value:.4g}" for name, value in figures.items() if isinstance(value, int | float))
        print(f"{key:24} {cells}")


if __name__ == "__main__":
    main()
