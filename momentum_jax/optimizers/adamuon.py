"""AdaMuon: Muon of the signs of its momentum, each entry of the orthogonal step over its own RMS."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import AverageDecay, Bool, DType, LearningRate, NonNegative, checked, value_at
from momentum_jax._scaling import norms
from momentum_jax._trees import is_inexact, leaves_by_path
from momentum_jax.optimizers._arithmetic import ratio, root, squared
from momentum_jax.optimizers._axes import AxesArgument, Layout, View, refuse_unnamed, views
from momentum_jax.optimizers._gathered import in_tree_of
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._matrices import with_fallback
from momentum_jax.optimizers._newton_schulz import NewtonSchulz, NewtonSchulzDType, StepsOfNewtonSchulz, iteration
from momentum_jax.optimizers._precision import as_scalar, widen
from momentum_jax.optimizers._stacks import Orthogonaliser, SpreadArgument
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, second_moment_dtype, zeros
from momentum_jax.optimizers._transformation import Transformation, chain, transformation
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate
from momentum_jax.optimizers.weight_decay import add_weight_decay

# What the authors' code gives the norm before Newton-Schulz against 0, and the RMS of an update of AdamW.
_NS_EPS, _RMS = 1e-7, 0.2


class AdamuonState(NamedTuple):
    step: jax.Array
    momentum_step: jax.Array
    first_moment: optax.Updates
    second_moment: optax.Updates

    def reset_momentum(self) -> "AdamuonState":
        momentum_step, first_moment = jax.tree.map(jnp.zeros_like, (self.momentum_step, self.first_moment))
        return self._replace(momentum_step=momentum_step, first_moment=first_moment)


@checked
def scale_by_adamuon(
    momentum: AverageDecay = 0.95,
    *,
    axes: AxesArgument = None,
    layout: Layout = "auto",
    newton_schulz: NewtonSchulz = "quintic",
    ns_steps: StepsOfNewtonSchulz = None,
    ns_dtype: NewtonSchulzDType = None,
    stack: Bool = False,
    spread: SpreadArgument = None,
    eps: NonNegative = 1e-8,
    accumulator_dtype: DType = None,
) -> Transformation:
    """The learning-rate-free core: 0.2 sqrt(a b) P / (|P| + eps). Leaves that are no matrices get mu m' + (1 - mu) u itself.

    Args:
      momentum: mu in [0, 1); a number, a 0-d array or a schedule `step -> value`.
      eps: at least 0, likewise, added to both denominators. Before Newton-Schulz it is 1e-7, as in the authors' code.
      accumulator_dtype: dtype of the averages; None: that of the parameter, float32 for 16-bit leaves.
      axes, layout, newton_schulz, ns_steps, ns_dtype, stack, spread: as in `muon`.

    Raises:
      ValueError: a hyperparameter out of range; in `init`, axes that do not fit a leaf; in `update`, a gradient that does not
        fit the state.
      TypeError: an argument of the wrong type.
    """
    who = "scale_by_adamuon"
    orthogonal = Orthogonaliser(who, iteration(who, newton_schulz, ns_steps), ns_dtype, stack, spread)

    def init(params: optax.Params) -> AdamuonState:
        refuse_unnamed(who, params, axes, layout)
        views(who, params, axes, layout)
        first_moment = zeros(params, average_dtype(accumulator_dtype))
        return AdamuonState(first_step(), first_step(), first_moment, zeros(params, second_moment_dtype(accumulator_dtype)))

    def now(state: AdamuonState) -> dict[str, Any]:
        return {"momentum": value_at(momentum, state.momentum_step), "eps": value_at(eps, state.step)}

    def mix(u: jax.Array, m: jax.Array, s: jax.Array, mu: Any) -> tuple[jax.Array, ...]:
        m = mu * m + (1 - mu) * u
        return mu * m + (1 - mu) * u, m, s

    def even(o: jax.Array, s: jax.Array, view: View, mu: Any, eps: Any) -> tuple[jax.Array, jax.Array]:
        real = jnp.finfo(o.dtype).dtype
        mu, eps = as_scalar(mu, real), as_scalar(eps, real)
        s = mu * s + (1 - mu) * squared(o)
        parts, sides = view.split(ratio(o, root(s) + eps, eps)), view.inputs + view.outputs
        lengths = [_RMS * (inputs * outputs) ** 0.5 for inputs, outputs in view.sides]
        even = [ratio(length * p, norms(p, sides) + eps, eps) for p, length in zip(parts, lengths, strict=True)]
        return view.whole(even), s

    def update(who: str, updates: optax.Updates, state: AdamuonState, params: Any) -> tuple[optax.Updates, AdamuonState]:
        del params
        mu, small = now(state).values()
        seen = views(who, updates, axes, layout)
        buffers = {"first_moment": state.first_moment, "second_moment": state.second_moment}
        updates, first_moment, _ = each(who, mix, updates, buffers, mu=mu)
        moved, moments = leaves_by_path(updates), leaves_by_path(state.second_moment)
        matrices = {path: view for path, view in seen.items() if view is not None and is_inexact(moved[path])}
        for path, o in orthogonal({path: jnp.sign(moved[path]) for path in matrices}, matrices, _NS_EPS).items():
            s = moments[path]
            moved[path], wide = even(o, widen(s, jnp.finfo(o.dtype).dtype), matrices[path], mu, small)
            moments[path] = wide.astype(s.dtype)
        return in_tree_of(updates, list(moved.values())), AdamuonState(
            step=next_step(state.step),
            momentum_step=next_step(state.momentum_step),
            first_moment=first_moment,
            second_moment=in_tree_of(state.second_moment, list(moments.values())),
        )

    return transformation(who, init, update, hyperparameters=now)


@checked
def adamuon(
    learning_rate: LearningRate = 0.02,
    momentum: AverageDecay = 0.95,
    *,
    weight_decay: NonNegative = 0.0,
    axes: AxesArgument = None,
    layout: Layout = "auto",
    newton_schulz: NewtonSchulz = "quintic",
    ns_steps: StepsOfNewtonSchulz = None,
    ns_dtype: NewtonSchulzDType = None,
    stack: Bool = False,
    spread: SpreadArgument = None,
    fallback: Any = None,
    eps: NonNegative = 1e-8,
    accumulator_dtype: DType = None,
) -> Transformation:
    """AdaMuon for the matrices of a tree, another optimizer for the rest.

        m' = mu m + (1 - mu) g          O = NS(sign(mu m' + (1 - mu) g))
        s' = mu s + (1 - mu) |O|^2          P = O / (sqrt s' + eps)
        x' = x - eta (0.2 sqrt(a b) P / (|P| + eps) + lambda x)          for a matrix of a inputs and b outputs

    Equivalent form: Muon with Adam's second moment behind it, the whole step brought to an RMS of 0.2, as an update of AdamW
    has.

        >>> import momentum_jax as mj
        >>> optimizer = mj.adamuon(6e-4, weight_decay=0.1, fallback=mj.adamw(6e-4, weight_decay=0.1))

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first. An update has an RMS of 0.2
        eta.
      momentum: mu in [0, 1), likewise; the decay of both averages.
      weight_decay: lambda >= 0, likewise, decoupled; unless it is the plain number 0, `update` needs params.
      fallback: optimizer of the leaves that are no matrices; None: that of `muon`.
      eps: at least 0, likewise, added to both denominators. Before Newton-Schulz it is 1e-7, as in the authors' code.
      accumulator_dtype: dtype of the averages; None: that of the parameter, float32 for 16-bit leaves.
      axes, layout, newton_schulz, ns_steps, ns_dtype, stack, spread: as in `muon`.

    Raises:
      ValueError, TypeError: as `muon`.

    Convention: as `muon`: eta outside, decoupled decay, leaves that are no matrices to `fallback`. One decay serves both
    averages. s is not bias corrected: the normalisation takes any common factor out. |P| is that of each matrix of a leaf. A
    complex sign is z / |z|.
    State: `matrices` and `fallback`. Of the matrices `step`, int32 scalar, position in eps; `momentum_step`, int32 scalar,
    position in mu; `first_moment`; `second_moment`, real: the tree and shapes of the parameters, float32 for 16-bit leaves
    unless `accumulator_dtype` says otherwise.
    Memory: 2 buffers, and those of the fallback on the other leaves. Needs: params for weight decay.
    Source: C. Si, D. Zhang and W. Shen (2025), AdaMuon: Adaptive Muon Optimizer, arXiv:2507.11005.

    See also: `muon`, without the second moment; `normuon`, with one second moment a neuron.
    """
    core = scale_by_adamuon(
        momentum,
        axes=axes,
        layout=layout,
        newton_schulz=newton_schulz,
        ns_steps=ns_steps,
        ns_dtype=ns_dtype,
        stack=stack,
        spread=spread,
        eps=eps,
        accumulator_dtype=accumulator_dtype,
    )
    matrices = chain("adamuon", core, add_weight_decay(weight_decay), scale_by_learning_rate(learning_rate))
    return with_fallback("adamuon", matrices, axes, layout, fallback, learning_rate, weight_decay, accumulator_dtype)
