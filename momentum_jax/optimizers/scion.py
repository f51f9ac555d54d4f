"""Scion: steps of one length in a norm that each layer's role has, towards a corner of its ball."""

import math
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import AverageDecay, Bool, Choice, DType, LearningRate, NonNegative, checked, value_at
from momentum_jax._scaling import norm as euclidean_norm, norms
from momentum_jax._trees import is_inexact, leaves_by_path
from momentum_jax.optimizers._arithmetic import ratio
from momentum_jax.optimizers._axes import AxesArgument, Layout, View, refuse_unnamed, views
from momentum_jax.optimizers._gathered import in_tree_of
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._newton_schulz import NewtonSchulz, NewtonSchulzDType, StepsOfNewtonSchulz, iteration
from momentum_jax.optimizers._precision import as_scalar
from momentum_jax.optimizers._stacks import Orthogonaliser, SpreadArgument
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, zeros
from momentum_jax.optimizers._transformation import Transformation, chain, transformation
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate

_ORTHOGONAL = ("spectral", "convolution")
Norm = Annotated[str, Choice((*_ORTHOGONAL, "sign", "colnorm", "rms"))]
# What the authors' code gives the norm before Newton-Schulz against 0.
_NS_EPS = 1e-7


class ScionState(NamedTuple):
    step: jax.Array
    momentum_step: jax.Array
    first_moment: optax.Updates

    def reset_momentum(self) -> "ScionState":
        return ScionState(self.step, *jax.tree.map(jnp.zeros_like, (self.momentum_step, self.first_moment)))


