"""RMSprop: each coordinate divided by the root of a moving average of its squared gradient."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import (
    AverageDecay,
    Bool,
    DType,
    LearningRate,
    NonNegative,
    OptionalDecay,
    checked,
    value_at,
)
from momentum_jax.optimizers._arithmetic import ratio, root, squared
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, second_moment_dtype, zeros
from momentum_jax.optimizers._transformation import Transformation, chain, transformation
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate
from momentum_jax.optimizers.sgd import momentum_and_rate, refuse_contradictions


class RmspropState(NamedTuple):
    step: jax.Array
    second_moment: optax.Updates
    mean: Any

    def reset_momentum(self) -> "RmspropState":
        return self


@checked
def scale_by_rmsprop(
    decay: AverageDecay = 0.9,
    *,
    eps: NonNegative = 1e-8,
    eps_inside_sqrt: Bool = False,
    centered: Bool = False,
    accumulator_dtype: DType = None,
) -> Transformation:
    """The learning-rate-free core, without momentum: u / (sqrt s' + eps).

    Args:
      decay: rho in [0, 1); a number, a 0-d array or a schedule `step -> value`.
      eps: at least 0, likewise.
      eps_inside_sqrt: add eps under the root.
      centered: divide by the standard deviation instead of the root mean square.
      accumulator_dtype: dtype of the averages; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state.
      TypeError: an argument of the wrong type.
    """
    who = "scale_by_rmsprop"

    def init(params: optax.Params) -> RmspropState:
        second_moment = zeros(params, second_moment_dtype(accumulator_dtype))
        mean = zeros(params, average_dtype(accumulator_dtype)) if centered else None
        return RmspropState(first_step(), second_moment, mean)

    def now(state: RmspropState) -> dict[str, Any]:
        return {"decay": value_at(decay, state.step), "eps": value_at(eps, state.step)}

    def leaf(u: jax.Array, s: jax.Array, *mean: jax.Array, rho: Any, eps: Any) -> tuple[jax.Array, ...]:
        s = rho * s + (1 - rho) * squared(u)
        mean = tuple(rho * a + (1 - rho) * u for a in mean)
        # Rounding can push a variance below 0. Where both squares are infinite their difference is NaN.
        spread = jnp.where(jnp.isinf(s), s, jnp.maximum(s - squared(mean[0]), 0)) if mean else s
        scale = root(spread + eps) if eps_inside_sqrt else root(spread) + eps
        return ratio(u, scale, eps), s, *mean

    def update(who: str, updates: optax.Updates, state: RmspropState, params: Any) -> tuple[optax.Updates, RmspropState]:
        del params
        buffers: dict[str, Any] = {"second_moment": state.second_moment}
        if centered:
            buffers["mean"] = state.mean
        h = now(state)
        updates, second_moment, *mean = each(who, leaf, updates, buffers, rho=h["decay"], eps=h["eps"])
        return updates, RmspropState(next_step(state.step), second_moment, mean[0] if mean else None)

    return transformation(who, init, update, hyperparameters=now)


@checked
def rmsprop(
    learning_rate: LearningRate,
    decay: AverageDecay = 0.9,
    *,
    eps: NonNegative = 1e-8,
    eps_inside_sqrt: Bool = False,
    centered: Bool = False,
    momentum: OptionalDecay = 0.0,
    nesterov: Bool = False,
    learning_rate_inside: Bool = False,
    accumulator_dtype: DType = None,
) -> Transformation:
    """RMSprop, with options that match PyTorch, Keras and Optax exactly.

        s' = rho s + (1 - rho) |g|^2          u = g / (sqrt s' + eps)          x' = x - eta u
        centred:            a' = rho a + (1 - rho) g, and s' - |a'|^2 in the place of s'
        eps_inside_sqrt:    u = g / sqrt(s' + eps)
        with momentum:      b' = mu b + u, x' = x - eta b'; learning_rate_inside: v' = mu v - eta u, x' = x + v'
        with Nesterov:      u + mu b' in the place of b', mu_t in both places

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      decay: rho in [0, 1), likewise.
      eps: at least 0, likewise.
      eps_inside_sqrt: add eps under the root (Keras, Optax) instead of to it (PyTorch).
      centered: divide by the standard deviation instead of the root mean square.
      momentum: mu in [0, 1), likewise. Any number keeps a buffer, 0 included, so that a sweep has one state; None keeps none.
      nesterov: step along u + mu b'; needs momentum. What you hold is then a look-ahead point; evaluate and save
        `momentum_jax.evaluation_params(params, opt_state)`.
      learning_rate_inside: multiply by eta before the buffer (Keras, Optax) instead of after it (PyTorch).
      accumulator_dtype: dtype of all buffers; None: float32 averages for 16-bit leaves, else that of the parameter.

    Raises:
      ValueError: a hyperparameter out of range or contradictory options; in `update`, a gradient that does not fit the state
        or the parameters.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.rmsprop(0.1)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.684 0.499 0.369 0.273

    Convention: at the defaults eps is outside the root and eta outside the buffer, as in PyTorch (whose decay is 0.99). Keras:
    eps=1e-7, eps_inside_sqrt=True, learning_rate_inside=True. Optax: eps_inside_sqrt=True, learning_rate_inside=True. T.
    Tieleman and G. Hinton's global learning rate remains to be chosen: the method does not set it by itself. With Nesterov the
    user holds the look-ahead point; x' = y - eta u(y), before the look ahead, is what `momentum_jax.evaluation_params` reads
    from the state, in both places of eta and under schedules. Range: once a gradient of an entry has passed 1.8e19 in float32,
    its second moment is infinite for good, and its gradients count for nothing. `optax.clip` in front prevents that;
    `optax.clip_by_global_norm` makes that whole gradient 0. With eps = 0, a gradient below 1e-19 moves nothing, for its square
    is 0.
    State: `step`, int32 scalar; `second_moment`, real, and `mean` (None unless centred), the tree and shapes of the parameters,
    float32 for 16-bit leaves unless `accumulator_dtype` says otherwise. Momentum adds the state of `sgd`'s, with Nesterov
    `ahead`, -eta_t mu_t (mu_t with learning_rate_inside) of the last step.
    Memory: 2 buffers, 3 when centred, one less with momentum=None. Needs: evaluation_params with Nesterov.
    Source: T. Tieleman and G. Hinton (2012), Neural Networks for Machine Learning, lecture 6.5; centred form A. Graves (2013),
    arXiv:1308.0850.

    See also: `adam`, with momentum and bias correction; `adagrad`; `adadelta`.
    """
    who = "rmsprop"
    refuse_contradictions(who, momentum, 0.0, nesterov)
    core = scale_by_rmsprop(
        decay, eps=eps, eps_inside_sqrt=eps_inside_sqrt, centered=centered, accumulator_dtype=accumulator_dtype
    )
    if momentum is None:
        return chain(who, core, scale_by_learning_rate(learning_rate))
    return momentum_and_rate(
        who,
        (core,),
        learning_rate,
        momentum,
        nesterov=nesterov,
        rate_inside=learning_rate_inside,
        accumulator_dtype=accumulator_dtype,
    )
