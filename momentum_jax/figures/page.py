"""The figures of the page, as HTML and SVG: nothing here computes more than positions.

Places are percent of the figure's width and every word is HTML text, so that one drawing fits a phone and a screen, prints and
is read aloud. Curves are paths in a box of 1000 by 1000 that the page stretches. Arms are told apart by colour (class `c0` to
`c5`), by dashes (`k0` to `k5`) and by the shape of their mark; class `s7` is on everything of arm 7, to hide it.

    axis, interval, strip    rows that share a `Scale`
    curves                   lines with bands against steps
    scatter                  trials of a search against one hyperparameter
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from markupsafe import Markup

_STYLES = 6
_MARKS = ("", " sq", " di")
# Of the width, left free at either end of a scale.
_MARGIN = 0.08
# Of a chart's height, between the labels at the ends of its curves.
_LINE = 6.6
_MOST_LABELS = 14


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

    def ticks(self, most: int = 5) -> list[float]:
        """Round values on the scale."""
        if self.log and self.high - self.low > 1:
            every = max(1, math.ceil((self.high - self.low) / most))
            return [10.0**power for power in range(math.ceil(self.low), math.floor(self.high) + 1, every)]
        low, high = (10**self.low, 10**self.high) if self.log else (self.low, self.high)
        step = _step(low, high, most)
        return [round(n * step, 12) for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _step(low: float, high: float, most: int) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that divides the range into at most so many parts."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    return power * next(each for each in (1, 2, 5, 10) if each * power * most >= (high - low) * (1 - 1e-9))


def tick_text(ticks: Sequence[float], *, factor: float = 1, signed: bool = False, unit: str = "") -> list[str]:
    """Ticks as they are written: all with as many digits as tell them apart."""
    values = [factor * each or 0.0 for each in ticks]
    gaps = [b - a for a, b in zip(sorted(values), sorted(values)[1:], strict=False)]
    digits = max(0, -math.floor(math.log10(min(gaps)) + 1e-9)) if gaps else 0
    if not gaps or digits > 6 or any(abs(each) >= 1e6 for each in values) or (gaps and max(values) > 99 * min(gaps) > 0):
        return [f"{short(each, signed=signed)}{unit}" for each in values]
    return [f"{each:{'+' * (signed and bool(each))},.{digits * bool(each)}f}{unit}" for each in values]


def short(value: float, *, signed: bool = False) -> str:
    """A value in three digits, and of a power of ten no more than that: 1e-7."""
    text = f"{value:{'+' * (signed and bool(value))}.3g}"
    return text.replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def style_of(arm: int) -> str:
    """The classes of everything that shows this arm."""
    return f"s{arm} c{arm % _STYLES}"


def key(arm: int) -> Markup:
    """A short line as the arm's curves have it."""
    return Markup(
        '<svg class="key c{0}" viewBox="0 0 28 12" aria-hidden="true"><line class="k{0}" x1="0" y1="6" x2="28" y2="6"/></svg>'
    ).format(arm % _STYLES)


def axis(scale: Scale, texts: Sequence[str], *, left: str, right: str) -> Markup:
    """The ticks of a scale with their texts, and what lies to either side."""
    places = [(scale.at(tick), text) for tick, text in zip(scale.ticks(), texts, strict=True)]
    ticks = Markup("").join(Markup("<span style=left:{:.1f}%>{}</span>").format(*each) for each in places)
    sides = Markup('<div class="dir"><span>← {}</span><span>{} →</span></div>').format(left, right)
    return Markup('<div class="axt">{}</div>{}').format(ticks, sides)


def interval(
    scale: Scale,
    arm: int,
    estimate: float,
    ends: tuple[float, float] | None,
    seeds: Sequence[tuple[float, str]],
    *,
    alt: str,
    big: bool = False,
) -> Markup:
    """A mark at the estimate, a bar over its interval, a ring a seed with its words; 0 is a line.

    An end that is infinite or off the scale runs to the edge, without the cap that other ends have.
    """
    rows = (69, 76, 83) if big else (24, 76)
    parts = [_grid(scale), Markup('<i class="z" style=left:{:.2f}%></i>').format(scale.at(0.0))]
    parts += [_ring(scale, value, rows[index % len(rows)], text) for index, (value, text) in enumerate(seeds)]
    if ends is not None:
        low, high = sorted(_inside(scale, end) for end in ends)
        parts.append(Markup('<i class="ci" style=left:{:.2f}%;width:{:.2f}%></i>').format(low, high - low))
        parts += [Markup('<i class="cap" style=left:{:.2f}%></i>').format(scale.at(end)) for end in ends if scale.holds(end)]
    if scale.holds(estimate):
        parts.append(_mark(arm, scale.at(estimate)))
    else:
        parts.append(_away(_inside(scale, estimate) < 50))
    return _row(arm, parts, alt, "ax big" if big else "ax")


