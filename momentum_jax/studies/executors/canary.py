"""A digest of 64 steps of a fixed small run: machines whose arithmetic differs in its last bits have different ones.

Processors with other vector units, other versions of a driver and other flags of XLA round differently. So does a product over
many rows where XLA works with another number of threads, which is the number of cores that a process may use.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from momentum_jax.training import Problem, Table, fixed_split, lower, train_many

_STEPS = 64
# The gradient is a product over so many rows: XLA divides it among its threads.
_ROWS, _WIDTH = 8_192, 32


@functools.cache
def canary(device: Any) -> str:
    """That of a device of this process."""
    trained = train_many(
        jax.random.key(0)[None],
        _adam,
        {"learning_rate": 0.01},
        _problem(),
        steps=_STEPS,
        devices=[device],
    )
    run, digest = trained.runs[0], hashlib.sha256()
    for array in [run.losses, *jax.tree.leaves(run.params)]:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


def _adam(learning_rate: Any) -> Any:
    import optax

    return optax.adam(learning_rate)


def _problem() -> Problem:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(_ROWS, _WIDTH)).astype(np.float32)
    y = draw.integers(0, _WIDTH, _ROWS).astype(np.int32)

    def init(key: jax.Array) -> Any:
        first, second = jax.random.split(key)
        return {"v": jax.random.normal(first, (_WIDTH, _WIDTH)), "w": jax.random.normal(second, (_WIDTH, _WIDTH))}, {}

    def errors(params: Any, batch: Any) -> jax.Array:
        inputs, labels = batch
        scores = jnp.tanh(inputs @ params["v"]) @ params["w"]
        return jax.nn.logsumexp(scores, axis=1) - jnp.take_along_axis(scores, labels[:, None], axis=1)[:, 0]

    rows = np.arange(_ROWS)
    return Problem(
        init=init,
        loss=lambda params, state, batch, key: (jnp.mean(errors(params, batch)), state),
        measure=lambda params, state, batch, key: {"loss": errors(params, batch)},
        scores={"loss": lower("loss")},
        data=Table((x, y), fixed_split(rows, rows[:0], rows[:0])),
    )
