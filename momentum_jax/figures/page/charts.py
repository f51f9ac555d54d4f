"""Curves against steps and trials against a hyperparameter, in boxes that the page stretches."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from momentum_jax.figures.page.scale import STYLES, Scale, short, style_of, tick_place, tick_text

# Of a chart's height, between the labels at the ends of its curves.
_LINE = 6.6
_MOST_LABELS = 14


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

    def place(step: int, value: float) -> tuple[int, int]:
        below = up.log and value <= 0
        return round(10 * across.at(step)), 5000 if below else round(min(max(1000 - 10 * up.at(value), -4000), 5000))

    def path(kind: str, line: Line, points: Sequence[tuple[int, int]], arm_style: str = "") -> Markup:
        return Markup('<g class="{}"><path class="{}" d="{}"/></g>').format(
            style_of(line.arm), kind + arm_style, joined(points)
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
        drawn.append(path("ln k", line, points if len(points) > 1 else points * 2, str(line.arm % STYLES)))
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


def joined(points: Sequence[tuple[int, int]]) -> str:
    """A path through these points; each after the first as its distance from the one before, which takes fewer digits."""
    (x, y), moves = points[0], ((x - a, y - b) for (a, b), (x, y) in itertools.pairwise(points))
    return f"M{x} {y}l{' '.join(f'{right} {down}' for right, down in moves)}".replace(" -", "-")


def _step_mark(across: Scale, tick: float) -> Markup:
    return Markup('<span class="xt" style="{}">{:,.0f}</span>').format(tick_place(across.at(tick)), tick)


def _names(lines: Sequence[Line], up: Scale) -> list[Markup]:
    """The names at the ends of the curves, a line apart; of one that ends off the scale with the way to it."""
    if len(lines) > _MOST_LABELS:
        return []
    ends = []
    for line in lines:
        last = next(value for value in reversed(line.mean) if value is not None)
        top = 100 - up.inside(last)
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
        return f"M{10 * across.at(x):.0f},{1000.0 if value is None else 1000 - 10 * up.inside(value):.0f}h.01"

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
        Markup('<span class="xt" style="{}">{}</span>').format(tick_place(across.at(tick)), text)
        for tick, text in zip(across.ticks(4), texts[0], strict=True)
    ]
    return Markup(
        '<div class="box s c{}"><div class="pa" role="img" aria-label="{}">'
        '<div class="rangebox" style="left:{:.1f}%;right:{:.1f}%"></div>'
        '<svg class="over" viewBox="0 0 1000 1000" preserveAspectRatio="none" aria-hidden="true">{}</svg>{}'
        '<span class="xn">{}</span></div></div>'
    ).format(arm % STYLES, alt, left, 100 - right, Markup("").join(drawn), Markup("").join(marks), name)
