"""Gradient transformations that round once: in 16-bit training the links of a chain hand each other float32."""

from collections.abc import Callable
from typing import Any

import optax

from momentum_jax.optimizers._leaves import cast_like, fitting


class Transformation(optax.GradientTransformationExtraArgs):
    """An Optax transformation that also offers its update before the last cast.

    `update` returns each leaf in the dtype of its parameter, without parameters in that of its gradient.
    `unrounded(who, updates, state, params)` returns it in working precision; `chain` reads that, and says who is to be named
    in errors. `extra` names the extra arguments of `update` that it takes as keywords, where they are given.
    """

    unrounded: Callable[..., Any]
    extra: tuple[str, ...]


def transformation(
    who: str, init: optax.TransformInitFn, unrounded: Callable[..., Any], *, extra: tuple[str, ...] = ()
) -> Transformation:
    """A `Transformation` from `init(params)` and `unrounded(who, updates, state, params)`.

    Of the extra arguments of `update` those named in `extra` are passed on to `unrounded` as keywords; others are accepted
    and left alone, as `optax.with_extra_args_support` does.
    """

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> tuple[Any, Any]:
        if params is not None:
            fitting(who, updates, params)
        new_updates, new_state = unrounded(who, updates, state, params, **_only(extra, extra_args))
        return cast_like(new_updates, updates if params is None else params, who), new_state

    built = Transformation(init, update)
    built.unrounded = unrounded
    built.extra = extra
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
            updates, link_state = link.unrounded(who, updates, link_state, params, **_only(link.extra, extra_args))
            new_state.append(link_state)
        return updates, tuple(new_state)

    return transformation(who, init, unrounded, extra=tuple(dict.fromkeys(name for link in links for name in link.extra)))


def _only(names: tuple[str, ...], extra_args: dict[str, Any]) -> dict[str, Any]:
    return {name: extra_args[name] for name in names if name in extra_args}
