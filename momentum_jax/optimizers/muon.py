"""Muon: momentum, orthogonalised, so that a step of a matrix has all its singular values near 1."""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import AverageDecay, Bool, DType, LearningRate, NonNegative, checked, value_at
from momentum_jax._trees import is_inexact, is_none, leaves_by_path
from momentum_jax.optimizers._axes import AxesArgument, Layout, refuse_unnamed, views
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._matrices import Scale, scaled, with_fallback
from momentum_jax.optimizers._newton_schulz import NewtonSchulz, NewtonSchulzDType, StepsOfNewtonSchulz, iteration
from momentum_jax.optimizers._stacks import Orthogonaliser, SpreadArgument
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, zeros
from momentum_jax.optimizers._transformation import Transformation, chain, transformation
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate
from momentum_jax.optimizers.weight_decay import add_weight_decay


class MuonState(NamedTuple):
    step: jax.Array
    momentum_step: jax.Array
    first_moment: optax.Updates

    def reset_momentum(self) -> "MuonState":
        return MuonState(self.step, *jax.tree.map(jnp.zeros_like, (self.momentum_step, self.first_moment)))


@checked
def scale_by_muon(
    momentum: AverageDecay = 0.95,
    *,
    axes: AxesArgument = None,
    layout: Layout = "auto",
    nesterov: Bool = True,
    newton_schulz: NewtonSchulz = "quintic",
    ns_steps: StepsOfNewtonSchulz = None,
    ns_dtype: NewtonSchulzDType = None,
    scale: Scale = "official",
    stack: Bool = False,
    spread: SpreadArgument = None,
    eps: NonNegative = 1e-7,
    accumulator_dtype: DType = None,
) -> Transformation:
    """The learning-rate-free core: s NS(mu m' + (1 - mu) u). Leaves that are no matrices get mu m' + (1 - mu) u itself.

    Args:
      momentum: mu in [0, 1); a number, a 0-d array or a schedule `step -> value`.
      nesterov: mix the average with the gradient; False: the average alone.
      eps: at least 0, likewise, added to the norm before Newton-Schulz; 1e-7 as in the official code and in PyTorch.
      accumulator_dtype: dtype of the average; None: that of the parameter, float32 for 16-bit leaves.
      axes, layout, newton_schulz, ns_steps, ns_dtype, scale, stack, spread: as in `muon`.

    Raises:
      ValueError: a hyperparameter out of range; in `init`, a kernel of three or more axes that `axes` does not name, or a spec
        that does not fit its leaf; in `update`, a gradient that does not fit the state.
      TypeError: an argument of the wrong type.
    """
    who = "scale_by_muon"
    orthogonal = Orthogonaliser(who, iteration(who, newton_schulz, ns_steps), ns_dtype, stack, spread)

    def init(params: optax.Params) -> MuonState:
        refuse_unnamed(who, params, axes, layout)
        views(who, params, axes, layout)
        return MuonState(first_step(), first_step(), zeros(params, average_dtype(accumulator_dtype)))

    def now(state: MuonState) -> dict[str, Any]:
        return {"momentum": value_at(momentum, state.momentum_step), "eps": value_at(eps, state.step)}

    def leaf(u: jax.Array, m: jax.Array, mu: Any) -> tuple[jax.Array, jax.Array]:
        m = mu * m + (1 - mu) * u
        return (mu * m + (1 - mu) * u if nesterov else m), m

    def update(who: str, updates: optax.Updates, state: MuonState, params: Any) -> tuple[optax.Updates, MuonState]:
        del params
        h = now(state)
        seen = views(who, updates, axes, layout)
        updates, first_moment = each(who, leaf, updates, {"first_moment": state.first_moment}, mu=h["momentum"])
        moved = leaves_by_path(updates)
        matrices = {path: view for path, view in seen.items() if view is not None and is_inexact(moved[path])}
        found = replace(orthogonal, who=who)({path: moved[path] for path in matrices}, matrices, h["eps"])
        for path, o in found.items():
            moved[path] = scaled(who, o, matrices[path], scale)
        updates = jax.tree.unflatten(jax.tree.structure(updates, is_leaf=is_none), list(moved.values()))
        return updates, MuonState(next_step(state.step), next_step(state.momentum_step), first_moment)

    return transformation(who, init, update, hyperparameters=now)


