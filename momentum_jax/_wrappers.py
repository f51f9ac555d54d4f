"""What lies inside an optimizer, and where in its state: the walk through this library's wrappers and Optax's.

An optimizer is two functions. Those of this library carry an `Offer` on their `init`, which reads their hyperparameters from a
state. Optax's carry nothing, so what a chain or a wrapper holds is taken from the closure of its `init`. Where that is not as
it was when this was written, the method is named and its values are not known: nothing is guessed.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax.contrib import MechanicState, SAMState, ScheduleFreeState, SplitRealAndImaginaryState

from momentum_jax._text import listed, with_article
from momentum_jax._trees import leaves_by_path

# The field of a wrapper's state that holds the state of the optimizer inside.
WRAPPERS: dict[type, str] = {
    optax.MaskedState: "inner_state",
    optax.PartitionState: "inner_states",
    optax.MultiStepsState: "inner_opt_state",
    optax.ApplyIfFiniteState: "inner_state",
    optax.ConditionallyMaskState: "inner_state",
    optax.ConditionallyTransformState: "inner_state",
    optax.InjectHyperparamsState: "inner_state",
    optax.InjectStatefulHyperparamsState: "inner_state",
}

# Wrappers of which only the optimizer inside is known, by the name of Optax's function: the kind of their state, and the field
# of it that belongs to the argument of that name.
_BY_ARGUMENT: dict[str, tuple[type, dict[str, str]]] = {
    "masked": (optax.MaskedState, {"inner": WRAPPERS[optax.MaskedState]}),
    "apply_if_finite": (optax.ApplyIfFiniteState, {"inner": WRAPPERS[optax.ApplyIfFiniteState]}),
    "conditionally_mask": (optax.ConditionallyMaskState, {"inner": WRAPPERS[optax.ConditionallyMaskState]}),
    "conditionally_transform": (optax.ConditionallyTransformState, {"inner": WRAPPERS[optax.ConditionallyTransformState]}),
    "lookahead": (optax.LookaheadState, {"fast_optimizer": "fast_state"}),
    "schedule_free": (ScheduleFreeState, {"base_optimizer": "base_optimizer_state"}),
    "mechanize": (MechanicState, {"base_optimizer": "base_optimizer_state"}),
    "sam": (SAMState, {"optimizer": "opt_state", "adv_optimizer": "adv_state"}),
    "split_real_and_imaginary": (SplitRealAndImaginaryState, {"inner": "inner_state"}),
}
# Of these the update itself depends on numbers that cannot be read.
_METHODS = {"lookahead", "schedule_free", "mechanize", "sam"}

# By path (labels of partitions, then the method) the values by name, or None where they cannot be read.
Reading = list[tuple[tuple[str, ...], dict[str, Any] | None]]


class Offer(NamedTuple):
    """What hangs on an `init`: the function that reads its states, and the `init` that this holds for.

    `functools.wraps`, which `jax.jit` uses too, copies the attributes of a function to another one: they are not of that one.
    """

    init: Callable[..., Any]
    read: Callable[[Any], Reading]


def offer(init: Callable[..., Any], read: Callable[[Any], Reading]) -> None:
    """Let `reading` know how the states that `init` begins are read."""
    init.hyperparameters = Offer(init, read)  # pyright: ignore[reportFunctionMemberAccess]


def reading(optimizer: Any, state: Any) -> Reading:
    """What every method inside of an optimizer takes for its next update, in the order of a chain.

    Raises:
      ValueError: a state that is not of this optimizer, or of several runs.
    """
    if isinstance(optimizer, optax.MultiSteps):
        return reading(optimizer.inner_opt, inside("MultiSteps", optax.MultiStepsState, state))
    init = inspect.unwrap(optimizer.init)
    offered = getattr(init, "hyperparameters", None)
    if isinstance(offered, Offer) and offered.init is init:
        return offered.read(state)
    owner = getattr(init, "__self__", None)
    if isinstance(owner, optax.MultiSteps):
        return reading(owner, state)
    held = _held(init)
    name = _function(init)
    if name in _READERS and (found := _READERS[name](optimizer, held, state)) is not None:
        return found
    return [((_method(optimizer),), None)]


def inside(who: str, kind: type, state: Any) -> Any:
    """The state inside of a wrapper's."""
    require_kind(who, kind, state)
    return getattr(state, WRAPPERS[kind])


def require_kind(who: str, kind: Any, state: Any) -> None:
    """Raises ValueError where a state is not of the kind that the method of that name keeps."""
    if not isinstance(state, kind):
        wanted = " or ".join(each.__name__ for each in getattr(kind, "__args__", (kind,)))
        raise ValueError(wrong_state(who, with_article(wanted), with_article(type(state).__name__)))


def require_links(who: str, links: int, state: Any) -> None:
    """Raises ValueError where a state is not the tuple of so many states that a chain keeps."""
    plain = isinstance(state, tuple) and not hasattr(state, "_fields")
    if not plain or len(state) != links:
        found = f"a tuple of {len(state)}" if plain else with_article(type(state).__name__)
        raise ValueError(wrong_state(who, f"a tuple of {links}", found))


def wrong_state(who: str, wanted: str, found: str) -> str:
    return f"hyperparameters: opt_state must be that of the optimizer, whose {who} keeps {wanted}, got {found}."


def bare(who: str, state: Any) -> Any:
    """A method's own state, its scalars as JAX arrays of their own, also out of an NNX Variable or a file; the rest as it is.

    Raises:
      ValueError: states of several runs, stacked.
    """

    def one(name: str, field: Any) -> Any:
        found = {} if isinstance(field, (tuple, list, dict)) else leaves_by_path(field)
        if [*found] != [()] or found[()] is None:
            return field
        if name in ("step", "count") and jnp.ndim(found[()]):
            raise ValueError(
                f"hyperparameters: opt_state must be that of one run, got states of {who} stacked to {jnp.shape(found[()])}; "
                "use jax.vmap(lambda state: hyperparameters(optimizer, state))(opt_state)."
            )
        return field if jnp.ndim(found[()]) else jnp.array(found[()])

    return state._make(map(one, state._fields, state))


