"""Averaged: any optimizer, and beside it the average of its iterates, which is the point to evaluate."""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import DType, Interval, ScalarOrSchedule, StepsOrZero, WordOr, checked, value_at
from momentum_jax._trees import dtype_of, is_inexact, is_none, same_leaves
from momentum_jax._wrappers import Reading
from momentum_jax.optimizers._leaves import cast_like, each
from momentum_jax.optimizers._state import average_dtype, first_step, next_step
from momentum_jax.optimizers._transformation import Transformation, as_link, transformation
from momentum_jax.protocol import evaluation_params, reset_momentum, shift_by_path

UNIFORM = "uniform"
AverageDecayOrUniform = Annotated[ScalarOrSchedule | str, WordOr(UNIFORM, Interval(0, 1, average=True))]


class AveragedState(NamedTuple):
    step: jax.Array
    average: optax.Params
    inner_state: Any

    def evaluation_params(self, params: optax.Params) -> optax.Params:
        """The average, in the dtypes of `params`; leaves that the optimizer does not move are those of `params`."""
        return shift_by_path("averaged", params, self.average, lambda p, average, step: average, self.step)

    def reset_momentum(self) -> "AveragedState":
        return self._replace(inner_state=reset_momentum(self.inner_state))


@checked
def averaged(
    optimizer: optax.GradientTransformation,
    decay: AverageDecayOrUniform,
    *,
    start: StepsOrZero = 0,
    accumulator_dtype: DType = None,
) -> Transformation:
    """Any optimizer with an average of its iterates, which `momentum_jax.evaluation_params` reads.

        a' = d a + (1 - d) x'          a number d: an exponential moving average
        a' = a + (x' - a) / n          "uniform": the mean of the n last iterates, x' among them

    x' is the iterate after the step: `evaluation_params` of a shifted method (`nesterov`), else the parameters themselves. The
    first average is the iterate after step `start`, as PyTorch's AveragedModel copies the model when it is first updated; up to
    there a' is x'. So the mean of all iterates after the start x_0 is "uniform" with start 0.

    Equivalent form: the optimizer's own path, with another read-out. The average never moves what the optimizer sees.

        >>> import momentum_jax as mj
        >>> optimizer = mj.averaged(mj.sgd(0.1, 0.9), 0.999)  # an EMA
        >>> optimizer = mj.averaged(mj.sgd(0.1, 0.9), "uniform", start=7500)  # SWA of the steps after 7,500

    Args:
      optimizer: any Optax optimizer, learning rate included.
      decay: d in [0, 1) of an exponential moving average; a number, a 0-d array or a schedule `step -> value`. Or "uniform",
        for the mean of all iterates since `start`.
      start: the step after which the first iterate is averaged, at least 0; before it the average is the iterate.
      accumulator_dtype: dtype of the average; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a decay out of range or another word; in `update`, no params; whatever the optimizer raises.
      TypeError: `optimizer` is no gradient transformation; an argument of the wrong type.

    Convention: it goes around a whole optimizer, outermost: what would still change its updates, as a link behind it, would
    make x' another point. PyTorch's AveragedModel averages what the user holds, which with Nesterov is the look-ahead point.
    State: `step`, int32 scalar, position in the sequence of d; `average`, a copy of the tree of the parameters, float32 for
    16-bit leaves unless `accumulator_dtype` says otherwise; `inner_state`.
    Memory: that of its optimizer and 1 buffer. Needs: params; evaluation_params, to read the average.
    Source: B. T. Polyak and A. B. Juditsky (1992), Acceleration of Stochastic Approximation by Averaging, SIAM J. Control
    Optim. 30(4), 838-855, for the mean; P. Izmailov, D. Podoprikhin, T. Garipov, D. Vetrov and A. G. Wilson (2018), Averaging
    Weights Leads to Wider Optima and Better Generalization, UAI, arXiv:1803.05407, for the mean from a late start on.

    See also: `gpa`, which also trains at an average; `ema_momentum`, which averages gradients; `evaluation_params`.
    """
    inner = as_link("averaged", "optimizer", optimizer)
    dtype_rule = average_dtype(accumulator_dtype)

    def init(params: optax.Params) -> AveragedState:
        # A copy: a step that donates its state and its parameters must not donate one array twice.
        average = jax.tree.map(lambda p: jnp.array(p, dtype_rule(dtype_of(p))) if is_inexact(p) else None, params)
        return AveragedState(first_step(), average, inner.init(params))

    def now(state: AveragedState) -> dict[str, Any]:
        return {} if isinstance(decay, str) else {"decay": value_at(decay, state.step)}

    def inside(state: AveragedState) -> Reading:
        return inner.reading(state.inner_state)

    def exponential(x: jax.Array, average: jax.Array, count: Any, decay: Any) -> tuple[jax.Array, jax.Array]:
        return x, jnp.where(count <= 1, x, decay * average + (1 - decay) * x)

    def uniform(x: jax.Array, average: jax.Array, count: Any) -> tuple[jax.Array, jax.Array]:
        return x, average + (x - average) / count

    def update(
        who: str, updates: optax.Updates, state: AveragedState, params: Any, **extra_args: Any
    ) -> tuple[optax.Updates, AveragedState]:
        if params is None:
            raise ValueError(f"{who}: the average needs the parameters: call update(gradients, state, params).")
        updates, inner_state = inner.unrounded(who, updates, state.inner_state, params, **extra_args)
        iterate = evaluation_params(_landing(who, updates, params), inner_state)
        count = jnp.maximum(state.step - start, 0) + 1
        buffers = {"average": state.average}
        if isinstance(decay, str):
            _, average = each(who, uniform, iterate, buffers, count=count)
        else:
            _, average = each(who, exponential, iterate, buffers, count=count, **now(state))
        return updates, AveragedState(next_step(state.step), average, inner_state)

    return transformation("averaged", init, update, extra=None, hyperparameters=now, inside=inside)


def refuse_averaged(who: str, name: str, state: Any) -> None:
    """For wrappers that change a step or a buffer afterwards, which an average inside them would not know or not survive."""

    def is_averaged(node: Any) -> bool:
        return isinstance(node, AveragedState)

    if any(map(is_averaged, jax.tree.leaves(state, is_leaf=is_averaged))):
        raise ValueError(f"{who}: {name} must not be averaged; write averaged({who}(...), decay), which averages its iterates.")


def _landing(who: str, updates: optax.Updates, params: optax.Params) -> optax.Params:
    """The parameters after the step, rounded as the user will hold them, in the tree of the updates."""
    steps, treedef = jax.tree.flatten(cast_like(updates, params, who), is_leaf=is_none)
    held = same_leaves(who, updates, params, "the parameters")
    return jax.tree.unflatten(treedef, [p + u if is_inexact(p) else p for p, u in zip(held, steps, strict=True)])
