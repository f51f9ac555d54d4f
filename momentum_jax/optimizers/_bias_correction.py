"""Bias corrections of averages whose decay may be scheduled: 1 - prod(decay_i), kept as the sum of the logarithms."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from momentum_jax._hyperparameters import value_at
from momentum_jax.optimizers._precision import scalar_dtype
from momentum_jax.optimizers._state import first_step


def no_decay(decay: Any, params: Any) -> jax.Array:
    """log of the empty product of decays: 0 in the scalar dtype of `params`.

    It is made from the decay, so that inside `jax.shard_map` it varies over the mesh axes that the decay varies over.
    """
    return jnp.zeros_like(jnp.asarray(value_at(decay, first_step()), scalar_dtype(params)))


def log_decay(decay: Any, like: jax.Array) -> Any:
    """log(decay) in the dtype of `like`, accurate near 1 and with a finite derivative at 0.

    A running sum of these gives the bias correction of an average under a scheduled decay, 1 - prod(decay_i), by
    `bias_correction`: 1 - prod in float32 would be off by 1e-5 at the first step of a decay of 0.999.
    """
    if isinstance(decay, float):
        return jnp.asarray(math.log1p(decay - 1) if decay > 0 else -math.inf, like.dtype)
    decay = jnp.asarray(decay, like.dtype)
    near_zero = decay < 0.5
    low = jnp.log(jnp.where(near_zero, decay, 0.5) + 1e-30)
    return jnp.where(near_zero, low, jnp.log1p(jnp.where(near_zero, 0.5, decay) - 1))


def bias_correction(log_product: jax.Array) -> jax.Array:
    """1 - prod(decay_i) of the decays whose logarithms add up to `log_product`."""
    # Far from 0 the plain form is as accurate, and its derivative is exp(log_product) where JAX's of expm1 rounds to 0.
    return jnp.where(log_product < -0.7, 1 - jnp.exp(log_product), -jnp.expm1(log_product))
