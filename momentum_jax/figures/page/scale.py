"""Where values lie on a figure of the page, how its ticks are written, and how its arms are told apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

# Arms have so many colours and dashes, which then repeat.
STYLES = 6
# Of the width, left free at either end of a scale.
_MARGIN = 0.08


@dataclass(frozen=True)
class Scale:
    """From values to percent of a figure: `turned` where the lower value lies to the right, `log` where decades are equal."""

    low: float
    high: float
    turned: bool = False
    log: bool = False

    @classmethod
    def over(cls, values: Sequence[float], *, turned: bool = False, log: bool = False, margin: float = _MARGIN) -> Scale:
        """The scale that has room for all of these values; for none it runs from 0 to 1."""
        finite = [math.log10(each) if log else each for each in values if math.isfinite(each) and (each > 0 or not log)]
        low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
        if not high > low:
            half = abs(low) / 10 or 0.5
            low, high = low - half, high + half
        free = margin * (high - low) / (1 - 2 * margin)
        return cls(low - free, high + free, turned, log)

    def at(self, value: float) -> float:
        """Where a value lies, in percent; beyond 0 and 100 where it is off the scale."""
        place = 100 * ((math.log10(value) if self.log else value) - self.low) / (self.high - self.low)
        return 100 - place if self.turned else place

    def holds(self, value: float) -> bool:
        return math.isfinite(value) and (value > 0 or not self.log) and -1e-9 <= self.at(value) <= 100 + 1e-9

    def inside(self, value: float) -> float:
        """The same, at the edge where it would be off the self."""
        if math.isinf(value):
            return 0.0 if (value < 0) != self.turned else 100.0
        if self.log and value <= 0:
            return 100.0 if self.turned else 0.0
        return min(100.0, max(0.0, self.at(value)))

    def ticks(self, most: int = 5) -> list[float]:
        """Round values on the scale."""
        if self.log and self.high - self.low > 1:
            every = max(1, math.ceil((self.high - self.low) / most))
            return [10.0**power for power in range(math.ceil(self.low), math.floor(self.high) + 1, every)]
        low, high = (10**self.low, 10**self.high) if self.log else (self.low, self.high)
        step = _step(low, high, most)
        return [float(f"{n * step:.12g}") for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _step(low: float, high: float, most: int) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that divides the range into at most so many parts."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    return power * next(each for each in (1, 2, 5, 10) if each * power * most >= (high - low) * (1 - 1e-9))


def tick_text(ticks: Sequence[float], *, factor: float = 1, signed: bool = False, unit: str = "") -> list[str]:
    """Ticks as they are written: all with as many digits as tell them apart."""
    values = [factor * each or 0.0 for each in ticks]
    gaps = [b - a for a, b in zip(sorted(values), sorted(values)[1:], strict=False)]
    digits = max(0, -math.floor(math.log10(min(gaps)) + 1e-9)) if gaps else 0
    if not gaps or digits > 6 or any(abs(each) > 1e6 for each in values) or (gaps and max(values) > 99 * min(gaps) > 0):
        return [f"{short(each, signed=signed)}{unit}" for each in values]
    return [f"{each:{'+' * (signed and bool(each))},.{digits * bool(each)}f}{unit}" for each in values]


def tick_place(place: float) -> str:
    """The style of a tick's text, which hangs less over the right edge where it is near."""
    return f"left:{place:.1f}%{';transform:translateX(-75%)' * (place > 88)}"


def short(value: float, *, signed: bool = False) -> str:
    """A value in three digits, and of a power of ten no more than that: 1e-7."""
    text = f"{value:{'+' * (signed and bool(value))}.3g}"
    return text.replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def style_of(arm: int) -> str:
    """The classes of everything that shows this arm."""
    return f"s{arm} c{arm % STYLES}"


def key(arm: int) -> Markup:
    """A short line as the arm's curves have it."""
    return Markup('<svg class="key c{0} k{0}" viewBox="0 0 28 12" aria-hidden="true"><use href="#key"/></svg>').format(
        arm % STYLES
    )