def strip(
    scale: Scale, arm: int, seeds: Sequence[tuple[float | None, str]], middle: float | None, *, alt: str, lost: Literal[0, 100]
) -> Markup:
    """A ring a seed with its words and a mark at their middle; a seed without a value is a cross at the `lost` end."""
    parts = [_grid(scale)]
    for index, (value, text) in enumerate(seeds):
        top = (24, 76)[index % 2]
        if value is None:
            parts.append(Markup('<i class="d x" style=left:{}%;top:{}% data-t="{}">✕</i>').format(abs(lost - 2), top, text))
        else:
            parts.append(_ring(scale, value, top, text))
    if middle is not None and scale.holds(middle):
        parts.append(_mark(arm, scale.at(middle)))
    return _row(arm, parts, alt, "ax")


def away(arm: int, text: str, *, left: bool) -> Markup:
    """A row whose values are off the scale, and on which side they lie."""
    shown = f"◀ {text}" if left else f"{text} ▶"
    return Markup('<div class="ax {}"><span class="away" style="{}:0">{}</span></div>').format(
        style_of(arm), "left" if left else "right", shown
    )


def _row(arm: int, parts: Sequence[Markup], alt: str, kind: str) -> Markup:
    return Markup('<div class="{} c{}" role="img" aria-label="{}">{}</div>').format(
        kind, arm % _STYLES, alt, Markup("").join(parts)
    )


def _grid(scale: Scale) -> Markup:
    lines = (Markup('<i class="g" style=left:{:.2f}%></i>').format(scale.at(tick)) for tick in scale.ticks())
    return Markup("").join(lines)


def _ring(scale: Scale, value: float, top: int, text: str) -> Markup:
    if not scale.holds(value):
        is_left = _inside(scale, value) < 50
        return Markup('<i class="d o" style=left:{}%;top:{}% data-t="{}">{}</i>').format(
            1 if is_left else 99, top, text, "‹" if is_left else "›"
        )
    return Markup('<i class="d" style=left:{:.1f}%;top:{}% data-t="{}"></i>').format(scale.at(value), top, text)


def _mark(arm: int, place: float) -> Markup:
    return Markup('<i class="m{}" style=left:{:.2f}%></i>').format(_MARKS[arm % len(_MARKS)], place)


def _away(is_left: bool) -> Markup:
    return Markup('<span class="away" style="{}:0">{}</span>').format(*(("left", "◀") if is_left else ("right", "▶")))


def _inside(scale: Scale, value: float) -> float:
    if math.isinf(value):
        return 0.0 if (value < 0) != scale.turned else 100.0
    if scale.log and value <= 0:
        return 100.0 if scale.turned else 0.0
    return min(100.0, max(0.0, scale.at(value)))


@dataclass(frozen=True)
class Line:
    """The curve of one arm: a value for each step of its chart, None where it has none. `off`: the scale need not hold it."""

    arm: int
    name: str
    mean: Sequence[float | None]
    low: Sequence[float | None]
    high: Sequence[float | None]
    off: bool = False


