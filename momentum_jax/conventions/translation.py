"""`convert`: hyperparameters of one convention in another."""

import dataclasses
import functools
import numbers
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from momentum_jax._hyperparameters import is_zero
from momentum_jax.conventions import mixtures, two_sequences, velocities
from momentum_jax.conventions.convention import Convention, rules
from momentum_jax.conventions.looks import in_force, looked_at, pauses
from momentum_jax.conventions.one_pole import PROBES, value_of
from momentum_jax.conventions.rule import Rule

NAMES: dict[str, type[Convention]] = {
    "pytorch": velocities.PyTorch,
    "keras": velocities.Keras,
    "tensorflow": velocities.Keras,
    "optax": velocities.Optax,
    "heavy_ball": velocities.HeavyBall,
    "ema": mixtures.EMA,
    "nesterov": velocities.Nesterov,
    "reformulated_nesterov": velocities.ReformulatedNesterov,
    "qhm": mixtures.QHM,
    "accelerated_sgd": two_sequences.AcceleratedSGD,
    "triple_momentum": two_sequences.TripleMomentum,
    "pid": mixtures.PID,
    "grokfast": mixtures.Grokfast,
    "ema_nesterov": two_sequences.EMANesterov,
    "aggmo": mixtures.AggMo,
}


def convert(hyperparameters: Convention, *, to: str | type[Convention], steps: int | None = None, **chosen: Any) -> Convention:
    """The hyperparameters of another convention that take their gradients at the same points.

    Args:
      hyperparameters: such as `PyTorch(lr=0.1, momentum=0.9)`; numbers, 0-d arrays or schedules `step -> value`.
      to: the convention to translate into, a class of this module or its name in `NAMES`.
      steps: how many updates the run has. Needed where a hyperparameter of the result depends on all steps before, as the
        decay of an average does under a schedule of momentum: it is read from a table, NaN after its end, two steps later.
        Where it is given, the schedules of the result are looked at wherever an update of the run reads them. Otherwise only
        steps 0 and 1 are, and where the result has a schedule that is computed from the caller's, more than a multiple of
        one, its `note` says so: where a schedule is 0 later, a ratio of its values may be infinite or NaN there.
      chosen: what the result leaves open: `small_const` (0.7) of AcceleratedSGD, `derivative` (0) of PID; numbers.

    Returns:
      An instance of `to`. Numbers stay numbers, a schedule that the translation leaves as it is stays the same object. `note`
      says what differs at the start, and at which step a schedule leaves the range that its numbers have: a tenfold rate makes
      a momentum of 9 for that step, and the points are the same.

    Raises:
      ValueError: no hyperparameters of the target do that, or numbers out of its range, with the reason; a schedule that would
        be infinite or NaN at a step that was looked at, or would but for the rounding of a rate of 0; an unknown name.
      TypeError: an argument of the wrong type, a schedule that cannot be traced.
    """
    target = _target(to)
    if not isinstance(hyperparameters, Convention):
        raise TypeError(f"convert: hyperparameters must be one of {_classes()}, got {type(hyperparameters).__name__}.")
    if steps is not None and (isinstance(steps, bool) or not isinstance(steps, numbers.Integral)):
        raise TypeError(f"convert: steps must be an int of at least 1 or None, got {steps!r}.")
    if steps is not None and steps < 1:
        raise ValueError(f"convert: steps must be an int of at least 1 or None, got {steps!r}.")
    if unknown := chosen.keys() - target.open.keys():
        leaves = f"only {', '.join(target.open)}" if target.open else "nothing"
        raise ValueError(f"convert: {target.__name__} leaves {leaves} to choose, got {', '.join(sorted(unknown))}.")
    chosen = {name: _chosen(target, name, value) for name, value in chosen.items()}
    is_there = type(hyperparameters) is target and all(_same(getattr(hyperparameters, name), v) for name, v in chosen.items())
    try:
        # Inside `jit` too, what is known is computed at once: decisions cannot wait, and a table is no traced array.
        with jax.ensure_compile_time_eval():
            if not is_there:
                return _translate(hyperparameters, target, steps and int(steps), chosen)
            if steps is not None:
                list(looked_at(hyperparameters, hyperparameters, int(steps)))
            return hyperparameters
    except (ZeroDivisionError, OverflowError):
        raise ValueError(
            f"convert: no {target.__name__} equals {hyperparameters!r}: one of its hyperparameters would be infinite."
        ) from None
    except ValueError as error:
        raise ValueError(f"convert: no {target.__name__} equals {hyperparameters!r}: {error}") from None


