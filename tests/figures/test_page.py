"""The page's own figures: where things lie, and that what is off a scale is seen to be."""

import itertools
import math
import re

import numpy as np
import pytest

from momentum_jax.figures.page import Chart, Dot, Line, Scale, away, curves, interval, scatter, short, spread, strip, tick_text

RIGHT_IS_BETTER = [("higher", [80.0, 90.0]), ("lower", [0.5, 0.1])]


@pytest.mark.parametrize(("better", "values"), RIGHT_IS_BETTER)
@pytest.mark.parametrize("log", [False, True])
def test_the_better_value_lies_to_the_right_and_all_have_room(better, values, log):
    scale = Scale.over(values, turned=better == "lower", log=log)
    worse, best = (scale.at(value) for value in values)
    assert 0 < worse < best < 100
    assert worse == pytest.approx(100 - best)
    assert all(scale.holds(value) for value in values)
    assert not any(scale.holds(value) for value in (math.inf, -math.inf, math.nan, 1e9))


@pytest.mark.parametrize("values", [(0.0, 1.0), (-3.2, 7.1), (0.001, 0.0012), (1e5, 3e6), (0.0, 0.0), (2.0,), ()])
def test_ticks_are_few_round_and_on_the_scale(values):
    scale = Scale.over(values)
    ticks = scale.ticks()
    assert 1 <= len(ticks) <= 7
    assert all(scale.holds(tick) for tick in ticks)
    texts = tick_text(ticks)
    assert len({*texts}) == len(texts)
    assert [float(text.replace(",", "")) for text in texts] == pytest.approx(ticks, rel=1e-2)


def test_ticks_of_decades_are_decades():
    scale = Scale.over([1e-9, 1.0], log=True)
    assert scale.ticks(4) == pytest.approx([1e-9, 1e-6, 1e-3, 1e0]) or len(scale.ticks(4)) <= 5
    assert all(math.log10(tick) == pytest.approx(round(math.log10(tick))) for tick in scale.ticks(4))


def test_ticks_are_written_with_as_many_digits_as_tell_them_apart():
    assert tick_text([0.0, 0.05, 0.1], factor=100, signed=True) == ["0", "+5", "+10"]
    assert tick_text([-0.5, 0.0, 0.5], factor=-1, signed=True) == ["+0.5", "0", "-0.5"]
    assert tick_text([0.8, 0.85, 0.9], factor=100, unit="%") == ["80%", "85%", "90%"]
    assert [short(value) for value in (1e-7, 0.25, 1e6)] == ["1e-7", "0.25", "1e6"]


def places(drawn, kind):
    return [float(place) for place in re.findall(rf'class="{kind}" style=left:([\d.]+)%', drawn)]


def test_an_interval_has_its_mark_its_bar_its_caps_and_a_ring_a_seed():
    scale = Scale(-10.0, 10.0)
    drawn = interval(scale, 1, 2.0, (-1.0, 5.0), [(0.0, "seed 0"), (30.0, 'seed 1 "<'), (4.0, "seed 2")], alt="a & b.")
    assert places(drawn, "m sq") == [60.0]
    assert places(drawn, "cap") == [45.0, 75.0]
    assert re.search(r'class="ci" style=left:45.00%;width:30.00%', drawn)
    assert places(drawn, "z") == [50.0]
    assert places(drawn, "d") == [50.0, 70.0]
    # Off the scale, at its edge.
    assert places(drawn, "d o") == [99.0]
    # The words of all rings in their order, as text.
    assert 'aria-label="a &amp; b. seed 0; seed 1 &#34;&lt;; seed 2."' in drawn


@pytest.mark.parametrize(("ends", "left", "width"), [((1.0, math.inf), 55.0, 45.0), ((-math.inf, 1.0), 0.0, 55.0)])
def test_an_unbounded_end_runs_to_the_edge_and_has_no_cap(ends, left, width):
    drawn = interval(Scale(-10.0, 10.0), 0, ends[0], ends, [], alt="")
    assert places(drawn, "cap") == [55.0]
    assert f"left:{left:.2f}%;width:{width:.2f}%" in drawn
    if math.isinf(ends[0]):
        assert ">◀</span>" in drawn


def test_a_run_without_a_value_is_a_cross_at_the_lost_end_and_an_arm_off_the_scale_is_named_there():
    scale = Scale(0.0, 100.0)
    for lost in (0, 100):
        drawn = strip(scale, 0, [(50.0, "seed 0"), (None, "seed 1: never")], 50.0, alt="", lost=lost)
        assert places(drawn, "d x") == [abs(lost - 2)]
        assert "seed 1: never" in drawn
    # So is a mean that a few runs pull off the scale.
    for middle, arrow in ((-50.0, 'left:0">◀'), (150.0, 'right:0">▶')):
        drawn = strip(scale, 0, [(50.0, "seed 0")], middle, alt="", lost=0)
        assert (places(drawn, "m"), arrow in drawn) == ([], True)
    assert "left:0" in away(0, "off <", left=True)
    assert "◀ off &lt;" in away(0, "off <", left=True)


