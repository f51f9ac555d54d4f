"""The data sets in memory: integer images, as they were published, and how they are divided."""

import gzip
import os
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from momentum_jax._text import quoted
from momentum_jax.data import idx, own
from momentum_jax.data.download import fetch
from momentum_jax.data.errors import DataError, required_by
from momentum_jax.data.sources import (
    SHAPES,
    SOURCES,
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    VARIABLE,
    Place,
    check_name,
    fetch_command,
    locate,
)


class Split(NamedTuple):
    """Indices into the images of a Dataset: int32 arrays, disjoint, together all of them.

    Training and validation indices are in random order, so that the first n of them are a uniform sample.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images, all of a data set, in the published order.

    `images`: (n, height, width), uint8, or uint16 where blocks were summed; of one's own perhaps uint16, or
    (n, height, width, channels). `images / scale` is in [0, 1].
    `labels`: (n,), uint8, indices into `classes`.
    `official_test`: where the published test set lies in `images`; None where none was published.
    The arrays are read-only.
    """

    name: str
    images: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    scale: float
    classes: tuple[str, ...]
    official_test: range | None

    def split(self, seed: int) -> Split:
        """Divides the data set into training, validation and test sets.

        The test set is the same for every seed, so that no seed trains on what another is tested on: the published one, or
        where none was published a fixed fifth of each class. Of the other images the seed chooses a sixth for validation
        (10,000 of 60,000), or where none was published as many of each class as are tested on.

        The same seed gives the same split on every platform and with every NumPy: it is the order that sorts the raw
        64-bit outputs of PCG64, which NumPy promises to keep (NEP 19), as it does not `Generator.permutation`.

        Args:
            seed: an integer >= 0.

        Raises:
            ValueError: the seed is negative, or there are too few images for three parts that are not empty.
            TypeError: the seed is no integer.
        """
        if isinstance(seed, bool) or not isinstance(seed, Integral):
            raise TypeError(f"split: seed must be an integer >= 0, got {quoted(seed)}.")
        if seed < 0:
            raise ValueError(f"split: seed must be an integer >= 0, got {quoted(seed)}.")
        order = _order(seed, len(self.labels))
        if self.official_test is None:
            split = _stratified(_order(_FIXED, len(self.labels)), order, self.labels)
        else:
            test = np.asarray(self.official_test, np.int32)
            rest = order[~np.isin(order, test)]
            split = Split(train=rest[len(rest) // 6 :], validation=rest[: len(rest) // 6], test=test)
        if not all(map(len, split)):
            sizes = ", ".join(f"{len(part)} for {part_name}" for part_name, part in split._asdict().items())
            raise ValueError(f"split: {quoted(self.name)} has too few images to be divided: {sizes}.")
        return split


# Of the fixed test sets; not among the seeds that anybody counts up to.
_FIXED = 2**64 - 1


def _order(seed: int, count: int) -> np.ndarray:
    """A random order of `count` indices."""
    return np.argsort(np.random.PCG64(int(seed)).random_raw(count), kind="stable").astype(np.int32)


def _stratified(fixed: np.ndarray, order: np.ndarray, labels: np.ndarray) -> Split:
    """Of each class the first fifth in the order `fixed` for testing, and as many of the others, in `order`, for validation."""
    test = np.sort(np.concatenate([_first_fifth(fixed[labels[fixed] == label]) for label in np.unique(labels)]))
    rest = order[~np.isin(order, test)]
    counts = {label: len(_first_fifth(np.flatnonzero(labels == label))) for label in np.unique(labels)}
    chosen = np.zeros(len(rest), bool)
    for label, count in counts.items():
        chosen[np.flatnonzero(labels[rest] == label)[:count]] = True
    return Split(train=rest[~chosen], validation=rest[chosen], test=test)


def _first_fifth(indices: np.ndarray) -> np.ndarray:
    return indices[: (len(indices) + 2) // 5]  # to the nearest


def load(name: str, *, directory: str | os.PathLike[str] | None = None, size: int | None = None) -> Dataset:
    """Loads a data set.

    The files of "mnist" and "fashion_mnist" (`<directory>/<name>/train-images-idx3-ubyte.gz` and so on) are those of
    `directory` if it is given, else of the directory that the environment variable MOMENTUM_JAX_DATA names, else of the
    cache, into which they are downloaded when they are not there. "digits" travels with scikit-learn and heeds neither.

    Files of a directory of the user's may be others than the published ones, of fewer images say; they must be sound
    (gzip, magic number, 28 x 28, as many labels as images, labels from 0 to 9), and `verify` tells whether they are the
    published ones. Files of the cache always are.

    Args:
        name: one of NAMES, or a path that ends in ".npz", with images of the user's own (`data.own.read` says how).
        directory: a directory that has a folder `name`.
        size: 14 sums the 2 x 2 blocks of images of 28 x 28 into uint16, of scale 4 * 255; None or the images' own size
            leaves them as they are.

    Returns:
        A Dataset: of MNIST and Fashion-MNIST the 60,000 training images, then the 10,000 test images.

    Raises:
        DataError: an unknown name, a size that these images cannot have, a file that is missing, unreadable, damaged or
            of the wrong kind, or not to be downloaded. One line, with the file and the remedy.
        TypeError: an argument of the wrong type.
    """
    if isinstance(name, str) and name.endswith(own.SUFFIX):
        dataset = own.read(Path(name))
        if size not in (None, *dataset.images.shape[1:3]):
            raise DataError(f"load: size must be None for images of one's own, got {quoted(size)}.")
        return dataset
    check_name("load", name)
    if size is not None and (isinstance(size, bool) or not isinstance(size, Integral)):
        raise TypeError(f"load: size must be an integer or None, got {quoted(size)}.")
    sizes = (8,) if name == "digits" else (28, 14)
    if size is not None and size not in sizes:
        raise DataError(f"load: size must be {' or '.join(map(str, sizes))} or None for {name!r}, got {quoted(size)}.")
    if name == "digits":
        return _digits()
    place = locate("load", name, directory)
    if place.is_cache:
        fetch(name)
    train_images, train_labels = _read(name, place, TRAIN_IMAGES, TRAIN_LABELS)
    test_images, test_labels = _read(name, place, TEST_IMAGES, TEST_LABELS)
    images = np.concatenate([train_images, test_images])
    return Dataset(
        name=name,
        images=_read_only(_block_sums(images) if size == 14 else images),
        labels=_read_only(np.concatenate([train_labels, test_labels])),
        scale=1020.0 if size == 14 else 255.0,
        classes=SOURCES[name].classes,
        official_test=range(len(train_labels), len(images)),
    )


def _read(name: str, place: Place, images_file: str, labels_file: str) -> tuple[np.ndarray, np.ndarray]:
    images_path, labels_path = place.folder / images_file, place.folder / labels_file
    try:
        images = idx.read(images_path, SHAPES[images_file])
        labels = idx.read(labels_path, SHAPES[labels_file])
        if len(labels) != len(images):
            raise DataError(f"{labels_path} has {len(labels):,} labels, {images_path} has {len(images):,} images.")
        if len(bad := np.flatnonzero(labels >= len(SOURCES[name].classes))):
            most = len(SOURCES[name].classes) - 1
            raise DataError(f"{labels_path}: labels must be from 0 to {most}, label {bad[0]} is {labels[bad[0]]}.")
    except DataError as error:
        raise DataError(f"load: {error} {_remedy(name, place, error.__cause__)}") from error
    return images, labels


def _remedy(name: str, place: Place, cause: BaseException | None) -> str:
    if isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError | gzip.BadGzipFile):
        return f"Make it a file that can be read, or give another directory, as argument or by {VARIABLE}."
    missing = isinstance(cause, FileNotFoundError)
    return (
        f"Put the published file there by {fetch_command(name, place, force=not missing)}, "
        f"or give another directory, as argument or by {VARIABLE}."
    )


def _block_sums(images: np.ndarray) -> np.ndarray:
    rows = images[:, ::2].astype(np.uint16) + images[:, 1::2]
    return rows[:, :, ::2] + rows[:, :, 1::2]


def _digits() -> Dataset:
    with required_by("load", "the data set 'digits'"):
        from sklearn.datasets import load_digits
    bunch: Any = load_digits()
    return Dataset(
        name="digits",
        images=_read_only(bunch.images.astype(np.uint8)),
        labels=_read_only(bunch.target.astype(np.uint8)),
        scale=16.0,
        classes=tuple("0123456789"),
        official_test=None,
    )


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
