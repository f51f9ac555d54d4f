"""Whole problems from `(init, apply)`: inputs with numbers, with classes, and a sequence of tokens.

`init(key) -> (params, state)` and `apply(params, state, x, *, key, train) -> (outputs, state)` are what the adapters return, or
any functions of this form.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from momentum_jax.training.classification import Model, problem_of_model
from momentum_jax.training.opaque import describe
from momentum_jax.training.problem import Problem, Table, higher, lower, random_split, rows
from momentum_jax.training.users import UserFunction

Split = Callable[[int], tuple[Any, Any, Any]]


def regression(
    init: Callable[..., Any], apply: Callable[..., Any], x: Any, y: Any, *, split: Split | None = None, **options: Any
) -> Problem:
    """Least squares: minimises the mean squared error between the outputs of `apply` and `y`.

    Scores: r2 (the primary one; of several targets the mean of each one's), mse, mae.

    Args:
      init, apply: the model; outputs have as many entries as the targets, (n,) or (n, targets).
      x: a tree of arrays (n, ...), handed to `apply` in their own dtypes.
      y: (n,) or (n, targets).
      split: as in `Table`; None: `random_split(n)`.
      options: further fields of the `Problem`.

    Raises:
      ValueError: y is not (n,) or (n, targets).

    Example: `regression(*of_nnx(lambda rngs: Net(rngs)), x, y)`.
    """
    if np.ndim(y) not in (1, 2):
        raise ValueError(f"regression: y must be (n,) or (n, targets), got {_shape(y)}.")
    apply = UserFunction("apply of the model", apply)
    scores = {"r2": higher(_r2), "mse": lower("squared_error"), "mae": lower("absolute_error")}
    data = Table((x, y), split or random_split(len(y)))
    return Problem(init, _Squared(apply), _Errors(apply), scores, data, **options)


def classifier(
    init: Callable[..., Any],
    apply: Callable[..., Any],
    x: Any,
    y: Any,
    *,
    split: Split | None = None,
    loss: Callable[[jax.Array, jax.Array], jax.Array] = optax.softmax_cross_entropy_with_integer_labels,
    **options: Any,
) -> Problem:
    """Classification of any inputs: minimises the mean of `loss`, by default the cross-entropy of logits in nats.

    Scores: accuracy (the primary one), loss, mcc, and the confusion matrix, which is kept.

    Args:
      init, apply: the model; outputs are (n, classes), the largest is the prediction.
      x: a tree of arrays (n, ...), handed to `apply` in their own dtypes.
      y: (n,) integers from 0.
      split: as in `Table`; None: `random_split(n, stratify=y)`.
      loss: `loss(outputs, labels) -> (n,)`.
      options: further fields of the `Problem`.

    Raises:
      ValueError: y that are not integers from 0 or have no class in the model, or a model that returns something else.

    Example: `classifier(*of_linen(Net(), x[:1]), x, y)`.
    """
    labels = np.asarray(y)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer) or labels.min(initial=0) < 0:
        least = f", at least {labels.min()}" if labels.size else ""
        raise ValueError(f"classifier: y must be (n,) integers from 0, got {_shape(labels)}{least}.")
    shapes = jax.tree.map(lambda each: jax.ShapeDtypeStruct((min(8, len(each)), *np.shape(each)[1:]), _dtype(each)), x)
    table = Table((x, y), split or random_split(len(labels), stratify=labels), _labelled)
    return problem_of_model("classifier: y", Model(init, apply, loss), shapes, labels, table)._replace(**options)


def next_token(
    init: Callable[..., Any],
    apply: Callable[..., Any],
    tokens: Any,
    length: int,
    *,
    split: Split | None = None,
    evaluation_batch: int = 64,
    **options: Any,
) -> Problem:
    """A language model: minimises the mean cross-entropy of each token of a window given those before it.

    The sequence is cut into windows of `length` tokens to predict, which are not predicted in any other window.
    Scores: bits_per_token (the primary one) and perplexity, both of all predicted tokens of the set.

    Args:
      init, apply: the model; inputs are (n, length) int32, outputs are (n, length, vocabulary) logits.
      tokens: (size,) integers from 0, kept on the device in their own dtype.
      length: tokens in a window.
      split: `split(seed)` gives the first positions of windows; None: the windows at multiples of `length`, by `random_split`.
      evaluation_batch, options: fields of the `Problem`.

    Raises:
      ValueError: tokens that are not integers from 0, or too few of them for one window.

    Example: `next_token(*of_nnx(lambda rngs: Transformer(rngs)), np.frombuffer(text, np.uint8), 64)`.
    """
    found = np.asarray(tokens)
    if found.ndim != 1 or not np.issubdtype(found.dtype, np.integer) or found.min(initial=0) < 0:
        raise ValueError(f"next_token: tokens must be (size,) integers from 0, got {_shape(found)}.")
    if isinstance(length, bool) or not isinstance(length, int | np.integer) or not 1 <= length < len(found):
        raise ValueError(f"next_token: length must be a whole number in [1, {len(found)}), the tokens, got {length!r}.")
    apply = UserFunction("apply of the model", apply)
    data = Table(tokens, split or _WindowSplit((len(found) - 1) // length, int(length)), _Windows(int(length)))
    scores = {"bits_per_token": lower(_bits), "perplexity": lower(_perplexity)}
    return Problem(init, _NextLoss(apply), _NextMeasure(apply), scores, data, evaluation_batch, **options)


# Frozen dataclasses instead of closures: equal ones find the programs that were compiled for one another.


@dataclass(frozen=True)
class _Squared:
    apply: Callable[..., Any]

    def __call__(self, params: Any, state: Any, batch: Any, key: jax.Array) -> tuple[jax.Array, Any]:
        x, y = batch
        outputs, state = self.apply(params, state, x, key=key, train=True)
        return jnp.mean((_like("regression", outputs, y) - y) ** 2), state


@dataclass(frozen=True)
class _Errors:
    apply: Callable[..., Any]

    def __call__(self, params: Any, state: Any, batch: Any, key: jax.Array) -> dict[str, jax.Array]:
        x, y = batch
        outputs, _ = self.apply(params, state, x, key=key, train=False)
        error = _like("regression", outputs, y) - y
        return {"target": y, "squared_error": error**2, "absolute_error": jnp.abs(error)}


@dataclass(frozen=True)
class _NextLoss:
    apply: Callable[..., Any]

    def __call__(self, params: Any, state: Any, batch: Any, key: jax.Array) -> tuple[jax.Array, Any]:
        logits, state = self.apply(params, state, batch[:, :-1], key=key, train=True)
        return jnp.mean(_nats(logits, batch)), state


@dataclass(frozen=True)
class _NextMeasure:
    apply: Callable[..., Any]

    def __call__(self, params: Any, state: Any, batch: Any, key: jax.Array) -> dict[str, jax.Array]:
        logits, _ = self.apply(params, state, batch[:, :-1], key=key, train=False)
        return {"nats": _nats(logits, batch)}


@dataclass(frozen=True)
class _Windows:
    """Windows of `length` + 1 tokens from their first positions: gathered first, then converted."""

    length: int

    def __call__(self, tokens: jax.Array, starts: jax.Array) -> jax.Array:
        return tokens[starts[:, None] + jnp.arange(self.length + 1)].astype(jnp.int32)


@dataclass(frozen=True)
class _WindowSplit:
    windows: int
    length: int

    def __call__(self, seed: int) -> tuple[Any, Any, Any]:
        train, validation, test = random_split(self.windows)(seed)
        return train * self.length, validation * self.length, test * self.length


def _labelled(arrays: Any, indices: jax.Array) -> tuple[Any, jax.Array]:
    x, y = rows(arrays, indices)
    return x, y.astype(jnp.int32)


def _like(who: str, outputs: jax.Array, y: jax.Array) -> jax.Array:
    """The outputs in the shape of the targets: (n, 1) against (n,) would spread to (n, n)."""
    if jnp.size(outputs) != jnp.size(y):
        raise ValueError(f"{who}: apply must return outputs like the targets, {describe(y)}, got {describe(outputs)}.")
    return jnp.reshape(outputs, jnp.shape(y))


def _r2(values: Any) -> jax.Array:
    """1 - sum (y - f)^2 / sum (y - mean y)^2 of each target, then their mean; as scikit-learn's `r2_score`."""
    y, squares = (each.reshape(len(each), -1) for each in (values["target"], values["squared_error"]))
    residual = jnp.sum(squares, axis=0)
    total = jnp.sum((y - jnp.mean(y, axis=0)) ** 2, axis=0)
    constant = jnp.where(residual == 0, 1.0, 0.0)
    return jnp.mean(jnp.where(total == 0, constant, 1 - residual / jnp.where(total == 0, 1, total)))


def _nats(logits: jax.Array, batch: jax.Array) -> jax.Array:
    expected = (*batch[:, 1:].shape, logits.shape[-1]) if logits.ndim else None
    if logits.shape != expected:
        raise ValueError(
            f"next_token: apply must return logits (n, length, vocabulary) for inputs {describe(batch[:, :-1])}, "
            f"got {describe(logits)}."
        )
    return optax.softmax_cross_entropy_with_integer_labels(logits, batch[:, 1:])


_mean_nats = lower("nats")


def _bits(values: Any) -> jax.Array:
    return _mean_nats(values) / math.log(2)


def _perplexity(values: Any) -> jax.Array:
    return jnp.exp(_mean_nats(values))


def _shape(array: Any) -> str:
    return f"{np.asarray(array).dtype}{list(np.shape(array))}"


def _dtype(array: Any) -> Any:
    return array.dtype if isinstance(array, jax.Array) else jax.dtypes.canonicalize_dtype(np.asarray(array).dtype)
