"""Rows that share a scale: intervals with their seeds, runs with their mean, and the axis below them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from markupsafe import Markup

from momentum_jax.figures.page.scale import STYLES, Scale, style_of, tick_place

_MARKS = ("", " sq", " di")


def axis(scale: Scale, texts: Sequence[str], *, left: str, right: str) -> Markup:
    """The ticks of a scale with their texts, and what lies to either side."""
    places = [(tick_place(scale.at(tick)), text) for tick, text in zip(scale.ticks(), texts, strict=True)]
    ticks = Markup("").join(Markup("<span style={}>{}</span>").format(*each) for each in places)
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
    """A mark at the estimate, a bar over its interval, a ring a seed; 0 is a line. Its words are `alt` and those of its seeds.

    An end that is infinite or off the scale runs to the edge, without the cap that other ends have.
    """
    parts = [_grid(scale), Markup('<i class="z" style=left:{:.2f}%></i>').format(scale.at(0.0))]
    parts += [_ring(scale, value) for value, _ in seeds]
    if ends is not None:
        low, high = sorted(scale.inside(end) for end in ends)
        parts.append(Markup('<i class="ci" style=left:{:.2f}%;width:{:.2f}%></i>').format(low, high - low))
        parts += [Markup('<i class="cap" style=left:{:.2f}%></i>').format(scale.at(end)) for end in ends if scale.holds(end)]
    parts.append(_mark(scale, arm, estimate))
    return _row(arm, parts, alt, seeds, "ax big" if big else "ax")


def strip(
    scale: Scale, arm: int, seeds: Sequence[tuple[float | None, str]], middle: float | None, *, alt: str, lost: Literal[0, 100]
) -> Markup:
    """A ring a seed and a mark at their middle; a seed without a value is a cross at the `lost` end. Words: see `interval`."""
    parts = [_grid(scale)]
    for value, _ in seeds:
        is_there = value is not None
        parts.append(_ring(scale, value) if is_there else Markup('<i class="d x" style=left:{}%>✕</i>').format(abs(lost - 2)))
    if middle is not None:
        parts.append(_mark(scale, arm, middle))
    return _row(arm, parts, alt, seeds, "ax")


def away(arm: int, text: str, *, left: bool) -> Markup:
    """A row whose values are off the scale, and on which side they lie."""
    shown = f"◀ {text}" if left else f"{text} ▶"
    return Markup('<div class="ax {}"><span class="away" style="{}:0">{}</span></div>').format(
        style_of(arm), "left" if left else "right", shown
    )


def _row(arm: int, parts: Sequence[Markup], alt: str, seeds: Sequence[tuple[float | None, str]], kind: str) -> Markup:
    # The page's script finds the words of a ring in those of its row: the last of them, in the order of the rings.
    words = f"{alt} {'; '.join(text for _, text in seeds)}." if seeds else alt
    return Markup('<div class="{} c{}" role="img" aria-label="{}">{}</div>').format(
        kind, arm % STYLES, words, Markup("").join(parts)
    )


def _grid(scale: Scale) -> Markup:
    lines = (Markup('<i class="g" style=left:{:.2f}%></i>').format(scale.at(tick)) for tick in scale.ticks())
    return Markup("").join(lines)


def _ring(scale: Scale, value: float) -> Markup:
    if not scale.holds(value):
        is_left = scale.inside(value) < 50
        return Markup('<i class="d o" style=left:{}%>{}</i>').format(*((1, "‹") if is_left else (99, "›")))
    return Markup('<i class="d" style=left:{:.1f}%></i>').format(scale.at(value))


def _mark(scale: Scale, arm: int, value: float) -> Markup:
    """An arrow at the edge where the value is off the scale."""
    if scale.holds(value):
        return Markup('<i class="m{}" style=left:{:.2f}%></i>').format(_MARKS[arm % len(_MARKS)], scale.at(value))
    is_left = scale.inside(value) < 50
    return Markup('<span class="away" style="{}:0">{}</span>').format(*(("left", "◀") if is_left else ("right", "▶")))
