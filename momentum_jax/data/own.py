"""Labelled images of the user's own, from a .npz file."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from momentum_jax._files import open_regular
from momentum_jax._npz import UNREADABLE, Announced, announced, open_archive, read_array
from momentum_jax._text import cut, cut_path, listed
from momentum_jax.data.errors import DataError

if TYPE_CHECKING:
    from momentum_jax.data.datasets import Dataset

SUFFIX = ".npz"
MOST_BYTES = 2**32  # of one array; all of it goes to the device
_KINDS = (np.uint8, np.uint16)
_MOST_CHANNELS = 4
_NAMES = ("images", "labels", "test_images", "test_labels")


def read(path: Path) -> "Dataset":
    """The data set in a .npz file, which is read without unpickling anything.

    It holds `images`, (n, height, width) or (n, height, width, channels) with 1 to 4 channels, uint8 or
    uint16, and `labels`, (n,) integers from 0. Where a test set is to be kept apart, it also holds
    `test_images` and `test_labels` of the same kind. What the file announces is checked before any of it
    is unpacked.

    Raises:
      DataError: the file is missing, damaged, does not fit into memory, or holds something else.
    """
    from momentum_jax.data.datasets import Dataset

    try:
        with open_regular(path) as file:
            stored = open_archive(file)
            found = {name: announced(stored, name) for name in _NAMES if name in stored.files}
            _check(path, found, stored.files)
            arrays = {name: read_array(stored, name, MOST_BYTES) for name in found}
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"load: {cut_path(path)} cannot be read ({error.strerror or error}).") from None
    except UNREADABLE as error:
        what = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"load: {path} is no sound .npz file ({what}).") from None
    except MemoryError:
        raise DataError(f"load: {path} does not fit into memory; give fewer or smaller images.") from None
    for name in ("labels", "test_labels"):
        given = arrays.get(name)
        if given is not None and not 0 <= given.min() <= given.max() <= 255:
            raise DataError(f"load: {path}: {name} must be from 0 to 255, got {given.min()} to {given.max()}.")
    images, labels = arrays["images"], arrays["labels"].astype(np.uint8)
    test = None
    if "test_images" in arrays:
        test = range(len(images), len(images) + len(arrays["test_images"]))
        images = np.concatenate([images, arrays["test_images"]])
        labels = np.concatenate([labels, arrays["test_labels"].astype(np.uint8)])
    for array in (images, labels):
        array.flags.writeable = False
    classes = tuple(str(label) for label in range(int(labels.max()) + 1))
    return Dataset(path.stem, images, labels, float(np.iinfo(images.dtype).max), classes, test)


def _check(path: Path, found: Mapping[str, Announced], names: list[str]) -> None:
    """Shapes and kinds, as the headers of the arrays announce them."""
    _check_pair(path, found, names, "images", "labels")
    if "test_images" not in found and "test_labels" not in found:
        return
    _check_pair(path, found, names, "test_images", "test_labels")
    images, test_images = found["images"], found["test_images"]
    if (test_images.shape[1:], test_images.dtype) != (images.shape[1:], images.dtype):
        raise DataError(
            f"load: {path}: test_images must be like images, {images.dtype} of {images.shape[1:]}, "
            f"got {test_images.dtype} of {test_images.shape[1:]}."
        )


def _check_pair(path: Path, found: Mapping[str, Announced], names: list[str], images_name: str, labels_name: str) -> None:
    for name in (images_name, labels_name):
        if name not in found:
            held = listed(names) or "nothing"
            raise DataError(f"load: {path} must hold {images_name} and {labels_name}, got {held}.")
    images, labels = found[images_name], found[labels_name]
    sound = len(images.shape) in (3, 4) and 0 not in images.shape and all(each <= _MOST_CHANNELS for each in images.shape[3:])
    if images.dtype not in _KINDS or not sound:
        raise DataError(
            f"load: {path}: {images_name} must be (n, height, width) or (n, height, width, channels) of 1 to "
            f"{_MOST_CHANNELS} channels, uint8 or uint16, "
            f"got {cut(str(images.dtype))} of shape {cut(str(images.shape))}."
        )
    if labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"load: {path}: {labels_name} must be {images.shape[0]} integers, one an image, "
            f"got {cut(str(labels.dtype))} of shape {cut(str(labels.shape))}."
        )
