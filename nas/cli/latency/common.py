"""What the commands of `nas latency` share: options, draws of networks, measuring this machine, a progress bar."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, get_args

import click

from nas.architecture import Architecture
from nas.errors import LatencyError
from nas.latency.dtype import Dtype
from nas.latency.host import FLOAT, HOST, HostSetup, host_setup
from nas.latency.model import LatencyModel, OpSumModel
from nas.latency.targets import load_target
from nas.layers import Layer
from nas.space import SearchSpace

if TYPE_CHECKING:  # importing it means importing onnxruntime
    from nas.latency.bench import Effort

space_option = click.option(
    "--space", default="mobilenet_v3", show_default=True, help="The space that the networks are of."
)
classes_option = click.option(
    "--classes", default=1000, show_default=True, type=click.IntRange(min=1), help="Of the classifier."
)
threads_option = click.option("--threads", type=click.IntRange(min=1), help="Of the runtime.  [default: 1]")
dtype_option = click.option(
    "--dtype", type=click.Choice(get_args(Dtype)), help="int8: statically quantised.  [default: float32]"
)

miss_option = click.option(
    "--on-miss",
    type=click.Choice(["measure", "interpolate", "error"]),
    default="measure",
    show_default=True,
    help="Of ops that a table lacks. What cannot be measured from here is interpolated.",
)


def error_text(error: Mapping[str, float]) -> str:
    """The mean error of a device, for people."""
    return f"{error['mape']:.1f} % ({error['networks']:.0f} networks)"


def draw_networks(space: SearchSpace, count: int, seed: str, *, pruned: bool = False) -> list[Architecture]:
    """Random networks of the space, the same for a seed; a longer draw begins with the shorter one."""
    from nas.latency.pruned import pruned as cut  # noqa: PLC0415

    rng = Random(f"{seed} {pruned}")
    drawn = (space.decode(space.sample(rng)) for _ in range(count))
    return [cut(network, rng) if pruned else network for network in drawn]


def ready_target(name: str, space: SearchSpace) -> LatencyModel:
    """The latency model of a search's target; `host` is measured first where its table lacks ops of the space."""
    setup = host_setup(name)
    return measured_host(space, setup, quick=True) if setup else load_target(name)


def require_host(
    target: str, threads: int | None, dtype: Dtype | None, expected: str = f"only --target {HOST} can"
) -> HostSetup:
    """What of this machine is meant, by the target's name, as in `host-4t`, and the options, as in `--threads 4`.

    Raises:
        LatencyError: an unknown target, one that is elsewhere, or an option that contradicts its name.
    """
    setup = host_setup(target)
    if setup is None:
        load_target(target)  # an unknown one is another mistake
        raise LatencyError(f"{target} cannot be measured from here; {expected}")
    asked = HostSetup(threads or setup.threads, dtype or setup.dtype)
    if asked != setup != FLOAT:
        raise LatencyError(f"{target} is {setup.options}; expected {asked.options}, or no other --threads and --dtype")
    return asked


def measured_host(
    space: SearchSpace, setup: HostSetup, others: frozenset[Layer] = frozenset(), *, quick: bool
) -> OpSumModel:
    """The table of this machine with all ops of the space, and `others`."""
    from nas.latency.bench import FULL, QUICK  # noqa: PLC0415 - onnxruntime
    from nas.latency.measure import fill_host_table  # noqa: PLC0415 - onnxruntime

    effort = QUICK if quick else FULL
    networks, layers = networks_to_fit(space, effort), space.layers() | others
    with progress_bar("measuring ops and networks on this machine") as progress:
        return fill_host_table(layers, architectures=networks, setup=setup, effort=effort, progress=progress)


def networks_to_fit(space: SearchSpace, effort: "Effort") -> list[Architecture]:
    """The whole networks that the corrections of a table are fitted to."""
    return draw_networks(space, effort.networks, "fit") + draw_networks(space, effort.pruned, "fit", pruned=True)


@contextmanager
def progress_bar(text: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr with the time left; what it yields takes the steps done and their number.

    Nothing is shown before the first step: there may be nothing to do, or an error in place of it.
    """
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    bar = Progress(
        TextColumn(text), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=Console(stderr=True)
    )
    task = bar.add_task(text, total=None)

    def show(done: int, total: int) -> None:
        bar.start()  # which does nothing when it has been started
        bar.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        if bar.live.is_started:
            bar.stop()
