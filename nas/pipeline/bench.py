"""`Bench`: a study at one scale, with all that its steps share."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nas.architecture import Architecture
from nas.batch import compile_space
from nas.begun import Milliseconds
from nas.errors import SpecError
from nas.evaluators.full import FullEvaluator
from nas.executors.ray.cluster import RayCluster
from nas.latency.model import LatencyModel, OpSumModel
from nas.pipeline.agreement import choices_of, untrimmed
from nas.pipeline.kept import Clock
from nas.pipeline.spec import Scale, StudyFile
from nas.reward import make_reward
from nas.search.judge import Watch
from nas.space import SearchSpace, load_space, reference_spec
from nas.storage import open_folder
from nas.store.store import Store
from nas.strategies.costs import BatchCost
from nas.strategies.problem import Problem
from nas.study import Entry, Listener
from nas.training.data import data_content, describe_data
from nas.training.loop import Recipe

Say = Callable[[str], None]
"""Takes a line for people."""


@dataclass(frozen=True)
class Show:
    """How people hear of progress: lines, and a listener for each kind of study."""

    say: Say
    search: Callable[[int, float], AbstractContextManager[Listener]]
    adapt: Callable[[float], AbstractContextManager[Listener]]
    supernet: Watch


@dataclass(frozen=True)
class Bench:
    """What the steps of a study work with; `folder` takes their results, `latency` is of the study's target."""

    study: StudyFile
    scale: Scale
    data: str
    folder: Path
    latency: LatencyModel
    store: Store
    workers: int
    show: Show
    cluster: RayCluster | None = None  # None: the workers are processes of this host
    storage: str | None = None  # folder or URL of the weights; None: beside the database, and in `folder`

    @cached_property
    def clock(self) -> Clock:
        """Seconds of each step."""
        return Clock(self.folder / "clock.json")

    @cached_property
    def num_classes(self) -> int:
        """Of the data."""
        return describe_data(self.data).num_classes

    @cached_property
    def latency_ms(self) -> Milliseconds:
        """Predicted milliseconds of a network."""
        return Milliseconds(self.latency)

    @cached_property
    def space(self) -> SearchSpace:
        """The study's space, for the classes of the data."""
        return load_space(self.study.space).with_num_classes(self.num_classes)

    @cached_property
    def reference(self) -> Architecture:
        """The network that is to be found again."""
        return SearchSpace(reference_spec(self.study.reference), self.num_classes).decode(())

    @cached_property
    def reference_choices(self) -> dict[str, object]:
        """What the reference chose in the space, before its filters were trimmed.

        Raises:
            SpecError: it is no point of the space.
        """
        return choices_of(self.space, self.space.encode(untrimmed(self.reference)))

    @cached_property
    def budget_ms(self) -> float:
        """What NetAdapt trims to, and all compared networks keep to."""
        return self.study.adapt.budget_ms or self.latency_ms(self.reference)

    @property
    def reward(self) -> str:
        """The study's, for which networks below NetAdapt's budget are no faster than it: nobody asks for that."""
        return f"{self.study.search.reward}@{self.budget_ms:.6g}"

    @cached_property
    def batch_ms(self) -> BatchCost:
        """Milliseconds of many genotypes at a time.

        Raises:
            SpecError: the target has no model of single ops.
        """
        if not isinstance(self.latency, OpSumModel):
            raise SpecError(f"{self.study.path}: target: {self.study.target} has no latencies of single ops")
        return compile_space(self.space, self.latency).estimate

    @cached_property
    def problem(self) -> Problem:
        """Networks of the space that keep to NetAdapt's budget."""
        return Problem(
            self.space,
            self.latency_ms,
            self.budget_ms,
            make_reward(self.reward, self.study.search.budget_ms),
            target=self.latency.target,
        )

    @cached_property
    def content(self) -> str:
        """A digest of the data: other images in the same folder are other results."""
        return digest(data_content(self.data))

    @cached_property
    def trainer(self) -> FullEvaluator:
        """Trains all networks that are compared; its folder is one of recipe and data."""
        train = self.scale.train
        recipe = Recipe(
            train.epochs,
            train.resolution,
            batch_size=train.batch_size,
            lr=train.lr,
            weight_decay=train.weight_decay,
            label_smoothing=train.label_smoothing,
        )
        of = digest(self.content, asdict(recipe), train.train_images, train.val_images)
        folder = open_folder(self.storage or str(self.folder)) / f"trained-{of}"
        return FullEvaluator(self.data, recipe, folder, train.train_images, train.val_images)

    def study_name(self, part: str) -> str:
        """Name of a study in the database."""
        return f"{self.study.name}-{self.scale.name}-{part}"

    def say(self, line: str) -> None:
        """A line for people; the clock hears of it, too."""
        self.clock.tick()
        self.show.say(line)

    @contextmanager
    def timed(self, listener: AbstractContextManager[Listener]) -> Iterator[Listener]:
        """The listener, of which the clock hears as well."""
        with listener as inner:
            yield _Timed(inner, self.clock)


class _Timed:
    """A listener that passes everything on and counts time."""

    def __init__(self, listener: Listener, clock: Clock) -> None:
        self._listener, self._clock = listener, clock
        self.started, self.reported = listener.started, listener.reported

    def ended(self, entry: Entry) -> None:
        """See `nas.study.Listener.ended`."""
        self._clock.tick()
        self._listener.ended(entry)

    def tick(self) -> None:
        """See `nas.study.Listener.tick`."""
        self._clock.tick()
        self._listener.tick()


def digest(*content: Any) -> str:
    """Eight hexadecimal digits of plain data."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:8]