@checked
def muon(
    learning_rate: LearningRate = 0.02,
    momentum: AverageDecay = 0.95,
    *,
    axes: AxesArgument = None,
    layout: Layout = "auto",
    nesterov: Bool = True,
    newton_schulz: NewtonSchulz = "quintic",
    ns_steps: StepsOfNewtonSchulz = None,
    ns_dtype: NewtonSchulzDType = None,
    scale: Scale = "official",
    stack: Bool = False,
    spread: SpreadArgument = None,
    weight_decay: NonNegative = 0.0,
    fallback: Any = None,
    eps: NonNegative = 1e-7,
    accumulator_dtype: DType = None,
) -> Transformation:
    """Muon for the matrices of a tree, another optimizer for the rest.

        m' = mu m + (1 - mu) g          u = mu m' + (1 - mu) g, or m' without Nesterov
        x' = x - eta (s NS(u) + lambda x)

    NS is `ns_steps` of X <- a X + (b A + c A^2) X, A = X X^H, from X = u / (|u| + eps), with (a, b, c) = (3.4445, -4.7750,
    2.0315) or another polynomial: an approximation of U V^H for u = U S V^H. Equivalent form: steepest descent in the spectral
    norm along the average gradient. s of a matrix:

        official    sqrt(max(1, outputs / inputs))
        optax       the same; of leaves that `axes` does not name, the first axis are the inputs
        moonlight   0.2 sqrt(max(inputs, outputs)), the RMS of an update of AdamW

    Which axes are inputs and outputs, `axes` says by a word an axis, and what it does not name, `layout` reads. By default a
    leaf with two axes is a matrix. A `kernel`, as Flax and Keras store it, is (inputs, outputs); any other is (outputs,
    inputs), as PyTorch stores weights. `bias`, `scale` and `embedding` are no matrices. A kernel with more axes has to be
    named.

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      momentum: mu in [0, 1), likewise.
      axes: which axes of a leaf form its matrices. A dict pattern -> spec, patterns as in `per_layer`, the first that fits
        decides; or a tree of specs, a prefix of one, or a function of the parameters that gives one. A spec has a word for each
        axis, "in", "out" or "batch", as "batch in out"; "..." first stands for any leading batch axes. `Matrix("in out",
        blocks=3)` has matrices side by side. `optax.contrib.MuonDimensionNumbers` mean what they do there. None is fallback.
      layout: reads leaves with two axes that `axes` does not name. "auto": (inputs, outputs) if the last key is kernel, no
        matrix if it is bias, scale or embedding, else (outputs, inputs). "inputs_first", "outputs_first": all of them.
      nesterov: mix the average with the gradient; False: the average alone.
      newton_schulz: "quintic", "polar_express", triples (a, b, c) for each step, or a function that takes a stack (n, m, k),
        m <= k, each matrix divided by its norm, and returns its orthogonal factors.
      ns_steps: steps of Newton-Schulz, at least 1; None: 5, or as many as there are triples. The last triple repeats.
      ns_dtype: dtype of Newton-Schulz, bfloat16, float32 or float64, complex where the leaf is; None: that of the leaf, float32
        for 16-bit leaves. In bfloat16 products have the precision that is the device's default.
      scale: "official", "moonlight" or "optax", or a function (inputs, outputs) -> float.
      stack: iterate matrices of one shape in one call. It does not pay on one CPU.
      spread: mesh axes of `AxisType.Auto` to deal stacked matrices out over, a name or several; nothing on one device. Leaves
        with an explicit sharding are stacked and dealt out without a word.
      weight_decay: lambda >= 0, likewise, decoupled; unless it is the plain number 0, `update` needs params.
      fallback: optimizer of the leaves that are no matrices. None: `adamw` with betas 0.9 and 0.95, eps 1e-10, the same
        weight decay and 0.015 times the learning rate, which is the official code's 3e-4 at 0.02.
      eps: at least 0, likewise, added to the norm before Newton-Schulz; 1e-7 as in the official code and in PyTorch.
      accumulator_dtype: dtype of the averages; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `init`, parameters without a matrix, unless a fallback was named, a kernel
        of three or more axes that `axes` does not name, a pattern that decides no leaf, a spec that does not fit its leaf; in
        `update`, a gradient that does not fit the state or the parameters, weight decay without params, or a mesh that has
        not the axes of `spread`.
      TypeError: an argument of the wrong type.

    Example: `muon(0.02, axes={"*/query/kernel": "in out out", "*/out/kernel": "in in out", "*Conv*/kernel": "in in in out"})`.

    Example, a step along nearly orthogonal columns:

        >>> import jax, jax.numpy as jnp, momentum_jax as mj
        >>> params = {"kernel": jax.random.normal(jax.random.key(0), (8, 4)), "bias": jnp.ones(4)}
        >>> optimizer = mj.muon(0.02)
        >>> updates, _ = optimizer.update(params, optimizer.init(params), params)
        >>> print(*(f"{x:.3f}" for x in jnp.linalg.svd(updates["kernel"])[1]))
        0.022 0.020 0.020 0.015

    Convention: eta is outside the average; decay is decoupled. Newton-Schulz runs in the precision of the leaf (float32 for
    16-bit leaves, float64 for float64 ones; the official code's is bfloat16) unless `ns_dtype` says otherwise. The official
    buffer is the average; Moonlight's is the sum mu b + g, which after normalisation is the same but for eps.
    `optax.contrib.muon` differs in the mix as well: it divides the average and the gradient by bias corrections of different
    steps before adding them. The official code scales a convolution by the sides of its window, sqrt(max(1, height / width));
    here it is a matrix like others. Leaves that are no matrices go to `fallback`. Embeddings and output layers whose names do
    not tell are matrices; the source gives them to AdamW, and so does `axes={"*lm_head*": None}`.
    State: `matrices` and `fallback`. Of the matrices `step`, int32 scalar, position in eta and eps; `momentum_step`, int32
    scalar; `first_moment`, the tree and shapes of the parameters, float32 for 16-bit leaves unless `accumulator_dtype` says
    otherwise.
    Memory: 1 buffer, and those of the fallback on the other leaves. Needs: params for weight decay.
    Source: K. Jordan et al. (2024), Muon: an optimizer for hidden layers in neural networks, kellerjordan.github.io/posts/muon;
    J. Liu et al. (2025), Muon is Scalable for LLM Training (Moonlight), arXiv:2502.16982; N. Amsel et al. (2025), The Polar
    Express, arXiv:2505.16932, Algorithm 1, for `polar_express`.

    See also: `normuon` and `adamuon`, with second moments; `dion`, at low rank; `scion`, with norms for each layer; `qk_clip`.
    """
    core = scale_by_muon(
        momentum,
        axes=axes,
        layout=layout,
        nesterov=nesterov,
        newton_schulz=iteration("muon", newton_schulz, ns_steps),
        ns_dtype=ns_dtype,
        scale=scale,
        stack=stack,
        spread=spread,
        eps=eps,
        accumulator_dtype=accumulator_dtype,
    )
    matrices = chain("muon", core, add_weight_decay(weight_decay), scale_by_learning_rate(learning_rate))
    return with_fallback("muon", matrices, axes, layout, fallback, learning_rate, weight_decay, accumulator_dtype)
