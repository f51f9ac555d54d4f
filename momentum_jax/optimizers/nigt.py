"""NIGT: normalised momentum that takes its gradients ahead, where the average of them is the gradient at the iterate."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import AverageDecay, DType, LearningRate, NonNegative, checked, value_at
from momentum_jax.optimizers._arithmetic import global_norm, ratio
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, scalar_zeros, zeros
from momentum_jax.optimizers._transformation import Transformation, transformation
from momentum_jax.protocol import shift_by_path


class NigtState(NamedTuple):
    step: jax.Array
    momentum_step: jax.Array
    first_moment: optax.Updates
    lead: jax.Array
    next_momentum: jax.Array

    def evaluation_params(self, params: optax.Params) -> optax.Params:
        """w = held point + lead m'."""
        return shift_by_path("nigt", params, self.first_moment, lambda x, m, lead: x + lead * m, self.lead)

    def reset_momentum(self) -> "NigtState":
        return NigtState(self.step, *jax.tree.map(jnp.zeros_like, tuple(self)[1:]))


@checked
def nigt(
    learning_rate: LearningRate,
    momentum: AverageDecay = 0.9,
    *,
    eps: NonNegative = 1e-8,
    accumulator_dtype: DType = None,
) -> Transformation:
    """Normalised SGD with implicit gradient transport.

        x = w + beta / (1 - beta) (w - w_prev)          m' = beta m + (1 - beta) g(x), m' = g(x) at the first step
        w' = w - eta m' / (|m'| + eps)

    |m| is the norm of the whole tree. Equivalent form: where the gradient is linear and free of noise m' = g(w) (implicit
    gradient transport), so that w descends as normalised gradient descent without momentum.

    The parameters that you hold are where gradients are taken; evaluate and save `momentum_jax.evaluation_params(params,
    opt_state)`.

    Args:
      learning_rate: eta >= 0, the length of a step of w; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      momentum: beta in [0, 1), likewise; the first update reads it at step 1, its own average does without.
      eps: at least 0, likewise.
      accumulator_dtype: dtype of the average; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state or the parameters.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.nigt(0.1)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.900 0.800 0.700 0.600

    Convention: the parameters that the user holds are the points x; `momentum_jax.evaluation_params` reads w, which is valid
    when nothing after the method rescales updates. Under a schedule the point x is ahead by the beta of the average that it
    enters. The official code differs as for `normalized_momentum`: a norm for every tensor, steps eta gamma |x| / |m'|, and an
    average from 0.
    State: `step`, int32 scalar; `momentum_step`, int32 scalar, position in the average; `first_moment`, the tree and shapes of
    the parameters, float32 for 16-bit leaves unless `accumulator_dtype` says otherwise; `lead`, w = x + lead m', and
    `next_momentum`, beta of the next step, float32 scalars (float64 when a leaf is 64 bits wide).
    Memory: 1 buffer. Needs: evaluation_params, to read the iterate.
    Source: A. Cutkosky and H. Mehta (2020), Momentum Improves Normalized SGD, ICML, arXiv:2002.03305; transport S. M. R. Arnold
    et al. (2019), Reducing the variance in online optimization by transporting past gradients, NeurIPS, arXiv:1906.03532.

    See also: `normalized_momentum`, without the transport; `storm`.
    """

    def init(params: optax.Params) -> NigtState:
        zero = scalar_zeros(params)
        first_moment = zeros(params, average_dtype(accumulator_dtype))
        # jnp.array copies: a donated state must not take the user's own hyperparameter with it.
        beta = jnp.array(value_at(momentum, first_step()), zero.dtype)
        return NigtState(first_step(), first_step(), first_moment, zero, beta)

    def now(state: NigtState) -> dict[str, Any]:
        # What put the held point where it is, also when momentum is changed from outside between two steps.
        taken = {"momentum": state.next_momentum}
        return taken | {"learning_rate": value_at(learning_rate, state.step), "eps": value_at(eps, state.step)}

    def average(u: jax.Array, m: jax.Array, beta: Any) -> tuple[jax.Array, jax.Array]:
        m = beta * m + (1 - beta) * u
        return m, m

    def move(new: jax.Array, old: jax.Array, back: Any, forth: Any) -> tuple[jax.Array, jax.Array]:
        return back * old - forth * new, old

    def update(who: str, updates: optax.Updates, state: NigtState, params: Any) -> tuple[optax.Updates, NigtState]:
        del params
        following, h = next_step(state.momentum_step), now(state)
        beta = jnp.where(state.momentum_step == 0, 0, h["momentum"])
        ahead, small = jnp.asarray(value_at(momentum, following), state.lead.dtype), h["eps"]
        updates, first_moment = each(who, average, updates, {"first_moment": state.first_moment}, beta=beta)
        scale = h["learning_rate"] * ratio(jnp.ones(()), global_norm(updates) + small, small)
        scale = jnp.asarray(scale, state.lead.dtype)
        lead = scale * ahead / (1 - ahead)
        old = {"first_moment": state.first_moment}
        updates, _ = each(who, move, updates, old, back=state.lead, forth=scale + lead)
        # jnp.array copies, as above.
        return updates, NigtState(next_step(state.step), following, first_moment, lead, jnp.array(ahead))

    return transformation("nigt", init, update, hyperparameters=now)
