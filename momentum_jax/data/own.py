"""Labelled images of the user's own, from a .npz file."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from momentum_jax._npz import UNREADABLE, open_archive
from momentum_jax.data.errors import DataError

if TYPE_CHECKING:
    from momentum_jax.data.datasets import Dataset

SUFFIX = ".npz"
_KINDS = (np.uint8, np.uint16)


def read(path: Path) -> "Dataset":
    """The data set in a .npz file, which is read without unpickling anything.

    It holds `images` (n, height, width) uint8 or uint16, `labels` (n,) integers from 0, and, where a test set is to be kept
    apart, `test_images` and `test_labels` of the same kind.

    Raises:
      DataError: the file is missing, damaged, or holds something else.
    """
    from momentum_jax.data.datasets import Dataset

    try:
        with open(path, "rb") as file:
            stored = open_archive(file)
            arrays = {name: stored[name] for name in stored.files}
    except OSError as error:
        raise DataError(f"load: {path} cannot be read ({error.strerror or error}).") from None
    except UNREADABLE as error:
        what = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"load: {path} is no sound .npz file ({what}).") from None
    images, labels = _pair(path, arrays, "images", "labels")
    test = None
    if "test_images" in arrays or "test_labels" in arrays:
        test_images, test_labels = _pair(path, arrays, "test_images", "test_labels")
        if (test_images.shape[1:], test_images.dtype) != (images.shape[1:], images.dtype):
            raise DataError(
                f"load: {path}: test_images must be like images, {images.dtype} of {images.shape[1:]}, "
                f"got {test_images.dtype} of {test_images.shape[1:]}."
            )
        test = range(len(images), len(images) + len(test_images))
        images, labels = np.concatenate([images, test_images]), np.concatenate([labels, test_labels])
    for array in (images, labels):
        array.flags.writeable = False
    classes = tuple(str(label) for label in range(int(labels.max()) + 1))
    return Dataset(path.stem, images, labels, float(np.iinfo(images.dtype).max), classes, test)


def _pair(path: Path, arrays: dict[str, np.ndarray], images_name: str, labels_name: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and their labels, checked."""
    for name in (images_name, labels_name):
        if name not in arrays:
            raise DataError(f"load: {path} must hold {images_name} and {labels_name}, got {', '.join(arrays) or 'nothing'}.")
    images, labels = arrays[images_name], arrays[labels_name]
    if images.dtype not in _KINDS or images.ndim != 3 or not images.size:
        raise DataError(
            f"load: {path}: {images_name} must be (n, height, width), uint8 or uint16, "
            f"got {images.dtype} of shape {images.shape}."
        )
    if labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"load: {path}: {labels_name} must be {len(images)} integers, one an image, "
            f"got {labels.dtype} of shape {labels.shape}."
        )
    if not 0 <= labels.min() <= labels.max() <= 255:
        raise DataError(f"load: {path}: {labels_name} must be from 0 to 255, got {labels.min()} to {labels.max()}.")
    return images, labels.astype(np.uint8)
