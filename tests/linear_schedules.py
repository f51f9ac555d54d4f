"""What the tests of the linear family share: a rate in steps, a momentum that warms up, either order of a chain."""

from typing import Any

import jax.numpy as jnp
import optax

import momentum_jax as mj


def rate(t: Any) -> Any:
    return jnp.where(t < 15, 0.05, jnp.where(t < 35, 0.005, 0.02))


def momentum(t: Any) -> Any:
    return 0.5 + 0.4 * jnp.minimum(t, 30) / 30


def inside(core: optax.GradientTransformation, eta: Any) -> optax.GradientTransformation:
    return optax.chain(mj.scale_by_learning_rate(eta), core)


def outside(core: optax.GradientTransformation, eta: Any) -> optax.GradientTransformation:
    return optax.chain(core, mj.scale_by_learning_rate(eta))
