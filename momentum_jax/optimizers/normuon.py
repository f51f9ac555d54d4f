"""NorMuon: Muon whose neurons, the rows of its orthogonal step, are brought to one RMS over time."""

import math
from dataclasses import replace
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import (
    AverageDecay,
    Bool,
    Choice,
    DType,
    LearningRate,
    NonNegative,
    NullOr,
    checked,
    value_at,
)
from momentum_jax._scaling import norm, norms
from momentum_jax._trees import dtype_of, is_inexact, is_none, leaves_by_path
from momentum_jax.optimizers._arithmetic import ratio, root, squared
from momentum_jax.optimizers._axes import AxesArgument, Layout, View, refuse_unnamed, views
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._matrices import Scale, scaled, with_fallback
from momentum_jax.optimizers._newton_schulz import NewtonSchulz, NewtonSchulzDType, StepsOfNewtonSchulz, iteration
from momentum_jax.optimizers._stacks import Orthogonaliser, SpreadArgument
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, second_moment_dtype, zeros
from momentum_jax.optimizers._transformation import Transformation, chain, transformation
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate
from momentum_jax.optimizers.weight_decay import add_weight_decay

Neurons = Annotated[str | None, NullOr(Choice(("rows", "columns")))]
# What the official code gives the norm before Newton-Schulz against 0.
_NS_EPS = 1e-7


class NormuonState(NamedTuple):
    step: jax.Array
    momentum_step: jax.Array
    first_moment: optax.Updates
    second_moment: optax.Updates

    def reset_momentum(self) -> "NormuonState":
        momentum_step, first_moment = jax.tree.map(jnp.zeros_like, (self.momentum_step, self.first_moment))
        return self._replace(momentum_step=momentum_step, first_moment=first_moment)


