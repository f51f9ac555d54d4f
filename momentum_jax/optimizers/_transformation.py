"""Gradient transformations that round once: in 16-bit training the links of a chain hand each other float32."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from momentum_jax.optimizers._leaves import cast_like, fitting


class Transformation(optax.GradientTransformationExtraArgs):
    """An Optax transformation that also offers its update before the last cast.

    `update` returns each leaf in the dtype of its parameter, without parameters in that of its gradient.
    `unrounded(who, updates, state, params, **extra_args)` returns it in working precision; `chain` reads that, and says who is
    to be named in errors.
    """

    unrounded: Callable[..., Any]


def transformation(
    who: str, init: optax.TransformInitFn, unrounded: Callable[..., Any], *, extra: tuple[str, ...] | None = ()
) -> Transformation:
    """A `Transformation` from `init(params)` and `unrounded(who, updates, state, params, **read)`.

    Of the extra arguments of `update` it is given those named in `extra`, all of them if that is None; the others are accepted
    and left alone, as `optax.with_extra_args_support` does.
    """

    def read(who: str, updates: Any, state: Any, params: Any, **extra_args: Any) -> tuple[Any, Any]:
        wanted = extra_args if extra is None else {name: extra_args[name] for name in extra if name in extra_args}
        return unrounded(who, updates, state, params, **wanted)

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> tuple[Any, Any]:
        if params is not None:
            fitting(who, updates, params)
        new_updates, new_state = read(who, updates, state, params, **extra_args)
        return cast_like(new_updates, updates if params is None else params, who), new_state

    built = Transformation(init, update)
    built.unrounded = read
    return built


def chain(who: str, *links: Transformation) -> Transformation:
    """As `optax.chain`, for links of this library: values between them are not rounded, and the state is the same tuple."""

    def init(params: Any) -> tuple[Any, ...]:
        return tuple(link.init(params) for link in links)

    def unrounded(
        who: str, updates: Any, state: tuple[Any, ...], params: Any, **extra_args: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        new_state = []
        for link, link_state in zip(links, state, strict=True):
            updates, link_state = link.unrounded(who, updates, link_state, params, **extra_args)
            new_state.append(link_state)
        return updates, tuple(new_state)

    return transformation(who, init, unrounded, extra=None)


def as_link(who: str, name: str, optimizer: Any) -> Transformation:
    """Any Optax transformation as a `Transformation`; of this library's the update stays unrounded.

    Raises:
      TypeError: `optimizer`, the argument `name` of `who`, is no gradient transformation.
    """
    if isinstance(optimizer, Transformation):
        return optimizer
    if isinstance(optimizer, optax.MultiSteps):
        raise TypeError(f"{who}: {name} is an optax.MultiSteps; give its .gradient_transformation().")
    if not isinstance(optimizer, optax.GradientTransformation):
        raise TypeError(f"{who}: {name} must be a gradient transformation, got {type(optimizer).__name__}.")
    inner = optax.with_extra_args_support(optimizer)

    def unrounded(who: str, updates: Any, state: Any, params: Any, **extra_args: Any) -> tuple[Any, Any]:
        del who
        return inner.update(updates, state, params, **extra_args)

    return transformation(who, inner.init, unrounded, extra=None)


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
