"""What any wing may ask of an optimizer and its state.

An update; the hyperparameters of the next one; the parameters to evaluate; and to forget its momentum. The last two work
on any pytree that holds optimizer states (`optax.chain`, `MultiSteps`, `partition`, `masked`,
`apply_if_finite`, `inject_hyperparams`, an NNX optimizer's `opt_state`), on this library's states and on Optax's. A state takes
part by methods of its own: `evaluation_params(self, params) -> params` and `reset_momentum(self) -> state`.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax.contrib import ScheduleFreeState

from momentum_jax._text import numbered, with_article
from momentum_jax._trees import dtype_of, is_inexact, is_none, leaves_by_path, path_name
from momentum_jax._wrappers import WRAPPERS, reading

__all__ = ["UnknownMomentum", "evaluation_params", "hyperparameters", "reset_momentum", "shift_by_path", "update_of"]


class UnknownMomentum(ValueError):
    """Nobody has said how a state of this kind forgets its momentum."""

    remedy = "give that state a method reset_momentum(self)"

    def __init__(self, kind: type) -> None:
        super().__init__(
            "reset_momentum: opt_state must be built of states whose momentum is known, "
            f"got {with_article(kind.__name__)}; {self.remedy}."
        )
        self.kind = kind

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.kind,)


def evaluation_params(params: Any, opt_state: Any) -> Any:
    """The iterate to evaluate and to save, where it is not what the user holds.

    Shifted methods hold a look-ahead point: `nesterov`'s iterate is the held point minus mu_{t+1} times its velocity, and
    `optax.contrib.schedule_free`'s is its average. Of every other optimizer `params` come back as they are. Leaves are
    matched by path; leaves that a mask or a partition keeps from the method (`optax.MaskedNode`) are unchanged.

    It is valid when nothing after the method rescales or changes its updates: put learning rates, clipping and weight decay
    before a shifted core, never behind it.

    What an option or a name with Nesterov's comes to:

    - `sgd(nesterov=True)`, `rmsprop(nesterov=True)`: the iterate, in every order of rate and momentum and under schedules,
      when nothing behind them changes the update.
    - `scale_by_sgd(nesterov=True)` by itself: a ValueError, for its state does not know the rate of its look ahead.
    - `nadam`, `adan`, `muon`, `normuon`: the held point. Their step is not that of the buffer, so no point lies before a look
      ahead.
    - `averaged`, `gpa`: the average of the iterates, which is not where the held parameters are.
    - `optax.sgd(nesterov=True)`, `optax.trace(nesterov=True)`, `optax.nadam`: the held point, for their states do not say that
      there is another; take this library's `sgd`, which makes the same steps.

    Args:
      params: the parameters that the user holds.
      opt_state: the state that belongs to them, any pytree.

    Returns:
      A tree like `params`, in its shapes and dtypes.

    Raises:
      ValueError: a state has a leaf that `params` have not, or of another shape; the state of a bare
        `scale_by_sgd(nesterov=True)`.
    """
    for node in jax.tree.leaves(opt_state, is_leaf=_has_readout):
        if isinstance(node, ScheduleFreeState):
            params = _schedule_free_average(node, params)
        elif _has_readout(node):
            params = node.evaluation_params(params)
    return params


def reset_momentum(opt_state: Any) -> Any:
    """A state with its velocity forgotten and its momentum sequence at the start; all else is kept.

    Velocities and first moments become 0, their bias corrections and the position in a schedule of momentum start anew.
    Learning-rate schedules, second moments and step counters of other things go on. Of Optax's states `TraceState`,
    `EmaState` and Adam's first moment are known, and the wrappers and states that hold no momentum. A schedule that
    `optax.inject_hyperparams` evaluates goes on, for its position is the wrapper's; and Optax's Adam has one count for both
    moments, so its first moment is corrected too little afterwards (this library's is corrected exactly).

    Of a shifted method take `evaluation_params` first and go on from there: without its velocity the held point is the iterate.

    Args:
      opt_state: state of any chain of known transformations.

    Returns:
      A state of the same structure, shapes and dtypes.

    Raises:
      ValueError: a state of a kind that is not known; names its type.
    """
    if hasattr(opt_state, "reset_momentum"):
        return opt_state.reset_momentum()
    kind = type(opt_state)
    if kind in _RESETS:
        return _RESETS[kind](opt_state)
    if kind in WRAPPERS:
        field = WRAPPERS[kind]
        return opt_state._replace(**{field: reset_momentum(getattr(opt_state, field))})
    if kind in _MEMORYLESS or opt_state is None:
        return opt_state
    if isinstance(opt_state, Mapping):
        fresh = {name: reset_momentum(state) for name, state in opt_state.items()}
        return fresh if kind is dict else kind(fresh)
    if kind in (tuple, list):
        return kind(reset_momentum(state) for state in opt_state)
    raise UnknownMomentum(kind)


def hyperparameters(optimizer: Any, opt_state: Any) -> dict[str, Any]:
    """The hyperparameters that the next update will take, after their schedules, by method and name.

        >>> optimizer = mj.heavy_ball(optax.linear_schedule(0.0, 1e-3, transition_steps=10), momentum=0.9)
        >>> state = optimizer.init(jnp.zeros(3))
        >>> for _ in range(5):
        ...     updates, state = optimizer.update(jnp.ones(3), state)
        >>> mj.hyperparameters(optimizer, state)
        {'heavy_ball': {'learning_rate': Array(0.0005, dtype=float32), 'momentum': 0.9}}

    A method is named after its constructor, and its values as in the constructor's signature. The entries of `momenta` are
    `momenta[0]` and so on. A label of `optax.partition` or a pattern of `per_layer` stands in front: `"decoder/adamw"`. The
    optimizer of the leaves that `muon` does not take is `"fallback/adamw"`. Methods of one name are counted in the order of
    the chain: `"trace[0]"`, `"trace[1]"`. Wrappers without hyperparameters are not named.

    A schedule is read at the step of the next update. So it is under `optax.inject_hyperparams`, whose state holds the values
    of the last one. Between the steps of `optax.MultiSteps` the next step is told. `nesterov`, `ema_nesterov` and `nigt` fix
    the momentum of an update one update before. That value is told, even where another was injected since. `demon` tells the
    momentum that it has decayed to. Numbers that follow from the next gradient are not known before: the rates of `yellowfin`,
    the shorter steps of `momo`. A restart by the loss is not foreseen. Numbers that only the first step reads are left out.

    Optax's own methods keep their numbers to themselves: their value is None. Inside `optax.inject_hyperparams` they are read.

    Args:
      optimizer: of this library, of Optax, an `optax.MultiSteps`; of an NNX optimizer its `tx`.
      opt_state: the state that belongs to it; of an NNX optimizer its `opt_state`. It may be traced.

    Returns:
      By method a dict of its values, or None. Numbers and arrays are those that were given, or that a schedule gives. No array
      is one of the state, which may be donated afterwards. A function under `jax.jit` may return it.

    Raises:
      ValueError: `opt_state` is of another optimizer, or holds the states of several runs.
      TypeError: `optimizer` has no `init` and `update`.
    """
    if not callable(getattr(optimizer, "init", None)) or not callable(getattr(optimizer, "update", None)):
        remedy = "; of an NNX optimizer give its tx" if hasattr(optimizer, "tx") else ""
        found = with_article(type(optimizer).__name__)
        raise TypeError(f"hyperparameters: optimizer must have init and update, got {found}{remedy}.")
    found = reading(optimizer, opt_state)
    names = numbered(["/".join(path) for path, _ in found])
    return {name: None if values is None else {**values} for name, (_, values) in zip(names, found, strict=True)}


def update_of(who: str, optimizer: optax.GradientTransformation, **offered: Any) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    """`update(gradients, state, params)` of an optimizer, which is given those of the offered extra arguments that it takes.

    Raises:
      TypeError: the optimizer needs an extra argument that is not offered; in the call, it is `optax.lookahead`, which takes a
        pair of parameters.
    """
    update = optax.with_extra_args_support(optimizer).update
    taken = inspect.signature(update).parameters.values()
    needed = [p.name for p in taken if p.kind is p.KEYWORD_ONLY and p.default is p.empty and p.name not in offered]
    if needed:
        raise TypeError(
            f"{who}: optimizer must need no extra arguments but {', '.join(offered)}, got one that needs {', '.join(needed)}."
        )
    if not any(p.kind is p.VAR_KEYWORD for p in taken):
        offered = {p.name: offered[p.name] for p in taken if p.name in offered}

    def updated(updates: Any, state: Any, params: Any) -> tuple[Any, Any]:
        for node in jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, optax.LookaheadState) or _has_readout(node)):
            if isinstance(node, optax.LookaheadState):
                raise TypeError(
                    f"{who}: optimizer must take the parameters alone, got optax.lookahead, which takes a pair of them; "
                    "use momentum_jax.training.lookahead.lookahead."
                )
        return update(updates, state, params, **offered)

    return updated


def shift_by_path(
    who: str, params: Any, buffer: Any, shift: Callable[[jax.Array, jax.Array, jax.Array], jax.Array], scalar: Any
) -> Any:
    """`shift(p, b, scalar)` of every parameter leaf for which `buffer` has a leaf of the same path; the others unchanged.

    The arithmetic of 16-bit leaves is float32. `scalar` may be wrapped (NNX puts every leaf into a Variable).

    Raises:
      ValueError: `buffer` has a leaf that `params` have not, or of another shape.
    """
    leaves = leaves_by_path(params)
    shifts = {path: b for path, b in leaves_by_path(buffer).items() if b is not None}
    (number,) = jax.tree.leaves(scalar)
    if jnp.ndim(number):
        raise ValueError(
            f"{who}: opt_state must be that of one run, got states stacked to {jnp.shape(number)}; "
            "use jax.vmap(evaluation_params)(params, opt_state)."
        )
    for path, b in shifts.items():
        shape = jnp.shape(leaves[path]) if leaves.get(path) is not None else None
        if shape != jnp.shape(b):
            found = "no such leaf" if shape is None else f"shape {shape}"
            raise ValueError(
                f"{who}: params must be those of the state, which has shape {jnp.shape(b)} at {path_name(path)}, got {found}."
            )
    moved = [_shifted(p, shifts[path], shift, number) if path in shifts else p for path, p in leaves.items()]
    return jax.tree.unflatten(jax.tree.structure(params, is_leaf=is_none), moved)


def _shifted(p: Any, b: Any, shift: Callable[..., jax.Array], number: jax.Array) -> jax.Array:
    if not is_inexact(p):
        return p
    dtype = dtype_of(p)
    wide = jnp.promote_types(dtype, jnp.float32)
    real = jnp.finfo(wide).dtype
    return shift(jnp.asarray(p, wide), jnp.asarray(b).astype(wide), jnp.asarray(number, real)).astype(dtype)


def _schedule_free_average(state: ScheduleFreeState, params: Any) -> Any:
    # y = (1 - b1) z + b1 x, solved for x. At b1 = 0 the held point says nothing about x; Optax divides by 0 there too.
    return shift_by_path("schedule_free", params, state.z, lambda y, z, b1: (y - (1 - b1) * z) / b1, state.b1)


def _has_readout(node: Any) -> bool:
    return isinstance(node, ScheduleFreeState) or hasattr(node, "evaluation_params")


def _zeros(tree: Any) -> Any:
    return jax.tree.map(jnp.zeros_like, tree)


_RESETS: dict[type, Callable[[Any], Any]] = {
    optax.TraceState: _zeros,
    optax.EmaState: _zeros,
    optax.ScaleByAdamState: lambda state: state._replace(mu=_zeros(state.mu)),
}

_MEMORYLESS = frozenset(
    {
        optax.EmptyState,
        optax.MaskedNode,
        optax.AddNoiseState,
        optax.FactoredState,
        optax.ScaleByScheduleState,
        optax.ScaleByRmsState,
        optax.ScaleByRssState,
        optax.ScaleByRStdDevState,
        optax.ScaleByAdaDeltaState,
        optax.ScaleByTrustRatioState,
        optax.ZeroNansState,
    }
)


def __dir__() -> list[str]:
    return sorted(__all__)
