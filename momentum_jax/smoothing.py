"""Moving averages along time, and what their first values lack.

    simple         a_t = (v_t + ... + v_{t-n+1}) / n                      n = window
    exponential    a_t = β a_{t-1} + (1 - β) v_t,   a_0 = 0               v_s weighs (1 - β) β^(t-s)

Both take what came before the first value as 0, so the first averages are too near 0: the weights of the values that there
are add up to min(t, n) / n and to 1 - β^t at the t-th value, not to 1 (`simple_weight_sums`, `exponential_weight_sums`).
Divided by those sums, which is what `debias=True` does, they are weighted means of the values so far.

An average looks back only: it lags by (n - 1) / 2 and β / (1 - β) values. Of independent values of variance s² it has in the
long run variance s² / n and s² (1 - β) / (1 + β).
"""

import math
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from momentum_jax._hyperparameters import AtLeastOne, AtLeastZero, AverageDecayNumber, Bool, Interval, Scalar, checked

__all__ = ["exponential_moving_average", "exponential_weight_sums", "simple_moving_average", "simple_weight_sums"]

Decay = Annotated[Scalar, Interval(0, 1, schedule=False, closed=True, average=True)]


@checked
def simple_moving_average(values: Any, window: AtLeastOne, *, debias: Bool = True) -> Any:
    """The mean of the last `window` values, of those there are while there are fewer.

    A value that is not finite is seen only by the averages whose window it is in.

    Args:
      values: (time, ...), averaged along the first axis.
      window: n, at least 1.
      debias: False: values before the first count as 0.

    Returns:
      (time, ...). A JAX array comes back as one, in its dtype, 16-bit and whole numbers in float32 or wider; all else as a
      NumPy array of float64.

    Raises:
      ValueError: a window below 1, values without a time axis.
      TypeError: a window that is no int, values that are no real numbers.
    """
    values = _series("simple_moving_average", values)
    before = min(window, len(values)) - 1
    if isinstance(values, jax.Array):
        rest = values.ndim - 1
        sums = jax.lax.reduce_window(
            values,
            np.zeros((), values.dtype),  # a constant under jit too: else no derivative is known
            jax.lax.add,
            window_dimensions=(before + 1,) + (1,) * rest,
            window_strides=(1,) * (1 + rest),
            padding=((before, 0),) + ((0, 0),) * rest,
        )
    else:
        padded = np.concatenate([np.zeros((before, *values.shape[1:])), values])
        # Not by differences of a running sum: after a spike of 1e23 those would be 0.
        sums = sliding_window_view(padded, before + 1, axis=0).mean(axis=-1) * (before + 1)
    return _over(
        sums, np.minimum(np.arange(1, len(values) + 1), before + 1) if debias else np.array([_real(window, values.dtype)])
    )


@checked
def exponential_moving_average(values: Any, beta: Decay, *, start: Any = None, debias: Bool = True) -> Any:
    """The exponential moving average with decay beta.

    Args:
      values: (time, ...), averaged along the first axis.
      beta: β in [0, 1], 1 only where `debias` is False: then nothing moves. With JAX arrays it may be a traced scalar.
      start: a_0, the shape of one time (or what broadcasts to it); None: 0.
      debias: divide by the sum of the weights; False: the recursion as it is. A start of one's own goes with False.

    Returns:
      As `simple_moving_average`.

    Raises:
      ValueError: a beta out of range, values without a time axis, a start together with `debias` or one that does not broadcast
        to the shape of one time.
      TypeError: an argument of the wrong type.
    """
    who = "exponential_moving_average"
    values = _series(who, values)
    if debias and start is not None:
        raise ValueError(f"{who}: debias must be False where a start is given, got True: the start has its weight.")
    if debias and isinstance(beta, float) and beta == 1:
        raise ValueError(f"{who}: beta must be below 1 with debias, got 1: no value has any weight.")
    xp: Any = jnp if isinstance(values, jax.Array) else np
    first = xp.broadcast_to(_start(who, start, values, xp), values.shape[1:])
    averages = _recursion(values, beta, first)
    if not debias:
        return averages
    # The sums of the weights by the same recursion, so that its rounding divides out.
    return _over(averages, _recursion(xp.ones(len(values), values.dtype), beta, xp.zeros((), values.dtype)))


