"""The figure of a comparison: what is drawn, and that it stands on its own at 600 pixels and in grey."""

import itertools

import numpy as np
import pytest

from momentum_jax import figures
from momentum_jax.figures import style
from momentum_jax.studies.learning_curves import LearningCurve


def curve(label, scale, *, diverged=(), reached=None, steps=200):
    shown = np.arange(steps)
    mean = scale * np.exp(-shown / 100)
    return LearningCurve(label, 5, 20, shown, mean * 1.1, mean, 0.8 * mean, 1.2 * mean, diverged, reached)


def draw(*curves, target=None):
    return figures.compare(curves, title="digits", loss="training loss (nats)", target=target)


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_every_arm_is_drawn_smoothed_over_raw_with_its_band():
    first, second = curve("a", 2.0), curve("b", 1.0)
    axes = draw(first, second).axes[0]
    drawn = [line.get_ydata() for line in axes.get_lines()]
    for each in (first, second):
        assert any(np.array_equal(each.raw, data) for data in drawn)
        assert any(np.array_equal(each.mean, data) for data in drawn)
    assert len(axes.collections) == 2
    assert axes.get_yscale() == "log"
    assert axes.get_xlabel() == "steps"
    assert axes.get_ylabel() == "training loss (nats)"


def test_where_an_arm_reached_the_target_is_marked_on_the_axis_of_steps_and_not_among_training_losses():
    figure = draw(curve("a", 2.0, reached=120.0), curve("b", 1.0), target=0.5)
    assert legend(figure) == ["a", "b", "▲ validation loss at the target of 0.5"]
    (mark,) = [line for line in figure.axes[0].get_lines() if list(line.get_xdata()) == [120.0]]
    assert mark.get_transform() == figure.axes[0].get_xaxis_transform()
    assert list(mark.get_ydata()) == [0]
    assert figure.axes[0].get_ylim() == draw(curve("a", 2.0), curve("b", 1.0)).axes[0].get_ylim()
    assert "never" in legend(draw(curve("a", 2.0), target=0.5))[-1]


def test_a_divergence_is_marked_and_counted_in_the_legend():
    lost = [(np.arange(end + 1), np.full(end + 1, loss)) for end, loss in ((30, 1.5), (40, 1.4))]
    figure = draw(curve("a", 2.0, diverged=tuple(lost)))
    assert legend(figure) == ["a (2 of 5 diverged)"]
    crosses = [line for line in figure.axes[0].get_lines() if line.get_marker() == "x"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in crosses] == [(30, 1.5), (40, 1.4)]


def test_a_loss_on_its_way_to_infinity_leaves_the_others_their_room():
    lost = (np.arange(3), np.array([1.0, 1e9, 1e30]))
    axes = draw(curve("a", 2.0), curve("b", 2.0, diverged=(lost,))).axes[0]
    alone = draw(curve("a", 2.0), curve("b", 2.0)).axes[0]
    _, high = axes.get_ylim()
    assert alone.get_ylim()[1] <= high < 20 * alone.get_ylim()[1]
    (cross,) = (line for line in axes.get_lines() if line.get_marker() == "x")
    assert (cross.get_xdata()[0], cross.get_ydata()[0]) == (2, high)
    only = draw(LearningCurve("lost", 1, 20, *[np.zeros(0)] * 5, (lost,), None)).axes[0]
    assert only.get_ylim()[1] > 1e30


def test_a_figure_grows_with_its_legend_so_that_its_axes_keep_their_height():
    def height(arms):
        figure = draw(
            *(curve(f"an arm whose label takes one line of its own in the legend, {i}", 1.0 + i) for i in range(arms))
        )
        figure.draw_without_rendering()
        return figure.axes[0].get_window_extent().height / figure.dpi

    assert height(14) > 0.85 * height(3)


def test_an_arm_without_a_single_finite_loss_can_be_drawn(tmp_path):
    empty = np.zeros(0)
    lost = LearningCurve("lost", 1, 20, empty, empty, empty, empty, empty, ((np.zeros(1), np.full(1, np.nan)),), None)
    figures.save(draw(lost), tmp_path / "lost.png")
    figures.save(draw(lost, curve("a", 1.0)), tmp_path / "both.png")


@pytest.mark.parametrize("label", ["_hidden", "a$\\foo$", "lr[bold]", "$\\alpha$"])
def test_a_label_is_shown_as_it_is_written(tmp_path, label):
    figure = draw(curve(label, 1.0))
    figures.save(figure, tmp_path / "figure.png")
    assert legend(figure) == [label]


def test_short_runs_have_whole_steps_on_their_axis():
    figure = draw(curve("a", 1.0, steps=20))
    figure.canvas.draw()
    labels = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert labels == [f"{tick:,.0f}" for tick in figure.axes[0].get_xticks()]
    assert all(tick == int(tick) for tick in figure.axes[0].get_xticks())


def test_neighbouring_arms_differ_in_lightness_or_dashes_so_that_grey_tells_them_apart():
    looks = [style.line_style(index, of=8) for index in range(8)]
    assert len({(look["color"], str(look["linestyle"])) for look in looks}) == 8
    for one, other in itertools.pairwise(looks):
        assert str(one["linestyle"]) != str(other["linestyle"])


def test_text_stays_inside_the_figure_and_is_at_least_eight_pixels_high_at_600_pixels(tmp_path):
    labels = ["gradient_descent(0.01)", "gradient_descent(0.1)", "heavy_ball(0.01, 0.9)", "adam(0.001) with a label"]
    figure = draw(*(curve(label, 1.0 + i) for i, label in enumerate(labels)), target=0.5)
    figures.save(figure, tmp_path / "figure.png")
    figure.set_dpi(100)
    assert figure.get_size_inches()[0] * figure.dpi == 600
    texts = [text for text in figure.findobj(lambda artist: hasattr(artist, "get_fontsize")) if text.get_text().strip()]
    assert texts
    for text in texts:
        assert text.get_fontsize() * figure.dpi / 72 >= 8
    renderer = figure.canvas.get_renderer()
    figure.draw(renderer)
    for text in texts:
        if text.get_visible() and text.get_window_extent(renderer).width > 0 and text.get_text() != "0":
            box = text.get_window_extent(renderer)
            assert box.x0 >= -1, text.get_text()
            assert box.x1 <= 601, text.get_text()


def test_drawing_leaves_matplotlibs_settings_as_they_were():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    draw(curve("a", 1.0))
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("name", ["figure.png", "with spaces.png"])
def test_a_figure_is_saved_as_png(tmp_path, name):
    figures.save(draw(curve("a", 1.0)), tmp_path / name)
    assert (tmp_path / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
