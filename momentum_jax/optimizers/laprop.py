"""LaProp: momentum of gradients that are normalised first, where Adam normalises momentum."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import AverageDecay, DType, LearningRate, NonNegative, checked, value_at
from momentum_jax.optimizers._arithmetic import ratio, root, squared
from momentum_jax.optimizers._bias_correction import bias_correction, log_decay, no_decay
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._precision import as_scalar
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, scalar_zeros, second_moment_dtype, zeros
from momentum_jax.optimizers._transformation import Transformation, transformation


class LapropState(NamedTuple):
    step: jax.Array
    momentum_step: jax.Array
    first_moment: optax.Updates
    second_moment: optax.Updates
    average_rate: jax.Array
    log_product2: jax.Array

    def reset_momentum(self) -> "LapropState":
        forget = ("momentum_step", "first_moment", "average_rate")
        return self._replace(**{name: jax.tree.map(jnp.zeros_like, getattr(self, name)) for name in forget})


@checked
def laprop(
    learning_rate: LearningRate,
    b1: AverageDecay = 0.9,
    b2: AverageDecay = 0.999,
    *,
    eps: NonNegative = 1e-15,
    accumulator_dtype: DType = None,
) -> Transformation:
    """LaProp.

        s' = b2 s + (1 - b2) |g|^2          m' = b1 m + (1 - b1) eta g / (sqrt(s' / c2) + eps)
        e' = b1 e + (1 - b1) eta            x' = x - m' eta / e'          c2 = 1 - prod b2_i

    Equivalent form at constant eta: x' = x - m' / (1 - b1^t), and with b1 = 0 Adam's.

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first. The paper uses 4e-4.
      b1: decay of the average of normalised gradients in [0, 1), likewise.
      b2: decay of the second moment in [0, 1), likewise.
      eps: at least 0, likewise; 1e-15 as in the authors' code.
      accumulator_dtype: dtype of the averages; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state or the parameters.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.laprop(0.1)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.900 0.803 0.709 0.618

    Convention: eta is inside m and corrected by its own average e', as in the authors' code, so that the step is eta times a
    weighted mean of normalised gradients. eps outside the root and after the correction. A step at eta = 0 moves nothing; the
    authors' code makes it along the uncorrected m'. Range: once a gradient of an entry has passed 1.8e19 in float32, its second
    moment is infinite for good, and its gradients count for nothing. `optax.clip` in front prevents that;
    `optax.clip_by_global_norm` makes that whole gradient 0. With eps = 0, a gradient below 1e-19 moves nothing, for its square
    is 0.
    State: `step`, int32 scalar, position in the sequences of eta, b2 and eps; `momentum_step`, in that of b1; `first_moment`;
    `second_moment`, real: the tree and shapes of the parameters, float32 for 16-bit leaves unless `accumulator_dtype` says
    otherwise; `average_rate` (e) and `log_product2`, logarithm of prod b2_i, float32 scalars (float64 when a leaf is 64 bits
    wide).
    Memory: 2 buffers.
    Source: L. Ziyin, Z. T. Wang and M. Ueda (2020), LaProp: separating momentum and adaptivity in Adam, arXiv:2002.04839.

    See also: `adam`, which normalises after averaging; `normalized_momentum`.
    """

    def init(params: optax.Params) -> LapropState:
        return LapropState(
            step=first_step(),
            momentum_step=first_step(),
            first_moment=zeros(params, average_dtype(accumulator_dtype)),
            second_moment=zeros(params, second_moment_dtype(accumulator_dtype)),
            average_rate=scalar_zeros(params, learning_rate, b1),
            log_product2=no_decay(b2, params),
        )

    def now(state: LapropState) -> dict[str, Any]:
        return {
            "learning_rate": value_at(learning_rate, state.step),
            "b1": value_at(b1, state.momentum_step),
            "b2": value_at(b2, state.step),
            "eps": value_at(eps, state.step),
        }

    def leaf(u: jax.Array, m: jax.Array, s: jax.Array, **h: Any) -> tuple[jax.Array, ...]:
        s = h["b2"] * s + (1 - h["b2"]) * squared(u)
        m = h["b1"] * m + h["gain"] * ratio(u, root(s) * h["root_gain"] + h["eps"], h["eps"])
        return h["correction"] * m, m, s

    def update(who: str, updates: optax.Updates, state: LapropState, params: Any) -> tuple[optax.Updates, LapropState]:
        del params
        like, h = state.average_rate.dtype, now(state)
        eta, decay1, decay2 = as_scalar(h["learning_rate"], like), as_scalar(h["b1"], like), h["b2"]
        average_rate = decay1 * state.average_rate + (1 - decay1) * eta
        log_product2 = state.log_product2 + log_decay(decay2, state.log_product2)
        updates, first_moment, second_moment = each(
            who,
            leaf,
            updates,
            {"first_moment": state.first_moment, "second_moment": state.second_moment},
            b1=decay1,
            b2=decay2,
            gain=(1 - decay1) * eta,
            root_gain=jax.lax.rsqrt(bias_correction(log_product2)),
            eps=h["eps"],
            correction=-ratio(eta, average_rate, 0.0),
        )
        return updates, LapropState(
            step=next_step(state.step),
            momentum_step=next_step(state.momentum_step),
            first_moment=first_moment,
            second_moment=second_moment,
            average_rate=average_rate,
            log_product2=log_product2,
        )

    return transformation("laprop", init, update, hyperparameters=now)
