"""The matrices of a method as polynomials in its hyperparameters, fitted exactly to what `linearize` reads.

    F(h), b(h), readout(h), start(h):  sum over terms of coefficient * h_1^e_1 * h_2^e_2 ...

One reading serves a whole grid of hyperparameters: they are schedules that hold each point for some steps, and the
coefficients are those of a step whose neighbours have the same hyperparameters. The points are dyadic, so that the
optimizer's own arithmetic does not round there, and the interpolation is in fractions: the polynomials of a method whose
constants are dyadic too are exact. They are held against further points, and against constant hyperparameters.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from momentum_jax.theory.dynamics import Dynamics
from momentum_jax.theory.reading import linearize

# Of each hyperparameter; more than any method of this library has.
DEGREE = 3
# Nothing larger may be left at a point that was not fitted, relative to the size of the terms there.
LEFT = 1e-12
# Steps at one point; the middle one is read: an update may look at the step before, and at the one after.
_HELD, _MIDDLE = 3, 1
_CHECKED, _CONSTANT = 12, 2


class NotPolynomial(ValueError):
    """A coefficient of the method is no polynomial in its hyperparameters, or changes as time goes by."""


class Polynomials(NamedTuple):
    """A linear method for all its hyperparameters.

    Attributes:
      hyperparameters: their names, in the order of the exponents.
      names: (n,), what the entries of x are; the first is "params".
      exponents: (terms, hyperparameters), int.
      F: (terms, n, n); b, readout, start: (terms, n).
    """

    hyperparameters: tuple[str, ...]
    names: tuple[str, ...]
    exponents: np.ndarray
    F: np.ndarray
    b: np.ndarray
    readout: np.ndarray
    start: np.ndarray

    def at(self, **values: float) -> Dynamics:
        """The method with these hyperparameters: one settled step, as `linearize` reads it.

        Raises:
          TypeError: a hyperparameter is missing, or there is none of that name.
        """
        if set(values) != set(self.hyperparameters):
            raise TypeError(f"Polynomials.at takes {', '.join(self.hyperparameters)}; got {', '.join(values) or 'none'}.")
        terms = np.prod(np.array([values[name] for name in self.hyperparameters]) ** self.exponents, axis=1)
        F, b, readout, start = (np.tensordot(terms, each, 1) for each in (self.F, self.b, self.readout, self.start))
        return Dynamics(F[None], b[None], readout[None], start, 0, 1, self.names)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: of each entry its terms as [coefficient, exponent, exponent, ...]."""

        def terms(entries: np.ndarray) -> list[Any]:
            if entries.ndim > 1:
                return [terms(entries[:, i]) for i in range(entries.shape[1])]
            return [[_short(entries[k]), *self.exponents[k].tolist()] for k in np.flatnonzero(entries)]

        arrays = {name: terms(getattr(self, name)) for name in ("F", "b", "readout", "start")}
        return {"hyperparameters": list(self.hyperparameters), "names": list(self.names), **arrays}


