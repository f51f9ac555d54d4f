"""What the trainer is given: a model as three functions, and examples with their splits."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np


class Model(NamedTuple):
    """A model as plain functions: `momentum_jax.training.model` builds it from Flax, any functions of one's own serve.

    init: `init(key) -> (params, model_state)`; the state holds what is not trained (running averages), `{}` for none.
    apply: `apply(params, model_state, x, *, key, train) -> (outputs, model_state)`; x is (batch, height, width) float32 in
      [0, 1], outputs are (batch, classes), the largest is the prediction; `key` is for dropout, fresh in every step.
    loss: `loss(outputs, labels) -> (batch,)`, one loss per example; labels are (batch,) int32.
    """

    init: Callable[..., Any]
    apply: Callable[..., Any]
    loss: Callable[..., Any]


class Examples(NamedTuple):
    """Images, labels and how they are split; one row of `train`, `validation` and `test` per split.

    images: (n, height, width) uint8 or uint16, kept so on the device; `images / scale` is in [0, 1].
    labels: (n,) integers from 0.
    train, validation, test: (splits, size) indices into images. `validation` and `test` may have size 0: the runs are then
      not evaluated on them.
    """

    images: Any
    labels: Any
    scale: float
    train: Any
    validation: Any
    test: Any


def check_examples(data: Examples) -> None:
    """Raises ValueError where the parts of `data` do not fit one another."""
    images, labels = np.shape(data.images), np.shape(data.labels)
    if len(images) < 2 or labels != images[:1]:
        raise ValueError(f"Examples: images must be (n, height, width) and labels (n,), got shapes {images} and {labels}.")
    classes = np.asarray(data.labels)
    if not np.issubdtype(classes.dtype, np.integer) or (classes.size and classes.min() < 0):
        found = f"{classes.dtype}, at least {classes.min()}" if classes.size else f"{classes.dtype}"
        raise ValueError(f"Examples: labels must be integers from 0, got {found}.")
    if not data.scale > 0:
        raise ValueError(f"Examples: scale must be positive, got {data.scale}.")
    rows = np.shape(data.train)[0] if np.ndim(data.train) == 2 else None
    for name in ("train", "validation", "test"):
        indices = np.asarray(getattr(data, name))
        if indices.ndim != 2 or indices.shape[0] != rows or not np.issubdtype(indices.dtype, np.integer):
            raise ValueError(
                f"Examples: {name} must be integer indices of shape (splits, size), one row per split in each, "
                f"got {indices.dtype} of shape {indices.shape}."
            )
        if indices.size and not (indices.min() >= 0 and indices.max() < images[0]):
            raise ValueError(f"Examples: {name} must index the {images[0]} images, got {indices.min()} to {indices.max()}.")
    if np.shape(data.train)[1] == 0 or not rows:
        raise ValueError("Examples: train must have at least one split of at least one example, got none.")


def batch_of(images: jax.Array, labels: jax.Array, scale: float, indices: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The images at `indices` as float32 in [0, 1] and their labels as int32: gathered first, then converted."""
    return images[indices].astype(np.float32) / scale, labels[indices].astype(np.int32)
