"""Pictures of the theory: the numbers that they are given are those that they draw."""

import matplotlib as mpl
import numpy as np
import pytest

import momentum_jax as mj
from momentum_jax import theory
from momentum_jax.figures import style, theory as pictures

CURVATURES = np.geomspace(0.01, 60, 40)
METHODS = {"heavy ball": mj.heavy_ball(0.1, 0.9), "_nesterov $x$": mj.nesterov(0.1, 0.9)}


def lines(axes):
    return [line.get_ydata() for line in axes.lines]


def written(figure, tmp_path):
    style.save(figure, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 5000
    return figure


def test_the_stability_region_hides_what_is_unstable(tmp_path):
    momenta, steps = np.linspace(0, 0.9, 10), np.linspace(0.1, 4, 30)
    rates = np.array(
        [theory.rate(each, steps) for each in theory.linearize_all(mj.heavy_ball, learning_rate=1.0, momentum=momenta)]
    )
    figure = written(
        pictures.stability_region(steps, momenta, rates, {"limit": 2 * (1 + momenta)}, (1 - momenta) ** 2, title="A"), tmp_path
    )
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), 2 * (1 + momenta))
    assert axes.get_xlim() == (0.1, 4)
    assert max(each.get_text() for each in figure.legends[0].get_texts()) == "limit"
    assert rates.max() > 1


def test_roots_have_a_panel_a_method(tmp_path):
    roots = {name: theory.roots(each, CURVATURES) for name, each in METHODS.items()}
    figure = written(pictures.root_locus(CURVATURES, roots, title="A"), tmp_path)
    panels = figure.axes[:2]
    assert [axes.get_title() for axes in panels] == list(METHODS)
    points = panels[0].collections[0].get_offsets()
    np.testing.assert_allclose(points[:, 0] + 1j * points[:, 1], roots["heavy ball"][:, 0])


def test_a_rate_that_is_not_proven_has_no_mark():
    conditions = np.array([2.0, 10.0, 100.0])
    figure = pictures.rate_against_condition(
        conditions, {"a": np.array([0.5, 0.8, 0.9])}, {"a": np.array([0.6, np.inf, np.nan])}, title="A"
    )
    drawn, marks = lines(figure.axes[0])
    np.testing.assert_allclose(drawn, [0.5, 0.2, 0.1])
    np.testing.assert_allclose(marks, [0.4, np.nan, np.nan])


def test_gain_and_delay_are_those_of_the_response():
    frequencies = np.array([0.01, 0.1, 1.0])
    response = -np.exp(-3j * frequencies) * 2
    gain, delay = pictures.frequency_gain(frequencies, {"late": response}, title="A").axes[:2]
    np.testing.assert_allclose(lines(gain)[0], 2.0)
    np.testing.assert_allclose(lines(delay)[0], 3.0)


def test_infinite_noise_is_not_drawn():
    figure = pictures.noise_against_rate({"a": (np.array([0.1, 0.5, 1.1]), np.array([1.0, 2.0, np.inf]))}, title="A")
    np.testing.assert_array_equal(lines(figure.axes[0])[0], [1.0, 2.0])


def test_an_impulse_is_drawn_with_where_it_leads():
    update, moved = pictures.impulse_responses({"a": np.array([-1.0, -0.5])}, title="A").axes[:2]
    np.testing.assert_array_equal(lines(update)[0], [-1.0, -0.5])
    np.testing.assert_array_equal(lines(moved)[0], [-1.0, -1.5])


def test_a_cycle_lies_on_its_loss():
    positions = np.linspace(-2, 2, 5)
    figure = pictures.limit_cycle(positions, positions**2, [2.0, -1.0], [0.0, 2.0, -1.0], title="A")
    np.testing.assert_allclose(lines(figure.axes[0])[1], [4.0, 1.0])
    np.testing.assert_allclose(lines(figure.axes[1])[0], [0.0, 2.0, -1.0])


def test_what_was_measured_stands_beside_what_was_predicted():
    steps = np.array([1.0, 10.0])
    figure = pictures.prediction_beside_measurement({"a": (steps, steps)}, {"a": (steps, 2 * steps)}, title="A")
    np.testing.assert_array_equal(lines(figure.axes[0]), [steps, 2 * steps])


@pytest.mark.parametrize("label", ["_hidden", "a" * 60, r"$\foo$"])
def test_labels_stand_as_they_are_written(label, tmp_path):
    ones = np.ones(CURVATURES.size)
    figure = pictures.overview(
        CURVATURES, {label: ones}, {label: np.inf}, {label: np.ones(4)}, {label: np.full(ones.size, np.inf)}, title=label
    )
    written(figure, tmp_path)
    assert [text.get_text().replace("\n", "") for text in figure.legends[0].get_texts()] == [label]


def test_a_figure_leaves_the_settings_alone():
    before = dict(mpl.rcParams)
    pictures.impulse_responses({"a": np.ones(3)}, title="A")
    assert dict(mpl.rcParams) == before
