"""From an expression to the optimizer that it means, ready to be built and to be trained on a problem's parameters.

The real numbers among an arm's own arguments are kept apart as `numbers`, so that runs that differ in them alone
share one compiled program; all else (bools, strings, sizes, schedules and what is inside them) is structure.
"""

from __future__ import annotations

import functools
import inspect
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from momentum_jax._text import quoted
from momentum_jax.studies.errors import StudyError
from momentum_jax.studies.expression import Expression
from momentum_jax.studies.reader import Load, Reader, one_line


@dataclass(frozen=True)
class Optimizer:
    """An arm's optimizer, ready to build.

    `make(**numbers)` builds it, with Python numbers or with traced scalars in their place; `numbers` are its real
    hyperparameters by name and `group` is equal for two optimizers that differ in the values of `numbers` only.
    """

    text: str
    name: str
    make: Callable[..., Any]
    numbers: dict[str, float]
    group: tuple[str, ...]
    arguments: dict[str, Any]


def resolve(expression: Expression, load: Load | None = None, axes: Any = None) -> Optimizer:
    """The optimizer that an expression means, built once so that its constructor has checked its arguments.

    `load` finds functions of the user's own. `axes` are the problem's: every constructor in the expression that has an argument
    `axes` and was given none receives them. Raises `StudyError`: unknown names with their nearest neighbours, wrong arguments
    with the right ones, and what the constructor itself says.
    """
    call, reader = expression.call, Reader(expression.text, expression.origin, load, axes)
    constructor = reader.constructor(call)
    bound = reader.bind(constructor, call)
    reader.build(constructor, bound, must_be_optimizer=True)
    numbers = _real_numbers(bound)
    structure = (f"{name}={value}" for name, value in reader.written(bound, call).items() if name not in numbers)
    group = (expression.origin, expression.name, *sorted(structure), *sorted(numbers))
    if reader.gave_axes:
        group = (*group, f"axes={axes!r}")
    make: Callable[..., Any] = _Make(constructor, group, bound)
    if expression.origin:
        # What a function of the user's own means may change while it stays the same.
        make = functools.partial(make)
    return Optimizer(expression.text, expression.name, make, numbers, group, dict(bound.arguments))


@dataclass(frozen=True)
class _Make:
    """Builds an optimizer. Equal within a group, so that a later study finds the programs of an earlier one."""

    constructor: Callable[..., Any]
    group: tuple[str, ...]
    bound: inspect.BoundArguments = field(compare=False)

    def __call__(self, **values: Any) -> Any:
        arguments = inspect.BoundArguments(self.bound.signature, OrderedDict({**self.bound.arguments, **values}))
        return self.constructor(*arguments.args, **arguments.kwargs)


def settle(optimizer: Optimizer, params: Any) -> Optimizer:
    """The optimizer as it can be trained on these parameters (arrays, or `jax.ShapeDtypeStruct`s), by a trial without data.

    Optax has optimizers that cannot be built
    from traced numbers; theirs become structure. Raises `StudyError` where the
    optimizer does not fit the parameters, or wants more than the trainer hands it (params, value, grad_fn).
    """
    import jax
    import jax.numpy as jnp
    import optax

    from momentum_jax.protocol import evaluation_params
    from momentum_jax.training.opaque import put_together, require_same_kind, require_updates_of, take_apart

    def once(numbers, params):
        built = optax.with_extra_args_support(optimizer.make(**numbers))
        # As the trainer carries it.
        before, skeleton = take_apart(built.init(params))
        state = put_together(before, skeleton)
        updates, after = built.update(params, state, params, value=jnp.float32(1.0), grad_fn=lambda at: at)
        require_updates_of(params, updates)
        require_same_kind("the optimizer's state", state, put_together(*take_apart(after)))
        return updates, evaluation_params(params, after)

    traced = {name: jax.ShapeDtypeStruct((), jnp.float32) for name in optimizer.numbers}
    try:
        jax.eval_shape(once, traced, params)
        return optimizer
    except Exception:
        # Whatever it is, the trial with the numbers themselves says it.
        pass
    try:
        jax.eval_shape(lambda params: once(optimizer.numbers, params), params)
    except Exception as error:
        raise StudyError(f"arm {quoted(optimizer.text)} cannot train this problem: {one_line(error)}") from error
    return replace(optimizer, make=functools.partial(optimizer.make, **optimizer.numbers), numbers={}, group=(optimizer.text,))


def _real_numbers(bound: inspect.BoundArguments) -> dict[str, float]:
    """The arguments that vary without changing the program: floats, and ints given where a real number is meant."""
    numbers = {}
    for name, value in bound.arguments.items():
        parameter = bound.signature.parameters[name]
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            continue
        real = isinstance(parameter.default, float) or name == "learning_rate"
        if isinstance(value, float) or (real and isinstance(value, int) and not isinstance(value, bool)):
            numbers[name] = float(value)
    return numbers
