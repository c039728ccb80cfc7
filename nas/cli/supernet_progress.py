"""Progress of a supernet's training on stderr."""

import sys
import time
from dataclasses import dataclass, field

from nas.trial import Metrics

_SHOWN = ("smallest", "middle", "largest")
_LINE_SECONDS = 30.0  # between lines


@dataclass(slots=True)
class SupernetProgress:
    """A line when there are new accuracies, and now and then. Picklable."""

    begun: float = field(default_factory=time.monotonic)
    first: int | None = None  # step of this run; a resumed training does not begin with 1
    printed: float = 0.0
    shown: str = ""

    def __call__(self, step: int, steps: int, metrics: Metrics) -> None:
        """Show how far the training is, the latest accuracies and the time left."""
        now = time.monotonic()
        if self.first is None:
            self.begun, self.first = now, step
        known = [f"{name} {metrics[f'accuracy_{name}']:.1%}" for name in _SHOWN if f"accuracy_{name}" in metrics]
        accuracies = f", accuracy of {', '.join(known)}" if known else ""
        pace = (now - self.begun) / (step - self.first) if step > self.first else None
        left = "" if pace is None else f"; about {pace * (steps - step) / 60:.0f} min left"
        if accuracies != self.shown or now - self.printed > _LINE_SECONDS or step == steps:
            print(f"supernet: step {step} of {steps}{accuracies}{left}", file=sys.stderr, flush=True)
            self.printed, self.shown = now, accuracies