@dataclass(frozen=True)
class Chart:
    """Curves over steps. `better` is "higher" or "lower", `target` a level that is marked, `factor` what values are times."""

    name: str
    title: str
    note: str
    steps: Sequence[int]
    lines: Sequence[Line]
    better: str
    log: bool
    factor: float = 1.0
    unit: str = ""
    target: float | None = None

    @property
    def scale(self) -> Scale:
        """Of the values: where linear, from the worst after a tenth of the steps on, so that the beginning takes no room."""
        lines = [line for line in self.lines if not line.off] or self.lines
        late = 0 if self.log else sum(step < self.steps[0] + 0.1 * (self.steps[-1] - self.steps[0]) for step in self.steps)
        values = [each for line in lines for ends in (line.low, line.high) for each in ends[late:] if each is not None]
        if not values:
            values = [each for line in lines for ends in (line.low, line.high) for each in ends if each is not None]
        return Scale.over(values, log=self.log, margin=0.04)

    def data(self) -> dict[str, Any]:
        """What the page's script reads: values as they are written, of an axis the ends."""
        scale = self.scale
        return {
            "x": [*self.steps],
            "x0": self.steps[0],
            "x1": self.steps[-1],
            "y0": scale.low if self.log else self.factor * scale.low,
            "y1": scale.high if self.log else self.factor * scale.high,
            "log": self.log,
            "unit": self.unit,
            "better": self.better,
            "series": [
                {
                    "arm": line.arm,
                    "name": line.name,
                    **{name: [*map(self._short, getattr(line, name))] for name in ("mean", "low", "high")},
                }
                for line in self.lines
            ],
        }

    def _short(self, value: float | None) -> float | None:
        return None if value is None else float(f"{self.factor * value:.4g}")


def curves(chart: Chart, *, alt: str, zoom: tuple[str, str, str]) -> Markup:
    """A chart of lines with bands; the names of its arms stand at the ends. `zoom`: what its controls say."""
    across = Scale(chart.steps[0], max(chart.steps[-1], chart.steps[0] + 1))
    up = chart.scale
    ticks = up.ticks(4)
    texts = tick_text(ticks, factor=chart.factor, unit=chart.unit)
    if up.log and len(ticks) > 1:
        texts = [f"{short(chart.factor * tick)}{chart.unit}" for tick in ticks]
    levels = [(100 - up.at(tick), text) for tick, text in zip(ticks, texts, strict=True)]
    drawn = [Markup('<line class="gl" x1="0" x2="1000" y1="{0:.0f}" y2="{0:.0f}"/>').format(10 * top) for top, _ in levels]
    if chart.target is not None and up.holds(chart.target):
        height = 1000 - 10 * up.at(chart.target)
        drawn.append(Markup('<line class="tg" x1="0" x2="1000" y1="{0:.0f}" y2="{0:.0f}"/>').format(height))

    def place(step: int, value: float) -> str:
        below = up.log and value <= 0
        return f"{10 * across.at(step):.0f},{5000 if below else min(max(1000 - 10 * up.at(value), -4000), 5000):.0f}"

    def path(kind: str, line: Line, points: Sequence[str], arm_style: str = "") -> Markup:
        return Markup('<g class="{}"><path class="{}" d="M{}"/></g>').format(
            style_of(line.arm), kind + arm_style, " ".join(points)
        )

    sound = [line for line in chart.lines if any(each is not None for each in line.mean)]
    for line in sound:
        known = [index for index, value in enumerate(line.mean) if value is not None]
        lower = [place(chart.steps[index], value) for index in known if (value := line.low[index]) is not None]
        upper = [place(chart.steps[index], value) for index in known if (value := line.high[index]) is not None]
        if len(lower) > 1 and lower != upper:
            drawn.append(path("bd", line, [*lower, *reversed(upper)]))
    for line in reversed(sound):
        points = [place(step, value) for step, value in zip(chart.steps, line.mean, strict=True) if value is not None]
        drawn.append(path("ln k", line, points if len(points) > 1 else [*points, "h0"], str(line.arm % _STYLES)))
    marks = [Markup('<span class="yt" style="top:{:.1f}%">{}</span>').format(*each) for each in levels]
    marks += [_step_mark(across, tick) for tick in across.ticks(5) if tick == int(tick)]
    marks += _names(sound, up)
    return Markup(
        '<figure class="chart" data-chart="{}" tabindex="0" role="group" aria-label="{}">'
        "<figcaption>{} <small>{}</small></figcaption>"
        '<div class="box"><div class="pa"><svg viewBox="0 0 1000 1000" preserveAspectRatio="none" aria-hidden="true">{}</svg>{}'
        '<span class="xn">training step</span></div></div>'
        '<div class="tools" hidden>{} · <button class="late" type="button">{}</button> '
        '<button class="reset" type="button" hidden>{}</button></div><span class="sr" aria-live="polite"></span></figure>'
    ).format(chart.name, alt, chart.title, chart.note, Markup("").join(drawn), Markup("").join(marks), *zoom)


