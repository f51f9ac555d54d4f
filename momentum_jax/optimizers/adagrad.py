"""Adagrad: each coordinate divided by the root of the sum of all its squared gradients."""

from typing import Any, NamedTuple

import jax
import optax

from momentum_jax._hyperparameters import (
    Bool,
    DType,
    LearningRate,
    NonNegative,
    NonNegativeNumber,
    checked,
    value_at,
)
from momentum_jax.optimizers._arithmetic import ratio, root, squared
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._state import fill, first_step, next_step, second_moment_dtype
from momentum_jax.optimizers._transformation import Transformation, chain, transformation
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate


class AdagradState(NamedTuple):
    step: jax.Array
    sum_of_squares: optax.Updates

    def reset_momentum(self) -> "AdagradState":
        return self


@checked
def scale_by_adagrad(
    *,
    initial_accumulator: NonNegativeNumber = 0.0,
    eps: NonNegative = 1e-10,
    eps_inside_sqrt: Bool = False,
    accumulator_dtype: DType = None,
) -> Transformation:
    """The learning-rate-free core: u / (sqrt s' + eps).

    Args:
      initial_accumulator: s_0 >= 0; a number or a 0-d array.
      eps: at least 0; a number, a 0-d array or a schedule `step -> value`; 1e-10 as in PyTorch.
      eps_inside_sqrt: add eps under the root.
      accumulator_dtype: dtype of the sum; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state.
      TypeError: an argument of the wrong type.
    """
    who = "scale_by_adagrad"

    def init(params: optax.Params) -> AdagradState:
        return AdagradState(first_step(), fill(params, initial_accumulator, second_moment_dtype(accumulator_dtype)))

    def now(state: AdagradState) -> dict[str, Any]:
        return {"eps": value_at(eps, state.step)}

    def leaf(u: jax.Array, s: jax.Array, eps: Any) -> tuple[jax.Array, jax.Array]:
        s = s + squared(u)
        return ratio(u, root(s + eps) if eps_inside_sqrt else root(s) + eps, eps), s

    def update(who: str, updates: optax.Updates, state: AdagradState, params: Any) -> tuple[optax.Updates, AdagradState]:
        del params
        buffers = {"sum_of_squares": state.sum_of_squares}
        updates, sum_of_squares = each(who, leaf, updates, buffers, **now(state))
        return updates, AdagradState(next_step(state.step), sum_of_squares)

    return transformation(who, init, update, hyperparameters=now)


@checked
def adagrad(
    learning_rate: LearningRate,
    *,
    initial_accumulator: NonNegativeNumber = 0.0,
    eps: NonNegative = 1e-10,
    eps_inside_sqrt: Bool = False,
    accumulator_dtype: DType = None,
) -> Transformation:
    """Adagrad.

        s' = s + |g|^2          x' = x - eta g / (sqrt s' + eps)          eps_inside_sqrt: x' = x - eta g / sqrt(s' + eps)

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      initial_accumulator: s_0 >= 0; a number or a 0-d array.
      eps: at least 0; a number, a 0-d array or a schedule; 1e-10 as in PyTorch.
      eps_inside_sqrt: add eps under the root (Keras, Optax) instead of to it (PyTorch).
      accumulator_dtype: dtype of the sum; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state or the parameters.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.adagrad(0.5)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.500 0.276 0.156 0.089

    Convention: at the defaults as PyTorch (s_0 = 0, eps outside the root). Keras and Optax: initial_accumulator=0.1, eps=1e-7,
    eps_inside_sqrt=True. Range: once a gradient of an entry has passed 1.8e19 in float32, its second moment is infinite for
    good, and its gradients count for nothing. `optax.clip` in front prevents that; `optax.clip_by_global_norm` makes that whole
    gradient 0. With eps = 0, a gradient below 1e-19 moves nothing, for its square is 0.
    State: `step`, int32 scalar; `sum_of_squares`, real, the tree and shapes of the parameters, float32 for 16-bit leaves unless
    `accumulator_dtype` says otherwise.
    Memory: 1 buffer.
    Source: J. Duchi, E. Hazan and Y. Singer (2011), JMLR 12, 2121-2159.

    See also: `rmsprop`, whose average forgets; `adam`.
    """
    core = scale_by_adagrad(
        initial_accumulator=initial_accumulator,
        eps=eps,
        eps_inside_sqrt=eps_inside_sqrt,
        accumulator_dtype=accumulator_dtype,
    )
    return chain("adagrad", core, scale_by_learning_rate(learning_rate))
