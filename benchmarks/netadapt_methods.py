"""The ways of trimming that `benchmarks.netadapt` compares, on one seed network and with as many images each."""

import resource
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.netadapt_latency import Follow, cut, latency_model
from nas.adapt import run as job
from nas.adapt.settings import AdaptSettings, Proposals
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

TP_STEPS = 5  # between which Torch-Pruning's networks are fine-tuned
LEAST_IMAGES = 64  # of a training: a batch

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
    shares: Mapping[float, int]  # of the seed's latency; the images that fine-tune to it, by every method
    seeds: tuple[int, ...]
    seed_epochs: int
    seed_lr: float
    delta: float
    single_delta: float  # of cuts that are made alone: few widths can make a large step
    epochs: int
    images: int
    val_images: int


FULL = Setting(
    "cifar10", 64, "host", {0.5: 44_000, 0.35: 56_000, 0.7: 32_000}, (0, 1), 3, 0.02, 0.12, 0.05, 4, 1000, 150
)
SMALLEST = Setting("digits", 16, "pixel", {0.85: 10_000}, (0,), 16, 0.1, 0.025, 0.025, 1, 160, 150)


@dataclass(frozen=True)
class Task:
    """What a network is trimmed to, and the images that fine-tune it; its last training has `final_images` if given."""

    budget_ms: float
    seed: int
    images: int
    final_images: int | None = None


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
        self.measured_ms = measured_latency(setting.target, folder / "measured.json")
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

    def fine_tune(self, network: Network, images: int, seed: int, lr: float = 0.01) -> None:
        """The recipe of all, on so many images: one cosine over as few equal passes as that takes."""
        passes = -(-images // len(self.data.train))
        if passes and (part := images // passes) >= LEAST_IMAGES:
            recipe = Recipe(passes, self.setting.resolution, batch_size=64, lr=lr, weight_decay=5e-4, seed=seed)
            outcome = train(network, self.judging.limited(train_images=part), recipe, lambda epoch, metrics: False)
            assert outcome.error is None, outcome.error

    def judged(self, architecture: Architecture, network: Network, images: int, seconds: float) -> dict[str, Any]:
        """Figures of a finished network; `seconds` of the processor, before it is measured."""
        return {
            "accuracy": measure(network, self.data, self.data.test, self.setting.resolution)["accuracy"],
            "predicted_ms": self.latency_ms(architecture),
            "latency_ms": self.latency(architecture),
            **self.read_again(architecture),
            "fine_tuning_images": images,
            "cpu_seconds": seconds,
            "architecture": architecture.to_json(),
        }

    def read_again(self, network: Architecture) -> dict[str, float]:
        """Another reading of a network, as a share of the seed's first one, where it can be measured."""
        if self.measured_ms is None:
            return {}
        return {"share": self.measured_ms.anew(network) / self.latency(self.architecture)}

    def ours(self, proposals: Proposals, task: Task) -> dict[str, Any]:
        """`nas adapt`; its last training has what the proposals leave of the images, unless the task says how many."""
        setting, began = self.setting, _cpu_seconds()
        source = load_source(str(self.seed_file()))
        settings = AdaptSettings(
            budget_ms=task.budget_ms,
            source="seed.safetensors",
            architecture=source.architecture.id,
            target=self.model.target,
            latency_version=self.model.version,
            resolution=setting.resolution,
            data=setting.data,
            proposals=proposals,
            delta=setting.delta if proposals == "halving" else setting.single_delta,
            step=self.step,
            epochs=setting.epochs,
            images=setting.images,
            val_images=setting.val_images,
            final_epochs=0,
            seed=task.seed,
        )
        with Store.open(self.folder / "trials.db") as store, adapt_progress(task.budget_ms) as listener:
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
        final_images = max(task.images - spent, 0) if task.final_images is None else task.final_images
        proposals_seconds = _cpu_seconds() - began
        self.fine_tune(network, final_images, task.seed)
        iterations = len(found.path) - 1
        return {
            **self.judged(chosen, network, spent + final_images, _cpu_seconds() - began),
            "weights": self.kept(f"{proposals}-{task.budget_ms:.3g}ms-{task.seed}", chosen, network),
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

    def uniform(self, task: Task) -> dict[str, Any]:
        """The largest multiplier, in hundredths, of all widths that meets the budget; by the device's steps."""
        began = _cpu_seconds()
        architecture, parent = read_network(self.seed_file())
        candidates = (cut(architecture, lambda share=share / 100: share, self.step) for share in range(99, 0, -1))  # type: ignore[misc]
        follow = self.follow()
        child = next(network for network in candidates if follow.meets(network, task.budget_ms))
        network = inherit(parent, architecture, child, score_filters(parent, architecture, "l2"))
        self.fine_tune(network, task.images, task.seed)
        return self.judged(child, network, task.images, _cpu_seconds() - began)

    def torch_pruning(self, reduction: str, task: Task) -> dict[str, Any]:
        """Cut in small steps until the budget is met; each fifth of the way fine-tuned with a tenth of the images."""
        import torch_pruning as tp  # noqa: PLC0415

        began, images, budget_ms = _cpu_seconds(), task.images, task.budget_ms
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
                self.fine_tune(network, images // (2 * TP_STEPS), task.seed)
                network.eval()
            pruner.step()
        pruned = build(child)
        pruned.load_state_dict(network.state_dict())
        self.fine_tune(pruned, images - spent, task.seed)
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
