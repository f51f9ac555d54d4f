"""Adadelta: steps in the units of the parameters, from the ratio of two running root mean squares."""

from typing import Any, NamedTuple

import jax
import optax

from momentum_jax._hyperparameters import AverageDecay, DType, LearningRate, NonNegative, checked, value_at
from momentum_jax.optimizers._arithmetic import ratio, root, squared
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._state import first_step, next_step, second_moment_dtype, zeros
from momentum_jax.optimizers._transformation import Transformation, chain, transformation
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate


class AdadeltaState(NamedTuple):
    step: jax.Array
    second_moment: optax.Updates
    squared_update: optax.Updates

    def reset_momentum(self) -> "AdadeltaState":
        return self


@checked
def scale_by_adadelta(rho: AverageDecay = 0.95, *, eps: NonNegative = 1e-6, accumulator_dtype: DType = None) -> Transformation:
    """The learning-rate-free core: u sqrt(w + eps) / sqrt(s' + eps).

    Args:
      rho: decay of both averages in [0, 1); a number, a 0-d array or a schedule `step -> value`.
      eps: at least 0, likewise; 1e-6 as in the paper. At 0 nothing ever moves, since w starts at 0.
      accumulator_dtype: dtype of the averages; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state.
      TypeError: an argument of the wrong type.
    """
    who = "scale_by_adadelta"

    def init(params: optax.Params) -> AdadeltaState:
        dtype = second_moment_dtype(accumulator_dtype)
        return AdadeltaState(first_step(), zeros(params, dtype), zeros(params, dtype))

    def now(state: AdadeltaState) -> dict[str, Any]:
        return {"rho": value_at(rho, state.step), "eps": value_at(eps, state.step)}

    def leaf(u: jax.Array, s: jax.Array, w: jax.Array, rho: Any, eps: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
        s = rho * s + (1 - rho) * squared(u)
        d = ratio(u * root(w + eps), root(s + eps), eps)
        return d, s, rho * w + (1 - rho) * squared(d)

    def update(who: str, updates: optax.Updates, state: AdadeltaState, params: Any) -> tuple[optax.Updates, AdadeltaState]:
        del params
        buffers = {"second_moment": state.second_moment, "squared_update": state.squared_update}
        updates, second_moment, squared_update = each(who, leaf, updates, buffers, **now(state))
        return updates, AdadeltaState(next_step(state.step), second_moment, squared_update)

    return transformation(who, init, update, hyperparameters=now)


@checked
def adadelta(
    learning_rate: LearningRate = 1.0, rho: AverageDecay = 0.95, *, eps: NonNegative = 1e-6, accumulator_dtype: DType = None
) -> Transformation:
    """Adadelta.

        s' = rho s + (1 - rho) |g|^2          d = g sqrt(w + eps) / sqrt(s' + eps)
        w' = rho w + (1 - rho) |d|^2          x' = x - eta d

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first. 1 is the paper's method.
      rho: decay of both averages in [0, 1), likewise.
      eps: at least 0, likewise; 1e-6 as in the paper. At 0 nothing ever moves.
      accumulator_dtype: dtype of the averages; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state or the parameters.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.adadelta(1.0)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.996 0.991 0.986 0.982

    Convention: eta = 1 is the paper's method; PyTorch, Keras and Optax agree with it and with each other. Range: once a
    gradient of an entry has passed 1.8e19 in float32, its second moment is infinite for good, and its gradients count for
    nothing. `optax.clip` in front prevents that; `optax.clip_by_global_norm` makes that whole gradient 0. With eps = 0, a
    gradient below 1e-19 moves nothing, for its square is 0.
    State: `step`, int32 scalar; `second_moment` (s) and `squared_update` (w), real, the tree and shapes of the parameters,
    float32 for 16-bit leaves unless `accumulator_dtype` says otherwise.
    Memory: 2 buffers.
    Source: M. D. Zeiler (2012), ADADELTA: an adaptive learning rate method, arXiv:1212.5701.

    See also: `rmsprop`, which needs a learning rate; `adam`.
    """
    core = scale_by_adadelta(rho, eps=eps, accumulator_dtype=accumulator_dtype)
    return chain("adadelta", core, scale_by_learning_rate(learning_rate))
