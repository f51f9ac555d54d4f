"""Adaptive restart: any optimizer forgets its momentum when that has begun to lead uphill."""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import Choice, StepsOrNone, checked
from momentum_jax._text import with_article
from momentum_jax._trees import is_inexact
from momentum_jax._wrappers import Reading
from momentum_jax.optimizers._arithmetic import global_norm, makes_acute_angle
from momentum_jax.optimizers._precision import scalar_dtype
from momentum_jax.optimizers._state import next_step, scalar_zeros
from momentum_jax.optimizers._transformation import Transformation, as_link, loss_of, transformation
from momentum_jax.optimizers.averaged import refuse_averaged
from momentum_jax.protocol import UnknownMomentum, evaluation_params, reset_momentum


class AdaptiveRestartState(NamedTuple):
    steps_since_restart: jax.Array
    last_value: Any
    last_length: Any
    inner_state: Any

    def reset_momentum(self) -> "AdaptiveRestartState":
        return AdaptiveRestartState(
            steps_since_restart=jnp.zeros_like(self.steps_since_restart),
            last_value=self.last_value,
            last_length=jax.tree.map(jnp.zeros_like, self.last_length),
            inner_state=reset_momentum(self.inner_state),
        )


@checked
def adaptive_restart(
    optimizer: optax.GradientTransformation,
    *,
    criterion: Annotated[str, Choice(("gradient", "function", "speed"))] = "gradient",
    min_steps: StepsOrNone = None,
) -> Transformation:
    """Any optimizer with momentum, restarted when a criterion says so.

        gradient    <g(y), x' - x> > 0: the step goes against the gradient that it was taken with
        function    f(y) > f(y_prev): the loss has risen
        speed       |x' - x| < |x - x_prev|: the step is shorter than the last

    y is the held point, x the iterate: `evaluation_params` of a shifted method, else y itself. Products and norms are over the
    whole tree. After a restart the optimizer goes on from the iterate ("function": from the held point) with no velocity and at
    the first step of its momentum's sequence, so that with `schedules.fista` this is O'Donoghue and Candes' restart of t_k;
    learning rates and second moments go on.

    Args:
      optimizer: any optimizer, or chain of them, that `momentum_jax.reset_momentum` knows; learning rate included.
      criterion: "gradient", "function" (`update` needs `value=`, the loss at the parameters) or "speed".
      min_steps: no restart before this many steps since the last; None: 10 for "speed", else 1. The momentum of `fista` begins
        at 0, and the second step of gradient descent is shorter than its first: restarted by speed after fewer than 3 steps it
        would be gradient descent for ever.

    Raises:
      ValueError: another criterion; in `init`, an optimizer whose momentum is not known, or an averaged one; in `update`, no
        `value=` for "function".
      TypeError: `optimizer` is no gradient transformation.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.adaptive_restart(mj.nesterov(0.1, 0.9))
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.900 0.729 0.518 0.295

    Convention: "gradient" and "speed" judge the step that was just made and keep it, landing on x'. "function" reads `value=`,
    the loss at the held point, before the step, which is then taken without momentum from the held point. "speed" passes over
    updates that move nothing, such as those between the steps of `optax.MultiSteps`.
    State: `steps_since_restart`, int32 scalar; `last_value`, the last loss, for "function"; `last_length`, that of the last
    step, 0 after a restart, for "speed"; both float32 scalars (float64 when a leaf is 64 bits wide), None for the other
    criteria; `inner_state`.
    Memory: that of its optimizer. Needs: value for "function".
    Source: B. O'Donoghue and E. Candes (2015), Adaptive Restart for Accelerated Gradient Schemes, Found. Comput. Math. 15,
    arXiv:1204.3982; speed W. Su, S. Boyd and E. Candes (2016), JMLR 17(153), arXiv:1503.01243.

    See also: `nesterov` and `fista`, what it is usually put around; `reset_momentum`, which it calls.
    """
    inner = as_link("adaptive_restart", "optimizer", optimizer)
    least = min_steps or (10 if criterion == "speed" else 1)

    def init(params: optax.Params) -> AdaptiveRestartState:
        zero = scalar_zeros(params)
        state = inner.init(params)
        refuse_averaged("adaptive_restart", "optimizer", state)
        try:
            fresh = reset_momentum(state)
        except UnknownMomentum as unknown:
            raise ValueError(
                f"adaptive_restart: optimizer must be one whose momentum is known, got one with "
                f"{with_article(unknown.kind.__name__)}; {unknown.remedy}."
            ) from None
        # Chosen by the data from the first step on, so the carry of a scan has to vary as the data do from the start.
        state = _choose(zero != 0, fresh, state)
        scalar = zero.astype(scalar_dtype(params))
        return AdaptiveRestartState(
            steps_since_restart=zero.astype(jnp.int32),
            last_value=scalar + jnp.finfo(scalar.dtype).max if criterion == "function" else None,
            last_length=scalar if criterion == "speed" else None,
            inner_state=state,
        )

    def before_the_step(
        who: str, updates: optax.Updates, state: AdaptiveRestartState, params: Any, **extra_args: Any
    ) -> tuple[optax.Updates, AdaptiveRestartState]:
        if "value" not in extra_args:
            raise ValueError(f'{who}: criterion "function" needs the loss: call update(gradients, state, params, value=loss).')
        value = loss_of(who, extra_args["value"]).astype(state.last_value.dtype)
        risen = value > state.last_value
        restart = (state.steps_since_restart >= least) & risen
        # The same number, varying over the mesh axes that the state varies over.
        value = jnp.where(risen, value, value)
        before = _choose(restart, reset_momentum(state.inner_state), state.inner_state)
        steps, after = inner.unrounded(who, updates, before, params, **extra_args)
        return steps, AdaptiveRestartState(next_step(jnp.where(restart, 0, state.steps_since_restart)), value, None, after)

    def after_the_step(
        who: str, updates: optax.Updates, state: AdaptiveRestartState, params: Any, **extra_args: Any
    ) -> tuple[optax.Updates, AdaptiveRestartState]:
        steps, after = inner.unrounded(who, updates, state.inner_state, params, **extra_args)
        # Read-outs add a multiple of a buffer, so differences of iterates come without the parameters.
        landing = evaluation_params(steps, after)
        move = steps if landing is steps else _minus(landing, evaluation_params(_minus(steps, steps), state.inner_state))
        since, last_length = next_step(state.steps_since_restart), None
        if criterion == "gradient":
            restart = (since >= least) & makes_acute_angle(updates, move)
        else:
            length = global_norm(move).astype(state.last_length.dtype)
            moved = length != 0
            since = jnp.where(moved, since, state.steps_since_restart)
            restart = (since >= least) & moved & (length < state.last_length)
            last_length = jnp.where(restart, 0, jnp.where(moved, length, state.last_length))
        steps, after = _choose(restart, landing, steps), _choose(restart, reset_momentum(after), after)
        return steps, AdaptiveRestartState(jnp.where(restart, 0, since), None, last_length, after)

    def inside(state: AdaptiveRestartState) -> Reading:
        return inner.reading(state.inner_state)

    update = before_the_step if criterion == "function" else after_the_step
    return transformation("adaptive_restart", init, update, extra=None, inside=inside)


def _choose(condition: jax.Array, yes: Any, no: Any) -> Any:
    return jax.tree.map(lambda a, b: a if a is b else jnp.where(condition, a, b), yes, no)


def _minus(a: Any, b: Any) -> Any:
    return jax.tree.map(lambda x, y: x - y if is_inexact(x) else x, a, b)
