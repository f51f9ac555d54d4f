"""The form that all conventions share: a gradient and one memory of gradients.

    s' = P_t s + W_t g          x' = x - (E_t g + C_t s')

x are the points where gradients are taken. QHM(L, b, nu) is P = b, W = 1 - b, E = L (1 - nu), C = L nu. The memory may be
scaled, s -> k_t s, without a change of any x: what counts is

    E_t          X_t = C_t W_t          p_t = P_t W_{t-1} / W_t

which is the form with W = 1, the learning rate outside. A convention fixes the scale: 1 (outside), the learning rate
(inside), 1 - P (an average).
"""

import math
import numbers
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.errors import ConcretizationTypeError, TracerArrayConversionError, TracerIntegerConversionError


class OnePole(NamedTuple):
    """The coefficients of one step: E, C, P, W."""

    direct: Any
    readout: Any
    decay: Any
    weight: Any


class Probe(NamedTuple):
    """A step of an invented run, where schedules are random sequences and traced numbers random numbers.

    Attributes:
      step: an int.
      draw: which run.
      keep_traced: traced numbers stand for themselves.
    """

    step: int
    draw: int = 0
    keep_traced: bool = False


PROBES = [Probe(step, draw) for draw in range(3) for step in range(5, 8)]


def before(t: Any) -> Any:
    """The step before; of step 0 itself, since nothing is remembered there and any finite value will do."""
    return t._replace(step=t.step - 1) if isinstance(t, Probe) else jnp.maximum(t - 1, 0)


def after(t: Any) -> Any:
    return t._replace(step=t.step + 1) if isinstance(t, Probe) else t + 1


def ratio(a: Any, b: Any) -> Any:
    """a / b, 1 where both are 0.

    Not where they are equal: XLA may compute a == b twice and round it differently, which made a / 1 of a / b.
    """
    if isinstance(a, float) and isinstance(b, float):
        return 1.0 if a == b else a / b if b else math.copysign(math.inf, a)
    empty = jnp.equal(a, 0) & jnp.equal(b, 0)
    return jnp.where(empty, 1.0, a / jnp.where(empty, 1.0, b))


def value_of(schedule: Callable[[Any], Any], t: Any) -> jax.Array:
    """A schedule at a step, in the widest float: Optax's give float32 also where the translation is of float64.

    Raises:
      TypeError: it is no real number.
    """
    value = schedule(t)
    must = "convert: a schedule must return a real number or a 0-d array"
    if not isinstance(value, (numbers.Number, np.generic, np.ndarray, jax.Array)):
        raise TypeError(f"{must}, got {value!r}.")
    array = jnp.asarray(value)
    if array.shape or jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise TypeError(f"{must}, got an array of {array.dtype}{list(array.shape)}.")
    return array.astype(float)


def values_at(schedule: Callable[[Any], Any], steps: int) -> jax.Array:
    """A schedule at the steps before `steps`, in one array.

    Raises:
      TypeError: the schedule cannot be traced, or gives no numbers.
    """
    try:
        return jax.vmap(lambda t: value_of(schedule, t))(jnp.arange(steps))
    except (ConcretizationTypeError, TracerArrayConversionError, TracerIntegerConversionError) as error:
        raise TypeError(
            "convert: a schedule must compute with jax.numpy, for its step is traced: jnp.where(step < 10, 0.1, 0.01) in the "
            "place of a Python `if`, jnp.cos of np.cos or math.cos."
        ) from error
