"""NorMuon: Muon whose neurons, the rows of its orthogonal step, are brought to one RMS over time.

    m' = mu m + (1 - mu) g          O = NS(mu m' + (1 - mu) g)
    s'_i = b2 s_i + (1 - b2) mean_j |O_ij|^2          P_ij = O_ij / (sqrt s'_i + eps)
    x' = x - eta (c P |O| / (|P| + eps) + lambda x)          c = the scale of `muon`

Equivalent form: Muon where every neuron has Adam's second moment, the whole step keeping Muon's norm.

Convention: as `muon`: eta outside, decoupled decay, leaves without two axes to `fallback`. A neuron is a row, as PyTorch stores
weights (outputs, inputs); `neurons="columns"` is the same for Flax's kernels (inputs, outputs). s is not bias corrected:
the renormalisation takes any common factor out.
State: `matrices` and `fallback`. Of the matrices `step`, int32 scalar, position in b2 and eps; `momentum_step`, int32 scalar;
`first_moment`, the tree and shapes of the parameters; `second_moment`, real, one number for every neuron of a matrix, as
(rows, 1) or (1, columns), None for the other leaves; float32 for 16-bit leaves unless `accumulator_dtype` says otherwise.
Memory: 1 buffer and a number for each row, and those of the fallback on the other leaves. Needs: params for weight decay.
Source: Z. Li et al. (2025), NorMuon: Making Muon more efficient and scalable, arXiv:2510.05491.
"""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import (
    AtLeastOne,
    AverageDecay,
    Bool,
    Choice,
    DType,
    LearningRate,
    NonNegative,
    checked,
    value_at,
)
from momentum_jax._scaling import norm
from momentum_jax._trees import dtype_of, is_inexact, is_none, leaves_by_path
from momentum_jax.optimizers._arithmetic import ratio, root, squared
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._matrices import SCALES, orthogonalise
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, second_moment_dtype, zeros
from momentum_jax.optimizers._transformation import Transformation, chain, transformation
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate
from momentum_jax.optimizers.muon import Scale, with_fallback
from momentum_jax.optimizers.weight_decay import add_weight_decay

