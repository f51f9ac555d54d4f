"""GPA, generalised primal averaging: any optimizer, its gradients taken between its iterate and the average of its iterates."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import AverageDecay, DType, Share, checked, value_at
from momentum_jax._wrappers import Reading
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._precision import scalar_dtype
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, zeros
from momentum_jax.optimizers._transformation import Transformation, as_link, transformation
from momentum_jax.protocol import reset_momentum, shift_by_path


class GpaState(NamedTuple):
    step: jax.Array
    offset: optax.Updates
    next_training: jax.Array
    inner_state: Any

    def evaluation_params(self, params: optax.Params) -> optax.Params:
        """x = held point + (1 - my) d."""
        return shift_by_path("gpa", params, self.offset, lambda y, d, my: y + (1 - my) * d, self.next_training)

    def reset_momentum(self) -> "GpaState":
        step, offset = jax.tree.map(jnp.zeros_like, (self.step, self.offset))
        return GpaState(step, offset, self.next_training, reset_momentum(self.inner_state))


@checked
def gpa(
    optimizer: optax.GradientTransformation,
    *,
    training: Share = 0.7,
    evaluation: AverageDecay = 0.9967,
    accumulator_dtype: DType = None,
) -> Transformation:
    """Generalised primal averaging around any optimizer.

        y = my x + (1 - my) z          z' = A(z), one step of any optimizer with the gradient at y
        x' = mx x + (1 - mx) z'        my = `training`, mx = `evaluation`

    You hold y; x is the point to evaluate. Nesterov's momentum in its form of averages, the two weights set apart from each
    other: Schedule-Free with a constant weight in the place of 1 / t. With u the step that A makes, and d = x - z,

        d' = mx (d - u)          y' = y + u + my' d' - my d          x = y + (1 - my) d

    which is how it is computed: one buffer, no division, and the rounding of 16-bit parameters does not add up in the average.

    Equivalent form: training = 0 is A with an exponential moving average of its iterates to evaluate (`averaged`, but that this
    average starts at x_0); evaluation = 0 is A itself.

    The parameters that you hold are where gradients are taken; evaluate and save `momentum_jax.evaluation_params(params,
    opt_state)`.

        >>> import momentum_jax as mj
        >>> optimizer = mj.gpa(mj.adamw(1e-3, weight_decay=0.1))

    Args:
      optimizer: any Optax optimizer, learning rate included.
      training: my in [0, 1], the weight of the average x in the held point; a number, a 0-d array or a schedule `step ->
        value`. The first update reads it at step 1 too.
      evaluation: mx in [0, 1), the weight that the average keeps, likewise.
      accumulator_dtype: dtype of the buffer; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; whatever the optimizer raises.
      TypeError: `optimizer` is no gradient transformation; an argument of the wrong type.

    Convention: A sees y as its parameters, so that its weight decay is that of y, as in the authors' code. Under a schedule of
    my the next y is taken with the next step's.
    State: `step`, int32 scalar; `offset` (d), the tree and shapes of the parameters, float32 for 16-bit leaves unless
    `accumulator_dtype` says otherwise; `next_training`, my of the next step, float32 scalar (float64 when a leaf is 64 bits
    wide); `inner_state`.
    Memory: that of its optimizer and 1 buffer. Needs: evaluation_params, to read the iterate.
    Source: A. Defazio, K. Mishchenko, P. Raman, H.-J. M. Shi and L. Xiao (2025), Smoothing DiLoCo with Primal Averaging for
    Faster Training of LLMs, arXiv:2512.17131.

    See also: `averaged`, which leaves the training as it is; `optax.contrib.schedule_free`, the special case.
    """
    inner = as_link("gpa", "optimizer", optimizer)

    def init(params: optax.Params) -> GpaState:
        offset = zeros(params, average_dtype(accumulator_dtype))
        # jnp.array copies: a donated state must not take the user's own hyperparameter with it.
        first = jnp.array(value_at(training, first_step()), scalar_dtype(params))
        return GpaState(first_step(), offset, first, inner.init(params))

    def now(state: GpaState) -> dict[str, Any]:
        return {"training": state.next_training, "evaluation": value_at(evaluation, state.step)}

    def inside(state: GpaState) -> Reading:
        return inner.reading(state.inner_state)

    def leaf(u: jax.Array, d: jax.Array, mx: Any, my: Any, next_my: Any) -> tuple[jax.Array, jax.Array]:
        after = mx * (d - u)
        return u + next_my * after - my * d, after

    def update(
        who: str, updates: optax.Updates, state: GpaState, params: Any, **extra_args: Any
    ) -> tuple[optax.Updates, GpaState]:
        updates, inner_state = inner.unrounded(who, updates, state.inner_state, params, **extra_args)
        following = next_step(state.step)
        next_training = value_at(training, following)
        h = now(state)
        scalars = {"mx": h["evaluation"], "my": h["training"], "next_my": next_training}
        updates, offset = each(who, leaf, updates, {"offset": state.offset}, **scalars)
        return updates, GpaState(following, offset, jnp.array(next_training, state.next_training.dtype), inner_state)

    return transformation("gpa", init, update, extra=None, hyperparameters=now, inside=inside)
