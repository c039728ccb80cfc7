"""Processes that train together, one for each GPU."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, distributed
from torch.multiprocessing.spawn import ProcessException, spawn

from nas.errors import NasError

Job = TypeVar("Job")


@dataclass(frozen=True, slots=True)
class Peers:
    """The processes of one training as one of them sees them."""

    rank: int
    size: int

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors, which all processes have, by their mean over the processes."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        distributed.all_reduce(flat)
        flat /= self.size
        means = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, mean in zip(tensors, means, strict=True):
            tensor.copy_(mean.view(tensor.shape))


ALONE = Peers(0, 1)


def run_together(count: int, function: Callable[[Job, Peers], None], job: Job) -> None:
    """Call `function(job, peers)`, which must be picklable, in `count` new processes; an exception of one ends all.

    Raises:
        NasError: a process failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            spawn(_join, (count, f"file://{Path(folder, 'peers')}", function, job), nprocs=count)  # type: ignore[no-untyped-call]
        except ProcessException as error:  # its text ends with the process's exception, or with what killed it
            last = str(error).strip().splitlines()[-1]
            raise NasError(f"a process of the training failed: {last}") from error


def _join(rank: int, count: int, address: str, function: Callable[[Job, Peers], None], job: Job) -> None:
    on_gpus = torch.cuda.is_available()
    if on_gpus:
        torch.cuda.set_device(rank)
    distributed.init_process_group("nccl" if on_gpus else "gloo", init_method=address, rank=rank, world_size=count)
    try:
        function(job, Peers(rank, count))
    finally:
        distributed.destroy_process_group()
