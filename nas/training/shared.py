"""`share_data`: the images that trials need, read once and handed to other processes, perhaps of other hosts."""

from dataclasses import dataclass, replace

import numpy as np

from nas.training.data import ArrayPixels, Data, ImageSet, give_data, load_data

_LARGEST = 2 << 30  # bytes of images; of a larger folder only the paths are handed on


@dataclass(frozen=True, slots=True, eq=False)
class SharedData:
    """Images on their way; calling it where they arrived puts them in place of those that would be read there."""

    spec: str
    resolution: int
    data: Data

    def __call__(self) -> None:
        """From now on `load_data` of this process returns them."""
        give_data(self.spec, self.resolution, self.data)


def share_data(
    spec: str,
    resolution: int,
    train_images: int | None = None,
    val_images: int | None = None,
    *,
    test: bool = False,
) -> SharedData:
    """At most so many images to train and to validate on, and those to test on if asked for, in memory.

    Images of a folder are decoded here, once, unless they would take more than 2 GiB: then all hosts must have the
    folder under the same path.

    Raises:
        DataError: no such data set, or no way to get it.
    """
    data = load_data(spec, resolution=resolution).limited(train_images, val_images)
    if not test:
        data = replace(data, test=data.test.subset(np.arange(0)))
    train, val, tested = (_packed(images, resolution) for images in (data.train, data.val, data.test))
    return SharedData(spec, resolution, replace(data, train=train, val=val, test=tested))


def _packed(images: ImageSet, resolution: int) -> ImageSet:
    """The same images as one array."""
    if not isinstance(images.pixels, ArrayPixels) and len(images) * resolution**2 * 3 > _LARGEST:
        return images
    if not len(images):
        return ImageSet(ArrayPixels(np.empty((0, 1, 1, 3), np.uint8)), images.indices, images.labels)
    everything = np.arange(len(images))
    return ImageSet(ArrayPixels(np.ascontiguousarray(images.read(everything))), everything, images.labels)
