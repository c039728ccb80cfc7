"""Latency for `benchmarks.netadapt`: a table of this machine made for cuts of one network, and networks measured."""

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log
from random import Random

from nas.architecture import Architecture
from nas.latency.bench import Effort
from nas.latency.host import host_setup
from nas.latency.measure import fill_host_table
from nas.latency.model import LatencyModel
from nas.latency.on_miss import load_model
from nas.layers import lower
from nas.network.widths import wire, with_widths

CUTS = 36  # random ones that the table is fitted to, beside the uniform ones
NARROW = 40  # whose ops are measured, too
MARGIN = 1.25  # of a budget, from which on networks are measured: cut ones were a fifth faster than predicted
EFFORT = Effort(op_passes=2, op_ms=4.0, network_passes=5, network_ms=25.0, networks=0, pruned=0)


def latency_model(target: str, seed: Architecture) -> LatencyModel:
    """The target's model; that of this machine is fitted to random cuts of the seed, which are measured first."""
    setup = host_setup(target)
    if setup is not None and not (setup.folder / "device.yaml").exists():
        ops = [op for network in narrow_cuts(seed) for op in lower(network)]
        fill_host_table(ops, architectures=random_cuts(seed), setup=setup, effort=EFFORT)
    return load_model(target, "interpolate")


def random_cuts(seed: Architecture) -> list[Architecture]:
    """The seed, cuts of all its widths by random shares, and by the same share."""
    rng = Random(0)
    found = [seed]
    for _ in range(CUTS):
        low = rng.uniform(0.15, 0.9)
        found.append(cut(seed, lambda low=low: rng.uniform(low, 1)))  # type: ignore[misc]
    return found + [cut(seed, lambda share=tenths / 10: share) for tenths in range(3, 10)]  # type: ignore[misc]


def narrow_cuts(seed: Architecture) -> list[Architecture]:
    """Cuts down to 8 channels, each width by a share of its own: an op stands for widths up to a factor of e away."""
    rng, widths = Random(1), [i for i, width in enumerate(wire(seed).widths) if width.kind != "squeeze"]
    found = [cut(seed, lambda: 0.0)]
    found += [with_widths(network, {i: 8}) for network in (seed, cut(seed, lambda: 0.35)) for i in widths]
    found += [with_widths(seed, {i: 8 for i in widths if i != only}) for only in widths]
    return found + [cut(seed, lambda: exp(rng.uniform(log(0.01), 0))) for _ in range(NARROW)]


def cut(seed: Architecture, share: Callable[[], float], step: int = 8) -> Architecture:
    """All widths by shares, down to multiples of `step`."""
    widths = [(i, width.channels) for i, width in enumerate(wire(seed).widths) if width.kind != "squeeze"]
    return with_widths(seed, {i: min(c, max(step, int(c * share()) // step * step)) for i, c in widths})


@dataclass
class Follow:
    """Whether networks meet a budget: predicted, corrected by those that were measured, and at last measured."""

    latency_ms: Callable[[Architecture], float]
    measured_ms: Callable[[Architecture], float] | None
    factor: float = 1.0

    def __call__(self, network: Architecture) -> float:
        """Milliseconds, predicted."""
        return self.latency_ms(network) * self.factor

    def meets(self, network: Architecture, budget_ms: float) -> bool:
        """As `nas adapt` decides it: measured, where that is possible, at most 1 % above the budget.

        Measured from well before it is predicted to be met: who cannot go back would pay for a prediction too high.
        """
        if self(network) > budget_ms * (1 if self.measured_ms is None else MARGIN):
            return False
        if self.measured_ms is None:
            return True
        self.factor = self.measured_ms(network) / self.latency_ms(network)
        return self(network) <= 1.01 * budget_ms
