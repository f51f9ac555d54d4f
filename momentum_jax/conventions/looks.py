"""A look at the schedules of a translation, step by step: what is infinite, out of its range, or no framework's way there."""

from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from momentum_jax._hyperparameters import is_zero
from momentum_jax.conventions import velocities
from momentum_jax.conventions.convention import Convention, rules
from momentum_jax.conventions.one_pole import value_of, values_at
from momentum_jax.conventions.rule import Rule

ROUNDING = 1e-5


def looked_at(source: Convention, result: Convention, steps: int | None, rule: Rule | None = None) -> Iterator[str]:
    """What is to be said of the result's schedules at the steps that can be looked at, and at all that their updates read.

    `rule`: where the result's rate was computed from it, so that rounding may keep it from a 0.

    Raises:
      ValueError: one is infinite or NaN there, or would be without rounding.
    """
    steps = 2 if steps is None else steps
    values = {name: values_at(each, steps + (name in result.ahead)) for name, each in _schedules(result).items()}
    known = {name: np.asarray(row) for name, row in values.items() if not isinstance(row, Tracer)}
    for name in [name for name in values if name not in known]:
        yield f"{name} holds traced numbers, and was not looked at."
    rates = known.get(result.rate, np.ones(steps))
    for name, row in known.items():
        for step in np.flatnonzero(~np.isfinite(row))[:1]:
            _blame_the_source(source, int(step))
            beside = rates[max(step - 1, 0) : step + 1]
            raise ValueError(_forgotten(name, row, step, f", as it does where {result.rate} is 0" if 0 in beside else ""))
    if rule is not None and result.rate in known:
        vanishes = np.abs(rates) <= ROUNDING * _terms(rule, steps)
        for name, row in known.items():
            for step in range(1, min(len(row), steps + 1)):
                if vanishes[step - 1] and abs(row[step]) * ROUNDING >= 0.1:
                    raise ValueError(_forgotten(name, row, step, f", as it does where {result.rate} is 0 but for rounding"))
    for name, row in known.items():
        allowed = rules(type(result))[name]
        for step in [i for i, value in enumerate(row.tolist()) if not allowed.allows(value)][:1]:
            yield f"{name} is {row[step]:g} at step {step}, where a number would have to be {allowed}; the points are the same."


def _terms(rule: Rule, steps: int) -> np.ndarray:
    """The size of what a computed rate is a difference of, (steps,): NaN, which nothing is below, where it is traced."""
    sizes = values_at(lambda t: abs(rule.scale) * (abs(rule.direct(t)) + abs(rule.fresh(t))), steps)
    return np.full(steps, np.nan) if isinstance(sizes, Tracer) else np.asarray(sizes)


def _forgotten(name: str, row: np.ndarray, step: int, reason: str) -> str:
    return (
        f"{name} would be {row[step]:g} at step {step}: a gradient that one of the two remembers has weight 0 in the memory of "
        f"the other{reason}."
    )


def _blame_the_source(source: Convention, step: int) -> None:
    """Where a schedule of the caller's is infinite or NaN no later than what a translation reads of it at this step, say so."""
    for name, schedule in _schedules(source).items():
        row = values_at(schedule, step + 2)
        if isinstance(row, Tracer):
            continue
        for first in np.flatnonzero(~np.isfinite(row))[:1]:
            ends = ", as the schedule of a translation is after its steps" if first and np.isnan(row[first:]).all() else ""
            raise ValueError(f"its own {name} is {row[first]} at step {first}{ends}.")


def pauses(form: Convention, steps: int | None) -> Iterator[str]:
    """Where the framework itself would not follow the equations of its convention, as its docstring says."""
    if isinstance(form, (velocities.PyTorch, velocities.Keras)) and callable(form.momentum):
        row = values_at(form.momentum, 2 if steps is None else steps)
        if not isinstance(row, Tracer):
            off = np.asarray(row) == 0
            for step in np.flatnonzero(off[:-1] & ~off[1:])[:1]:
                yield (
                    f"{type(form).__name__}'s momentum is 0 at step {step} and not after it: the framework itself leaves its "
                    f"velocity as it is while momentum is 0, and does not follow this schedule."
                )


def in_force(source: Convention, steps: int | None) -> tuple[dict[str, Any], str]:
    """The hyperparameters of a source as its framework takes them, and what is to be said of its start, and of unseen steps.

    PyTorch does not dampen while momentum is 0: where that was seen, its dampening is a schedule.
    """
    values = source.hyperparameters()
    if not isinstance(source, velocities.PyTorch) or is_zero(source.dampening) or not callable(momentum := source.momentum):
        return values, source.start()
    row = values_at(momentum, 2 if steps is None else steps)
    unseen = "PyTorch does not dampen while momentum is 0, the translation does where it was not looked at: give steps."
    if isinstance(row, Tracer):
        return values, f"{source.start()} {unseen}"
    off = np.asarray(row) == 0
    if not off.any():
        return values, source.start() + f" {unseen}" * (steps is None)

    def dampening(t: Any) -> Any:
        tau = value_of(source.dampening, t) if callable(source.dampening) else source.dampening
        return jnp.where(value_of(momentum, t) == 0, 0.0, tau)

    # Where the first is 0 too, nothing is left to be undone at the start.
    return {**values, "dampening": dampening}, "" if off[0] else source.start()


def _schedules(hyperparameters: Convention) -> dict[str, Callable[[Any], Any]]:
    return {name: value for name, value in hyperparameters.hyperparameters().items() if callable(value)}