@checked
def scale_by_scion(
    momentum: AverageDecay = 0.9,
    *,
    norm: Norm = "spectral",
    radius: NonNegative = 1.0,
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
    """The learning-rate-free core: r d.

    Args:
      momentum: mu in [0, 1); a number, a 0-d array or a schedule `step -> value`.
      norm: "spectral", "convolution", "sign", "colnorm" or "rms".
      radius: r >= 0, likewise.
      eps: at least 0, likewise, added to the RMS. Before Newton-Schulz it is 1e-7, as in the authors' code.
      accumulator_dtype: dtype of the average; None: that of the parameter, float32 for 16-bit leaves.
      axes, layout, newton_schulz, ns_steps, ns_dtype, stack, spread: as in `muon`.

    Raises:
      ValueError: a hyperparameter out of range; in `init`, axes that do not fit a leaf; in `update`, a gradient that does not
        fit the state.
      TypeError: an argument of the wrong type.
    """
    who = "scale_by_scion"
    orthogonal = Orthogonaliser(who, iteration(who, newton_schulz, ns_steps), ns_dtype, stack, spread)

    def init(params: optax.Params) -> ScionState:
        refuse_unnamed(who, params, axes, layout)
        views(who, params, axes, layout)
        return ScionState(first_step(), first_step(), zeros(params, average_dtype(accumulator_dtype)))

    def now(state: ScionState) -> dict[str, Any]:
        values = {"momentum": value_at(momentum, state.momentum_step)}
        return values | {"radius": value_at(radius, state.step), "eps": value_at(eps, state.step)}

    def average(u: jax.Array, m: jax.Array, mu: Any) -> tuple[jax.Array, jax.Array]:
        m = mu * m + (1 - mu) * u
        return m, m

    def update(who: str, updates: optax.Updates, state: ScionState, params: Any) -> tuple[optax.Updates, ScionState]:
        del params
        mu, size, small = now(state).values()
        seen = views(who, updates, axes, layout)
        updates, first_moment = each(who, average, updates, {"first_moment": state.first_moment}, mu=mu)
        moved = leaves_by_path(updates)
        matrices = {path: view for path, view in seen.items() if view is not None and is_inexact(moved[path])}
        orthogonals = orthogonal({path: moved[path] for path in matrices}, matrices, _NS_EPS) if norm in _ORTHOGONAL else {}
        for path, m in moved.items():
            if is_inexact(m):
                real = jnp.finfo(m.dtype).dtype
                corner = _corner(norm, m, matrices.get(path), orthogonals.get(path), as_scalar(small, real))
                moved[path] = as_scalar(size, real) * corner
        step, momentum_step = next_step(state.step), next_step(state.momentum_step)
        return in_tree_of(updates, list(moved.values())), ScionState(step, momentum_step, first_moment)

    return transformation(who, init, update, hyperparameters=now)


def _corner(norm: str, m: jax.Array, view: View | None, orthogonal: jax.Array | None, eps: Any) -> jax.Array:
    """d of a leaf; `orthogonal`: NS(m)."""
    if view is None:
        return jnp.sign(m) if norm == "sign" else _over_rms(m, None, eps)
    if norm == "colnorm":
        return view.whole([_over_rms(part, view.outputs, eps) for part in view.split(m)])
    if norm == "rms":
        return view.whole([_over_rms(part, view.inputs + view.outputs, eps) for part in view.split(m)])
    points = _points_of_filter(view) if norm == "convolution" else 1
    # sqrt(b / (a / k)) / k
    factors = [1 / max(a, 1) if norm == "sign" else (b / max(a * points, 1)) ** 0.5 for a, b in view.sides]
    return view.by_block(factors, jnp.finfo(m.dtype).dtype) * (jnp.sign(m) if orthogonal is None else orthogonal)


def _points_of_filter(view: View) -> int:
    """How many inputs there are for each channel, whose axis is the one next to the first output axis."""
    channels = min(view.inputs, key=lambda axis: abs(axis - view.outputs[0]))
    return math.prod(view.shape[axis] for axis in view.inputs if axis != channels)


def _over_rms(m: jax.Array, axes: tuple[int, ...] | None, eps: Any) -> jax.Array:
    """m over its RMS, over some axes or the whole leaf."""
    count = max(m.size if axes is None else math.prod(m.shape[axis] for axis in axes), 1)
    length = euclidean_norm(m) if axes is None else norms(m, axes)
    return ratio(m, length / count**0.5 + eps, eps)


@checked
def scion(
    learning_rate: LearningRate,
    momentum: AverageDecay = 0.9,
    *,
    norm: Norm = "spectral",
    radius: NonNegative = 1.0,
    constrained: Bool = True,
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
    """Scion, constrained to a ball or not.

        m' = mu m + (1 - mu) g          d = the point of the unit ball of the norm with the largest <m', d>
        x' = x - eta (r d + x)          unconstrained: x' = x - eta r d

    of a matrix with a inputs and b outputs, G = m':

        spectral       sqrt(b / a) NS(G): the ball of the operator norm from RMS to RMS
        convolution    sqrt(b / c) / k NS(G), for c input channels and a filter of k points, a = c k
        sign           sign(G) / a
        colnorm        each input's b entries over their RMS
        rms            all entries over their RMS

    Equivalent form: Frank-Wolfe on the ball of radius r, with an average of gradients; x stays inside once it is there, and eta
    <= 1. Unconstrained "spectral" is Muon without Nesterov, with another scale; unconstrained "sign" is signSGD of an average.

        >>> import momentum_jax as mj
        >>> hidden, last = mj.scion(2**-12, radius=50.0), mj.scion(2**-12, norm="sign", radius=3000.0)
        >>> optimizer = mj.per_layer({"*/lm_head/*": last, "*": hidden})

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      momentum: mu in [0, 1), likewise; the authors' code takes 1 - mu.
      norm: "spectral", "convolution", "sign", "colnorm" or "rms", of the whole tree.
      radius: r >= 0, likewise.
      constrained: keep the parameters in the ball, x' = (1 - eta) x - eta r d, for which `update` needs params; False: the step
        eta r d alone.
      eps: at least 0, likewise, added to the RMS. Before Newton-Schulz it is 1e-7, as in the authors' code.
      accumulator_dtype: dtype of the average; None: that of the parameter, float32 for 16-bit leaves.
      axes, layout, newton_schulz, ns_steps, ns_dtype, stack, spread: as in `muon`. A convolution's kernel is "in in in out"
        in Flax.

    Raises:
      ValueError: a hyperparameter out of range, another norm; in `init`, a kernel of three or more axes that `axes` does not
        name, a pattern that decides no leaf, or a spec that does not fit its leaf; in `update`, a gradient that does not fit
        the state or the parameters, no params where they are constrained, or a mesh that has not the axes of `spread`.
      TypeError: an argument of the wrong type.

    Convention: eta outside the average; the authors' momentum is 1 - mu. Leaves that are no matrices have one input: "sign" is
    sign(G), the others are "rms", over the whole leaf, the authors' choice for biases. One norm serves the whole tree:
    `per_layer` gives each layer its own, such as "sign" to the last. The filter's channels are the "in" axis next to the "out"
    axis, as Flax and PyTorch have it. A complex sign is z / |z|.
    State: `step`, int32 scalar, position in eta, r and eps; `momentum_step`, in that of mu; `first_moment`, the tree and shapes
    of the parameters, float32 for 16-bit leaves unless `accumulator_dtype` says otherwise.
    Memory: 1 buffer. Needs: params unless unconstrained.
    Source: T. Pethick, W. Xie, K. Antonakopoulos, Z. Zhu, A. Silveti-Falls and V. Cevher (2025), Training Deep Learning Models
    with Norm-Constrained LMOs, ICML, arXiv:2502.07529.

    See also: `muon`, the spectral norm alone; `normalized_momentum`.
    """
    core = scale_by_scion(
        momentum,
        norm=norm,
        radius=radius,
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
    pull = [_towards_zero()] if constrained else []

    def check(who: str, params: optax.Params) -> None:
        refuse_unnamed(who, params, axes, layout)
        views(who, params, axes, layout)

    return chain("scion", core, *pull, scale_by_learning_rate(learning_rate), check=check)


def _towards_zero() -> Transformation:
    """The link that adds the parameters: with -eta behind it they shrink by 1 - eta."""

    def update(who: str, updates: optax.Updates, state: optax.EmptyState, params: Any) -> tuple[optax.Updates, Any]:
        if params is None:
            raise ValueError(f"{who}: constrained=True needs the parameters: call update(gradients, state, params).")
        (updates,) = each(who, lambda u, p: (u + p,), updates, {}, params=params)
        return updates, state

    return transformation("scion", lambda params: optax.EmptyState(), update)
