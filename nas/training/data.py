"""Labelled images: `describe_data` says what a data set is without reading it, `load_data` splits and opens it.

Nothing here needs torch.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nas.errors import DataError
from nas.training.cifar10 import CIFAR10_CLASSES, load_cifar10
from nas.training.imagefolder import FolderPixels, folder_content, list_images

Indices = NDArray[np.int64]
Rgb = tuple[float, float, float]

_SPLIT_SEED = 20181119  # fixed: all trials of all studies hold out the same images
_HOLDOUT_SHARE = 0.2  # of small sets; CIFAR-10 has a number of its own
_CIFAR10_HOLDOUT = 5000
_GIVEN: dict[tuple[str, int | None], "Data"] = {}


class Pixels(Protocol):
    """Where the images are."""

    def read(self, indices: Indices) -> NDArray[np.uint8]:
        """The images of these places, (B, H, W, 3)."""
        ...


@dataclass(frozen=True, slots=True)
class ArrayPixels:
    """Images in memory, or in a memory-mapped file, as (N, H, W, 3)."""

    array: NDArray[np.uint8]

    def read(self, indices: Indices) -> NDArray[np.uint8]:
        """The images of these places, (B, H, W, 3)."""
        return self.array[indices]


@dataclass(frozen=True, slots=True, eq=False)
class ImageSet:
    """Some images of a source, and their labels in the same order."""

    pixels: Pixels
    indices: Indices
    labels: Indices

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, places: Indices) -> NDArray[np.uint8]:
        """The images at these places of the set, (B, H, W, 3)."""
        return self.pixels.read(self.indices[places])

    def subset(self, places: Indices) -> "ImageSet":
        """The images at these places alone."""
        return ImageSet(self.pixels, self.indices[places], self.labels[places])


@dataclass(frozen=True, slots=True)
class DataInfo:
    """What can be said of a data set without reading its images; `resolution` is the one to train at by default."""

    name: str
    class_names: tuple[str, ...]
    resolution: int

    @property
    def num_classes(self) -> int:
        """How many classes a network for this data tells apart."""
        return len(self.class_names)


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """A data set, split: `val` is held out from the training set, `test` is not for searching.

    `mean` and `std` normalise values from 0 to 1; `flip` says whether a mirrored image means the same; `content` is
    that of `data_content`.
    """

    info: DataInfo
    train: ImageSet
    val: ImageSet
    test: ImageSet
    mean: Rgb
    std: Rgb
    content: str
    flip: bool = True

    def limited(self, train_images: int | None = None, val_images: int | None = None) -> "Data":
        """The same with at most so many images to train and to validate on; the classes keep their shares."""
        return replace(self, train=_first(self.train, train_images), val=_first(self.val, val_images))


def describe_data(spec: str) -> DataInfo:
    """What `cifar10`, `digits` or `imagefolder:DIR` is, without a download.

    Raises:
        DataError: no such data set, or a folder that is none.
    """
    match spec.partition(":"):
        case ("cifar10", "", ""):
            return DataInfo(spec, CIFAR10_CLASSES, resolution=64)
        case ("digits", "", ""):
            return DataInfo(spec, tuple("0123456789"), resolution=32)
        case ("imagefolder", ":", folder) if folder:
            return DataInfo(spec, list_images(Path(folder)).class_names, resolution=128)
        case _:
            raise DataError(f"unknown data {spec!r}; expected cifar10, digits or imagefolder:DIR")


def data_content(spec: str) -> str:
    """What tells one data set from another: its name, or for a folder a hash of its images.

    Raises:
        DataError: a folder that is none, or an image that cannot be read.
    """
    kind, _, folder = spec.partition(":")
    return spec if kind != "imagefolder" else f"{kind}:{folder_content(Path(folder))}"


def load_data(spec: str, *, resolution: int | None = None) -> Data:
    """The data set that `spec` names, its splits the same at every call.

    The images of a folder are cropped to squares of `resolution` pixels when they are read; the others keep
    the size that they have. CIFAR-10 is downloaded at the first call. Where `give_data` was called with the same
    arguments, its images are returned.

    Raises:
        DataError: no such data set, no way to get it, or a folder without usable images.
    """
    if (given := _GIVEN.get((spec, resolution))) is not None:
        return given
    info = describe_data(spec)
    if spec == "cifar10":
        return _cifar10(info)
    if spec == "digits":
        return _digits(info)
    return _imagefolder(info, Path(spec.partition(":")[2]), resolution or info.resolution)


def give_data(spec: str, resolution: int | None, data: Data) -> None:
    """Let `load_data` of this process return `data`; for workers that were handed what another host has read."""
    _GIVEN[spec, resolution] = data


def stratified_order(labels: Indices, rng: np.random.Generator) -> Indices:
    """A random order in which every beginning holds the classes in their shares, but for half an image per class.

    >>> labels = np.array([0, 0, 0, 0, 1, 1])
    >>> sorted(labels[stratified_order(labels, np.random.default_rng(0))[:3]].tolist())
    [0, 0, 1]
    """
    shuffled = rng.permutation(len(labels))
    due = np.empty(len(labels))
    for label in np.unique(labels):
        (members,) = np.nonzero(labels[shuffled] == label)
        due[members] = (np.arange(len(members)) + 0.5) / len(members)
    return shuffled[np.argsort(due, kind="stable")]


def _cifar10(info: DataInfo) -> Data:
    arrays = load_cifar10()
    train, val = _hold_out(_image_set(ArrayPixels(arrays.train_images), arrays.train_labels), _CIFAR10_HOLDOUT)
    test = _image_set(ArrayPixels(arrays.test_images), arrays.test_labels)
    return Data(info, train, val, test, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616), content=info.name)


def _digits(info: DataInfo) -> Data:
    from sklearn.datasets import load_digits  # noqa: PLC0415  # slow to import

    digits = load_digits()
    grey = np.round(digits.images * (255 / 16)).astype(np.uint8)  # values are 0 to 16
    everything = _image_set(ArrayPixels(np.repeat(grey[..., None], 3, axis=3)), digits.target)
    rest, test = _hold_out(everything, round(_HOLDOUT_SHARE * len(everything)))
    train, val = _hold_out(rest, round(_HOLDOUT_SHARE * len(rest)))
    return Data(info, train, val, test, mean=(0.305,) * 3, std=(0.376,) * 3, content=info.name, flip=False)


def _imagefolder(info: DataInfo, folder: Path, resolution: int) -> Data:
    listing = list_images(folder)
    rest = _image_set(FolderPixels(listing.train_paths, resolution), np.array(listing.train_labels))
    if listing.test_paths:
        test = _image_set(FolderPixels(listing.test_paths, resolution), np.array(listing.test_labels))
    else:
        rest, test = _hold_out(rest, round(_HOLDOUT_SHARE * len(rest)))
    train, val = _hold_out(rest, round(_HOLDOUT_SHARE * len(rest)))
    if not (len(train) and len(val) and len(test)):
        raise DataError(f"{folder}: {len(listing.train_paths)} images are too few to hold some out")
    # the statistics of ImageNet, as is usual for photographs
    content = data_content(info.name)
    return Data(info, train, val, test, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), content=content)


def _image_set(pixels: Pixels, labels: NDArray[np.integer]) -> ImageSet:
    return ImageSet(pixels, np.arange(len(labels)), labels.astype(np.int64))


def _hold_out(images: ImageSet, count: int) -> tuple[ImageSet, ImageSet]:
    """The others, and `count` held out; both in an order of which every beginning is stratified."""
    order = stratified_order(images.labels, np.random.default_rng(_SPLIT_SEED))
    return images.subset(order[count:]), images.subset(order[:count])


def _first(images: ImageSet, count: int | None) -> ImageSet:
    return images if count is None else images.subset(np.arange(min(count, len(images))))
