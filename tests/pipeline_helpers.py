"""A study small enough for tests: digits, a space of a few hundred networks, trainings of a second."""

from contextlib import contextmanager
from pathlib import Path

from nas.latency.on_miss import load_model
from nas.pipeline.bench import Bench, Show
from nas.pipeline.study_file import load_study, require_scale

SPACE = """
name: little
resolution: 64
stages:
  - {op: conv, channels: [16, 24], kernel: 3, stride: 2, act: hswish}
  - {channels: [16, 24], depth: [1, 2], expand: [2, 3], kernel: [3, 5], se: [none, 0.25], act: [relu, hswish],
     stride: 2, per_layer: [kernel, se]}
head: {type: [classic, pooled], channels: 32, expand: 3, act: hswish}
"""
KNOWN = """
name: known
resolution: 64
stages:
  - {op: conv, channels: 16, kernel: 3, stride: 2, act: hswish}
  - {channels: 24, expand: 2, kernel: 5, se: 0.25, act: hswish, stride: 2}
  - {channels: 24, mid_channels: 56, act: hswish}
head: {type: pooled, conv_channels: 72, channels: 32, act: hswish}
"""
OTHER = """
name: other
resolution: 64
stages:
  - {op: conv, channels: 16, stride: 2}
  - {channels: 24, expand: 6, depth: 2, stride: 2}
head: {type: classic, channels: 32}
"""
STUDY = """
name: tiny
target: pixel1
space: little.yaml
reference: known.yaml
search: {budget: 1.9ms, reward: "soft:-0.07", strategy: surrogate}
adapt: {budget: reference, rule: mobilenet_v3}
scaled: [other.yaml]
ablations: {of: reference, without: [se, hswish, kernel5, late_head, netadapt]}
scales:
  main:
    data: digits
    search: {resolution: 16, epochs: 2, train_images: 200, val_images: 100, trials: 4, repeats: 2, evaluator: proxy,
      early_stop: false}
    adapt: {resolution: 16, seed_epochs: 1, epochs: 1, images: 96, val_images: 100, proposals: halving, delta: 0.05,
      lr: 0.01}
    train: {resolution: 16, epochs: 2, train_images: 200, val_images: 50, batch_size: 64, lr: 0.1, weight_decay: 5.0e-4,
      label_smoothing: 0.1, seeds: [0, 1]}
"""


def write_study(folder: Path, study: str = STUDY) -> Path:
    """The files of a study; returns the study file."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("little", SPACE), ("known", KNOWN), ("other", OTHER), ("study", study)):
        (folder / f"{name}.yaml").write_text(text)
    return folder / "study.yaml"


class Events:
    """A listener and a speaker that let something happen at each piece of news."""

    def __init__(self, happen=lambda: None):
        self.lines: list[str] = []
        self._happen = happen

    def __call__(self, line):
        self.lines.append(line)
        self._happen()

    def started(self, entry):
        pass

    def reported(self, entry, epoch, metrics):
        pass

    def ended(self, entry):
        self._happen()

    def tick(self):
        pass

    @contextmanager
    def listener(self, *ignored):
        yield self

    @property
    def show(self):
        return Show(self, self.listener, self.listener, lambda step, steps, metrics: None)


def make_bench(path: Path, store, events: Events, data: str | None = None, scale: str | None = None) -> Bench:
    """A bench with one worker and its results beside the study file."""
    study = load_study(path)
    chosen = require_scale(study, scale)
    model = load_model(study.target, "interpolate")
    folder = path.parent / chosen.name
    return Bench(study, chosen, data or chosen.data, folder, model, store, 1, events.show)