def fitted(constructor: Callable[..., Any], ranges: Mapping[str, tuple[float, float]], *, degree: int = DEGREE) -> Polynomials:
    """The matrices of an optimizer as polynomials in its hyperparameters, exact and verified.

        >>> import momentum_jax as mj
        >>> fitted(mj.heavy_ball, {"learning_rate": (0, 4), "momentum": (0, 1)}).at(learning_rate=0.1, momentum=0.9).b
        array([[-0.1, -0.1]])

    Args:
      constructor: takes the hyperparameters by name, as numbers and as schedules.
      ranges: of each hyperparameter the interval on which it is read, ends excluded.
      degree: the largest exponent of a hyperparameter.

    Raises:
      NotPolynomial: a coefficient is no polynomial of that degree, or differs between steps; says where.
      NotLinear: the update is not linear.
      ValueError: there is no range, or one is empty.
    """
    who = getattr(constructor, "__name__", None) or getattr(getattr(constructor, "func", None), "__name__", "the method")
    if not ranges or not all(low < high for low, high in ranges.values()):
        raise ValueError(f"fitted: ranges must hold intervals (low, high), low < high, got {dict(ranges)}.")
    lows, highs = (np.array([each[end] for each in ranges.values()], float) for end in (0, 1))
    nodes = (2 * np.arange(degree + 1) + 1) / (2 ** int(np.ceil(np.log2(2 * degree + 2))))
    grid = lows + (highs - lows) * np.array([*itertools.product(nodes, repeat=len(ranges))])
    others = lows + (highs - lows) * np.random.default_rng(0).uniform(0.02, 0.98, (_CHECKED, len(ranges)))
    constant = [_constant(who, constructor, dict(zip(ranges, point.tolist(), strict=True))) for point in others[:_CONSTANT]]

    points = np.concatenate([grid, others])
    read = linearize(constructor(**_schedules(tuple(ranges), points)), horizon=_HELD * len(points))
    if any(each.names != read.names for each in constant):
        raise NotPolynomial(f"fitted: {who} has other memory under a schedule than under constant hyperparameters.")
    values = _flat(read, slice(_MIDDLE, None, _HELD))
    axes = [[Fraction(low + (high - low) * node) for node in nodes] for low, high in zip(lows, highs, strict=True)]
    exponents = np.array([*itertools.product(range(degree + 1), repeat=len(ranges))])
    coefficients = _interpolated(axes, values[: len(grid)])

    terms = np.prod(others[:, None, :] ** exponents, axis=-1)
    expected = np.concatenate([values[len(grid) :], *(_flat(each, slice(0, 1)) for each in constant)])
    terms = np.concatenate([terms, terms[: len(constant)]])
    left = np.abs(terms @ coefficients - expected)
    allowed = LEFT * np.maximum(np.abs(terms) @ np.abs(coefficients), 1e-3 * np.abs(expected).max(0) + 1e-300)
    if (left > allowed).any():
        k, entry = np.unravel_index(np.argmax(left - allowed), left.shape)
        at = dict(zip(ranges, np.concatenate([others, others])[k], strict=True))
        raise NotPolynomial(
            f"fitted: {_entry(read, int(entry))} of {who} is no polynomial of degree {degree} in {', '.join(ranges)}; at "
            f"{', '.join(f'{name} = {value:.4g}' for name, value in at.items())} it is {left[k, entry]:.2g} off."
        )
    used = np.flatnonzero(coefficients.any(1))
    n = len(read.names)
    F, b, readout, start = np.split(coefficients[used], [n * n, n * n + n, n * n + 2 * n], axis=1)
    return Polynomials(tuple(ranges), read.names, exponents[used], F.reshape(-1, n, n), b, readout, start)


def _schedules(names: Sequence[str], points: np.ndarray) -> dict[str, Callable[[Any], Any]]:
    def holding(column: np.ndarray) -> Callable[[Any], Any]:
        return lambda step: jnp.asarray(column)[jnp.minimum(step // _HELD, len(column) - 1)]

    return {name: holding(column) for name, column in zip(names, points.T, strict=True)}


def _constant(who: str, constructor: Callable[..., Any], values: dict[str, float]) -> Dynamics:
    read = linearize(constructor(**values), horizon=_HELD * 4)
    if read.settled != 0 or read.period != 1:
        raise NotPolynomial(f"fitted: {who} changes its coefficients over its first steps; one matrix cannot stand for it.")
    return read


def _flat(read: Dynamics, steps: slice) -> np.ndarray:
    """(points, n n + 3 n): all entries of some steps; how it starts does not depend on the step."""
    F, b, readout = (each[steps] for each in (read.F, read.b, read.readout))
    return np.concatenate([F.reshape(len(F), -1), b, readout, np.broadcast_to(read.start, b.shape)], 1)


def _entry(read: Dynamics, place: int) -> str:
    n = len(read.names)
    if place < n * n:
        return f"F[{place // n}, {place % n}]"
    return f"{('b', 'readout', 'start')[(place - n * n) // n]}[{(place - n * n) % n}]"


def _interpolated(axes: Sequence[Sequence[Fraction]], values: np.ndarray) -> np.ndarray:
    """(terms, entries): coefficients of the polynomials through values (points, entries) on the grid of the axes."""
    shape = tuple(map(len, axes))
    found = np.array([[Fraction(value) for value in row] for row in values.tolist()], object).reshape(*shape, -1)
    for place, nodes in enumerate(axes):
        found = np.moveaxis(np.tensordot(_through(nodes), np.moveaxis(found, place, 0), 1), 0, place)
    coefficients = found.reshape(len(values), -1).astype(float)
    # What a constant that is not dyadic leaves behind in terms that are not there.
    return np.where(np.abs(coefficients) > 1e-14 * np.abs(coefficients).max(0), coefficients, 0.0)


def _through(nodes: Sequence[Fraction]) -> np.ndarray:
    """(powers, nodes): the monomial coefficients of each node's Lagrange polynomial."""
    columns = []
    for node in nodes:
        polynomial = [Fraction(1)]
        for other in nodes:
            if other != node:
                # times (x - other) / (node - other), the lowest power first
                shifted = [Fraction(0), *polynomial]
                polynomial = [
                    (a - other * b) / (node - other) for a, b in zip(shifted, [*polynomial, Fraction(0)], strict=True)
                ]
        columns.append(polynomial)
    return np.array(columns, object).T


def _short(value: float) -> float | int:
    return int(value) if value == int(value) else float(value)
