"""Where an arm's hyperparameters are looked for, and the quasi-random points that are tried there.

A range stands in an optimizer's expression in the place of a number:
`"heavy_ball(log_uniform(0.001, 1), one_minus_log_uniform(0.5, 0.999))"`.

    log_uniform(low, high)             log x uniform: learning rates
    one_minus_log_uniform(low, high)   log(1 - x) uniform: momenta, decays; each decade of 1/(1 - x) gets its share
    uniform(low, high)                 x uniform
    choice(a, b, ...)                  one of these literals

The points are the first of a scrambled Sobol sequence (or Halton's), one coordinate a range: of any number of trials they leave
smaller gaps than independent draws. Every arm gets the same number of trials, whatever the number of its ranges: equal budget.
Source: J. Bergstra and Y. Bengio (2012), J. Mach. Learn. Res. 13, 281-305, who compare random, quasi-random and grid search.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from momentum_jax._text import quoted
from momentum_jax.studies.errors import StudyError, fail, is_whole, require_choice, require_whole
from momentum_jax.studies.scores import is_name

# Enough to say where a point lies, few enough to read and to copy.
_DIGITS = 4
_MOST_TRIALS = 100_000
SAMPLERS = ("sobol", "halton")


@dataclass(frozen=True)
class LogUniform:
    """Positive numbers from `low` to `high` whose logarithm is uniform."""

    low: float
    high: float

    def __post_init__(self):
        _check_ends("log_uniform", self.low, self.high, 0.0, math.inf, "positive numbers")

    def at(self, u: float) -> float:
        return _inside(self, self.low * (self.high / self.low) ** u)

    def position(self, value: float) -> float:
        """The `u` in [0, 1] of a value."""
        return math.log(value / self.low) / math.log(self.high / self.low)


@dataclass(frozen=True)
class OneMinusLogUniform:
    """Numbers x below 1, from `low` to `high`, for which log(1 - x) is uniform."""

    low: float
    high: float

    def __post_init__(self):
        _check_ends("one_minus_log_uniform", self.low, self.high, -math.inf, 1.0, "numbers below 1")

    def at(self, u: float) -> float:
        rest = (1 - self.low) * ((1 - self.high) / (1 - self.low)) ** u
        # Rounded to the digits that 1 - x has, so that 0.9 stays 0.9.
        return _inside(self, 1 - rest, round(1 - _rounded(rest), 12))

    def position(self, value: float) -> float:
        """The `u` in [0, 1] of a value."""
        return math.log((1 - value) / (1 - self.low)) / math.log((1 - self.high) / (1 - self.low))


@dataclass(frozen=True)
class Uniform:
    """Numbers from `low` to `high`."""

    low: float
    high: float

    def __post_init__(self):
        _check_ends("uniform", self.low, self.high, -math.inf, math.inf, "finite numbers")

    def at(self, u: float) -> float:
        return _inside(self, self.low + (self.high - self.low) * u)

    def position(self, value: float) -> float:
        """The `u` in [0, 1] of a value."""
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Choice:
    """One of some literals."""

    values: tuple[Any, ...]

    def __post_init__(self):
        if len(self.values) < 2:
            raise StudyError(f"choice: values must be at least two, got {len(self.values)}.")

    def at(self, u: float) -> Any:
        return self.values[min(int(u * len(self.values)), len(self.values) - 1)]

    def position(self, value: Any) -> float:
        """The middle of a value's share of [0, 1]."""
        return (self.values.index(value) + 0.5) / len(self.values)


Range = LogUniform | OneMinusLogUniform | Uniform | Choice


def choice(*values: Any) -> Choice:
    """As it is written in an expression."""
    return Choice(values)


# What can stand in an expression.
RANGES = {
    "log_uniform": LogUniform,
    "one_minus_log_uniform": OneMinusLogUniform,
    "uniform": Uniform,
    "choice": choice,
}


_WRITTEN = {LogUniform: "log_uniform", OneMinusLogUniform: "one_minus_log_uniform", Uniform: "uniform", Choice: "choice"}


def as_text(who: str, name: str, value: Any) -> str:
    """A range or a literal as an expression has it. Raises `StudyError` where the value is neither."""
    if isinstance(value, Choice):
        return f"choice({', '.join(as_text(who, name, each) for each in value.values)})"
    if type(value) in _WRITTEN:
        return f"{_WRITTEN[type(value)]}({value.low!r}, {value.high!r})"
    try:
        if ast.literal_eval(repr(value)) == value:
            return repr(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        pass
    raise fail(who, name, "a literal or a range; hand anything else over inside the constructor", value)


@dataclass(frozen=True)
class Search:
    """How arms whose optimizer has ranges are tuned: all by the same rule, with the same number of trials.

    `trials` points of the arm's ranges are trained once for each of `seeds`, which must not be among the study's own. The
    winner has the best mean `score` on the validation set after the last step, by the name of a ranked score of the problem
    (None: the primary one; of images "accuracy", ties by loss); a trial with a diverged run loses to any without. `sampler` is
    "sobol" or "halton", `scramble` the seed of its scrambling.
    """

    trials: int = 16
    seeds: tuple[int, ...] = (1000, 1001)
    score: str | None = None
    sampler: str = "sobol"
    scramble: int = 0

    def __post_init__(self):
        if not is_whole(self.trials, 1) or self.trials > _MOST_TRIALS:
            raise fail("Search", "trials", f"a whole number from 1 to {_MOST_TRIALS:,}", self.trials)
        require_whole("Search", "scramble", self.scramble, 0)
        require_choice("Search", "sampler", self.sampler, SAMPLERS)
        if self.score is not None and not is_name(self.score):
            raise fail("Search", "score", "the name of a score", self.score)


def points(search: Search, ranges: Mapping[str, Range]) -> list[dict[str, Any]]:
    """The trials: for each a value from every range, by its name."""
    from scipy.stats import qmc

    if not ranges:
        raise ValueError("points: ranges must hold at least one range, got none.")
    engine = (qmc.Sobol if search.sampler == "sobol" else qmc.Halton)(len(ranges), scramble=True, rng=search.scramble)
    if isinstance(engine, qmc.Sobol):
        # A power of two at once, as the sequence is balanced; of it the first that are wanted.
        rows = engine.random_base2((search.trials - 1).bit_length())[: search.trials]
    else:
        rows = engine.random(search.trials)
    return [{name: each.at(float(u)) for (name, each), u in zip(ranges.items(), row, strict=True)} for row in rows]


def _check_ends(who: str, low: Any, high: Any, least: float, most: float, allowed: str) -> None:
    real = all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high))
    if not (real and least < low < high < most):
        raise StudyError(f"{who}: low and high must be {allowed}, low < high, got {quoted(low)} and {quoted(high)}.")
    try:
        wide = float(high) / float(low) if who == "log_uniform" else float(high) - float(low)
    except OverflowError:
        wide = math.inf
    if not math.isfinite(wide):
        raise StudyError(f"{who}: low and high must not be too far apart for a float, got {quoted(low)} and {quoted(high)}.")


def _inside(searched: LogUniform | OneMinusLogUniform | Uniform, exact: float, rounded: float | None = None) -> float:
    """The value rounded, to `_DIGITS` if not otherwise; as it is where rounding would leave the range."""
    value = _rounded(exact) if rounded is None else rounded
    if searched.low <= value <= searched.high:
        return value
    return min(max(exact, float(searched.low)), float(searched.high))


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
