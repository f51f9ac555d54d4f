"""Simplified AdEMAMix: one accumulator of gradients and the gradient itself, over Adam's root."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import AverageDecay, Decay, DType, LearningRate, NonNegative, checked, value_at
from momentum_jax.optimizers._arithmetic import ratio, root, squared
from momentum_jax.optimizers._bias_correction import bias_correction, log_decay, no_decay
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, second_moment_dtype, zeros
from momentum_jax.optimizers._transformation import Transformation, chain, transformation
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate


class SimplifiedAdemamixState(NamedTuple):
    step: jax.Array
    momentum_step: jax.Array
    first_moment: optax.Updates
    second_moment: optax.Updates
    log_product2: jax.Array

    def reset_momentum(self) -> "SimplifiedAdemamixState":
        forget = ("momentum_step", "first_moment")
        return self._replace(**{name: jax.tree.map(jnp.zeros_like, getattr(self, name)) for name in forget})


@checked
def scale_by_simplified_ademamix(
    b1: Decay = 0.99,
    b2: AverageDecay = 0.95,
    *,
    alpha: NonNegative = 0.0,
    eps: NonNegative = 1e-8,
    accumulator_dtype: DType = None,
) -> Transformation:
    """The learning-rate-free core: (m' + alpha g) / (sqrt(s' / c2) + eps).

    Args:
      b1: decay of the accumulator in [0, 1); a number, a 0-d array or a schedule `step -> value`.
      b2: decay of the second moment, likewise.
      alpha: weight of the gradient, at least 0, likewise.
      eps: at least 0, likewise.
      accumulator_dtype: dtype of the buffers; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state.
      TypeError: an argument of the wrong type.
    """
    who = "scale_by_simplified_ademamix"

    def init(params: optax.Params) -> SimplifiedAdemamixState:
        return SimplifiedAdemamixState(
            step=first_step(),
            momentum_step=first_step(),
            first_moment=zeros(params, average_dtype(accumulator_dtype)),
            second_moment=zeros(params, second_moment_dtype(accumulator_dtype)),
            log_product2=no_decay(b2, params),
        )

    def now(state: SimplifiedAdemamixState) -> dict[str, Any]:
        of_momentum = {"b1": value_at(b1, state.momentum_step), "alpha": value_at(alpha, state.momentum_step)}
        return of_momentum | {"b2": value_at(b2, state.step), "eps": value_at(eps, state.step)}

    def leaf(u: jax.Array, m: jax.Array, s: jax.Array, **h: Any) -> tuple[jax.Array, ...]:
        m = h["b1"] * m + u
        s = h["b2"] * s + (1 - h["b2"]) * squared(u)
        return ratio(m + h["alpha"] * u, root(s) * h["root_gain"] + h["eps"], h["eps"]), m, s

    def update(
        who: str, updates: optax.Updates, state: SimplifiedAdemamixState, params: Any
    ) -> tuple[optax.Updates, SimplifiedAdemamixState]:
        del params
        h = now(state)
        log_product2 = state.log_product2 + log_decay(h["b2"], state.log_product2)
        updates, first_moment, second_moment = each(
            who,
            leaf,
            updates,
            {"first_moment": state.first_moment, "second_moment": state.second_moment},
            **h,
            root_gain=jax.lax.rsqrt(bias_correction(log_product2)),
        )
        return updates, SimplifiedAdemamixState(
            step=next_step(state.step),
            momentum_step=next_step(state.momentum_step),
            first_moment=first_moment,
            second_moment=second_moment,
            log_product2=log_product2,
        )

    return transformation(who, init, update, hyperparameters=now)


@checked
def simplified_ademamix(
    learning_rate: LearningRate,
    b1: Decay = 0.99,
    b2: AverageDecay = 0.95,
    *,
    alpha: NonNegative = 0.0,
    eps: NonNegative = 1e-8,
    accumulator_dtype: DType = None,
) -> Transformation:
    """Simplified AdEMAMix.

        m' = b1 m + g          s' = b2 s + (1 - b2) |g|^2          x' = x - eta (m' + alpha g) / (sqrt(s' / c2) + eps)
        c2 = 1 - prod b2_i

    Equivalent form: b1 = 0, alpha = 0 is `adam` with b1 = 0. m' is a sum, not an average: at constant b1 its steps are 1 / (1 -
    b1) times as long as those of Adam without its first correction, and eta has to be smaller accordingly.

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      b1: decay of the accumulator in [0, 1), likewise.
      b2: decay of the second moment in [0, 1), likewise.
      alpha: weight of the gradient, at least 0, likewise.
      eps: at least 0, likewise.
      accumulator_dtype: dtype of the buffers; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state or the parameters.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.simplified_ademamix(0.001, alpha=100.0)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.899 0.802 0.710 0.623

    Convention: eta outside, eps outside the root and after the correction, as in the authors' code. pytorch_optimizer 4.1.0
    averages m instead. Range: once a gradient of an entry has passed 1.8e19 in float32, its second moment is infinite for good,
    and its gradients count for nothing. `optax.clip` in front prevents that; `optax.clip_by_global_norm` makes that whole
    gradient 0. With eps = 0, a gradient below 1e-19 moves nothing, for its square is 0.
    State: `step`, int32 scalar, position in the sequences of b2 and eps; `momentum_step`, in those of b1 and alpha;
    `first_moment` (m); `second_moment`, real: the tree and shapes of the parameters, float32 for 16-bit leaves unless
    `accumulator_dtype` says otherwise; `log_product2`, logarithm of prod b2_i, float32 scalar (float64 when a leaf is 64 bits
    wide).
    Memory: 2 buffers.
    Sharp edge: once gradients have stopped, each step is b1 / sqrt(b2) times the last until sqrt(s') nears eps. The defaults
    have b1 > sqrt(b2): after 100 gradients of 1, the longest step, 735 steps on, is 2.4e6 eta. Keep b1 <= sqrt(b2) where
    gradients may stop.
    Source: D. Morwani, N. Vyas, H. Zhang and S. Kakade (2025), Connections between schedule-free optimizers, AdEMAMix, and
    accelerated SGD variants, arXiv:2502.02431.

    See also: `ademamix`; `adam`.
    """
    core = scale_by_simplified_ademamix(b1, b2, alpha=alpha, eps=eps, accumulator_dtype=accumulator_dtype)
    return chain("simplified_ademamix", core, scale_by_learning_rate(learning_rate))
