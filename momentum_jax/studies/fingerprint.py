"""What a problem and a user's optimizers are, as digests: by them a study that is resumed refuses others.

A function is its StableHLO text at the study's shapes, without debug information: comments, names of files and the places of
functions do not count, and constants that a closure captures do. Data are their bytes.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from momentum_jax._text import quoted
from momentum_jax.studies.errors import StudyWarning
from momentum_jax.studies.resolve import Optimizer
from momentum_jax.training import Problem, Stream, Table
from momentum_jax.training.blocks import alike
from momentum_jax.training.opaque import take_apart

# Of captured constants, above which their text is a burden: 1 MB, two hexadecimal digits a byte.
_MOST_DIGITS = 2_000_000
# Steps of a stream that are looked at.
_STEPS = 3


def of_problem(problem: Problem, rows: int | None, seed: int) -> dict[str, str]:
    """A digest of each function of the problem, by its name.

    Args:
      rows: of a batch of a table. seed: of which a stream is asked.

    Warns:
      StudyWarning: a function captures arrays of more than 1 MB.
    """
    key = jax.ShapeDtypeStruct((), jax.random.key(0).dtype)
    found, data, batch = {"init": _text("init", problem.init, key)}, problem.data, None
    params, state = jax.eval_shape(problem.init, key)
    if isinstance(data, Table):
        arrays, indices = jax.tree.map(_shape, data.arrays), jax.ShapeDtypeStruct((rows or 1,), jnp.int32)
        batch = jax.eval_shape(data.take, arrays, indices)
        found["take"] = _text("take", data.take, arrays, indices)
    measured = batch
    if isinstance(data, Stream) and data.validation is not None:
        # What is measured may hold other arrays than what is trained on.
        batch, measured = (jax.tree.map(_shape, each) for each in (data.train(seed, 0), next(iter(data.validation()))))
    found["loss"] = _text("loss", problem.loss, params, state, batch, key)
    found["measure"] = _text("measure", problem.measure, params, state, measured, key)
    values = jax.eval_shape(problem.measure, params, state, measured, key)
    for name, score in problem.scores.items():
        meaning = f"mean {score.of}" if isinstance(score.of, str) else _text(f"score {name!r}", score.of, values)
        found[f"score {name!r}"] = f"{meaning} {score.better} {score.worst} {score.percent}"
    # Their order counts: the first ranked score is the primary one.
    found["scores"] = f"{list(problem.scores)}"
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in found.items()}


def of_data(problem: Problem, seed: int) -> str | None:
    """A digest of all arrays of a table and of its split for a seed; of a stream's first batches for it, and all others."""
    data, digest = problem.data, hashlib.sha256()
    if data is None:
        return None
    if isinstance(data, Table):
        _add(digest, [data.arrays, [np.asarray(part, np.int64) for part in data.split(seed)]])
    else:
        _add(digest, [data.train(seed, step) for step in range(_STEPS)])
        for name in ("validation", "test"):
            part = getattr(data, name)
            _add(digest, alike(name, part()) if part is not None else [])
    return digest.hexdigest()


def of_optimizer(optimizer: Optimizer, params: Any) -> str:
    """A digest of an optimizer's init and update on such parameters, its real hyperparameters as arguments."""

    def step(numbers: Any, params: Any, gradient: Any) -> Any:
        built = optax.with_extra_args_support(optimizer.make(**numbers))
        state = built.init(params)
        value, grad_fn = jnp.float32(1.0), lambda at: jax.tree.map(jnp.cos, at)
        return take_apart((state, built.update(gradient, state, params, value=value, grad_fn=grad_fn)))[0]

    numbers = {name: jax.ShapeDtypeStruct((), jnp.float32) for name in optimizer.numbers}
    text = _text(f"optimizer {quoted(optimizer.text)}", step, numbers, params, params)
    return hashlib.sha256(text.encode()).hexdigest()


def _text(what: str, function: Callable[..., Any], *shapes: Any) -> str:
    # Around a lambda, as a function's own name is in the text.
    text = jax.jit(lambda *arguments: function(*arguments)).lower(*shapes).as_text()
    captured = sum(len(found) for found in re.findall('"0x([0-9A-F]*)"', text))
    if captured > _MOST_DIGITS:
        size = captured / 2e6
        warnings.warn(
            f"Problem: {what} captures arrays of {size:.1f} MB; put them in Table.arrays.", StudyWarning, stacklevel=3
        )
    return text


def _add(digest: Any, trees: Iterable[Any]) -> None:
    for tree in trees:
        for path, leaf in jax.tree.leaves_with_path(tree):
            array = np.ascontiguousarray(leaf)
            digest.update(f"{jax.tree_util.keystr(path)}{array.dtype.str}{array.shape}".encode())
            digest.update(array.reshape(-1).view(np.uint8).data)


def _shape(array: Any) -> jax.ShapeDtypeStruct:
    dtype = array.dtype if isinstance(array, jax.Array) else jax.dtypes.canonicalize_dtype(np.asarray(array).dtype)
    return jax.ShapeDtypeStruct(np.shape(array), dtype)
