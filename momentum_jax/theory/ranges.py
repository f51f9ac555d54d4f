"""Ranges of hyperparameters, on the scale on which equal distances matter equally."""

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import numpy as np

from momentum_jax._hyperparameters import Interval, NullOr
from momentum_jax._text import listed, quoted


class Scale(NamedTuple):
    """A range [low, high]; on the unit interval x, 1 - x or neither is logarithmic."""

    name: str
    low: float
    high: float
    kind: Literal["x", "log x", "log(1 - x)"]

    def at(self, place: Any) -> Any:
        """The value at a place in [0, 1], low at 0."""
        low, high = self.low, self.high
        if self.kind == "log x":
            value = low * (high / low) ** np.asarray(place, np.float64)
        elif self.kind == "log(1 - x)":
            value = 1 - (1 - low) * ((1 - high) / (1 - low)) ** np.asarray(place, np.float64)
        else:
            value = low + np.asarray(place, np.float64) * (high - low)
        return np.clip(value, low, high)


def scales(who: str, constructor: Callable[..., Any], ranges: Mapping[str, Any]) -> list[Scale]:
    """Of each range, checked against the constructor's signature.

    Raises:
      ValueError: there is none; a name is no hyperparameter, or not that of a number; a range is empty, inverted or holds what
        the hyperparameter may not be.
    """
    if not ranges:
        raise ValueError(f"{who}: ranges must hold at least one hyperparameter, got none.")
    parameters = inspect.signature(constructor).parameters.values()
    names = [each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters)
    found = []
    for name, ends in ranges.items():
        if name not in names and not takes_any:
            raise ValueError(f"{who}: {name_of(constructor)} has no hyperparameter {name!r}; it has {listed(names, 12)}.")
        low, high = _ends(who, name, ends)
        found.append(Scale(name, low, high, _kind(_rule(who, constructor, name), constructor, name, low, high)))
    return found


def name_of(constructor: Callable[..., Any]) -> str:
    while isinstance(constructor, functools.partial):
        constructor = constructor.func
    return getattr(constructor, "__name__", type(constructor).__name__)


def _ends(who: str, name: str, ends: Any) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in ends)
    except (TypeError, ValueError):
        low, high = math.nan, math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"{who}: the range of {name} must be a pair (low, high) with low below high, got {quoted(ends)}.")
    return low, high


def _rule(who: str, constructor: Callable[..., Any], name: str) -> Interval | None:
    """What the signature allows; None where it does not say."""
    inner: Any = constructor
    while isinstance(inner, functools.partial):
        inner = inner.func
    try:
        hint = get_type_hints(inner, include_extras=True).get(name)
    except (NameError, TypeError):
        # Annotations may name what is not there at run time; a callable object has none.
        return None
    if get_origin(hint) is not Annotated:
        return None
    rule = next((each for each in get_args(hint)[1:] if hasattr(each, "check")), None)
    rule = rule.rule if isinstance(rule, NullOr) else rule
    if rule is not None and not isinstance(rule, Interval):
        raise ValueError(
            f"{who}: {name} of {name_of(constructor)} must be a number to be searched; fix it by functools.partial."
        )
    return rule


def _kind(
    rule: Interval | None, constructor: Callable[..., Any], name: str, low: float, high: float
) -> Literal["x", "log x", "log(1 - x)"]:
    if rule is None:
        if low > 0 and high >= 100 * low:
            return "log x"
        return "log(1 - x)" if low >= 0 and high < 1 and 1 - high <= (1 - low) / 10 else "x"
    for end in (low, high):
        rule.check(name_of(constructor), name, end)
    if (rule.low, rule.high) == (0, 1) and high < 1:
        return "log(1 - x)"
    return "log x" if rule.low >= 0 and math.isinf(rule.high) and low > 0 else "x"
