"""An axis of scores: shares in per cent, where small differences near 100 show beside much worse arms, or any other numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from momentum_jax.studies.scores import RankedScore

# Ticks where the logarithm of the error is the scale.
_TICKS = (0.0, 50.0, 80.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.8, 99.9, 100.0)
# Where the worst error is more times the best one than this, a linear axis shows only that.
_FAR = 6.0
# Of other scores, where the largest is more times the least than this.
_WIDE = 20.0
# Share of the axis that a label takes, of the narrowest that are drawn.
_ROOM = {"x": 0.11, "y": 0.05}
# In points: so that 100 per cent, no error at all, lies on the axis too.
_LEAST_ERROR = 0.1


def scale(axes: Any, which: Literal["x", "y"], values: Iterable[float], score: RankedScore, where: str) -> tuple[float, float]:
    """Limits, ticks and label of the axis for these values, as they are written; returns the limits.

    A share of which more is better is in per cent: linear, or by the logarithm of the error where the errors are far apart,
    which the label then says. Other scores, and shares outside of 0 to 100, are linear, or logarithmic where all are positive
    and far apart. `where` stands before the name.
    """
    finite = [value for value in values if np.isfinite(value)]
    if score.percent and score.sign > 0 and all(0 <= value <= 100 for value in finite):
        return _percent(axes, which, finite, f"{where}{score.name}")
    return _any(axes, which, finite, score, where)


def _any(axes: Any, which: Literal["x", "y"], known: Sequence[float], score: RankedScore, where: str) -> tuple[float, float]:
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    label = f"{where}{score.heading} ({score.better} is better)"
    if low > 0 and high > _WIDE * low:
        getattr(axes, f"set_{which}scale")("log")
        room = (high / low) ** 0.06
        limits = low / room, high * room
    else:
        room = 0.06 * (high - low) or 0.05 * abs(high) or 0.5
        limits = low - room, high + room
    getattr(axes, f"set_{which}lim")(*limits)
    getattr(axes, f"set_{which}label")(label, parse_math=False)
    return limits


def _percent(axes: Any, which: Literal["x", "y"], finite: Sequence[float], name: str) -> tuple[float, float]:
    known = finite or [0.0, 100.0]
    low, high = min(known), max(known)
    errors = 100 - low + _LEAST_ERROR, 100 - high + _LEAST_ERROR
    axis = axes.xaxis if which == "x" else axes.yaxis
    if errors[0] > _FAR * errors[1]:
        getattr(axes, f"set_{which}scale")("function", functions=(_forward, _backward))
        span = (errors[0] / errors[1]) ** 0.05
        limits = max(0.0, 100 + _LEAST_ERROR - errors[0] * span), min(100.0, 100 + _LEAST_ERROR - errors[1] / span)
        ticks = _apart([tick for tick in _TICKS if limits[0] <= tick <= limits[1]], limits, _ROOM[which])
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_major_formatter(FixedFormatter([f"{tick:g}" for tick in ticks]))
        axis.set_minor_locator(NullLocator())
        label = f"{name} (%)\nscale: logarithm of the error"
    else:
        room = 0.06 * (high - low) or 0.5
        limits = max(0.0, low - room), min(100.0, high + room)
        label = f"{name} (%)"
    getattr(axes, f"set_{which}lim")(*limits)
    getattr(axes, f"set_{which}label")(label, parse_math=False)
    return limits


def _apart(ticks: Sequence[float], limits: tuple[float, float], room: float) -> list[float]:
    """Without those that lie so near to the one before that their labels would touch."""
    least = room * np.diff(_forward(np.array(limits)))[0]
    kept: list[float] = []
    for tick in ticks:
        if not kept or _forward(np.array(tick)) - _forward(np.array(kept[-1])) >= least:
            kept.append(tick)
    return kept


def _forward(accuracy: np.ndarray) -> np.ndarray:
    return -np.log10(np.maximum(100 + _LEAST_ERROR - np.asarray(accuracy, float), 1e-3))


def _backward(shown: np.ndarray) -> np.ndarray:
    return 100 + _LEAST_ERROR - 10 ** -np.asarray(shown, float)
