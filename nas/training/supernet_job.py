"""`SupernetJob`: a supernet by what it is made of; trained once, then kept in the user's cache."""

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from nas.errors import NasError
from nas.resources import cache_dir
from nas.space import SearchSpace, load_space
from nas.training.checkpoint import load_weights, save_weights
from nas.training.data import Data, data_content, describe_data, load_data
from nas.training.distributed import ALONE, Peers, run_together
from nas.training.loop import Recipe, pick_device
from nas.training.shared import SharedData, share_data
from nas.training.supernet import Family, SupernetRecipe, Watch, train_supernet

_FORMAT = 1  # of what is trained; another number makes cached supernets useless


@dataclass(frozen=True, slots=True)
class SupernetJob:
    """The supernet of a space (a name or a YAML file) for some data, and how it is trained."""

    space: str
    data: str
    recipe: SupernetRecipe
    train_images: int | None = None  # None: all

    @property
    def version(self) -> str:
        """What it is made of, in twelve digits: another content of the space's file or of the data is another supernet.

        Raises:
            NasError: no such space or data.
        """
        space = self._space()
        content = {
            "format": _FORMAT,
            "space": asdict(space.spec),
            "classes": space.num_classes,
            "data": data_content(self.data),
            "recipe": asdict(self.recipe),
            "images": self.train_images,
        }
        text = json.dumps(content, sort_keys=True, default=sorted)  # sets are all that JSON does not know
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def path(self) -> Path:
        """Where its weights are kept, one file for each version. Raises NasError: no such space or data."""
        name = f"{self._space().name}-{self.data.partition(':')[0]}-{self.version}"
        return cache_dir() / "supernets" / f"{name}.safetensors"

    def ready(self, watch: Watch, *, threads: int | None = None) -> Path:
        """The path of the trained weights; trains them, or goes on with that, if the cache has none.

        Where there are several GPUs all take part, each in a process of its own. On the CPU `threads` threads compute;
        None: torch's own choice. A second process that wants the same supernet waits for the first.

        Raises:
            NasError: data that cannot be had, a full disk, a training that diverges.
        """
        path = self.path
        if path.exists():
            return path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NasError(f"{path.parent}: {error.strerror}") from None
        with _alone(FileLock(path.with_suffix(".lock"))):
            if not path.exists():
                self._train(watch, threads)
        return path

    def load(self) -> Family:
        """The trained supernet, on the GPU if there is one.

        Raises:
            NasError: it has not been trained, or its file is broken.
        """
        family = _GIVEN.get(self) or self._read()
        family.supernet.to(pick_device(), memory_format=torch.channels_last)  # type: ignore[call-overload]
        return family

    def _read(self) -> Family:
        family = Family(self._space())
        try:
            load_weights(self.path, family.supernet)
        except NasError as error:
            advice = "; remove it, and the next search trains it again" if self.path.exists() else ""
            raise NasError(f"{error}{advice}") from None
        return family

    def shared(self, val_images: int | None = None) -> "SharedSupernet":
        """What workers of other hosts need of it. Raises NasError: it has not been trained."""
        images = share_data(self.data, self.recipe.training.resolution, self.train_images, val_images)
        return SharedSupernet(self, self._read(), images)

    def load_data(self, val_images: int | None = None) -> Data:
        """The images that it is trained on, and at most so many held out."""
        return load_data(self.data, resolution=self.recipe.training.resolution).limited(self.train_images, val_images)

    def _space(self) -> SearchSpace:
        return load_space(self.space).with_num_classes(describe_data(self.data).num_classes)

    def _train(self, watch: Watch, threads: int | None) -> None:
        gpus = torch.cuda.device_count()
        if gpus > 1:
            run_together(gpus, _run, (self, watch))
            return
        before = torch.get_num_threads()
        torch.set_num_threads(threads or before)
        try:
            _run((self, watch), ALONE)
        finally:
            torch.set_num_threads(before)


@dataclass(frozen=True, slots=True, eq=False)
class SharedSupernet:
    """A trained supernet on its way; calling it where it arrived puts it in place of the one in that host's cache."""

    job: SupernetJob
    family: Family
    images: SharedData

    def __call__(self) -> None:
        """From now on `job.load` and `job.load_data` of this process return these."""
        _GIVEN[self.job] = self.family
        self.images()


_GIVEN: dict[SupernetJob, Family] = {}


def supernet_job(
    space: str, data: str, *, resolution: int, epochs: int, train_images: int | None = None
) -> SupernetJob:
    """A supernet trained by the recipe of this package, for so many epochs, on images of so many pixels."""
    return SupernetJob(space, data, SupernetRecipe(Recipe(epochs, resolution, batch_size=64, lr=0.2)), train_images)


@contextmanager
def _alone(lock: FileLock) -> Iterator[None]:
    """Hold the lock; says so if another process has to be waited for."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("another process trains this supernet; waiting for it", file=sys.stderr, flush=True)
        lock.acquire()
    except OSError as error:
        raise NasError(f"{lock.lock_file}: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()


def _run(job: tuple[SupernetJob, Watch], peers: Peers) -> None:
    """Train as one of some processes; the first saves the result and removes what was saved on the way."""
    supernet, watch = job
    family = Family(supernet._space(), seed=supernet.recipe.training.seed)
    checkpoint = supernet.path.with_suffix(".checkpoint.safetensors")
    metrics = train_supernet(family, supernet.load_data(), supernet.recipe, watch, checkpoint, peers)
    if peers.rank == 0:
        about = {"space": supernet.space, "data": supernet.data, "metrics": json.dumps(metrics)}
        save_weights(supernet.path, family.supernet, about)
        checkpoint.unlink(missing_ok=True)