@checked
def scale_by_normuon(
    momentum: AverageDecay = 0.95,
    *,
    b2: AverageDecay = 0.95,
    axes: AxesArgument = None,
    layout: Layout = "auto",
    nesterov: Bool = True,
    newton_schulz: NewtonSchulz = "quintic",
    ns_steps: StepsOfNewtonSchulz = None,
    ns_dtype: NewtonSchulzDType = None,
    scale: Scale = "official",
    stack: Bool = False,
    spread: SpreadArgument = None,
    neurons: Neurons = None,
    eps: NonNegative = 1e-10,
    accumulator_dtype: DType = None,
) -> Transformation:
    """The learning-rate-free core: c P |O| / (|P| + eps). Leaves that are no matrices get mu m' + (1 - mu) u itself.

    Args:
      momentum: mu in [0, 1); a number, a 0-d array or a schedule `step -> value`.
      b2: decay of the neurons' second moment in [0, 1), likewise.
      nesterov: mix the average with the gradient; False: the average alone.
      neurons: "rows" or "columns" of leaves with two axes that `axes` does not name; None: their outputs, by `layout`.
      eps: at least 0, likewise, added to both denominators; 1e-10 as in the official code. Before Newton-Schulz it is 1e-7, as
        there.
      accumulator_dtype: dtype of the averages; None: that of the parameter, float32 for 16-bit leaves.
      axes, layout, newton_schulz, ns_steps, ns_dtype, scale, stack, spread: as in `muon`.

    Raises:
      ValueError: a hyperparameter out of range; in `init`, a kernel of three or more axes that `axes` does not name, or a spec
        that does not fit its leaf; in `update`, a gradient that does not fit the state.
      TypeError: an argument of the wrong type.
    """
    who = "scale_by_normuon"
    orthogonal = Orthogonaliser(who, iteration(who, newton_schulz, ns_steps), ns_dtype, stack, spread)

    def across(view: View) -> tuple[int, ...]:
        """The axes that a neuron's mean is over."""
        return view.inputs if view.named or neurons is None else (1,) if neurons == "rows" else (0,)

    def init(params: optax.Params) -> NormuonState:
        refuse_unnamed(who, params, axes, layout)
        rule, seen = second_moment_dtype(accumulator_dtype), views(who, params, axes, layout)

        def one_for_each_neuron(p: Any, view: View | None) -> Any:
            if view is None or not is_inexact(p):
                return None
            return jnp.sum(jnp.zeros_like(p, dtype=rule(dtype_of(p))), axis=across(view), keepdims=True)

        leaves = {path: p for path, p in leaves_by_path(params).items() if p is not None}
        second = [one_for_each_neuron(p, seen[path]) for path, p in leaves.items()]
        first_moment = zeros(params, average_dtype(accumulator_dtype))
        return NormuonState(first_step(), first_step(), first_moment, jax.tree.unflatten(jax.tree.structure(params), second))

    def now(state: NormuonState) -> dict[str, Any]:
        means = {"b2": value_at(b2, state.step), "eps": value_at(eps, state.step)}
        return {"momentum": value_at(momentum, state.momentum_step)} | means

    def mix(u: jax.Array, m: jax.Array, mu: Any) -> tuple[jax.Array, jax.Array]:
        m = mu * m + (1 - mu) * u
        return (mu * m + (1 - mu) * u if nesterov else m), m

    def even(o: jax.Array, s: jax.Array, view: View, b2: Any, eps: Any) -> tuple[jax.Array, jax.Array]:
        real = jnp.finfo(o.dtype).dtype
        b2, eps = (x if isinstance(x, float) else jnp.asarray(x, real) for x in (b2, eps))
        # An empty mean is 0, as an empty sum is.
        count = max(math.prod(o.shape[axis] for axis in across(view)), 1)
        wide = b2 * s.astype(real) + (1 - b2) * jnp.sum(squared(o), axis=across(view), keepdims=True) / count
        p = ratio(o, root(wide) + eps, eps)
        if view.plain:
            p = ratio(norm(o), norm(p) + eps, eps) * p
        else:
            sides = view.inputs + view.outputs
            blocks = zip(view.split(o), view.split(p), strict=True)
            p = view.whole([ratio(norms(a, sides), norms(b, sides) + eps, eps) * b for a, b in blocks])
        return scaled(who, p, view, scale), wide.astype(s.dtype)

    def update(who: str, updates: optax.Updates, state: NormuonState, params: Any) -> tuple[optax.Updates, NormuonState]:
        del params
        mu, decay, small = now(state).values()
        seen = views(who, updates, axes, layout)
        updates, first_moment = each(who, mix, updates, {"first_moment": state.first_moment}, mu=mu)
        moments, moved = leaves_by_path(state.second_moment), leaves_by_path(updates)
        matrices = {path: view for path, view in seen.items() if view is not None and moments.get(path) is not None}
        for path, o in replace(orthogonal, who=who)({path: moved[path] for path in matrices}, matrices, _NS_EPS).items():
            moved[path], moments[path] = even(o, moments[path], matrices[path], decay, small)
        updates = jax.tree.unflatten(jax.tree.structure(updates, is_leaf=is_none), list(moved.values()))
        treedef = jax.tree.structure(state.second_moment, is_leaf=is_none)
        second_moment = jax.tree.unflatten(treedef, list(moments.values()))
        return updates, NormuonState(next_step(state.step), next_step(state.momentum_step), first_moment, second_moment)

    return transformation(who, init, update, hyperparameters=now)


