"""Classification: a model of three functions and its examples, as a Problem."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from momentum_jax.training.metrics import accuracy, confusion_matrix, matthews_correlation
from momentum_jax.training.problem import Problem, Score, Table, higher, kept, lower
from momentum_jax.training.users import UserFunction

# How many examples a model is shown, as shapes, to see what it returns.
_SHOWN = 8


class Model(NamedTuple):
    """A classifier of images as plain functions: `momentum_jax.training.model` builds it from Flax, any others serve too.

    init: `init(key) -> (params, model_state)`; the state holds what is not trained (running averages), `{}` for none.
    apply: `apply(params, model_state, x, *, key, train) -> (outputs, model_state)`; x is (batch, height, width) or
      (batch, height, width, channels), float32 in [0, 1], outputs are (batch, classes), the largest is the prediction; `key`
      is for dropout, fresh in every step.
    loss: `loss(outputs, labels) -> (batch,)`, one loss per example; labels are (batch,) int32.
    axes: those of the `Problem`: which axes of the parameters form matrices, for optimizers that ask.
    """

    init: Callable[..., Any]
    apply: Callable[..., Any]
    loss: Callable[..., Any]
    axes: Any = None


class Examples(NamedTuple):
    """Images, labels and how they are split; one row of `train`, `validation` and `test` per split.

    images: (n, height, width) or (n, height, width, channels), uint8 or uint16, kept so on the device; `images / scale` is in
      [0, 1].
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

    def split(self, row: int) -> tuple[Any, Any, Any]:
        """The indices of one split."""
        return self.train[row], self.validation[row], self.test[row]


def classification(model: Model, examples: Examples) -> Problem:
    """The problem that `train_many(..., model, examples, ...)` trains; its seeds are rows of the splits.

    Scores: accuracy (the primary one), loss (the mean of `model.loss`), mcc, and the confusion matrix, which is kept.

    Raises:
      ValueError: parts of `examples` that do not fit one another, a model that does not give what `Model` says, or labels that
        it has no class for.

    Example: `train_many(keys, optax.sgd, {"learning_rate": 0.1}, classification(mlp(), examples), steps=100, batch_size=32)`.
    """
    _check_examples(examples)
    images = jax.ShapeDtypeStruct((_SHOWN, *np.shape(examples.images)[1:]), jnp.float32)
    table = Table((examples.images, examples.labels), examples.split, _Pictures(float(examples.scale)))
    return problem_of_model("Examples: labels", model, images, examples.labels, table)


def problem_of_model(what: str, model: Model, inputs: Any, labels: Any, table: Table) -> Problem:
    """The Problem of a model whose batches are (inputs, labels).

    Args:
      what: who is told off for the labels.
      inputs: shapes of the inputs of one batch.
      labels: all of them.
    """
    axes, parts = model.axes, zip(Model._fields[:3], model[:3], strict=True)
    # Without the axes, which may be a dict: models are compared where their programs are kept.
    model = Model(*(UserFunction(f"the model's {role}", part) for role, part in parts))
    classes = _classes(what, model, inputs, labels)
    return Problem(model.init, _Loss(model), _Measure(model), _scores(classes), table, axes=axes)


def _scores(classes: int) -> dict[str, Score]:
    return {
        "accuracy": higher(_OfConfusion(accuracy, classes), worst=0.0, percent=True),
        "loss": lower("loss"),
        "mcc": higher(_OfConfusion(matthews_correlation, classes), worst=-1.0),
        "confusion": kept(_Confusion(classes)),
    }


# Frozen dataclasses instead of closures: equal ones find the programs that were compiled for one another.


@dataclass(frozen=True)
class _Pictures:
    """Images as float32 in [0, 1] and labels as int32: gathered first, then converted."""

    scale: float

    def __call__(self, arrays: Any, indices: jax.Array) -> tuple[jax.Array, jax.Array]:
        images, labels = arrays
        return images[indices].astype(np.float32) / self.scale, labels[indices].astype(np.int32)


@dataclass(frozen=True)
class _Loss:
    model: Model

    def __call__(self, params: Any, state: Any, batch: Any, key: jax.Array) -> tuple[jax.Array, Any]:
        x, y = batch
        outputs, state = self.model.apply(params, state, x, key=key, train=True)
        return jnp.mean(self.model.loss(outputs, y)), state


@dataclass(frozen=True)
class _Measure:
    model: Model

    def __call__(self, params: Any, state: Any, batch: Any, key: jax.Array) -> dict[str, jax.Array]:
        x, y = batch
        outputs, _ = self.model.apply(params, state, x, key=key, train=False)
        losses = self.model.loss(outputs, y).astype(jnp.float32)
        return {"loss": losses, "label": y, "predicted": jnp.argmax(outputs, axis=-1)}


@dataclass(frozen=True)
class _Confusion:
    classes: int

    def __call__(self, values: Any) -> jax.Array:
        return confusion_matrix(values["label"], values["predicted"], self.classes)


@dataclass(frozen=True)
class _OfConfusion:
    metric: Callable[[jax.Array], jax.Array]
    classes: int

    def __call__(self, values: Any) -> jax.Array:
        return self.metric(_Confusion(self.classes)(values))


def _check_examples(data: Examples) -> None:
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


def _classes(what: str, model: Model, inputs: Any, labels: Any) -> int:
    """How many classes a model tells apart, after a check that it gives what `Model` says and has one for each label."""
    key = jax.random.key(0)
    size = jax.tree.leaves(inputs)[0].shape[0]

    def shapes(part: str, form: str, function: Callable[..., Any], *arguments: Any) -> tuple[Any, Any]:
        found = jax.eval_shape(function, *arguments)
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise ValueError(f"Model: {part} must return {form}, got {type(found).__name__}.")
        return found[0], found[1]

    params, state = shapes("init", "(params, model_state)", model.init, key)
    outputs, _ = shapes(
        "apply",
        "(outputs, model_state)",
        lambda p, s, x, key: model.apply(p, s, x, key=key, train=True),
        params,
        state,
        inputs,
        key,
    )
    shape = getattr(outputs, "shape", ())
    if len(shape) != 2 or shape[0] != size or not jnp.issubdtype(outputs.dtype, jnp.floating):
        raise ValueError(
            f"Model: apply must return floating outputs of shape (batch, classes), got {_found(outputs)} for a batch of {size}."
        )
    largest = int(np.max(labels))
    if largest >= shape[1]:
        raise ValueError(f"{what} must be below {shape[1]}, the classes of the model, got {largest}.")
    loss = jax.eval_shape(model.loss, outputs, jax.ShapeDtypeStruct((size,), jnp.int32))
    if getattr(loss, "shape", None) != (size,) or not jnp.issubdtype(loss.dtype, jnp.floating):
        raise ValueError(f"Model: loss must return one floating loss for each of {size} examples, got {_found(loss)}.")
    return shape[1]


def _found(value: Any) -> str:
    return f"{value.dtype} of shape {value.shape}" if hasattr(value, "shape") else type(value).__name__
