"""MARS: AdamW on gradients whose noise is reduced by their last change."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import AverageDecay, DType, LearningRate, NonNegative, checked, value_at
from momentum_jax._scaling import norm
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, zeros
from momentum_jax.optimizers._transformation import Transformation, chain, transformation
from momentum_jax.optimizers.adam import scale_by_adam
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate
from momentum_jax.optimizers.weight_decay import add_weight_decay


class CorrectedGradientState(NamedTuple):
    step: jax.Array
    momentum_step: jax.Array
    previous_gradient: optax.Updates

    def reset_momentum(self) -> "CorrectedGradientState":
        return self._replace(momentum_step=jnp.zeros_like(self.momentum_step))


def _corrected_gradient(b1: Any, gamma: Any, accumulator_dtype: Any) -> Transformation:
    def init(params: optax.Params) -> CorrectedGradientState:
        return CorrectedGradientState(first_step(), first_step(), zeros(params, average_dtype(accumulator_dtype)))

    def now(state: CorrectedGradientState) -> dict[str, Any]:
        return {"b1": value_at(b1, state.momentum_step), "gamma": value_at(gamma, state.step)}

    def leaf(g: jax.Array, before: jax.Array, b1: Any, gamma: Any) -> tuple[jax.Array, jax.Array]:
        c = g + gamma * b1 / (1 - b1) * (g - before)
        return c / jnp.maximum(norm(c), 1.0), g

    def update(
        who: str, updates: optax.Updates, state: CorrectedGradientState, params: Any
    ) -> tuple[optax.Updates, CorrectedGradientState]:
        del params
        updates, gradient = each(who, leaf, updates, {"previous_gradient": state.previous_gradient}, **now(state))
        return updates, CorrectedGradientState(next_step(state.step), next_step(state.momentum_step), gradient)

    return transformation("scale_by_mars", init, update, hyperparameters=now)


@checked
def scale_by_mars(
    b1: AverageDecay = 0.95,
    b2: AverageDecay = 0.99,
    *,
    gamma: NonNegative = 0.025,
    eps: NonNegative = 1e-8,
    accumulator_dtype: DType = None,
) -> Transformation:
    """The learning-rate-free core: (m' / c1) / (sqrt(s' / c2) + eps) of the corrected gradient.

    Args:
      b1: decay of the first moment in [0, 1); a number, a 0-d array or a schedule `step -> value`.
      b2: decay of the second moment, likewise.
      gamma: strength of the correction, at least 0, likewise.
      eps: at least 0, likewise.
      accumulator_dtype: dtype of the buffers; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state.
      TypeError: an argument of the wrong type.
    """
    return chain(
        "scale_by_mars",
        _corrected_gradient(b1, gamma, accumulator_dtype),
        scale_by_adam(b1, b2, eps=eps, accumulator_dtype=accumulator_dtype),
    )


@checked
def mars(
    learning_rate: LearningRate,
    b1: AverageDecay = 0.95,
    b2: AverageDecay = 0.99,
    *,
    gamma: NonNegative = 0.025,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    accumulator_dtype: DType = None,
) -> Transformation:
    """MARS in its AdamW form.

        c = g + gamma b1 / (1 - b1) (g - g_prev), divided by its norm where that is above 1, tensor by tensor
        m' = b1 m + (1 - b1) c          s' = b2 s + (1 - b2) |c|^2
        x' = x - eta ((m' / c1) / (sqrt(s' / c2) + eps) + lambda x)          c1 = 1 - prod b1_i, c2 = 1 - prod b2_i

    Equivalent form: gamma = 0, where no gradient is longer than 1, is `adamw`.

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      b1: decay of the first moment in [0, 1), likewise.
      b2: decay of the second moment in [0, 1), likewise.
      gamma: strength of the correction, at least 0, likewise.
      eps: at least 0, likewise.
      weight_decay: lambda >= 0, likewise. Unless it is the plain number 0, `update` needs params.
      accumulator_dtype: dtype of the buffers; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state or the parameters, or
        weight decay without params.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.mars(0.1)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.900 0.800 0.702 0.603

    Convention: eta outside, eps outside the root and after the correction, decoupled weight decay, g_prev = 0 at the first
    step, all as in the authors' code, in its approximate form: g_prev is the last step's gradient, taken at the last parameters
    on the last batch. That code leaves vectors to AdamW unless optimize_1d is set; here every tensor is treated alike, as if it
    were. Range: with eps = 0, a gradient below 1e-19 in float32 moves nothing, for its square is 0.
    State: of the gradient's correction `step`, int32 scalar, position in the sequence of gamma; `momentum_step`, in that of b1;
    `previous_gradient`, the tree and shapes of the parameters, float32 for 16-bit leaves unless `accumulator_dtype` says
    otherwise; then that of `scale_by_adam`.
    Memory: 3 buffers. Needs: params for weight decay.
    Sharp edge: once gradients have stopped, each step is b1 / sqrt(b2) times the last until sqrt(s') nears eps, so keep b1 <=
    sqrt(b2). With b1 = 0.99, b2 = 0.95 after 100 gradients of 1, the longest, 736 steps on, is 2.3e4 eta.
    Source: H. Yuan, Y. Liu, S. Wu, X. Zhou and Q. Gu (2024), MARS: unleashing the power of variance reduction for training
    large models, arXiv:2411.10438.

    See also: `storm`, the variance reduction alone; `adamw`.
    """
    core = scale_by_mars(b1, b2, gamma=gamma, eps=eps, accumulator_dtype=accumulator_dtype)
    return chain("mars", core, add_weight_decay(weight_decay), scale_by_learning_rate(learning_rate))
