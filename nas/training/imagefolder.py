"""Folders of images: one sub-folder per class, below `train/` and, if there is one, `val/`, or directly."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from nas.errors import DataError

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".ppm", ".tif", ".tiff"})

_BEGINNING = 1 << 16  # bytes of an image that tell it from another of the same name and size


@dataclass(frozen=True, slots=True)
class FolderListing:
    """Paths and class numbers; `test_*` come from the folder `val/` and are empty where there is none."""

    class_names: tuple[str, ...]
    train_paths: tuple[Path, ...]
    train_labels: tuple[int, ...]
    test_paths: tuple[Path, ...] = ()
    test_labels: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class FolderPixels:
    """Images that are decoded each time they are read: scaled and cropped about their centre to squares.

    So a folder of any size can be trained on; the price is the decoding in every epoch.
    """

    paths: tuple[Path, ...]
    resolution: int

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The images of these places, (B, resolution, resolution, 3).

        Raises:
            DataError: an image that cannot be read; the message names it.
        """
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            images = pool.map(lambda index: read_image(self.paths[index], self.resolution), indices)
            return np.stack(list(images))


def read_image(path: Path, resolution: int) -> NDArray[np.uint8]:
    """One image as (resolution, resolution, 3).

    Raises:
        DataError: no image, or a broken one.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(ImageOps.fit(image.convert("RGB"), (resolution, resolution), Image.Resampling.BILINEAR))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # what PIL's decoders raise
        raise DataError(f"{path}: not a readable image ({error}); repair or remove it") from None


def list_images(folder: Path) -> FolderListing:
    """What the folder holds; images are not opened.

    Raises:
        DataError: no such folder, no images, fewer than two classes, or a class in `val/` that `train/` lacks.
    """
    try:
        return _listing(folder)
    except OSError as error:
        raise DataError(f"{error.filename}: {error.strerror}") from None


def folder_content(folder: Path) -> str:
    """Hash of the images' places, sizes and first 64 KiB: the same for a copy of the folder, another once one changed.

    Raises:
        DataError: as `list_images`, or an image that cannot be read.
    """
    listing = list_images(folder)
    try:
        files = [(path, path.stat()) for path in (*listing.train_paths, *listing.test_paths)]
        return _content(folder, tuple((path, about.st_size, about.st_mtime_ns) for path, about in files))
    except OSError as error:
        raise DataError(f"{error.filename}: {error.strerror}") from None


@lru_cache(maxsize=8)  # as long as no time of a file changes, its bytes need not be read again
def _content(folder: Path, files: tuple[tuple[Path, int, int], ...]) -> str:
    content = hashlib.sha256()
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        beginnings = pool.map(_beginning, [path for path, _, _ in files])
        for (path, size, _), beginning in sorted(zip(files, beginnings, strict=True)):
            content.update(f"{path.relative_to(folder).as_posix()} {size} {beginning}\n".encode())
    return content.hexdigest()[:16]


def _beginning(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.sha256(file.read(_BEGINNING)).hexdigest()


def _listing(folder: Path) -> FolderListing:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected one with a sub-folder of images for each class")
    train = folder / "train" if (folder / "train").is_dir() else folder
    class_names = tuple(sorted(entry.name for entry in train.iterdir() if entry.is_dir() and _images(entry)))
    if len(class_names) < 2:
        found = f"images of one class only ({class_names[0]})" if class_names else "no images in class folders"
        raise DataError(f"{train}: {found}; expected at least two sub-folders with images, one for each class")
    paths, labels = _labelled(train, class_names)
    val = folder / "val"
    if train == folder or not val.is_dir():
        return FolderListing(class_names, paths, labels)
    if unknown := sorted({entry.name for entry in val.iterdir() if entry.is_dir()} - set(class_names)):
        raise DataError(f"{val}: class {unknown[0]!r} has no images in {train}")
    test_paths, test_labels = _labelled(val, class_names)
    if not test_paths:
        raise DataError(f"{val}: no images in class folders; remove it, or fill it")
    return FolderListing(class_names, paths, labels, test_paths, test_labels)


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def _labelled(folder: Path, class_names: tuple[str, ...]) -> tuple[tuple[Path, ...], tuple[int, ...]]:
    found = [
        (path, label)
        for label, name in enumerate(class_names)
        if (folder / name).is_dir()
        for path in _images(folder / name)
    ]
    return tuple(path for path, _ in found), tuple(label for _, label in found)
