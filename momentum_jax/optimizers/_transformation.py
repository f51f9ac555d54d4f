"""Gradient transformations that round once: in 16-bit training the links of a chain hand each other float32."""

from collections.abc import Callable
from types import UnionType
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax

from momentum_jax._trees import is_none
from momentum_jax._wrappers import Reading, bare, offer, reading, require_kind, require_links
from momentum_jax.optimizers._leaves import cast_like, fitting, refuse_what_is_no_array

Transformation: TypeAlias = optax.GradientTransformationExtraArgs


class Link(NamedTuple):
    """A transformation as a chain or a wrapper sees it.

    `update` of a transformation returns each leaf in the dtype of its parameter, without parameters in that of its gradient.
    `unrounded(who, updates, state, params, **extra_args)` returns it in working precision; `who` is named in errors.
    `reading(state)` is what it reads from a state for `momentum_jax.hyperparameters`.
    """

    init: optax.TransformInitFn
    unrounded: Callable[..., tuple[Any, Any]]
    reading: Callable[[Any], Reading]


class _Offer(NamedTuple):
    """What hangs on an update function: its unrounded form, and the function that this is the form of.

    `functools.wraps`, which `jax.jit` uses too, copies the attributes of a function to another one: that one is not bypassed.
    """

    update: Callable[..., Any]
    unrounded: Callable[..., Any]


def transformation(
    who: str,
    init: optax.TransformInitFn,
    unrounded: Callable[..., Any],
    *,
    extra: tuple[str, ...] | None = (),
    hyperparameters: Callable[[Any], dict[str, Any]] | None = None,
    inside: Callable[[Any], Reading] | None = None,
) -> Transformation:
    """A transformation from `init(params)` and `unrounded(who, updates, state, params, **read)`, which its update offers.

    Of the extra arguments of `update` it is given those named in `extra`, all of them if that is None; the others are accepted
    and left alone, as `optax.with_extra_args_support` does. Parameters and gradients are trees of arrays and numbers; NumPy
    arrays in a state, as from a file, are taken for JAX arrays.

    `hyperparameters(state)` gives the values of the next update by name, the same that `unrounded` takes. `inside(state)` reads
    what stands inside of a wrapper.
    """

    def checked_init(params: Any) -> Any:
        refuse_what_is_no_array(who, params, "params")
        return init(params)

    def read(who: str, updates: Any, state: Any, params: Any, **extra_args: Any) -> tuple[Any, Any]:
        wanted = extra_args if extra is None else {name: extra_args[name] for name in extra if name in extra_args}
        return unrounded(who, updates, state, params, **wanted)

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> tuple[Any, Any]:
        refuse_what_is_no_array(who, updates, "the gradient")
        targets, structure = flat = jax.tree.flatten(updates, is_leaf=is_none)
        if params is not None:
            refuse_what_is_no_array(who, params, "params")
            targets = fitting(who, updates, params, flat)
        new_updates, new_state = read(who, updates, _of_jax(state), params, **extra_args)
        return cast_like(new_updates, updates if params is None else params, who, (targets, structure)), new_state

    def read_hyperparameters(state: Any) -> Reading:
        require_kind(who, _kept_by(init), state)
        within = inside(state) if inside else []
        if hyperparameters is None:
            return within if inside else [((who,), {})]
        return [((who,), hyperparameters(bare(who, state))), *within]

    update.unrounded = _Offer(update, read)  # pyright: ignore[reportFunctionMemberAccess]
    offer(checked_init, read_hyperparameters)
    # By it a method is named whose init is another's.
    update.__qualname__ = f"{who}.<locals>.update"
    return optax.GradientTransformationExtraArgs(checked_init, update)


def chain(who: str, *links: Transformation, check: Callable[[str, Any], Any] | None = None) -> Transformation:
    """As `optax.chain`, for links of this library: values between them are not rounded, and the state is the same tuple.

    `check(who, params)` raises in `init`, before the links' own checks, which name the links.
    """
    parts = [link(one) for one in links]

    def init(params: Any) -> tuple[Any, ...]:
        if check is not None:
            check(who, params)
        return tuple(part.init(params) for part in parts)

    def unrounded(
        who: str, updates: Any, state: tuple[Any, ...], params: Any, **extra_args: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        new_state = []
        for part, part_state in zip(parts, state, strict=True):
            updates, part_state = part.unrounded(who, updates, part_state, params, **extra_args)
            new_state.append(part_state)
        return updates, tuple(new_state)

    def inside(state: Any) -> Reading:
        require_links(who, len(parts), state)
        found = [entry for part, each in zip(parts, state, strict=True) for entry in part.reading(each)]
        values = {name: value for path, own in found if len(path) == 1 and own for name, value in own.items()}
        return [((who,), values), *(entry for entry in found if len(entry[0]) > 1)]

    return transformation(who, init, unrounded, extra=None, inside=inside)


def as_link(who: str, name: str, optimizer: Any) -> Link:
    """Any Optax transformation as a `Link`; of an update of this library the result stays unrounded.

    Raises:
      TypeError: `optimizer` is no gradient transformation.
    """
    if isinstance(optimizer, optax.MultiSteps):
        raise TypeError(f"{who}: {name} is an optax.MultiSteps; give its .gradient_transformation().")
    if not isinstance(optimizer, optax.GradientTransformation):
        raise TypeError(f"{who}: {name} must be a gradient transformation, got {type(optimizer).__name__}.")
    return link(optimizer)


def link(optimizer: optax.GradientTransformation) -> Link:
    """A transformation as a `Link`; only an update that offers its own unrounded form is asked for that."""

    def read(state: Any) -> Reading:
        return reading(optimizer, state)

    offered = getattr(optimizer.update, "unrounded", None)
    if isinstance(offered, _Offer) and offered.update is optimizer.update:
        return Link(optimizer.init, offered.unrounded, read)
    inner = optax.with_extra_args_support(optimizer)

    def unrounded(who: str, updates: Any, state: Any, params: Any, **extra_args: Any) -> tuple[Any, Any]:
        del who
        return inner.update(updates, state, params, **extra_args)

    return Link(inner.init, unrounded, read)


def _kept_by(init: Any) -> Any:
    """The kind of state that an `init` of this library says it returns."""
    kind = getattr(init, "__annotations__", {}).get("return")
    return kind if isinstance(kind, (type, UnionType)) and kind is not Any else object


def _of_jax(state: Any) -> Any:
    if not any(isinstance(leaf, (np.ndarray, np.generic)) for leaf in jax.tree.leaves(state)):
        return state
    return jax.tree.map(lambda leaf: jnp.asarray(leaf) if isinstance(leaf, (np.ndarray, np.generic)) else leaf, state)


def loss_of(who: str, value: Any) -> jax.Array:
    """The `value=` of an update, checked.

    Raises:
      ValueError: there is none. TypeError: it is no real number.
    """
    if value is None:
        raise ValueError(
            f"{who}: value must be the loss at params, got None: call update(gradients, state, params, value=loss)."
        )
    must = f"{who}: value must be the loss at params, a real number"
    try:
        loss = jnp.asarray(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{must}, got {type(value).__name__}.") from None
    if loss.shape != () or not (jnp.issubdtype(loss.dtype, jnp.floating) or jnp.issubdtype(loss.dtype, jnp.integer)):
        raise TypeError(f"{must}, got an array of {loss.dtype}{list(loss.shape)}.")
    return loss
