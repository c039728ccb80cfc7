"""NetAdapt against its peers, side by side: `python -m benchmarks.netadapt --weights FILE [--smallest] [--json]`.

MobileNetV2 with ImageNet weights (FILE: torchvision's .pth) is fine-tuned on CIFAR-10 at 64 px, then trimmed to shares
of its latency, measured where that is possible, by

- `ours`: `nas adapt`, --proposals halving; `ours-full`: each proposal fine-tuned; `ours-zero`: none, both in smaller
  steps, which single cuts can make;
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
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import torch

from benchmarks.netadapt_methods import FULL, SMALLEST, Bench, Task
from nas.training.checkpoint import read_network

METHODS = ("ours", "ours-full", "ours-zero", "tp-magnitude", "tp-group", "uniform")


def compare(bench: Bench, out: Path, methods: tuple[str, ...]) -> dict[str, Any]:
    """All figures; those that are in `out` are not computed again."""
    found: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {}
    architecture, network = read_network(bench.seed_file())
    start_ms = bench.latency(architecture)
    if "seed" not in found:
        found["seed"] = bench.judged(architecture, network, 0, 0.0)
    for (share, images), seed in product(bench.setting.shares.items(), bench.setting.seeds):
        for method in methods:
            if (key := f"{share:g}/{seed}/{method}") not in found:
                final_images = found.get(f"{share:g}/{seed}/ours", {}).get("final_images")
                found[key] = _run(bench, method, Task(share * start_ms, seed, images, final_images))
                out.write_text(json.dumps(found, indent=2))
    return found


def _run(bench: Bench, method: str, task: Task) -> dict[str, Any]:
    ways: dict[str, Callable[[], dict[str, Any]]] = {
        "ours": lambda: bench.ours("halving", replace(task, final_images=None)),
        "ours-full": lambda: bench.ours("full", task),
        "ours-zero": lambda: bench.ours("zero", replace(task, final_images=None)),
        "tp-magnitude": lambda: bench.torch_pruning("first", task),
        "tp-group": lambda: bench.torch_pruning("mean", task),
        "uniform": lambda: bench.uniform(task),
    }
    return {"budget_ms": task.budget_ms, **ways[method]()}


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
    setting = SMALLEST if options.smallest else FULL
    if unknown := set(options.shares or ()) - setting.shares.keys():
        parser.error(f"--shares {min(unknown):g}: expected of {', '.join(f'{share:g}' for share in setting.shares)}")
    torch.set_num_threads(1)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    folder = options.out.with_suffix("")
    folder.mkdir(exist_ok=True)
    setting = replace(
        setting,
        shares={share: setting.shares[share] for share in options.shares or setting.shares},
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