def path(pattern, drawn):
    """The points of the one path whose tag has this in it: after the first, each is the sum of those before."""
    (found,) = re.findall(rf'{pattern}" d="M([-\d l]*)"', drawn)
    return np.cumsum(np.array(re.findall(r"-?\d+", found), int).reshape(-1, 2), axis=0).tolist()


def chart(**options):
    steps = [0, 10, 20]
    falling = Line(0, "one <b>", [1.0, 0.1, 0.01], [0.9, 0.09, 0.009], [1.1, 0.11, 0.011])
    short_one = Line(7, "two", *([1.0, 0.5, None] for _ in range(3)))
    lines = [falling, short_one]
    return Chart("name", "Title", "note", steps, lines, "lower", **{"log": True, **options})


def test_curves_lie_where_their_values_are_and_bands_around_them():
    made = chart()
    drawn = curves(made, alt="alt", zoom=("zoom", "late", "all"))
    line = path('class="ln k0', drawn)
    assert [x for x, _ in line] == [0, 500, 1000]
    heights = [y for _, y in line]
    # On a logarithmic axis decades are equal; larger is higher.
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], abs=1.5)
    assert 0 < heights[0] < heights[2] < 1000
    band = [y for _, y in path('class="bd', drawn)]
    assert band[0] > heights[0] > band[-1]
    # A curve ends where it has no values, with the colours and dashes that repeat after six arms.
    assert len(path('class="s7 c1"><path class="ln k1', drawn)) == 2
    assert "one &lt;b&gt;" in drawn
    assert made.data()["series"][1]["mean"] == [1.0, 0.5, None]


def test_a_linear_axis_begins_at_the_worst_value_after_a_tenth_of_the_steps():
    values = [0.0, 0.5, *np.linspace(0.8, 0.9, 38)]
    made = Chart("n", "t", "", [*range(40)], [Line(0, "a", values, values, values)], "higher", log=False, factor=100)
    data = made.data()
    assert 78 < data["y0"] < 81
    assert 90 < data["y1"] < 91
    off = Line(1, "b", [0.1] * 40, [0.1] * 40, [0.1] * 40, off=True)
    assert Chart("n", "t", "", [*range(40)], [*made.lines, off], "higher", log=False, factor=100).data()["y0"] == data["y0"]
    assert ">↓ b</span>" in curves(
        Chart("n", "t", "", [*range(40)], [*made.lines, off], "higher", log=False), alt="", zoom=("", "", "")
    )


@pytest.mark.parametrize("places", [[], [50.0], [10.0, 11.0, 12.0], [98.0, 99.0, 100.0], [0.0, 50.0, 100.0]])
def test_labels_are_a_gap_apart_and_inside(places):
    moved = spread(places, 5.0, 100.0)
    assert all(after - before >= 5.0 - 1e-9 for before, after in itertools.pairwise(moved))
    assert all(0 <= place <= 100 for place in moved)
    if len(places) == 3 and places[1] == 50.0:
        assert moved == places


def test_trials_are_up_where_they_are_better_and_what_diverged_sits_on_the_edge():
    dots = [
        Dot(0.01, 0.5, (0.4, 0.6), "worse", False),
        Dot(0.1, 0.1, (0.1, 0.1), "best <", True),
        Dot(1.0, None, (None, None), "diverged", False),
    ]
    across, up = Scale.over([0.01, 1.0], log=True), Scale.over([0.1, 0.5], turned=True)
    texts = ([short(tick) for tick in across.ticks(4)], tick_text(up.ticks(3)))
    drawn = scatter(2, dots, across, up, texts, field=(0.01, 1.0), name="learning rate", alt="")
    found = re.findall(r'class="pt" d="M(\d+),(\d+)h.01" data-t="([^"]*)"', drawn)
    assert [text for *_, text in found] == ["worse", "diverged", "best &lt;"]
    (worse, lost, best) = (tuple(map(int, each[:2])) for each in found)
    assert worse[0] < best[0] < lost[0]
    assert best[1] < worse[1] < lost[1] == 1000
    assert drawn.count('class="ring"') == 1


@pytest.mark.parametrize("size", [1e-20, 1e-14, 1e-3, 1.0, 1e20])
def test_ticks_of_values_of_any_size_are_round_and_differ(size):
    ticks = Scale.over([0.0, 3.7 * size]).ticks()
    assert len({*ticks}) == len(ticks) >= 3
    assert len({*tick_text(ticks)}) == len(ticks)