def _step_mark(across: Scale, tick: float) -> Markup:
    return Markup('<span class="xt" style="left:{:.1f}%">{:,.0f}</span>').format(across.at(tick), tick)


def _names(lines: Sequence[Line], up: Scale) -> list[Markup]:
    """The names at the ends of the curves, a line apart; of one that ends off the scale with the way to it."""
    if len(lines) > _MOST_LABELS:
        return []
    ends = []
    for line in lines:
        last = next(value for value in reversed(line.mean) if value is not None)
        top = 100 - _inside(up, last)
        arrow = "" if up.holds(last) else "↓ " if top > 50 else "↑ "
        ends.append((top, line, f"{arrow}{line.name}"))
    ends.sort(key=lambda end: end[0])
    tops = spread([top for top, *_ in ends], _LINE, 100.0)
    return [
        Markup('<span class="el {}" style="top:{:.1f}%">{}</span>').format(style_of(line.arm), top, text)
        for top, (_, line, text) in zip(tops, ends, strict=True)
    ]


def spread(places: Sequence[float], gap: float, most: float) -> list[float]:
    """Increasing places moved as little as keeps them a gap apart and at most at `most`."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + gap) if moved else place)
    limit = most
    for index in reversed(range(len(moved))):
        moved[index] = min(moved[index], limit)
        limit = moved[index] - gap
    return moved


@dataclass(frozen=True)
class Dot:
    """A trial: where it lies, its mean (None: no run of it has one), its seeds, what it says of itself."""

    x: float
    mean: float | None
    seeds: Sequence[float | None]
    text: str
    chosen: bool


def scatter(
    arm: int,
    dots: Sequence[Dot],
    across: Scale,
    up: Scale,
    texts: tuple[Sequence[str], Sequence[str]],
    *,
    field: tuple[float, float],
    name: str,
    alt: str,
) -> Markup:
    """Trials against a hyperparameter, up is better; what lies below the scale, or diverged, sits on its lower edge.

    Args:
      texts: of the ticks of `across` and `up`. field: the range that was searched. name: of the hyperparameter.
    """

    def place(x: float, value: float | None) -> str:
        return f"M{10 * across.at(x):.0f},{1000.0 if value is None else 1000 - 10 * _inside(up, value):.0f}h.01"

    def dot(kind: str, each: Dot, words: str = "") -> Markup:
        told = Markup(' data-t="{}"').format(words) if words else ""
        return Markup('<path class="{}" d="{}"{}/>').format(kind, place(each.x, each.mean), told)

    levels = [(100 - up.at(tick), text) for tick, text in zip(up.ticks(3), texts[1], strict=True)]
    drawn = [Markup('<line class="gl" x1="0" x2="1000" y1="{0:.0f}" y2="{0:.0f}"/>').format(10 * top) for top, _ in levels]
    seeds = [place(each.x, seed) for each in dots for seed in each.seeds if len(each.seeds) > 1]
    drawn += [Markup('<path class="pts" d="{}"/>').format("".join(seeds))] * bool(seeds)
    # The chosen one lies above all others.
    for each in sorted(dots, key=lambda each: each.chosen):
        if each.chosen:
            drawn += [dot("ring", each), dot("ring2", each)]
        drawn.append(dot("pt", each, each.text))
    left, right = sorted(min(100.0, max(0.0, across.at(end))) for end in field)
    marks = [Markup('<span class="yt" style="top:{:.1f}%">{}</span>').format(*each) for each in levels]
    marks += [
        Markup('<span class="xt" style="left:{:.1f}%">{}</span>').format(across.at(tick), text)
        for tick, text in zip(across.ticks(4), texts[0], strict=True)
    ]
    return Markup(
        '<div class="box s c{}"><div class="pa" role="img" aria-label="{}">'
        '<div class="rangebox" style="left:{:.1f}%;right:{:.1f}%"></div>'
        '<svg class="over" viewBox="0 0 1000 1000" preserveAspectRatio="none" aria-hidden="true">{}</svg>{}'
        '<span class="xn">{}</span></div></div>'
    ).format(arm % _STYLES, alt, left, 100 - right, Markup("").join(drawn), Markup("").join(marks), name)
