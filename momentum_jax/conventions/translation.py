"""`convert`: hyperparameters of one convention in another."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from momentum_jax._hyperparameters import is_zero
from momentum_jax.conventions import mixtures, velocities
from momentum_jax.conventions.convention import Convention
from momentum_jax.conventions.one_pole import PROBES, Rule

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
    "accelerated_sgd": mixtures.AcceleratedSGD,
    "triple_momentum": mixtures.TripleMomentum,
    "pid": mixtures.PID,
    "grokfast": mixtures.Grokfast,
    "ema_nesterov": mixtures.EMANesterov,
    "aggmo": mixtures.AggMo,
}


def convert(hyperparameters: Convention, *, to: str | type[Convention], steps: int | None = None, **chosen: Any) -> Convention:
    """The hyperparameters of another convention that take their gradients at the same points.

    Args:
      hyperparameters: such as `PyTorch(lr=0.1, momentum=0.9)`; numbers, 0-d arrays or schedules `step -> value`.
      to: the convention to translate into, a class of this module or its name in `NAMES`.
      steps: how many updates the run has. Needed where a hyperparameter of the result depends on all steps before, as the
        decay of an average does under a schedule of momentum: it is read from a table, NaN after its end. Where it is given,
        the schedules of the result are checked to be finite at all steps, otherwise at the first two: give it where a schedule
        may be 0, for a ratio of its values may be NaN later.
      chosen: what the result leaves open: `small_const` (0.7) of AcceleratedSGD, `derivative` (0) of PID.

    Returns:
      An instance of `to`. Numbers stay numbers, a schedule that the translation leaves as it is stays the same object. `note`
      says what differs at the start.

    Raises:
      ValueError: no hyperparameters of the target do that, or numbers out of its range, with the reason; an unknown name.
        The values of schedules are not held to the range: a tenfold rate makes a momentum of 9 for that step.
      TypeError: an argument of the wrong type.
    """
    target = _target(to)
    if not isinstance(hyperparameters, Convention):
        raise TypeError(f"convert: hyperparameters must be one of {_classes()}, got {type(hyperparameters).__name__}.")
    if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 1):
        raise ValueError(f"convert: steps must be an int of at least 1 or None, got {steps!r}.")
    if unknown := chosen.keys() - target.open.keys():
        leaves = f"only {', '.join(target.open)}" if target.open else "nothing"
        raise ValueError(f"convert: {target.__name__} leaves {leaves} to choose, got {', '.join(sorted(unknown))}.")
    if type(hyperparameters) is target and not chosen:
        return hyperparameters
    try:
        return _translate(hyperparameters, target, steps, chosen)
    except ValueError as error:
        raise ValueError(f"convert: no {target.__name__} equals {hyperparameters!r}: {error}") from None


def _translate(source: Convention, target: type[Convention], steps: int | None, chosen: dict[str, Any]) -> Convention:
    values = source.hyperparameters()
    rule = Rule(values, source.one_pole, source.rate, steps)
    fields = target.read(rule, **{**target.open, **chosen})
    built = {name: _simplify(rule, f, values) if callable(f) else f for name, f in fields.items()}
    built[target.rate] = _scaled(built[target.rate], rule.scale)
    for name, value in built.items():
        if callable(value):
            _look_at(name, value, steps)
    return target(**built, note=" ".join(filter(None, (source.start(), target.start_of(built)))))


def _simplify(rule: Rule, f: Any, values: dict[str, Any]) -> Any:
    """A number where f does not depend on the step, the caller's own schedule where it is that, else a schedule."""
    for value in values.values():
        if callable(value) and rule.is_schedule(f, value):
            return value
    if not rule.is_number(f):
        return lambda step: jnp.asarray(f(jnp.asarray(step)))
    number = f(PROBES[0]._replace(keep_traced=True))
    if isinstance(number, float):
        known = [*(v for v in values.values() if isinstance(v, float)), 0.0, 1.0]
        number = next((v for v in known if abs(number - v) <= 1e-15 * max(1, abs(v))), number)
    return number


def _scaled(value: Any, scale: Any) -> Any:
    if is_zero(scale - 1.0):
        return value
    return (lambda step: scale * value(step)) if callable(value) else scale * value


def _look_at(name: str, schedule: Any, steps: int | None) -> None:
    """Refuse a schedule that is infinite or NaN at the steps that can be looked at."""
    at = jnp.arange(2 if steps is None else steps)
    values = jax.vmap(lambda t: jnp.broadcast_to(schedule(t), ()))(at)
    if isinstance(values, Tracer):
        return
    bad = np.flatnonzero(~np.isfinite(np.asarray(values)))
    if len(bad):
        raise ValueError(
            f"{name} would be {values[bad[0]]} at step {bad[0]}. Where a learning rate is 0, the form with it inside the "
            f"memory forgets a gradient that the form with it outside remembers."
        )


def _target(to: Any) -> type[Convention]:
    if to in NAMES.values():
        return to
    if not isinstance(to, str) or to not in NAMES:
        raise ValueError(f"convert: to must be one of {', '.join(NAMES)}, got {to!r}.")
    return NAMES[to]


@functools.cache
def _classes() -> str:
    return ", ".join(dict.fromkeys(form.__name__ for form in NAMES.values()))