def _held(function: Any) -> Mapping[str, Any]:
    """What a function closes over, by name."""
    return inspect.getclosurevars(function).nonlocals if inspect.isfunction(function) else {}


def _function(function: Any) -> str:
    """The name of the function of Optax in which a function was made: `chain` of `chain.<locals>.init_fn`; else empty."""
    module, name = getattr(function, "__module__", None) or "", getattr(function, "__qualname__", "")
    return name.split(".")[0] if module.split(".")[0] == "optax" else ""


def _method(optimizer: Any) -> str:
    """What the method is called: its maker, which update and init are named after."""
    update = inspect.unwrap(optimizer.update)
    if _function(update) == "with_extra_args_support" and "tx" in _held(update):
        return _method(_held(update)["tx"])
    return getattr(update, "__qualname__", type(update).__name__).split(".")[0]


def _pairs(optimizer: Any, inits: tuple[Any, ...]) -> Iterator[Any]:
    """The links of `optax.chain`, whose two functions hold half of them each."""
    updates = _held(inspect.unwrap(optimizer.update)).get("update_fns", inits)
    return map(optax.GradientTransformation, inits, updates if len(updates) == len(inits) else inits)


def _chain(optimizer: Any, held: Mapping[str, Any], state: Any) -> Reading | None:
    if "init_fns" not in held:
        return None
    links = list(_pairs(optimizer, held["init_fns"]))
    require_links("chain", len(links), state)
    return [entry for link, each in zip(links, state, strict=True) for entry in reading(link, each)]


def _named_chain(optimizer: Any, held: Mapping[str, Any], state: Any) -> Reading | None:
    del optimizer
    return _members("named_chain", dict(held["transforms"]), state) if "transforms" in held else None


def _partition(optimizer: Any, held: Mapping[str, Any], state: Any) -> Reading | None:
    del optimizer
    if "transforms" not in held:
        return None
    states = inside("partition", optax.PartitionState, state)
    if isinstance(states, Mapping):
        states = {label: inside("partition", optax.MaskedState, each) for label, each in states.items()}
    return _members("partition", held["transforms"], states)


def _members(who: str, members: Mapping[Any, Any], states: Any) -> Reading:
    if not isinstance(states, Mapping) or {*states} != {*members}:
        found = f"states of {_listed(states)}" if isinstance(states, Mapping) else with_article(type(states).__name__)
        raise ValueError(wrong_state(who, f"states of {_listed(members)}", found))
    return [
        ((str(label), *path), values) for label, member in members.items() for path, values in reading(member, states[label])
    ]


def _listed(members: Mapping[Any, Any]) -> str:
    return listed([str(label) for label in members], 8)


def _flatten(optimizer: Any, held: Mapping[str, Any], state: Any) -> Reading | None:
    del optimizer
    return reading(held["inner"], state) if "inner" in held else None


def _wrapper(optimizer: Any, held: Mapping[str, Any], state: Any) -> Reading | None:
    name = _function(inspect.unwrap(optimizer.init))
    kind, fields = _BY_ARGUMENT[name]
    if not {*fields} <= {*held}:
        return None
    require_kind(name, kind, state)
    own: Reading = [((name,), None)] if name in _METHODS else []
    prefix = {argument: (argument,) if len(fields) > 1 else () for argument in fields}
    return own + [
        ((*prefix[argument], *path), values)
        for argument, field in fields.items()
        for path, values in reading(held[argument], getattr(state, field))
    ]


def _injected(optimizer: Any, held: Mapping[str, Any], state: Any) -> Reading | None:
    """Of `optax.inject_hyperparams`. Its state has the values of the last update: schedules are read anew."""
    del optimizer
    if not {"sched_hps", "other_hps", "inner_factory"} <= {*held}:
        return None
    factory = inspect.unwrap(held["inner_factory"])
    who = getattr(factory, "__name__", None) or getattr(getattr(factory, "func", None), "__name__", "inject_hyperparams")
    require_kind("inject_hyperparams", optax.InjectStatefulHyperparamsState, state)
    state = bare("inject_hyperparams", state)
    values: dict[str, Any] = jax.tree.map(jnp.array, {name: _leaf(value) for name, value in state.hyperparams.items()})
    for name, schedule in held["sched_hps"].items():
        # A schedule with a state of its own may need what only an update is given.
        plain = getattr(schedule, "schedule_fn", None)
        count = None if plain is None else jnp.array(_leaf(state.hyperparams_states[name].count))
        values[name] = None if plain is None else jnp.asarray(plain(count), values[name].dtype)
    within: Reading = []
    if None not in values.values():
        within = reading(held["inner_factory"](**held["other_hps"], **values), state.inner_state)
    if ((who,), None) not in within and any(path == (who,) for path, _ in within):
        return within
    from_optax = (getattr(factory, "__module__", None) or "").split(".")[0] == "optax"
    return [((who,), values), *[entry for entry in within if entry[1] is not None or not from_optax]]


def _leaf(value: Any) -> Any:
    (leaf,) = jax.tree.leaves(value)
    return leaf


_READERS: dict[str, Callable[[Any, Mapping[str, Any], Any], Reading | None]] = {
    "chain": _chain,
    "named_chain": _named_chain,
    "partition": _partition,
    "inject_hyperparams": _injected,
    "flatten": _flatten,
    **dict.fromkeys(_BY_ARGUMENT, _wrapper),
}
