"""Quasi-hyperbolic momentum (QHM): a mixture of the gradient and an average of gradients."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import AverageDecay, DType, LearningRate, Real, checked, value_at
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, zeros
from momentum_jax.optimizers._transformation import Transformation, chain, transformation
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate


class QuasiHyperbolicMomentumState(NamedTuple):
    step: jax.Array
    average: optax.Updates

    def reset_momentum(self) -> "QuasiHyperbolicMomentumState":
        return jax.tree.map(jnp.zeros_like, self)


@checked
def scale_by_quasi_hyperbolic_momentum(
    momentum: AverageDecay = 0.999, nu: Real = 0.7, *, accumulator_dtype: DType = None
) -> Transformation:
    """The learning-rate-free core: m' = beta m + (1 - beta) u, returns (1 - nu) u + nu m'.

    Args:
      momentum: beta in [0, 1); a number, a 0-d array or a schedule `step -> value`.
      nu: share of the average, likewise; usually in [0, 1], but other methods translate to any finite number.
      accumulator_dtype: dtype of the average; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state.
      TypeError: an argument of the wrong type.
    """
    who = "scale_by_quasi_hyperbolic_momentum"

    def init(params: optax.Params) -> QuasiHyperbolicMomentumState:
        return QuasiHyperbolicMomentumState(first_step(), zeros(params, average_dtype(accumulator_dtype)))

    def now(state: QuasiHyperbolicMomentumState) -> dict[str, Any]:
        return {"momentum": value_at(momentum, state.step), "nu": value_at(nu, state.step)}

    def leaf(u: jax.Array, m: jax.Array, beta: Any, nu: Any) -> tuple[jax.Array, jax.Array]:
        m = beta * m + (1 - beta) * u
        return (1 - nu) * u + nu * m, m

    def update(
        who: str, updates: optax.Updates, state: QuasiHyperbolicMomentumState, params: Any
    ) -> tuple[optax.Updates, QuasiHyperbolicMomentumState]:
        del params
        h = now(state)
        updates, average = each(who, leaf, updates, {"average": state.average}, beta=h["momentum"], nu=h["nu"])
        return updates, QuasiHyperbolicMomentumState(next_step(state.step), average)

    return transformation(who, init, update, hyperparameters=now)


@checked
def quasi_hyperbolic_momentum(
    learning_rate: LearningRate, momentum: AverageDecay = 0.999, nu: Real = 0.7, *, accumulator_dtype: DType = None
) -> Transformation:
    """Quasi-hyperbolic momentum, the learning rate outside.

        m' = beta m + (1 - beta) g          x' = x - eta [(1 - nu) g + nu m']

    nu = 0 is gradient descent, nu = 1 the average alone (`ema_momentum`), nu = beta is `nesterov` with learning rate eta
    (1 - beta), in the point where its gradient is taken.

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first. The whole
        gain: take eta / (1 - beta) for the eta of `heavy_ball`.
      momentum: beta in [0, 1), likewise.
      nu: share of the average, likewise; usually in [0, 1], but other methods translate to any finite number.
      accumulator_dtype: dtype of the average; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state or the parameters.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.quasi_hyperbolic_momentum(0.1)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.970 0.941 0.912 0.885

    Convention: eta is outside the average and is the whole gain: on a constant gradient the steps become eta g. The
    average starts at 0 and is not corrected for it. Weight decay goes before the method (coupled) or after its core
    (decoupled) as a link `add_weight_decay`.
    State: `step`, int32 scalar; `average`, the tree and shapes of the parameters, float32 for 16-bit leaves unless
    `accumulator_dtype` says otherwise.
    Memory: 1 buffer.
    Stable on curvatures in (0, L] when 0 <= beta < 1, nu <= 1 and 0 < eta L < 2 (1 + beta) / (1 + beta (1 - 2 nu)).
    Source: J. Ma and D. Yarats (2019), Quasi-hyperbolic momentum and Adam for deep learning, ICLR, arXiv:1810.06801.

    See also: `ema_momentum`, at nu = 1; `nesterov`, at nu = momentum; `accelerated_sgd`; `conventions.convert`.
    """
    return chain(
        "quasi_hyperbolic_momentum",
        scale_by_quasi_hyperbolic_momentum(momentum, nu, accumulator_dtype=accumulator_dtype),
        scale_by_learning_rate(learning_rate),
    )
