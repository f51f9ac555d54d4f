"""Muon: momentum, orthogonalised, so that a step of a matrix has all its singular values near 1.

    m' = mu m + (1 - mu) g          u = mu m' + (1 - mu) g, or m' without Nesterov
    x' = x - eta (s NS(u) + lambda x)

NS is `ns_steps` of X <- a X + (b A + c A^2) X, A = X X^H, from X = u / (|u| + eps), with (a, b, c) = (3.4445, -4.7750,
2.0315): an approximation of U V^H for u = U S V^H. Equivalent form: steepest descent in the spectral norm along the
average gradient. s of a matrix (rows, columns):

    official    sqrt(max(1, rows / columns)), rows being the outputs, as PyTorch stores weights
    optax       sqrt(max(1, columns / rows)), the same for Flax's kernels (inputs, outputs)
    moonlight   0.2 sqrt(max(rows, columns)), the RMS of an update of AdamW

Convention: eta is outside the average; decay is decoupled. Newton-Schulz runs in the precision of the leaf (float32 for
16-bit leaves, float64 for float64 ones; the official code's is bfloat16), one leaf at a time. The official buffer is the
average; Moonlight's is the sum mu b + g, which after normalisation is the same but for eps. `optax.contrib.muon` differs in
the mix as well: it divides the average and the gradient by bias corrections of different steps before adding them.
Leaves that do not have two axes go to `fallback`. That includes convolution kernels, whose reading as a matrix is a
choice (the official code flattens all axes but the first; reshape them yourself for that). Embeddings and output layers
are matrices too; the source gives them to AdamW, and `per_layer` does that here.
State: `matrices` and `fallback`. Of the matrices `step`, int32 scalar, position in eta and eps; `momentum_step`, int32
scalar; `first_moment`, the tree and shapes of the parameters, float32 for 16-bit leaves unless `accumulator_dtype`
says otherwise.
Memory: 1 buffer, and those of the fallback on the other leaves. Needs: params for weight decay.
Source: K. Jordan et al. (2024), Muon: an optimizer for hidden layers in neural networks, kellerjordan.github.io/posts/muon;
J. Liu et al. (2025), Muon is Scalable for LLM Training (Moonlight), arXiv:2502.16982.
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
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._matrices import SCALES, fallback_rate, matrices_and_rest, orthogonalise
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, zeros
from momentum_jax.optimizers._transformation import Transformation, as_link, chain, link, transformation
from momentum_jax.optimizers.adam import adamw
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate
from momentum_jax.optimizers.weight_decay import add_weight_decay

Scale = Annotated[str, Choice(tuple(SCALES))]


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
    nesterov: Bool = True,
    ns_steps: AtLeastOne = 5,
    scale: Scale = "official",
    eps: NonNegative = 1e-7,
    accumulator_dtype: DType = None,
) -> Transformation:
    """The learning-rate-free core: s NS(mu m' + (1 - mu) u). Leaves that are no matrices get mu m' + (1 - mu) u itself.

    Args:
      momentum: mu in [0, 1); a number, a 0-d array or a schedule `step -> value`.
      nesterov: mix the average with the gradient; False: the average alone.
      ns_steps: steps of Newton-Schulz, at least 1.
      scale: "official", "moonlight" or "optax".
      eps: at least 0, likewise, added to the norm before Newton-Schulz; 1e-7 as in the official code and in PyTorch.
      accumulator_dtype: dtype of the average; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state.
      TypeError: an argument of the wrong type.
    """

    def init(params: optax.Params) -> MuonState:
        return MuonState(first_step(), first_step(), zeros(params, average_dtype(accumulator_dtype)))

    def now(state: MuonState) -> dict[str, Any]:
        return {"momentum": value_at(momentum, state.momentum_step), "eps": value_at(eps, state.step)}

    def leaf(u: jax.Array, m: jax.Array, mu: Any, eps: Any) -> tuple[jax.Array, jax.Array]:
        m = mu * m + (1 - mu) * u
        mixed = mu * m + (1 - mu) * u if nesterov else m
        if u.ndim != 2:
            return mixed, m
        return SCALES[scale](*u.shape) * orthogonalise(mixed, ns_steps, eps), m

    def update(who: str, updates: optax.Updates, state: MuonState, params: Any) -> tuple[optax.Updates, MuonState]:
        del params
        h = now(state)
        updates, first_moment = each(who, leaf, updates, {"first_moment": state.first_moment}, mu=h["momentum"], eps=h["eps"])
        return updates, MuonState(next_step(state.step), next_step(state.momentum_step), first_moment)

    return transformation("scale_by_muon", init, update, hyperparameters=now)


@checked
def muon(
    learning_rate: LearningRate = 0.02,
    momentum: AverageDecay = 0.95,
    *,
    nesterov: Bool = True,
    ns_steps: AtLeastOne = 5,
    scale: Scale = "official",
    weight_decay: NonNegative = 0.0,
    fallback: Any = None,
    eps: NonNegative = 1e-7,
    accumulator_dtype: DType = None,
) -> Transformation:
    """Muon for the matrices of a tree, another optimizer for the rest.

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      momentum: mu in [0, 1), likewise.
      nesterov: mix the average with the gradient; False: the average alone.
      ns_steps: steps of Newton-Schulz, at least 1.
      scale: "official", "moonlight" or "optax"; take "optax" or "moonlight" for Flax's kernels.
      weight_decay: lambda >= 0, likewise, decoupled; unless it is the plain number 0, `update` needs params.
      fallback: optimizer of the leaves that do not have two axes. None: `adamw` with betas 0.9 and 0.95, eps 1e-10, the same
        weight decay and 0.015 times the learning rate, which is the official code's 3e-4 at 0.02.
      eps: at least 0, likewise, added to the norm before Newton-Schulz; 1e-7 as in the official code and in PyTorch.
      accumulator_dtype: dtype of the averages; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `init`, parameters without a matrix, unless a fallback was named; in
        `update`, a gradient that does not fit the state or the parameters, or weight decay without params.
      TypeError: an argument of the wrong type.
    """
    core = scale_by_muon(
        momentum, nesterov=nesterov, ns_steps=ns_steps, scale=scale, eps=eps, accumulator_dtype=accumulator_dtype
    )
    matrices = chain("muon", core, add_weight_decay(weight_decay), scale_by_learning_rate(learning_rate))
    return with_fallback("muon", matrices, fallback, learning_rate, weight_decay, accumulator_dtype)


def with_fallback(
    who: str, matrices: Transformation, fallback: Any, learning_rate: Any, weight_decay: Any, accumulator_dtype: Any
) -> Transformation:
    """`matrices` for the matrices, for the rest `fallback` or, if that is None, the AdamW of Muon's official code."""
    if fallback is not None:
        return matrices_and_rest(who, link(matrices), as_link(who, "fallback", fallback), "")
    rest = adamw(
        fallback_rate(learning_rate), 0.9, 0.95, eps=1e-10, weight_decay=weight_decay, accumulator_dtype=accumulator_dtype
    )
    remedy = "take adamw for it, or name its optimizer with fallback=."
    return matrices_and_rest(who, link(matrices), link(rest), remedy)
