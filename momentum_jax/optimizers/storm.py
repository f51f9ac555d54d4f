"""STORM: momentum that corrects itself by the gradient of the same sample at the previous parameters."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import DType, LearningRate, NonNegative, checked, value_at
from momentum_jax._trees import dtype_of, is_inexact, is_none, same_leaves
from momentum_jax.optimizers._arithmetic import inner_product
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, scalar_zeros, zeros
from momentum_jax.optimizers._transformation import Transformation, transformation


class StormState(NamedTuple):
    step: jax.Array
    momentum_step: jax.Array
    first_moment: optax.Updates
    previous_params: optax.Params
    total_square: jax.Array
    last_rate: jax.Array

    def reset_momentum(self) -> "StormState":
        momentum_step, first_moment = jax.tree.map(jnp.zeros_like, (self.momentum_step, self.first_moment))
        return self._replace(momentum_step=momentum_step, first_moment=first_moment)


@checked
def storm(
    learning_rate: LearningRate = 1.0, *, c: NonNegative = 100.0, w: NonNegative = 10.0, accumulator_dtype: DType = None
) -> Transformation:
    """STORM. `update(gradients, state, params, grad_fn=...)` evaluates one more gradient.

        d' = g(x) + (1 - a) (d - g(x_prev)), d' = g(x) at the first step          a = min(1, c eta_prev^2)
        G' = G + |g(x)|^2          eta = k / (w + G')^(1/3)          x' = x - eta d'

    g(x) and g(x_prev) are gradients of one sample; |g| is the norm of the whole tree, k the learning rate. Equivalent form:
    d' = a g(x) + (1 - a) (d + g(x) - g(x_prev)), an average that is moved along with the parameters; without noise d = g
    throughout, which is gradient descent.

    Args:
      learning_rate: k >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      c: at least 0, likewise; how fast d forgets, a = min(1, c eta_prev^2).
      w: at least 0, likewise; what the sum of squares starts from.
      accumulator_dtype: dtype of d; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, no params or no `grad_fn=`, a gradient that does not fit the state
        or the parameters.
      TypeError: an argument of the wrong type; in `update`, a `grad_fn=` that is no function.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.storm(1.0)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.550 0.305 0.170 0.094

    Convention: `update` reads `grad_fn=`, params -> gradient on the sample of this step, and calls it at the previous
    parameters. a is capped at 1, where the source asks for a c that keeps it there. There is no eps: w is in its place, and
    where w + G' is 0 so is eta. Masks and partitions hand it a part of the tree, which few gradients can be taken of, and
    `optax.MultiSteps` the last `grad_fn` beside the mean of several gradients: put it around all. The official code differs: G
    is kept for every entry and starts at 0.01^3, a is that of the present eta, and d' is clipped to the largest norm of a
    gradient so far. Range: once a gradient has been longer than 1.8e19 in float32, G is infinite and eta is 0, for good; clip
    the gradients, those of `grad_fn` as well.
    State: `step`, int32 scalar; `momentum_step`, int32 scalar, steps since d began; `first_moment` (d), the tree and shapes of
    the parameters, float32 for 16-bit leaves unless `accumulator_dtype` says otherwise; `previous_params`, those of the last
    step, in their dtypes; `total_square` (G) and `last_rate`, float32 scalars (float64 when a leaf is 64 bits wide).
    Memory: 2 buffers. Needs: params, grad_fn.
    Source: A. Cutkosky and F. Orabona (2019), Momentum-Based Variance Reduction in Non-Convex SGD, NeurIPS, arXiv:1905.10018.

    See also: `mars`, with a second moment; `nigt`.
    """

    def init(params: optax.Params) -> StormState:
        zero = scalar_zeros(params)
        return StormState(
            step=first_step(),
            momentum_step=first_step(),
            first_moment=zeros(params, average_dtype(accumulator_dtype)),
            previous_params=jax.tree.map(lambda p: jnp.array(p, dtype_of(p)) if is_inexact(p) else None, params),
            total_square=zero,
            last_rate=jnp.array(zero),  # a copy: a state cannot be donated that holds an array twice
        )

    def now(state: StormState) -> dict[str, Any]:
        return {name: value_at(h, state.step) for name, h in {"learning_rate": learning_rate, "c": c, "w": w}.items()}

    def leaf(u: jax.Array, d: jax.Array, x: jax.Array, back: jax.Array, p: jax.Array, keep: Any) -> tuple[jax.Array, ...]:
        d = u + keep * (d - back)
        return d, d, p, back

    def update(
        who: str, updates: optax.Updates, state: StormState, params: Any, **extra_args: Any
    ) -> tuple[optax.Updates, StormState]:
        if params is None or extra_args.get("grad_fn") is None:
            missing = "the parameters" if params is None else "the gradient of this step's sample at the previous parameters"
            raise ValueError(f"{who}: it needs {missing}: call update(gradients, state, params, grad_fn=grad_fn).")
        kept = same_leaves(who, params, state.previous_params, "the state's previous_params", holes=True)
        leaves, treedef = jax.tree.flatten(params, is_leaf=is_none)
        previous = jax.tree.unflatten(treedef, [p if x is None else x for p, x in zip(leaves, kept, strict=True)])
        there = same_leaves(who, updates, _gradient(who, extra_args["grad_fn"], previous), "what grad_fn returned")
        leaves, treedef = jax.tree.flatten(updates, is_leaf=is_none)
        back = jax.tree.unflatten(treedef, [b if is_inexact(u) else None for u, b in zip(leaves, there, strict=True)])
        total = state.total_square + inner_product(updates, updates).astype(state.total_square.dtype)
        h = now(state)
        rate = _rate(h["learning_rate"], h["w"] + total).astype(total.dtype)
        a = jnp.minimum(1, h["c"] * state.last_rate**2)
        keep = jnp.where(state.momentum_step == 0, 0, 1 - a)
        buffers = {"first_moment": state.first_moment, "previous_params": state.previous_params, "gradient there": back}
        updates, first_moment, previous_params, _ = each(who, leaf, updates, buffers, params=params, keep=keep)
        (updates,) = each(who, lambda d, rate: (-rate * d,), updates, {}, rate=rate)
        return updates, StormState(
            next_step(state.step), next_step(state.momentum_step), first_moment, previous_params, total, rate
        )

    return transformation("storm", init, update, extra=("grad_fn",), hyperparameters=now)


def _gradient(who: str, grad_fn: Any, params: optax.Params) -> Any:
    if not callable(grad_fn):
        raise TypeError(f"{who}: grad_fn must be a function params -> gradient, got {type(grad_fn).__name__}.")
    try:
        gradient = grad_fn(params)
    except Exception as error:
        nodes = jax.tree.leaves(params, is_leaf=lambda x: isinstance(x, optax.MaskedNode))
        if not any(isinstance(node, optax.MaskedNode) for node in nodes):
            raise
        # Whatever a function of all parameters raises at a part of them.
        raise ValueError(
            f"{who}: grad_fn must take the parameters that are left by a mask or a partition; put {who} around the whole tree."
        ) from error
    if isinstance(gradient, tuple) and not isinstance(params, tuple):
        raise ValueError(f"{who}: grad_fn must return the gradient alone, got a tuple of {len(gradient)}.")
    return gradient


def _rate(k: Any, total: Any) -> jax.Array:
    """k / total^(1/3); 0 where total is 0."""
    zero = total == 0
    return jnp.where(zero, 0, k * jnp.where(zero, 1, total) ** (-1 / 3))
