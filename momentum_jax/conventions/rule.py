"""A convention's hyperparameters read as one-pole coefficients, and what is true of them at every step.

Whether a form exists, and whether what it needs is a number or a schedule, is decided by probing: each schedule is replaced
by a sequence of random numbers. A rational identity that holds of those holds of every schedule.
"""

import functools
import math
import random
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from momentum_jax.conventions.one_pole import PROBES, OnePole, Probe, after, before, ratio, value_of, values_at

TOLERANCE = 1e-11
# How many steps a table goes on after the run: each translation of a translation may read one step further than the last.
MARGIN = 2


def _widened(value: Any) -> Any:
    """A traced number in the widest float: 0.1 / (1 - 0.9) of one in bfloat16 is not computed in its eight bits."""
    return value.astype(float) if isinstance(value, Tracer) else value


class Rule:
    """A convention's hyperparameters as one-pole coefficients of each step.

    A number as learning rate is left out and counted as 1: it scales every form alike, so that 0 can be translated too.
    """

    def __init__(self, hyperparameters: Mapping[str, Any], coefficients: Callable[..., OnePole], rate: str, steps: int | None):
        self.hyperparameters = {name: _widened(value) for name, value in hyperparameters.items()}
        self.scale = 1.0 if callable(hyperparameters[rate]) else self.hyperparameters[rate]
        if not callable(hyperparameters[rate]):
            self.hyperparameters[rate] = 1.0
        self.steps = steps
        self._coefficients = coefficients
        self._unknown: list[Any] = []
        self._probed: dict[Any, OnePole] = {}
        self.memoryless = False
        self.memoryless = self.always(self.decay, 0.0) or self.vanishes(self.fresh)
        self.plain = self.memoryless or self.vanishes(self.direct)
        self._table: Any = None

    def pole(self, t: Any) -> OnePole:
        if not isinstance(t, Probe):
            pole = self._coefficients(self._at(t), self._at(after(t)))
        elif t in self._probed:
            pole = self._probed[t]
        else:
            pole = self._probed[t] = self._coefficients(self._at(t), self._at(after(t)))
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