@checked
def simple_weight_sums(steps: AtLeastZero, window: AtLeastOne) -> np.ndarray:
    """The sum of the weights after t = 1, ..., `steps` values: min(t, window) / window, float64 (steps,).

    Raises:
      ValueError, TypeError: steps below 0 or a window below 1; one that is no int.
    """
    return np.minimum(np.arange(1, steps + 1), min(window, max(steps, 1))) / _real(window)


@checked
def exponential_weight_sums(steps: AtLeastZero, beta: AverageDecayNumber) -> np.ndarray:
    """The sum of the weights after t = 1, ..., `steps` values: 1 - β^t, float64 (steps,).

    Raises:
      ValueError, TypeError: steps below 0 or beta outside [0, 1); a wrong type.
    """
    beta, powers = float(beta), np.arange(1, steps + 1)
    # Next to 1 a power would have lost the digits of what it lacks.
    return -np.expm1(powers * math.log1p(beta - 1)) if beta > 0.5 else 1 - beta**powers


def _real(window: int, dtype: Any = np.float64) -> float:
    """`window` as a float, at most the largest of `dtype`."""
    return float(min(window, float(np.finfo(dtype).max)))


def _series(who: str, values: Any) -> Any:
    """JAX arrays in a dtype to average in, everything else as float64 of NumPy."""
    array = values if isinstance(values, jax.Array) else np.asarray(values)
    if not (jnp.issubdtype(array.dtype, jnp.floating) or jnp.issubdtype(array.dtype, jnp.integer)):
        raise TypeError(f"{who}: values must be real numbers, got {array.dtype}.")
    if array.ndim == 0 or len(array) == 0:
        raise ValueError(f"{who}: values must have shape (time, ...) with at least one time, got {array.shape}.")
    if isinstance(array, jax.Array):
        return array.astype(jnp.promote_types(array.dtype, jnp.float32))
    return array.astype(np.float64)


def _start(who: str, start: Any, values: Any, xp: Any) -> Any:
    """The start in the dtype of the values, of a shape that broadcasts to that of one time."""
    array = start if isinstance(start, jax.Array) else np.asarray(0 if start is None else start)
    if not any(jnp.issubdtype(array.dtype, kind) for kind in (jnp.floating, jnp.integer)):
        raise TypeError(f"{who}: start must be real numbers, got {array.dtype}.")
    once = values.shape[1:]
    if array.ndim > len(once) or any(have not in (1, want) for have, want in zip(array.shape[::-1], once[::-1], strict=False)):
        raise ValueError(f"{who}: start must broadcast to the shape of one time, {once}, got shape {array.shape}.")
    return xp.asarray(array, values.dtype)


def _recursion(values: Any, beta: Any, start: Any) -> Any:
    if isinstance(values, jax.Array):
        return _compensated_recursion(values, beta, start)
    averages = np.empty_like(values)
    average, beta = start, float(beta)
    for t, value in enumerate(values):
        average = beta * average + (1 - beta) * value
        averages[t] = average
    return averages


def _compensated_recursion(values: jax.Array, beta: Any, start: Any) -> jax.Array:
    """As `_recursion`, in the dtype of the values, in which a β next to 1 may be 1 itself.

    The decay is a subtraction where little is lost of an average, and what rounding loses of it is carried beside it.
    """
    exact = beta if isinstance(beta, jax.Array) else float(beta)
    slow = exact > 0.5
    weight, decay, kept = (jnp.asarray(x, values.dtype) for x in (1 - exact, exact, jnp.where(slow, 1, exact)))

    def step(carry: tuple[jax.Array, jax.Array], value: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        average, lost = carry
        # An infinite average stays what it is: less a part of itself it would be NaN.
        less = jnp.where(jnp.isfinite(average), decay * lost - jnp.where(slow, weight * average, 0), 0)
        before, rest = kept * average, less + weight * value
        average = before + rest
        return (average, rest - (average - before)), average

    start = jnp.asarray(start, values.dtype)
    return jax.lax.scan(step, (start, jnp.zeros_like(start)), values)[1]


def _over(averages: Any, sums: Any) -> Any:
    xp: Any = jnp if isinstance(averages, jax.Array) else np
    return averages / xp.asarray(sums, averages.dtype).reshape(-1, *[1] * (averages.ndim - 1))


def __dir__() -> list[str]:
    return sorted(__all__)
