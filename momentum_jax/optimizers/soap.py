"""SOAP: Adam in the eigenbases of Shampoo's two preconditioners, which move slowly."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import AtLeastOne, AverageDecay, DType, LearningRate, NonNegative, Steps, checked, value_at
from momentum_jax._trees import Path, dtype_of, is_inexact, is_none, leaves_by_path
from momentum_jax.optimizers._arithmetic import ratio, root, squared
from momentum_jax.optimizers._axes import AxesArgument, Layout, View, refuse_unnamed, views
from momentum_jax.optimizers._bias_correction import bias_correction, log_decay, no_decay
from momentum_jax.optimizers._gathered import gathered, in_tree_of, returned, side_of_stack
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._newton_schulz import adjoint, product
from momentum_jax.optimizers._precision import as_scalar, widen
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, second_moment_dtype, zeros
from momentum_jax.optimizers._transformation import Transformation, chain, transformation
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate
from momentum_jax.optimizers.weight_decay import add_weight_decay

_SIDES = ("input_gram", "output_gram", "input_basis", "output_basis")


class SoapState(NamedTuple):
    step: jax.Array
    momentum_step: jax.Array
    first_moment: optax.Updates
    second_moment: optax.Updates
    input_gram: Any
    output_gram: Any
    input_basis: Any
    output_basis: Any
    log_product1: jax.Array
    log_product2: jax.Array

    def reset_momentum(self) -> "SoapState":
        forget = ("momentum_step", "first_moment", "log_product1")
        return self._replace(**{name: jax.tree.map(jnp.zeros_like, getattr(self, name)) for name in forget})


@checked
def scale_by_soap(
    b1: AverageDecay = 0.95,
    b2: AverageDecay = 0.95,
    *,
    precondition_frequency: Steps = 10,
    axes: AxesArgument = None,
    layout: Layout = "auto",
    max_size: AtLeastOne = 10_000,
    eps: NonNegative = 1e-8,
    accumulator_dtype: DType = None,
) -> Transformation:
    """The learning-rate-free core: P d Q^H.

    Args:
      b1: decay of the first moment in [0, 1); a number, a 0-d array or a schedule `step -> value`.
      b2: decay of the second moment and of L and R, likewise.
      precondition_frequency: the bases are renewed after so many steps, at least 1.
      axes: which axes of a leaf form its matrices, as in `muon`; None: leaves with two axes are matrices.
      layout: how leaves that `axes` does not name are read, as in `muon`: it decides which of them are matrices.
      max_size: a side of more inputs or outputs than this is not rotated; at least 1.
      eps: at least 0, likewise.
      accumulator_dtype: dtype of the moments; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `init`, axes that do not fit a leaf; in `update`, a gradient that does not
        fit the state.
      TypeError: an argument of the wrong type.
    """
    who = "scale_by_soap"

    def init(params: optax.Params) -> SoapState:
        refuse_unnamed(who, params, axes, layout)
        leaves = jax.tree.leaves(params, is_leaf=is_none)
        found = views(who, params, axes, layout).items()
        sides = [_start(who, path, view, leaf, max_size) for leaf, (path, view) in zip(leaves, found, strict=True)]
        return SoapState(
            step=first_step(),
            momentum_step=first_step(),
            first_moment=zeros(params, average_dtype(accumulator_dtype)),
            second_moment=zeros(params, second_moment_dtype(accumulator_dtype)),
            **{name: in_tree_of(params, [side[i] for side in sides]) for i, name in enumerate(_SIDES)},
            log_product1=no_decay(b1, params),
            log_product2=no_decay(b2, params),
        )

    def now(state: SoapState) -> dict[str, Any]:
        decays = {"b1": value_at(b1, state.momentum_step), "b2": value_at(b2, state.step)}
        return decays | {"eps": value_at(eps, state.step)}

    def update(who: str, updates: optax.Updates, state: SoapState, params: Any) -> tuple[optax.Updates, SoapState]:
        del params
        first = state.step == 0
        decay1, decay2, small = now(state).values()
        log_product1 = state.log_product1 + jnp.where(first, 0, log_decay(decay1, state.log_product1))
        log_product2 = state.log_product2 + jnp.where(first, 0, log_decay(decay2, state.log_product2))
        buffers = {"first_moment": state.first_moment, "second_moment": state.second_moment}
        moments, first_moment, _ = each(who, _first_moment, updates, buffers, b1=decay1, first=first)
        scalars = {
            "first": first,
            "b2": decay2,
            "gain": jnp.where(first, 0, 1 / bias_correction(jnp.where(first, -1, log_product1))),
            "root_gain": jax.lax.rsqrt(bias_correction(jnp.where(first, -1, log_product2))),
            "eps": small,
        }
        leaves, found = leaves_by_path(updates), views(who, updates, axes, layout)
        kept = {name: leaves_by_path(getattr(state, name)) for name in ("second_moment", *_SIDES)}
        moved, seconds, stacks = leaves_by_path(moments), kept["second_moment"], {}
        for path, m in moved.items():
            s, view = seconds[path], found[path]
            if s is None or not is_inexact(m):
                continue
            real = jnp.finfo(m.dtype).dtype
            h = {name: as_scalar(value, real) for name, value in scalars.items()}
            g, wide = widen(leaves[path], real), widen(s, real)
            if view is None:
                moved[path], wide = _step(g, m, wide, None, None, h)
                seconds[path] = wide.astype(s.dtype)
                continue
            g, *grams, p, q = gathered(g, view), *(kept[name][path] for name in _SIDES)
            step, wide = _step(g, gathered(m, view), gathered(wide, view), p, q, h)
            moved[path] = returned(step, view, m)
            left, right = (_gram(gram, a, h["b2"]) for gram, a in zip(grams, (g, adjoint(g)), strict=True))
            stacks[path] = view, [left, right, p, q, wide]
        due = jnp.where(first, 2, jnp.where(state.step % precondition_frequency == 0, 1, 0))
        sides = jax.lax.stop_gradient([stack[:4] for _, stack in stacks.values()])
        renewed = _renewed(due, sides) if stacks else []
        for (path, (view, (*grams, _, _, wide))), (*bases, rows, columns) in zip(stacks.items(), renewed, strict=True):
            for name, side in zip(_SIDES, (*grams, *bases), strict=True):
                kept[name][path] = side
            wide = wide if rows is None else jnp.take_along_axis(wide, rows[..., :, None], axis=-2)
            wide = wide if columns is None else jnp.take_along_axis(wide, columns[..., None, :], axis=-1)
            seconds[path] = returned(wide, view, seconds[path]).astype(seconds[path].dtype)
        trees = {name: in_tree_of(getattr(state, name), list(kept[name].values())) for name in kept}
        return in_tree_of(updates, list(moved.values())), SoapState(
            step=next_step(state.step),
            momentum_step=next_step(state.momentum_step),
            first_moment=first_moment,
            **trees,
            log_product1=log_product1,
            log_product2=log_product2,
        )

    return transformation(who, init, update, hyperparameters=now)


def _start(who: str, path: Path, view: View | None, leaf: Any, max_size: int) -> list[Any]:
    """The grams of a leaf, of zeros, and its bases, of ones: those of its inputs and of its outputs, None where it has none."""
    if view is None or not is_inexact(leaf):
        return [None] * len(_SIDES)
    sides = side_of_stack(who, path, view)
    stack = math.prod(view.shape[i] for i in view.batch) * len(view.blocks)
    # Made from the leaf, so that inside `jax.shard_map` they vary over the mesh axes that it varies over.
    zero = jnp.sum(jnp.zeros_like(leaf, dtype=average_dtype(None)(dtype_of(leaf))))
    grams = [jnp.zeros((stack, n, n), zero.dtype) + zero if 0 < n <= max_size else None for n in sides]
    return [*grams, *(None if gram is None else gram + jnp.eye(gram.shape[-1], dtype=gram.dtype) for gram in grams)]


def _first_moment(u: jax.Array, m: jax.Array, s: jax.Array, b1: Any, first: Any) -> tuple[jax.Array, ...]:
    m = jnp.where(first == 0, b1 * m + (1 - b1) * u, m)
    return m, m, s


def _step(g: jax.Array, m: jax.Array, s: jax.Array, p: Any, q: Any, h: dict[str, Any]) -> tuple[jax.Array, jax.Array]:
    """P d Q^H and the new s; P or Q None: no rotation."""
    s = jnp.where(h["first"] == 0, h["b2"] * s + (1 - h["b2"]) * squared(_rotated(g, p, q)), s)
    d = ratio(_rotated(m, p, q) * h["gain"], root(s) * h["root_gain"] + h["eps"], h["eps"])
    return _rotated_back(d, p, q), s


def _gram(gram: Any, a: jax.Array, b2: Any) -> Any:
    return None if gram is None else (b2 * gram + (1 - b2) * product(a, adjoint(a))).astype(gram.dtype)


def _rotated(x: jax.Array, p: Any, q: Any) -> jax.Array:
    x = x if p is None else product(adjoint(p), x)
    return x if q is None else product(x, q)


def _rotated_back(x: jax.Array, p: Any, q: Any) -> jax.Array:
    x = x if p is None else product(p, x)
    return x if q is None else product(x, adjoint(q))


def _kept(sides: list[list[Any]]) -> list[list[Any]]:
    """[P, Q, the order of P's columns, that of Q's] of each leaf, as they are."""

    def order(basis: Any) -> Any:
        return None if basis is None else _varying(basis, jnp.arange(basis.shape[-1], dtype=jnp.int32))

    return [[p, q, order(p), order(q)] for _, _, p, q in sides]


def _iterated(sides: list[list[Any]]) -> list[list[Any]]:
    """A step of power iteration of every basis, sorted by the eigenvalues that it has."""

    def step(gram: Any, basis: Any) -> tuple[Any, Any]:
        if gram is None:
            return None, None
        moved = product(gram, basis)
        order = jnp.argsort(-jnp.sum(jnp.real(jnp.conj(basis) * moved), axis=-2), axis=-1)
        order = _varying(basis, order.astype(jnp.int32))
        return jnp.linalg.qr(jnp.take_along_axis(moved, order[..., None, :], axis=-1))[0], order

    pairs = [(step(left, p), step(right, q)) for left, right, p, q in sides]
    return [[p, q, rows, columns] for (p, rows), (q, columns) in pairs]


def _varying(basis: jax.Array, order: jax.Array) -> jax.Array:
    """The order of the columns of each basis, varying over the mesh axes that the basis varies over inside `jax.shard_map`."""
    return jnp.zeros_like(basis[..., 0, :], jnp.int32) + order


def _decomposed(sides: list[list[Any]]) -> list[list[Any]]:
    """The bases of the first gradient."""
    orders = [order for _, _, *order in _kept(sides)]
    bases = [[None if gram is None else jnp.linalg.eigh(gram)[1][..., ::-1] for gram in grams] for *grams, _, _ in sides]
    return [[*basis, *order] for basis, order in zip(bases, orders, strict=True)]


@jax.custom_batching.custom_vmap
def _renewed(due: jax.Array, sides: list[list[Any]]) -> list[list[Any]]:
    """The bases where nothing is due (0), a step of iteration (1), or a decomposition (2)."""
    return jax.lax.switch(due, (_kept, _iterated, _decomposed), sides)


@_renewed.def_vmap
def _(size: int, batched: Any, due: jax.Array, sides: Any) -> tuple[Any, Any]:
    """Of many runs at once: what is due in none of them is not computed, as `vmap` of a switch would compute it."""
    due = due if batched[0] else jnp.full(size, due)
    sides = jax.tree.map(lambda x, along: x if along else jnp.broadcast_to(x, (size, *x.shape)), sides, batched[1])
    found = jax.vmap(_kept)(sides)
    for case, renew in ((1, _iterated), (2, _decomposed)):
        asked = due == case
        new = jax.lax.cond(jnp.any(asked), jax.vmap(renew), jax.vmap(_kept), sides)
        found = jax.tree.map(lambda a, b, asked=asked: jnp.where(asked.reshape(-1, *(1,) * (a.ndim - 1)), a, b), new, found)
    return found, jax.tree.map(lambda _: True, found)


@checked
def soap(
    learning_rate: LearningRate,
    b1: AverageDecay = 0.95,
    b2: AverageDecay = 0.95,
    *,
    precondition_frequency: Steps = 10,
    weight_decay: NonNegative = 0.0,
    axes: AxesArgument = None,
    layout: Layout = "auto",
    max_size: AtLeastOne = 10_000,
    eps: NonNegative = 1e-8,
    accumulator_dtype: DType = None,
) -> Transformation:
    """SOAP: Adam in the slowly moving eigenbases of Shampoo's preconditioners.

        L' = b2 L + (1 - b2) g g^H          R' = b2 R + (1 - b2) g^H g          L = P diag P^H, R = Q diag Q^H, kept up to date
        m' = b1 m + (1 - b1) g          s' = b2 s + (1 - b2) |P^H g Q|^2
        x' = x - eta (P d Q^H + lambda x)          d = (P^H m' Q / c1) / (sqrt(s' / c2) + eps)          c = 1 - prod b_i

    The first gradient only sets the bases, by eigendecomposition, and moves nothing. After every `precondition_frequency`
    further steps each basis makes one step of power iteration, P <- the Q of QR of L P, its columns sorted by their eigenvalues
    before; the rows and columns of s go with them. A step is made in the bases of the steps before it.

    Equivalent form: with P = Q = 1 it is `adam`, one step late; that is what leaves that are no matrices get, as in the
    authors' code, and sides of more than `max_size`.

        >>> import momentum_jax as mj
        >>> optimizer = mj.soap(3e-3, precondition_frequency=10, axes={"*/query/kernel": "in out out"})

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first. The first update is 0.
      b1: decay of the first moment in [0, 1), likewise.
      b2: decay of the second moment and of the two preconditioners in [0, 1), likewise.
      precondition_frequency: the bases are renewed after so many steps, at least 1.
      weight_decay: lambda >= 0, likewise, decoupled; unless it is the plain number 0, `update` needs params.
      axes: which axes of a leaf form its matrices, as in `muon`; None: leaves with two axes are matrices.
      layout: how leaves that `axes` does not name are read, as in `muon`: it decides which of them are matrices.
      max_size: a side of more inputs or outputs than this is not rotated; at least 1. A basis of 10,000 is 400 MB.
      eps: at least 0, likewise.
      accumulator_dtype: dtype of the moments; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `init`, axes that do not fit a leaf, or name blocks of several sizes; in
        `update`, a gradient that does not fit the state or the parameters, or weight decay without params.
      TypeError: an argument of the wrong type.

    Convention: eta outside, decoupled weight decay, from the first step on; eps outside the root and after the correction (the
    authors' code adds it before, and decays after the step). m lies in the parameter's own axes, which is the same: the average
    is linear. The bases are constants to derivatives through an update. Range: where a gradient has no part in some directions
    of the bases, those entries of P^H g Q are rounding, and d is rounding over rounding: a step of up to eta in float32. A
    gradient that repeats the first has only a diagonal; the first gradient of a long matrix leaves the longer side's last
    directions open, which rounding chooses. So machines may part at the second step. A gradient above 1e19 in float32 makes L
    and R infinite and the bases NaN for good; `optax.clip` in front prevents that. On a mesh every device gathers and rotates
    whole matrices, which gives the numbers of one device.
    State: `step`, int32 scalar, position in the sequences of b2 and eps; `momentum_step`, in that of b1; `first_moment`;
    `second_moment` (s), real, in the eigenbases: the tree and shapes of the parameters, float32 for 16-bit leaves unless
    `accumulator_dtype` says otherwise; `input_gram` and `output_gram` (L, R), `input_basis` and `output_basis` (P, Q),
    (matrices, n, n) for n inputs or outputs of a leaf, None where there is no rotation, float32 for 16-bit leaves;
    `log_product1` and `log_product2`, logarithms of prod b1_i and prod b2_i, float32 scalars (float64 when a leaf is 64 bits
    wide).
    Memory: 6 buffers for a square matrix, 2 where nothing is rotated. Needs: params for weight decay.
    Source: N. Vyas, D. Morwani, R. Zhao, M. Kwun, I. Shapira, D. Brandfonbrener, L. Janson and S. Kakade (2025), SOAP:
    Improving and Stabilizing Shampoo using Adam, ICLR, arXiv:2409.11321.

    See also: `adam`, in the coordinates as they are; `muon`; `dion`.
    """
    core = scale_by_soap(
        b1,
        b2,
        precondition_frequency=precondition_frequency,
        axes=axes,
        layout=layout,
        max_size=max_size,
        eps=eps,
        accumulator_dtype=accumulator_dtype,
    )

    def check(who: str, params: optax.Params) -> None:
        refuse_unnamed(who, params, axes, layout)
        views(who, params, axes, layout)

    return chain("soap", core, add_weight_decay(weight_decay), scale_by_learning_rate(learning_rate), check=check)
