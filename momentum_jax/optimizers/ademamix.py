"""AdEMAMix: Adam with a second, much slower average of the gradients in the numerator."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import AverageDecay, DType, LearningRate, NonNegative, checked, value_at
from momentum_jax.optimizers._arithmetic import ratio, root, squared
from momentum_jax.optimizers._bias_correction import bias_correction, log_decay, no_decay
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, second_moment_dtype, zeros
from momentum_jax.optimizers._transformation import Transformation, chain, transformation
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate


class AdemamixState(NamedTuple):
    step: jax.Array
    momentum_step: jax.Array
    first_moment: optax.Updates
    slow_moment: optax.Updates
    second_moment: optax.Updates
    log_product1: jax.Array
    log_product2: jax.Array

    def reset_momentum(self) -> "AdemamixState":
        forget = ("momentum_step", "first_moment", "slow_moment", "log_product1")
        return self._replace(**{name: jax.tree.map(jnp.zeros_like, getattr(self, name)) for name in forget})


@checked
def scale_by_ademamix(
    b1: AverageDecay = 0.9,
    b2: AverageDecay = 0.999,
    b3: AverageDecay = 0.9999,
    *,
    alpha: NonNegative = 5.0,
    eps: NonNegative = 1e-8,
    accumulator_dtype: DType = None,
) -> Transformation:
    """The learning-rate-free core: (m' / c1 + alpha l') / (sqrt(s' / c2) + eps).

    Args:
      b1: decay of the fast average in [0, 1); a number, a 0-d array or a schedule `step -> value`.
      b2: decay of the second moment, likewise.
      b3: decay of the slow average, likewise; `schedules.ademamix_b3` is the paper's warm-up.
      alpha: weight of the slow average, at least 0, likewise; `schedules.ademamix_alpha` is the paper's warm-up.
      eps: at least 0, likewise.
      accumulator_dtype: dtype of the averages; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state.
      TypeError: an argument of the wrong type.
    """
    who = "scale_by_ademamix"

    def init(params: optax.Params) -> AdemamixState:
        average = average_dtype(accumulator_dtype)
        return AdemamixState(
            step=first_step(),
            momentum_step=first_step(),
            first_moment=zeros(params, average),
            slow_moment=zeros(params, average),
            second_moment=zeros(params, second_moment_dtype(accumulator_dtype)),
            log_product1=no_decay(b1, params),
            log_product2=no_decay(b2, params),
        )

    def now(state: AdemamixState) -> dict[str, Any]:
        of_momentum = {"b1": b1, "b3": b3, "alpha": alpha}
        values = {name: value_at(h, state.momentum_step) for name, h in of_momentum.items()}
        return values | {"b2": value_at(b2, state.step), "eps": value_at(eps, state.step)}

    def leaf(u: jax.Array, m: jax.Array, slow: jax.Array, s: jax.Array, **h: Any) -> tuple[jax.Array, ...]:
        m = h["b1"] * m + (1 - h["b1"]) * u
        slow = h["b3"] * slow + (1 - h["b3"]) * u
        s = h["b2"] * s + (1 - h["b2"]) * squared(u)
        return ratio(h["gain"] * m + h["alpha"] * slow, root(s) * h["root_gain"] + h["eps"], h["eps"]), m, slow, s

    def update(who: str, updates: optax.Updates, state: AdemamixState, params: Any) -> tuple[optax.Updates, AdemamixState]:
        del params
        h = now(state)
        log_product1 = state.log_product1 + log_decay(h["b1"], state.log_product1)
        log_product2 = state.log_product2 + log_decay(h["b2"], state.log_product2)
        updates, first_moment, slow_moment, second_moment = each(
            who,
            leaf,
            updates,
            {
                "first_moment": state.first_moment,
                "slow_moment": state.slow_moment,
                "second_moment": state.second_moment,
            },
            **h,
            gain=1 / bias_correction(log_product1),
            root_gain=jax.lax.rsqrt(bias_correction(log_product2)),
        )
        return updates, AdemamixState(
            step=next_step(state.step),
            momentum_step=next_step(state.momentum_step),
            first_moment=first_moment,
            slow_moment=slow_moment,
            second_moment=second_moment,
            log_product1=log_product1,
            log_product2=log_product2,
        )

    return transformation(who, init, update, hyperparameters=now)


@checked
def ademamix(
    learning_rate: LearningRate,
    b1: AverageDecay = 0.9,
    b2: AverageDecay = 0.999,
    b3: AverageDecay = 0.9999,
    *,
    alpha: NonNegative = 5.0,
    eps: NonNegative = 1e-8,
    accumulator_dtype: DType = None,
) -> Transformation:
    """AdEMAMix.

        m' = b1 m + (1 - b1) g          l' = b3 l + (1 - b3) g          s' = b2 s + (1 - b2) |g|^2
        x' = x - eta (m' / c1 + alpha l') / (sqrt(s' / c2) + eps)          c1 = 1 - prod b1_i, c2 = 1 - prod b2_i

    Equivalent form: alpha = 0 is `adam`. The slow average is not corrected for its start at 0; the paper raises alpha and b3
    over the T steps of the training instead:

        ademamix(eta, b3=schedules.ademamix_b3(0.9999, b1=0.9, steps=T), alpha=schedules.ademamix_alpha(5.0, steps=T))

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      b1: decay of the fast average in [0, 1), likewise.
      b2: decay of the second moment in [0, 1), likewise.
      b3: decay of the slow average in [0, 1), likewise; `schedules.ademamix_b3` is the paper's warm-up.
      alpha: weight of the slow average, at least 0, likewise; `schedules.ademamix_alpha` is the paper's warm-up.
      eps: at least 0, likewise.
      accumulator_dtype: dtype of the averages; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state or the parameters.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.ademamix(0.1)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.900 0.800 0.701 0.603

    Convention: eta outside, eps outside the root and after the correction. The corrections are exact under schedules of b1 and
    b2. Range: once a gradient of an entry has passed 1.8e19 in float32, its second moment is infinite for good, and its
    gradients count for nothing. `optax.clip` in front prevents that; `optax.clip_by_global_norm` makes that whole gradient 0.
    With eps = 0, a gradient below 1e-19 moves nothing, for its square is 0.
    State: `step`, int32 scalar, position in the sequences of b2 and eps; `momentum_step`, in those of b1, b3 and alpha;
    `first_moment`; `slow_moment` (l); `second_moment`, real: the tree and shapes of the parameters, float32 for 16-bit leaves
    unless `accumulator_dtype` says otherwise; `log_product1` and `log_product2`, logarithms of prod b1_i and prod b2_i, float32
    scalars (float64 when a leaf is 64 bits wide).
    Memory: 3 buffers.
    Sharp edge: once gradients have stopped, each step is max(b1, b3) / sqrt(b2) times the last until sqrt(s') nears eps. The
    defaults have b3 > sqrt(b2): after 1000 gradients of 1, the longest step, 39,137 steps on, is 7.6e5 eta. Keep b1 and b3 <=
    sqrt(b2) where gradients may stop.
    Source: M. Pagliardini, P. Ablin and D. Grangier (2025), The AdEMAMix optimizer, ICLR, arXiv:2409.03137.

    See also: `simplified_ademamix`, with one average; `adam`; `aggregated_momentum`, the same idea without the second moment.
    """
    core = scale_by_ademamix(b1, b2, b3, alpha=alpha, eps=eps, accumulator_dtype=accumulator_dtype)
    return chain("ademamix", core, scale_by_learning_rate(learning_rate))