Neurons = Annotated[str, Choice(("rows", "columns"))]
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
    nesterov: Bool = True,
    ns_steps: AtLeastOne = 5,
    scale: Scale = "official",
    neurons: Neurons = "rows",
    eps: NonNegative = 1e-10,
    accumulator_dtype: DType = None,
) -> Transformation:
    """The learning-rate-free core: c P |O| / (|P| + eps). Leaves that are no matrices get mu m' + (1 - mu) u itself.

    Args:
      momentum: mu in [0, 1); a number, a 0-d array or a schedule `step -> value`.
      b2: decay of the neurons' second moment in [0, 1), likewise.
      nesterov: mix the average with the gradient; False: the average alone.
      ns_steps: steps of Newton-Schulz, at least 1.
      scale: "official", "moonlight" or "optax".
      neurons: "rows", or "columns" for Flax's kernels.
      eps: at least 0, likewise, added to both denominators; 1e-10 as in the official code. Before Newton-Schulz it is 1e-7, as
        there.
      accumulator_dtype: dtype of the averages; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state.
      TypeError: an argument of the wrong type.
    """
    across = 1 if neurons == "rows" else 0

    def init(params: optax.Params) -> NormuonState:
        rule = second_moment_dtype(accumulator_dtype)

        def one_for_each_neuron(p: Any) -> Any:
            if not is_inexact(p) or jnp.ndim(p) != 2:
                return None
            return jnp.sum(jnp.zeros_like(p, dtype=rule(dtype_of(p))), axis=across, keepdims=True)

        first_moment = zeros(params, average_dtype(accumulator_dtype))
        return NormuonState(first_step(), first_step(), first_moment, jax.tree.map(one_for_each_neuron, params))

    def now(state: NormuonState) -> dict[str, Any]:
        means = {"b2": value_at(b2, state.step), "eps": value_at(eps, state.step)}
        return {"momentum": value_at(momentum, state.momentum_step)} | means

    def orthogonal(u: jax.Array, m: jax.Array, mu: Any) -> tuple[jax.Array, jax.Array]:
        m = mu * m + (1 - mu) * u
        mixed = mu * m + (1 - mu) * u if nesterov else m
        return (orthogonalise(mixed, ns_steps, _NS_EPS) if u.ndim == 2 else mixed), m

    def even(o: jax.Array, s: jax.Array, b2: Any, eps: Any) -> tuple[jax.Array, jax.Array]:
        real = jnp.finfo(o.dtype).dtype
        b2, eps = (x if isinstance(x, float) else jnp.asarray(x, real) for x in (b2, eps))
        # An empty mean is 0, as an empty sum is.
        wide = b2 * s.astype(real) + (1 - b2) * jnp.sum(squared(o), axis=across, keepdims=True) / max(o.shape[across], 1)
        p = ratio(o, root(wide) + eps, eps)
        gain = ratio(norm(o), norm(p) + eps, eps)
        return SCALES[scale](*o.shape) * gain * p, wide.astype(s.dtype)

    def update(who: str, updates: optax.Updates, state: NormuonState, params: Any) -> tuple[optax.Updates, NormuonState]:
        del params
        mu, decay, small = now(state).values()
        updates, first_moment = each(who, orthogonal, updates, {"first_moment": state.first_moment}, mu=mu)
        moments, moved = leaves_by_path(state.second_moment), leaves_by_path(updates)
        for path, s in moments.items():
            if s is not None:
                moved[path], moments[path] = even(moved[path], s, decay, small)
        updates = jax.tree.unflatten(jax.tree.structure(updates, is_leaf=is_none), list(moved.values()))
        treedef = jax.tree.structure(state.second_moment, is_leaf=is_none)
        second_moment = jax.tree.unflatten(treedef, list(moments.values()))
        return updates, NormuonState(next_step(state.step), next_step(state.momentum_step), first_moment, second_moment)

    return transformation("scale_by_normuon", init, update, hyperparameters=now)


@checked
def normuon(
    learning_rate: LearningRate = 0.02,
    momentum: AverageDecay = 0.95,
    *,
    b2: AverageDecay = 0.95,
    nesterov: Bool = True,
    ns_steps: AtLeastOne = 5,
    scale: Scale = "official",
    neurons: Neurons = "rows",
    weight_decay: NonNegative = 0.0,
    fallback: Any = None,
    eps: NonNegative = 1e-10,
    accumulator_dtype: DType = None,
) -> Transformation:
    """NorMuon for the matrices of a tree, another optimizer for the rest.

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      momentum: mu in [0, 1), likewise.
      b2: decay of the neurons' second moment in [0, 1), likewise.
      nesterov: mix the average with the gradient; False: the average alone.
      ns_steps: steps of Newton-Schulz, at least 1.
      scale: "official", "moonlight" or "optax", as in `muon`.
      neurons: "rows", or "columns" for Flax's kernels.
      weight_decay: lambda >= 0, likewise, decoupled; unless it is the plain number 0, `update` needs params.
      fallback: optimizer of the leaves that do not have two axes; None: that of `muon`.
      eps: at least 0, likewise, added to both denominators; 1e-10 as in the official code. Before Newton-Schulz it is 1e-7, as
        there.
      accumulator_dtype: dtype of the averages; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `init`, parameters without a matrix, unless a fallback was named; in
        `update`, a gradient that does not fit the state or the parameters, or weight decay without params.
      TypeError: an argument of the wrong type.
    """
    core = scale_by_normuon(
        momentum,
        b2=b2,
        nesterov=nesterov,
        ns_steps=ns_steps,
        scale=scale,
        neurons=neurons,
        eps=eps,
        accumulator_dtype=accumulator_dtype,
    )
    matrices = chain("normuon", core, add_weight_decay(weight_decay), scale_by_learning_rate(learning_rate))
    return with_fallback("normuon", matrices, fallback, learning_rate, weight_decay, accumulator_dtype)
