"""Schedules of momentum and what belongs to it: `step -> value`, for every hyperparameter of this library that is a number.

Steps count from 0; a schedule takes a Python int or a traced int32 and returns a 0-d array of JAX's default float dtype.
Momenta are numbers or 0-d arrays (traced ones too, so that `jax.vmap` runs over a grid of them); step counts are ints up to
2^31 - 1, the last step that the states of the optimizers count.
Learning-rate schedules are in Optax (`optax.cosine_decay_schedule`, ...) and serve as they are.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from momentum_jax._hyperparameters import AverageDecayNumber, DecayNumber, NonNegativeNumber, Steps, StepsOrZero, checked

__all__ = [
    "Schedule",
    "ademamix_alpha",
    "ademamix_b3",
    "constant",
    "cosine",
    "demon",
    "fista",
    "linear",
    "sutskever",
    "warmup_cooldown",
]

Schedule = Callable[[Any], jax.Array]


@checked
def constant(value: DecayNumber) -> Schedule:
    """The same momentum at every step."""
    return lambda step: jnp.full(jnp.shape(step), value, _default_float())


@checked
def linear(start: DecayNumber = 0.5, end: DecayNumber = 0.9, *, steps: Steps) -> Schedule:
    """Annealing along a line: `start` at step 0, `end` from step `steps` on.

    Args:
      start, end: momenta in [0, 1).
      steps: how many steps the way takes, at least 1.

    Raises:
      ValueError: a number out of range.
      TypeError: a number of the wrong type.
    """
    return lambda step: start + (end - start) * _progress(step, steps)


@checked
def cosine(start: DecayNumber = 0.5, end: DecayNumber = 0.9, *, steps: Steps) -> Schedule:
    """Annealing along half a cosine: slow at both ends, `start` at step 0, `end` from step `steps` on.

    Args and errors as `linear`.
    """
    return lambda step: end + (start - end) * 0.5 * (1 + jnp.cos(jnp.pi * _progress(step, steps)))


@checked
def sutskever(maximum: DecayNumber = 0.99, *, period: Steps = 250) -> Schedule:
    """mu_t = min(1 - 2^(-1 - log2(floor(t / period) + 1)), maximum): 0.5, 0.75, 0.833, ... one level a period.

    Args:
      maximum: mu_max in [0, 1); Sutskever et al. use 0.9 to 0.999.
      period: steps a level, at least 1.

    Raises:
      ValueError: a number out of range.
      TypeError: a number of the wrong type.

    Source: I. Sutskever, J. Martens, G. Dahl and G. Hinton (2013), ICML, eq. 5.
    """
    # 2^(-1 - log2 k) = 1 / (2k), without the rounding of a logarithm.
    return lambda step: jnp.minimum(1 - 0.5 / _following(jnp.asarray(step) // period).astype(_default_float()), maximum)


@checked
def fista(total_steps: Steps) -> Schedule:
    """mu_t = (t_t - 1) / t_{t+1} with t_1 = 1, t_{k+1} = (1 + sqrt(1 + 4 t_k^2)) / 2: 0, 0, 0.28, 0.43, ... towards 1.

    With `nesterov` this is Nesterov's method of 1983, FISTA without a proximal step: mu_t carries the point from the iterate
    of update t - 1 to where the gradient of update t is taken. A table built in float64; after its end the last value holds.

    Args:
      total_steps: length of the table, at least 1: the updates of the run.

    Raises:
      ValueError: total_steps out of range.
      TypeError: total_steps of the wrong type.

    Source: A. Beck and M. Teboulle (2009), SIAM J. Imaging Sci. 2(1), 183-202; Yu. E. Nesterov (1983).
    """
    table = np.zeros(total_steps + 1)
    t = 1.0
    for k in range(1, total_steps + 1):
        t_next = (1 + math.sqrt(1 + 4 * t * t)) / 2
        table[k] = (t - 1) / t_next
        t = t_next
    return lambda step: jnp.asarray(table, _default_float())[jnp.clip(step, 0, total_steps)]


@checked
def warmup_cooldown(
    low: DecayNumber = 0.85,
    high: DecayNumber = 0.95,
    *,
    warmup_steps: StepsOrZero,
    cooldown_steps: StepsOrZero,
    total_steps: Steps,
) -> Schedule:
    """Warm-up and cool-down: a line from `low` to `high`, a plateau, a line back that ends at `low` at step `total_steps`.

    Args:
      low, high: momenta in [0, 1).
      warmup_steps, cooldown_steps: lengths of the two lines, at least 0 (0: no line); together at most `total_steps`.
      total_steps: length of the whole, at least 1.

    Raises:
      ValueError: a number out of range, or lines longer than the whole.
      TypeError: a number of the wrong type.
    """
    if warmup_steps + cooldown_steps > total_steps:
        raise ValueError(
            f"warmup_cooldown: warmup_steps + cooldown_steps must be at most total_steps, "
            f"got {warmup_steps} + {cooldown_steps} > {total_steps}."
        )

    def schedule(step: Any) -> jax.Array:
        up = _progress(step, warmup_steps) if warmup_steps else 1.0
        down = _progress(total_steps - jnp.asarray(step), cooldown_steps) if cooldown_steps else 1.0
        return jnp.asarray(low + (high - low) * jnp.minimum(up, down), _default_float())

    return schedule


@checked
def demon(momentum: DecayNumber = 0.9, *, total_steps: Steps) -> Schedule:
    """beta_t = b0 (1 - t / T) / ((1 - b0) + b0 (1 - t / T)): from `momentum` at step 0 to 0 at step `total_steps` and after.

    Args:
      momentum: b0 in [0, 1).
      total_steps: T, at least 1: the updates of the run.

    Raises:
      ValueError: a number out of range.
      TypeError: a number of the wrong type.

    Source: J. Chen, C. Wolfe, Z. Li and A. Kyrillidis (2019), Demon, arXiv:1910.04952.
    """

    def schedule(step: Any) -> jax.Array:
        left = momentum * (1 - _progress(step, total_steps))
        return left / (1 - momentum + left)

    return schedule


@checked
def ademamix_alpha(alpha: NonNegativeNumber = 5.0, *, steps: Steps) -> Schedule:
    """AdEMAMix's warm-up of the weight of its slow average: alpha min((t + 1) / T, 1).

    Args:
      alpha: the final weight, at least 0.
      steps: T, at least 1; the paper takes all updates of the run.

    Raises:
      ValueError: a number out of range.
      TypeError: a number of the wrong type.

    Source: M. Pagliardini, P. Ablin and D. Grangier (2025), The AdEMAMix optimizer, ICLR, arXiv:2409.03137.
    """
    return lambda step: jnp.asarray(alpha * _progress(_following(step), steps), _default_float())


@checked
def ademamix_b3(b3: AverageDecayNumber = 0.9999, *, b1: AverageDecayNumber = 0.9, steps: Steps) -> Schedule:
    """AdEMAMix's warm-up of the decay of its slow average: from b1 to b3 along a line in 1 / log b, as its half-life is.

        1 / log b_t = (1 - a) / log b1 + a / log b3          a = min((t + 1) / T, 1)

    The paper's formula; the authors' code adds 1e-8 to b1 and b3 and interpolates the half-life less 1.

    Args:
      b3: the final decay in [0, 1).
      b1: where it starts from, in [0, 1): the decay of the fast average.
      steps: T, at least 1; the paper takes all updates of the run.

    Raises:
      ValueError: a number out of range.
      TypeError: a number of the wrong type.

    Source: M. Pagliardini, P. Ablin and D. Grangier (2025), The AdEMAMix optimizer, ICLR, arXiv:2409.03137.
    """

    def schedule(step: Any) -> jax.Array:
        share = _progress(_following(step), steps)
        between = jnp.exp(1 / ((1 - share) * _one_over_log(b1) + share * _one_over_log(b3)))
        return jnp.asarray(jnp.where(share < 1, between, b3), _default_float())

    return schedule


def _one_over_log(decay: Any) -> Any:
    # Next to 0 every decay forgets at once.
    if isinstance(decay, float):
        return 1 / math.log(max(decay, 1e-30))
    return 1 / jnp.log(jnp.maximum(jnp.asarray(decay, _default_float()), 1e-30))


def _following(step: Any) -> Any:
    """step + 1; the last int32 step is its own successor, as in the states of the optimizers."""
    return optax.safe_increment(jnp.asarray(step))


def _progress(step: Any, steps: int) -> jax.Array:
    """Share of the way, 0 to 1."""
    return jnp.clip(jnp.asarray(step).astype(_default_float()) / steps, 0, 1)


def _default_float() -> Any:
    return jnp.result_type(float)


def __dir__() -> list[str]:
    return sorted(__all__)