def _chosen(target: type[Convention], name: str, value: Any) -> float:
    """What the caller chooses, held to its range: a number, for it decides which form the result has."""
    rule = rules(target)[name]._replace(schedule=False)
    if isinstance(value, Tracer):
        raise TypeError(f"convert: {name} must be a number, got a traced array.")
    return rule.check("convert", name, float(rule.check("convert", name, value)))


def _same(value: Any, number: float) -> bool:
    return isinstance(value, float) and value == number


def _translate(source: Convention, target: type[Convention], steps: int | None, chosen: dict[str, Any]) -> Convention:
    values = source.hyperparameters()
    taken, said = in_force(source, steps)
    rule = Rule(taken, source.one_pole, source.rate, steps)
    fields = target.read(rule, **{**target.open, **chosen})
    built = {name: _simplify(rule, f, values) if callable(f) else f for name, f in fields.items()}
    built[target.rate] = _scaled(built[target.rate], rule.scale, values)
    result = target(**built)
    own = [value for value in values.values() if callable(value)]
    computed = [name for name, f in fields.items() if callable(built[name]) and not any(rule.is_multiple(f, v) for v in own)]
    notes = [
        said,
        result.start(),
        *looked_at(source, result, steps, rule if result.rate in computed else None),
        *pauses(source, steps),
        *pauses(result, steps),
    ]
    if computed and steps is None:
        notes.append(
            f"Of {', '.join(computed)} only steps 0 and 1 were looked at, and where a schedule is 0 later a ratio of its "
            f"values may be infinite or NaN: give steps, the length of the run, to have all looked at."
        )
    return dataclasses.replace(result, note=" ".join(dict.fromkeys(filter(None, notes))))


def _simplify(rule: Rule, f: Any, values: dict[str, Any]) -> Any:
    """A number where f does not depend on the step, the caller's own schedule or a multiple of it, or a new one."""
    own = [value for value in values.values() if callable(value)]
    for value in own:
        if rule.is_schedule(f, value):
            return value
    if not rule.is_number(f):
        for value in own:
            if rule.is_multiple(f, value):
                # Not f itself, which may divide by the schedule where it is 0.
                return _multiple(rule.multiple(f, value), value)
        return lambda step: jnp.asarray(f(jnp.asarray(step)))
    return _snapped(f(PROBES[0]._replace(keep_traced=True)), [*values.values(), 0.0, 1.0], lambda v: 1e-15 * max(1.0, abs(v)))


def _multiple(factor: Any, schedule: Callable[[Any], Any]) -> Callable[[Any], jax.Array]:
    return lambda step: factor * value_of(schedule, jnp.asarray(step))


def _scaled(value: Any, scale: Any, values: dict[str, Any]) -> Any:
    if is_zero(scale - 1.0):
        return value
    if callable(value):
        return lambda step: scale * value(step)
    return _snapped(scale * value, [*values.values(), 1.0], lambda v: 1e-15 * abs(v))


def _snapped(number: Any, known: list[Any], tolerance: Callable[[float], float]) -> Any:
    """The known number that only rounding keeps this one from: 1 for 0.1 / (1 - 0.9)."""
    if not isinstance(number, float):
        return number
    return next((v for v in known if isinstance(v, float) and abs(number - v) <= tolerance(v)), number)


def _target(to: Any) -> type[Convention]:
    if to in NAMES.values():
        return to
    if not isinstance(to, str) or to not in NAMES:
        raise ValueError(f"convert: to must be one of {', '.join(NAMES)}, got {to!r}.")
    return NAMES[to]


@functools.cache
def _classes() -> str:
    return ", ".join(dict.fromkeys(form.__name__ for form in NAMES.values()))
