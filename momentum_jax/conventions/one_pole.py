"""The form that all conventions share: a gradient and one memory of gradients.

    s' = P_t s + W_t g          x' = x - (E_t g + C_t s')

x are the points where gradients are taken. QHM(L, b, nu) is P = b, W = 1 - b, E = L (1 - nu), C = L nu. The memory may be
scaled, s -> k_t s, without a change of any x: what counts is

    E_t          X_t = C_t W_t          p_t = P_t W_{t-1} / W_t

which is the form with W = 1, the learning rate outside. A convention fixes the scale: 1 (outside), the learning rate
(inside), 1 - P (an average).

Whether a form exists, and whether what it needs is a number or a schedule, is decided by probing: each schedule is replaced
by a sequence of random numbers. A rational identity that holds of those holds of every schedule.
"""

import functools
import math
import numbers
import random
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.errors import ConcretizationTypeError, TracerArrayConversionError, TracerIntegerConversionError

TOLERANCE = 1e-11
# How many steps a table goes on after the run: each translation of a translation may read one step further than the last.
MARGIN = 2


class OnePole(NamedTuple):
    """The coefficients of one step: E, C, P, W."""

    direct: Any
    readout: Any
    decay: Any
    weight: Any


class Probe(NamedTuple):
    """A step of an invented run, where schedules are random sequences and traced numbers random numbers.

    Attributes:
      step: an int.
      draw: which run.
      keep_traced: traced numbers stand for themselves.
    """

    step: int
    draw: int = 0
    keep_traced: bool = False


PROBES = [Probe(step, draw) for draw in range(3) for step in range(5, 8)]


def before(t: Any) -> Any:
    """The step before; of step 0 itself, since nothing is remembered there and any finite value will do."""
    return t._replace(step=t.step - 1) if isinstance(t, Probe) else jnp.maximum(t - 1, 0)


def after(t: Any) -> Any:
    return t._replace(step=t.step + 1) if isinstance(t, Probe) else t + 1


def ratio(a: Any, b: Any) -> Any:
    """a / b, 1 where both are 0.

    Not where they are equal: XLA may compute a == b twice and round it differently, which made a / 1 of a / b.
    """
    if isinstance(a, float) and isinstance(b, float):
        return 1.0 if a == b else a / b if b else math.copysign(math.inf, a)
    empty = jnp.equal(a, 0) & jnp.equal(b, 0)
    return jnp.where(empty, 1.0, a / jnp.where(empty, 1.0, b))


def value_of(schedule: Callable[[Any], Any], t: Any) -> jax.Array:
    """A schedule at a step, in the widest float: Optax's give float32 also where the translation is of float64.

    Raises:
      TypeError: it is no real number.
    """
    value = schedule(t)
    must = "convert: a schedule must return a real number or a 0-d array"
    if not isinstance(value, (numbers.Number, np.generic, np.ndarray, jax.Array)):
        raise TypeError(f"{must}, got {value!r}.")
    array = jnp.asarray(value)
    if array.shape or jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise TypeError(f"{must}, got an array of {array.dtype}{list(array.shape)}.")
    return array.astype(float)


def values_at(schedule: Callable[[Any], Any], steps: int) -> jax.Array:
    """A schedule at the steps before `steps`, in one array.

    Raises:
      TypeError: the schedule cannot be traced, or gives no numbers.
    """
    try:
        return jax.vmap(lambda t: value_of(schedule, t))(jnp.arange(steps))
    except (ConcretizationTypeError, TracerArrayConversionError, TracerIntegerConversionError) as error:
        raise TypeError(
            "convert: a schedule must compute with jax.numpy, for its step is traced: jnp.where(step < 10, 0.1, 0.01) in the "
            "place of a Python `if`, jnp.cos of np.cos or math.cos."
        ) from error


