"""MoMo: momentum whose step goes no further than to where its model of the loss meets a lower bound."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import AverageDecay, DType, LearningRate, NonNegative, Real, checked, value_at
from momentum_jax._scaling import Squares, dot, is_ordinary, root_of, squares
from momentum_jax.optimizers._arithmetic import ratio, total
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._precision import as_scalar
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, scalar_zeros, zeros
from momentum_jax.optimizers._transformation import Transformation, loss_of, transformation


class MomoState(NamedTuple):
    step: jax.Array
    momentum_step: jax.Array
    first_moment: optax.Updates
    average_loss: jax.Array
    average_product: jax.Array

    def reset_momentum(self) -> "MomoState":
        return jax.tree.map(jnp.zeros_like, self)._replace(step=self.step)


@checked
def momo(
    learning_rate: LearningRate = 1.0,
    momentum: AverageDecay = 0.9,
    *,
    lower_bound: Real = 0.0,
    weight_decay: NonNegative = 0.0,
    accumulator_dtype: DType = None,
) -> Transformation:
    """MoMo, of which every update needs the loss: `optimizer.update(gradients, state, params, value=loss)`.

        d' = beta d + (1 - beta) g          f' = beta f + (1 - beta) loss          h' = beta h + (1 - beta) <g, x>
        tau = min(eta, max((1 + eta lambda) (f' - f* - h') + <d', x>, 0) / |d'|^2)
        x' = (x - tau d') / (1 + eta lambda)          d' = g, f' = loss, h' = <g, x> at the first step

    Products and norms go over the whole tree. Equivalent form: at beta = lambda = 0 Polyak's step, no longer than eta,
    tau = min(eta, (loss - f*) / |g|^2); where eta is the smaller of the two, `ema_momentum` that starts at the first gradient.

    Args:
      learning_rate: eta >= 0, the longest step; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      momentum: beta in [0, 1), likewise.
      lower_bound: f*, likewise, any real number: no loss is below it. 0 serves most losses.
      weight_decay: lambda >= 0, likewise.
      accumulator_dtype: dtype of the average; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state or the parameters, no
        params or no value.
      TypeError: an argument of the wrong type; in `update`, a value that is not a real number.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.momo(1.0)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.500 0.487 0.474 0.461

    Convention: eta outside; weight decay is proximal and divides tau d' as well, as in the paper and the authors' code;
    `optax.contrib.momo` 0.2.8 divides x only. The first average is the first gradient, as in that code by default. There is no
    eps: where d' is 0 so is tau, and the decay alone moves x.
    State: `step`, int32 scalar, position in the sequences of eta, f* and lambda; `momentum_step`, in that of beta;
    `first_moment` (d), the tree and shapes of the parameters, float32 for 16-bit leaves unless `accumulator_dtype` says
    otherwise; `average_loss` (f) and `average_product` (h), float32 scalars (float64 when a leaf is 64 bits wide).
    Memory: 1 buffer. Needs: params, value.
    Source: F. Schaipp, R. Ohana, M. Eickenberg, A. Defazio and R. M. Gower (2024), MoMo: momentum models for adaptive learning
    rates, ICML, arXiv:2305.07583.

    See also: `sgd`, at a fixed rate; `yellowfin`, which tunes itself by curvature.
    """

    def init(params: optax.Params) -> MomoState:
        hyperparameters = (learning_rate, momentum, lower_bound, weight_decay)
        return MomoState(
            step=first_step(),
            momentum_step=first_step(),
            first_moment=zeros(params, average_dtype(accumulator_dtype)),
            average_loss=scalar_zeros(params, *hyperparameters),
            average_product=scalar_zeros(params, *hyperparameters),
        )

    def now(state: MomoState) -> dict[str, Any]:
        steady = {"learning_rate": learning_rate, "lower_bound": lower_bound, "weight_decay": weight_decay}
        values = {name: value_at(h, state.step) for name, h in steady.items()}
        return values | {"momentum": value_at(momentum, state.momentum_step)}

    def average(g: jax.Array, d: jax.Array, p: jax.Array, beta: Any) -> tuple[jax.Array, jax.Array]:
        d = beta * d + (1 - beta) * g
        return jnp.stack([dot(g, p), dot(d, p), *squares(d)]), d

    def move(g: jax.Array, d: jax.Array, p: jax.Array, tau: Any, decay: Any, shrink: Any) -> tuple[jax.Array, jax.Array]:
        del g
        return -(tau * d + decay * p) * shrink, d

    def update(
        who: str, updates: optax.Updates, state: MomoState, params: Any, value: Any = None
    ) -> tuple[optax.Updates, MomoState]:
        if params is None:
            raise ValueError(f"{who}: the parameters are needed: call update(gradients, state, params, value=loss).")
        loss = loss_of(who, value).astype(state.average_loss.dtype)
        eta, bound, decay, beta = (as_scalar(h, loss.dtype) for h in now(state).values())
        beta = jnp.where(state.momentum_step == 0, 0.0, jnp.asarray(beta, loss.dtype))
        sums, first_moment = each(who, average, updates, {"first_moment": state.first_moment}, params=params, beta=beta)
        product, along, *sums = total(sums, jnp.zeros(5, loss.dtype))
        average_loss = beta * state.average_loss + (1 - beta) * loss
        average_product = beta * state.average_product + (1 - beta) * product
        growth = 1 + eta * decay
        above = jnp.maximum(growth * (average_loss - bound - average_product) + along, 0.0)
        tau = jnp.minimum(eta, _over_square(above, Squares(*sums)))
        updates, first_moment = each(
            who,
            move,
            updates,
            {"first_moment": first_moment},
            params=params,
            tau=tau,
            decay=eta * decay,
            shrink=1 / growth,
        )
        return updates, MomoState(
            step=next_step(state.step),
            momentum_step=next_step(state.momentum_step),
            first_moment=first_moment,
            average_loss=average_loss,
            average_product=average_product,
        )

    return transformation("momo", init, update, extra=("value",), hyperparameters=now)


def _over_square(x: jax.Array, sums: Squares) -> jax.Array:
    """x / |d|^2 from the squares of d; 0 where d is 0."""
    length = root_of(sums)
    return jnp.where(is_ordinary(sums.plain), _quotient(x, sums.plain), _quotient(_quotient(x, length), length))


@jax.custom_jvp
def _quotient(x: jax.Array, y: jax.Array) -> jax.Array:
    """x / y, 0 where y is 0, whose derivative does not square y: a small square has a square of 0."""
    return ratio(x, y, 0.0)


@_quotient.defjvp
def _quotient_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    (x, y), (dx, dy) = primals, tangents
    q = _quotient(x, y)
    # An infinite quotient is longer than the learning rate, so its derivative counts for nothing.
    return q, ratio(dx, y, 0.0) - jnp.where(jnp.isfinite(q), q, 0.0) * ratio(dy, y, 0.0)