@checked
def normuon(
    learning_rate: LearningRate = 0.02,
    momentum: AverageDecay = 0.95,
    *,
    b2: AverageDecay = 0.95,
    axes: AxesArgument = None,
    layout: Layout = "auto",
    nesterov: Bool = True,
    newton_schulz: NewtonSchulz = "quintic",
    ns_steps: StepsOfNewtonSchulz = None,
    ns_dtype: NewtonSchulzDType = None,
    scale: Scale = "official",
    stack: Bool = False,
    spread: SpreadArgument = None,
    neurons: Neurons = None,
    weight_decay: NonNegative = 0.0,
    fallback: Any = None,
    eps: NonNegative = 1e-10,
    accumulator_dtype: DType = None,
) -> Transformation:
    """NorMuon for the matrices of a tree, another optimizer for the rest.

        m' = mu m + (1 - mu) g          O = NS(mu m' + (1 - mu) g)
        s'_i = b2 s_i + (1 - b2) mean_j |O_ij|^2          P_ij = O_ij / (sqrt s'_i + eps)
        x' = x - eta (c P |O| / (|P| + eps) + lambda x)          c = the scale of `muon`

    Equivalent form: Muon where every neuron has Adam's second moment, the whole step keeping Muon's norm.

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      momentum: mu in [0, 1), likewise.
      b2: decay of the neurons' second moment in [0, 1), likewise.
      nesterov: mix the average with the gradient; False: the average alone.
      neurons: "rows" or "columns" of leaves with two axes that `axes` does not name; None: their outputs, by `layout`.
      weight_decay: lambda >= 0, likewise, decoupled; unless it is the plain number 0, `update` needs params.
      fallback: optimizer of the leaves that are no matrices; None: that of `muon`.
      eps: at least 0, likewise, added to both denominators; 1e-10 as in the official code. Before Newton-Schulz it is 1e-7, as
        there.
      accumulator_dtype: dtype of the averages; None: that of the parameter, float32 for 16-bit leaves.
      axes, layout, newton_schulz, ns_steps, ns_dtype, scale, stack, spread: as in `muon`.

    Raises:
      ValueError, TypeError: as `muon`.

    Example: `normuon(0.02, axes={"*/query/kernel": "in out out", "*/out/kernel": "in in out"})`.

    Example, a step along nearly orthogonal columns:

        >>> import jax, jax.numpy as jnp, momentum_jax as mj
        >>> params = {"kernel": jax.random.normal(jax.random.key(0), (8, 4)), "bias": jnp.ones(4)}
        >>> optimizer = mj.normuon(0.02)
        >>> updates, _ = optimizer.update(params, optimizer.init(params), params)
        >>> print(*(f"{x:.3f}" for x in jnp.linalg.svd(updates["kernel"])[1]))
        0.021 0.020 0.018 0.017

    Convention: as `muon`: eta outside, decoupled decay, leaves that are no matrices to `fallback`. A neuron is an output, by
    `axes` and `layout`. `neurons` "rows" and "columns" say which axis has them in leaves with two axes that `axes` does not
    name. |O| and |P| are those of each matrix of a leaf. s is not bias corrected: the renormalisation takes any common factor
    out.
    State: `matrices` and `fallback`. Of the matrices `step`, int32 scalar, position in b2 and eps; `momentum_step`, int32
    scalar; `first_moment`, the tree and shapes of the parameters; `second_moment`, real, one number for every neuron, in the
    leaf's shape with 1 for the axes of inputs, None for leaves that are no matrices; float32 for 16-bit leaves unless
    `accumulator_dtype` says otherwise.
    Memory: 1 buffer and a number for each neuron, and those of the fallback on the other leaves. Needs: params for weight
    decay.
    Source: Z. Li et al. (2025), NorMuon: Making Muon more efficient and scalable, arXiv:2510.05491.

    See also: `muon`; `adamuon`, with a second moment for each entry.
    """
    core = scale_by_normuon(
        momentum,
        b2=b2,
        axes=axes,
        layout=layout,
        nesterov=nesterov,
        newton_schulz=iteration("normuon", newton_schulz, ns_steps),
        ns_dtype=ns_dtype,
        scale=scale,
        stack=stack,
        spread=spread,
        neurons=neurons,
        eps=eps,
        accumulator_dtype=accumulator_dtype,
    )
    matrices = chain("normuon", core, add_weight_decay(weight_decay), scale_by_learning_rate(learning_rate))
    return with_fallback("normuon", matrices, axes, layout, fallback, learning_rate, weight_decay, accumulator_dtype)