class Rule:
    """A convention's hyperparameters as one-pole coefficients of each step.

    A number as learning rate is left out and counted as 1: it scales every form alike, so that 0 can be translated too.
    """

    def __init__(self, hyperparameters: Mapping[str, Any], coefficients: Callable[..., OnePole], rate: str, steps: int | None):
        self.hyperparameters = dict(hyperparameters)
        self.scale = 1.0 if callable(hyperparameters[rate]) else hyperparameters[rate]
        if not callable(hyperparameters[rate]):
            self.hyperparameters[rate] = 1.0
        self.steps = steps
        self._coefficients = coefficients
        self._unknown: list[Any] = []
        self.memoryless = False
        self.memoryless = self.always(self.decay, 0.0) or self.vanishes(self.fresh)
        self.plain = self.memoryless or self.vanishes(self.direct)
        self._table: Any = None

    def pole(self, t: Any) -> OnePole:
        pole = self._coefficients(self._at(t), self._at(after(t)))
        if self.memoryless:
            return OnePole(pole.direct + pole.readout * pole.weight, 0.0, 0.0, 1.0)
        return pole

    def direct(self, t: Any) -> Any:
        """E_t."""
        return self.pole(t).direct

    def fresh(self, t: Any) -> Any:
        """X_t = C_t W_t."""
        pole = self.pole(t)
        return pole.readout * pole.weight

    def decay(self, t: Any) -> Any:
        """p_t, the decay of a memory whose gradients enter with weight 1."""
        pole = self.pole(t)
        return pole.decay * ratio(self.pole(before(t)).weight, pole.weight)

    def rate(self, t: Any) -> Any:
        """E_t + X_t, what a gradient counts at its own step: the learning rate of a plain method."""
        return self.direct(t) + self.fresh(t)

    def average_decay(self, t: Any) -> Any:
        """b_t, the decay of a memory that is an average: of the same P while P + W is 1, constant while p is."""
        pole = self.pole(t)
        if self.is_average:
            return pole.decay
        if self.is_steady:
            return self.decay(t)
        total = self._total_weight(t)
        empty = total == 0
        return jnp.where(empty, pole.decay, 1 - pole.weight / jnp.where(empty, 1.0, total))

    def average_readout(self, t: Any) -> Any:
        """What multiplies the average: C_t W_t / (1 - b_t)."""
        pole = self.pole(t)
        if self.is_average:
            return pole.readout * ratio(pole.weight, 1 - pole.decay)
        if self.is_steady:
            return self.fresh(t) / (1 - self.decay(t))
        return pole.readout * self._total_weight(t)

    @functools.cached_property
    def is_average(self) -> bool:
        """Whether the memory is an average, but for a constant factor."""
        return self.is_number(lambda t: self.pole(t).weight / (1 - self.pole(t).decay))

    @functools.cached_property
    def is_steady(self) -> bool:
        """Whether p_t is the same at every step."""
        return self.is_number(self.decay)

    @property
    def is_known(self) -> bool:
        """Whether the coefficients are known numbers, the same at every step."""
        traced = any(isinstance(value, Tracer) for value in self.hyperparameters.values())
        return not traced and all(map(self.is_number, (self.direct, self.fresh, self.decay)))

    def is_number(self, f: Callable[[Any], Any]) -> bool:
        """Whether f is the same at every step, whatever the schedules."""
        return self.always(f, f(PROBES[0]))

    def always(self, f: Callable[[Any], Any], g: Any) -> bool:
        """Whether f = g at every step, whatever the schedules; g is a number or a function of the step."""
        pairs: list[tuple[Any, Any]] = [(f(t), g(t) if callable(g) else g) for t in PROBES]
        if not all(math.isfinite(a) and math.isfinite(b) for a, b in pairs):
            raise OverflowError
        return all(abs(a - b) <= TOLERANCE * max(abs(a), abs(b)) for a, b in pairs)

    def vanishes(self, f: Callable[[Any], Any]) -> bool:
        """Whether f is 0 beside what a gradient counts."""
        return all(abs(f(t)) <= TOLERANCE * (abs(self.direct(t)) + abs(self.fresh(t))) for t in PROBES)

    def is_schedule(self, f: Callable[[Any], Any], schedule: Any) -> bool:
        return self.always(f, lambda t: self._value(schedule, t))

    def is_multiple(self, f: Callable[[Any], Any], schedule: Any) -> bool:
        """Whether f is a number times the schedule."""
        return self.is_number(lambda t: f(t) / self._value(schedule, t))

    def multiple(self, f: Callable[[Any], Any], schedule: Any) -> Any:
        """The number that f is times the schedule."""
        t = PROBES[0]._replace(keep_traced=True)
        return f(t) / self._value(schedule, t)

    def _at(self, t: Any) -> SimpleNamespace:
        return SimpleNamespace(**{name: self._value(value, t) for name, value in self.hyperparameters.items()})

    def _value(self, value: Any, t: Any) -> Any:
        if not isinstance(t, Probe):
            return value_of(value, t) if callable(value) else value
        traced = isinstance(value, Tracer)
        if callable(value) or (traced and not t.keep_traced):
            return random.Random(repr((self._place(value), *(t[:2] if callable(value) else ())))).uniform(0.2, 0.8)
        return value if traced else float(value)

    def _place(self, value: Any) -> int:
        """The same number for the same schedule wherever it stands."""
        if not any(value is known for known in self._unknown):
            self._unknown.append(value)
        return next(place for place, known in enumerate(self._unknown) if value is known)

    def _total_weight(self, t: Any) -> Any:
        """u_t = W_t + P_t u_{t-1}, what all remembered gradients weigh together, from a table of all steps."""
        if self._table is None:
            self._table = self._tabulate()
        if isinstance(t, Probe):
            return random.Random(repr(("total", *t[:2]))).uniform(2, 3)
        # Past the table nothing is known, and NaN says so.
        return self._table.at[t].get(mode="fill", fill_value=jnp.nan)

    def _tabulate(self) -> jax.Array:
        if self.steps is None:
            raise ValueError(
                "under these schedules the decay of its average depends on all steps before: give steps, the length of the run."
            )
        decays = values_at(lambda t: self.pole(t).decay, self.steps + MARGIN)
        weights = values_at(lambda t: self.pole(t).weight, self.steps + MARGIN)
        start = weights[0] / (1 - decays[0])

        def add(total: jax.Array, row: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            total = row[0] * total + row[1]
            return total, total

        _, later = jax.lax.scan(add, start, (decays[1:], weights[1:]))
        return jnp.concatenate([start[None], later])
