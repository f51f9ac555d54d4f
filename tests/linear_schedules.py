"""The schedules that the tests of the linear family drive its methods with: a rate in steps, a momentum that warms up."""

from typing import Any

import jax.numpy as jnp


def rate(t: Any) -> Any:
    return jnp.where(t < 15, 0.05, jnp.where(t < 35, 0.005, 0.02))


def momentum(t: Any) -> Any:
    return 0.5 + 0.4 * jnp.minimum(t, 30) / 30
