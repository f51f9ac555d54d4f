"""The figures of a study's report: they show the numbers that they were given, and can be read at 600 pixels."""

import dataclasses
import itertools

import numpy as np
import pytest
from made_studies import made
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from momentum_jax import figures
from momentum_jax.figures import score_axis, style
from momentum_jax.figures.final_score import final_score
from momentum_jax.figures.ladder import ladder as draw_ladder
from momentum_jax.figures.sensitivity import sensitivity
from momentum_jax.studies import Arm, Search, Study
from momentum_jax.studies.analysis import Trial, analyse
from momentum_jax.studies.learning_curves import learning_curves, score_curves
from momentum_jax.studies.scores import IMAGES, RankedScore

LONG = "a label of one hundred characters that has spaces, so that it can be broken where a reader would do so"
STUDY = Study(
    steps=200,
    seeds=tuple(range(5)),
    target=0.3,
    evaluate_every=5,
    arms=(
        Arm("gradient_descent(log_uniform(0.001, 1))", "_plain"),
        Arm("heavy_ball(log_uniform(0.001, 1), one_minus_log_uniform(0.5, 0.99))", "heavy $x_1$"),
        Arm("adam(0.001)", LONG),
        Arm("sgd(0.02)", "x" * 100),
    ),
    search=Search(trials=4),
)
LOST = "arm-2/seed-1"
ACCURACY = IMAGES["accuracy"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    lost = (LOST, "tuning/arm-1/trial-2/seed-1000", "tuning/arm-1/trial-2/seed-1001", "tuning/arm-0/trial-1/seed-1000")
    return made(tmp_path_factory.mktemp("figures") / "store", STUDY, diverged=lambda job: job.name in lost)


@pytest.fixture(scope="module")
def analysis(store):
    return analyse(store)


@pytest.fixture(scope="module")
def drawn(store, analysis):
    classes = ("cat", "dog $x$")
    return figures.report(analysis, learning_curves(store, ladder=True), score_curves(store, ladder=True), classes)


NAMES = (
    *("learning_curves", "validation_score", "final_score", "steps_to_target", "ladder", "sensitivity"),
    *(f"confusion_{index}" for index in range(6)),
)


def marks(axes, marker):
    lines = [line for line in axes.get_lines() if line.get_marker() == marker]
    return [(float(x), float(y)) for line in lines for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]


def shown(figure):
    texts = figure.findobj(lambda artist: hasattr(artist, "get_fontsize"))
    return [text for text in texts if text.get_visible() and text.get_text().strip()]


def test_a_whole_study_has_all_figures(drawn):
    assert tuple(drawn) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_names_its_axes_and_keeps_legible_text_inside_of_600_pixels(drawn, name):
    figure = drawn[name]
    figure.set_dpi(100)
    assert figure.get_size_inches()[0] == 6.0
    figure.draw_without_rendering()
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert panels[-1].get_xlabel()
    # Where the vertical axis has no quantity, its rows have names.
    rows = [] if panels[0].get_ylabel() or figure.get_supylabel() else panels[0].get_yticklabels()
    assert rows != [] or panels[0].get_ylabel() or figure.get_supylabel()
    assert all(row.get_text().strip(" 0123456789.%") for row in rows)
    ticks = tick_labels(panels) - {row.get_text() for row in rows}
    width, height = figure.get_size_inches() * 100
    for text in shown(figure):
        assert text.get_fontsize() * 100 / 72 >= 8, text.get_text()
        # Ticks beyond the limits have labels that are not drawn.
        box = text.get_window_extent()
        if text.get_text() not in ticks:
            assert box.x0 >= -1, text.get_text()
            assert box.x1 <= width + 1, text.get_text()
            assert box.y0 >= -1, text.get_text()
            assert box.y1 <= height + 1, text.get_text()


def tick_labels(panels):
    found = (axis.get_ticklabels(which="both") for axes in panels for axis in (axes.xaxis, axes.yaxis))
    return {label.get_text() for labels in found for label in labels}


def test_labels_are_shown_as_they_are_written(drawn):
    for name in ("learning_curves", "validation_score", "final_score", "steps_to_target", "sensitivity"):
        said = " ".join(text.get_text().replace("\n", " ") for text in shown(drawn[name]))
        assert "_plain" in said, name
        assert "heavy $x_1$" in said, name
    assert not any(text.get_parse_math() for text in shown(drawn["final_score"]) if "$" in text.get_text())


def test_every_run_is_a_dot_and_a_diverged_one_a_cross_and_the_mean_counts_it(drawn, analysis):
    axes = drawn["final_score"].axes[0]
    dots, crosses, means = (marks(axes, marker) for marker in "oxD")
    own = [arm for arm in analysis.arms if not arm.rung]
    low = axes.get_xlim()[0]
    expected = sorted(100 * value for arm in analysis.arms for value in arm.values["accuracy"] if 100 * value >= low)
    assert sorted(x for x, _ in dots) == pytest.approx(expected)
    assert len(dots) >= sum(len(arm.runs) for arm in own) - 1
    assert [x for x, _ in crosses] == [low]
    lost = next(arm for arm in own if arm.diverged)
    assert lost.label == LONG
    said = next(text.get_text() for text in shown(drawn["final_score"]) if "diverged;" in text.get_text())
    assert said == f"1 of 5 diverged; mean {100 * np.mean(lost.values['accuracy']):.2f} %"
    sound = [mean for arm in analysis.arms if (mean := 100 * arm.described["accuracy"].mean) >= low]
    assert sorted(x for x, _ in means) == pytest.approx(sorted(sound))


def failed(arm, accuracies):
    """The arm as a rung of these accuracies, with a mean of 0.1."""
    mean = dataclasses.replace(arm.described["accuracy"], mean=0.1)
    return dataclasses.replace(
        arm, rung=True, values={**arm.values, "accuracy": accuracies}, described={**arm.described, "accuracy": mean}
    )


def test_a_rung_that_fails_is_counted_at_the_edge_and_leaves_the_arms_their_room(analysis):
    first = analysis.arms[0]
    figure = final_score([first, failed(first, (0.1,) * 5)], ACCURACY, "test ", title="t")
    assert figure.axes[0].get_xlim()[0] > 50
    assert "5 of 5 lower than this axis shows; mean 10.00 %" in [text.get_text() for text in shown(figure)]


def test_what_is_said_of_runs_below_the_axis_covers_no_dot(analysis):
    first = analysis.arms[0]
    values = (*first.values["accuracy"][1:], 0.1)
    figure = final_score([first, failed(first, values)], ACCURACY, "test ", title="t")
    FigureCanvasAgg(figure).draw()
    axes = figure.axes[0]
    (words,) = [text.get_window_extent() for text in axes.texts if "lower than this axis" in text.get_text()]
    radius = 2.5 * figure.dpi / 72
    dots = axes.transData.transform(marks(axes, "o"))
    assert len(dots) == 2 * len(values) - 1
    assert not any(words.y0 - radius < y < words.y1 + radius for _, y in dots)


def test_the_curves_of_steps_to_the_target_are_kaplan_and_meiers(drawn, analysis):
    panels = drawn["steps_to_target"].axes
    assert len(panels) == len(analysis.arms)
    for axes, arm in zip(panels, analysis.arms, strict=True):
        line = max(axes.get_lines(), key=lambda line: line.get_linewidth())
        for step in range(0, 201, 5):
            reached = np.mean([at is not None and at <= step for at in arm.steps_to_target])
            index = np.searchsorted(line.get_xdata(), step, side="right") - 1
            assert line.get_ydata()[index] == pytest.approx(100 * reached)
    assert any(
        "4 of 5 reached it" in text.get_text() and "never: 1" in text.get_text() for text in shown(drawn["steps_to_target"])
    )


ROLES = ("gain", "larger_step", "momentum_itself", "question")


def with_intervals(analysis, interval):
    """The analysis as it would be if every claim had this interval."""
    claims = [
        dataclasses.replace(each, evidence=dataclasses.replace(each.evidence, interval=interval)) for each in analysis.claims
    ]
    return dataclasses.replace(analysis, claims=tuple(claims))


def bars(axes):
    return [tuple(line.get_xdata()) for line in axes.get_lines() if line.get_linewidth() == 2.4]


def test_the_ladder_shows_each_estimate_and_no_interval_where_five_seeds_have_none(drawn, analysis):
    for axes, measure, factor in zip(drawn["ladder"].axes, ("score", "steps"), (100, 1), strict=True):
        found = [analysis.by(role, measure).evidence for role in ROLES]
        assert [x for x, _ in marks(axes, "D")] == pytest.approx([factor * each.estimate for each in found])
        assert bars(axes) == []


def test_the_ladder_shows_the_interval_of_each_claim(analysis):
    # Off the middle, so that a mirrored interval cannot hide.
    figure = draw_ladder(with_intervals(analysis, (-0.03, 0.01)), title="t")
    for axes, factor in zip(figure.axes, (100, 1), strict=True):
        assert bars(axes) == [pytest.approx((factor * -0.03, factor * 0.01))] * len(ROLES)
        assert not [text for text in axes.texts if text.arrow_patch is not None]


@pytest.mark.parametrize(
    ("interval", "towards"),
    [((0.01, np.inf), [True]), ((-np.inf, 0.01), [False]), ((-np.inf, np.inf), [False, True])],
)
def test_an_unbounded_end_is_an_arrow_from_the_estimate(analysis, interval, towards):
    axes = draw_ladder(with_intervals(analysis, interval), title="t").axes[0]
    arrows = [text for text in axes.texts if text.arrow_patch is not None]
    assert [arrow.get_position()[0] > 0 for arrow in arrows] == towards * len(ROLES)
    estimate = 100 * analysis.claim("gain").evidence.estimate
    assert bars(axes)[0] == pytest.approx([estimate if np.isinf(end) else 100 * end for end in interval])


def test_the_sensitivity_shows_every_trial_and_rings_the_chosen_one(drawn, analysis):
    panels = [axes for axes in drawn["sensitivity"].axes if axes.get_visible()]
    for axes, tuning in zip(panels, analysis.tunings, strict=True):
        assert axes.get_xscale() == "log"
        rate = [trial.values["learning_rate"] for trial in tuning.trials]
        points = marks(axes, "o")
        means = [trial.means["accuracy"] for trial in tuning.trials]
        score = [None if mean is None else 100 * mean for mean in means]
        expected = [(x, y) for x, y in zip(rate, score, strict=True) if y is not None]
        chosen = (rate[tuning.chosen], score[tuning.chosen])
        np.testing.assert_allclose(sorted(points), sorted([*expected, chosen]))
        ring = [line for line in axes.get_lines() if line.get_markersize() == 13]
        assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in ring] == [pytest.approx(chosen)]
        lost = [x for x, trial in zip(rate, tuning.trials, strict=True) if trial.diverged]
        assert [x for x, _ in marks(axes, "x")] == lost
    assert [len(marks(axes, "x")) for axes in panels] == [1, 1]
    # All runs of the second panel's lost trial diverged: it lies at the worse end.
    assert marks(panels[1], "x")[0][1] == panels[1].get_ylim()[0]


def tried(values, accuracies, losses=None, diverged=None):
    """Trials of a search, of two runs each."""
    return tuple(
        Trial(
            str(each),
            each,
            ("a", "b"),
            {"accuracy": (accuracy,) * 2, "loss": (loss,) * 2},
            {"accuracy": accuracy, "loss": loss},
            lost,
        )
        for each, accuracy, loss, lost in zip(
            values, accuracies, losses or [0.5] * len(values), diverged or [0] * len(values), strict=True
        )
    )


@pytest.mark.parametrize("chosen", [0, 1])
def test_rates_and_losses_that_are_not_positive_have_their_place(analysis, chosen):
    rates = [{"learning_rate": rate} for rate in (0.0, 0.1, -0.1)]
    one = dataclasses.replace(
        analysis.tunings[0], trials=tried(rates, (0.5, 0.9, 0.4), (0.0, 0.2, 0.3)), chosen=chosen, score="loss"
    )
    figure = sensitivity([one], IMAGES["loss"], title="t")
    axes = figure.axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "linear")
    assert len(marks(axes, "o")) == 4
    figure.draw_without_rendering()
    (low_x, high_x), (high_y, low_y) = axes.get_xlim(), axes.get_ylim()
    assert all(low_x < x < high_x and low_y < y < high_y for x, y in marks(axes, "o"))


@pytest.mark.parametrize(("second", "joined"), [({}, True), ({"nesterov": True}, False), ({"clip": 2.0}, False)])
def test_trials_are_joined_where_the_learning_rate_alone_was_searched(analysis, second, joined):
    rates = [{"learning_rate": rate, **second} for rate in (0.01, 0.1, 1.0)]
    one = dataclasses.replace(analysis.tunings[0], trials=tried(rates, (0.5, 0.9, 0.4)), chosen=1)
    axes = sensitivity([one], ACCURACY, title="t").axes[0]
    assert any(len(line.get_xdata()) == 3 for line in axes.get_lines()) == joined


def test_trials_that_diverged_on_some_seeds_are_counted_apart(analysis):
    rates = [{"learning_rate": rate} for rate in (0.01, 0.1, 1.0)]
    one = dataclasses.replace(
        analysis.tunings[0], trials=tried(rates, (0.5, 0.9, None), (0.5, 0.4, None), diverged=(0, 1, 2)), chosen=0
    )
    figure = sensitivity([one], ACCURACY, title="t")
    note = figure.axes[0].get_title(loc="left")
    assert "crosses: diverged (1)" in note
    assert "crosses on dots: on some seeds (1)" in note


def test_darker_dots_have_more_momentum(drawn, analysis):
    axes = drawn["sensitivity"].axes[1]
    tuning = analysis.tunings[1]
    at = {trial.values["learning_rate"]: trial.values["momentum"] for trial in tuning.trials}
    dots = [line for line in axes.get_lines() if line.get_marker() == "o" and line.get_markersize() == 6.5]
    shades = sorted((at[line.get_xdata()[0]], float(line.get_markerfacecolor())) for line in dots)
    assert len(shades) == 3
    assert all(lighter > darker for (_, lighter), (_, darker) in itertools.pairwise(shades))


def test_the_cells_of_the_confusion_matrix_have_share_and_half_width(drawn, analysis):
    axes = drawn["confusion_0"].axes[0]
    arm = analysis.arms[0]
    cells = [text.get_text() for text in axes.texts]
    for row in range(2):
        for column in range(2):
            assert f"{100 * arm.confusion[row][column]:.1f}" in cells
            assert f"±{100 * arm.confusion_half_width[row][column]:.1f}" in cells
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog $x$"]


def test_the_curves_of_validation_accuracy_are_means_over_the_runs_that_did_not_diverge(store):
    curves = {curve.label: curve for curve in score_curves(store, ladder=True)}
    assert len(curves) == 6
    runs = [run for run in store.of(LONG) if run.name != LOST]
    values = np.stack([store.curves(run).validation["accuracy"] for run in runs]).astype(float)
    np.testing.assert_allclose(curves[LONG].mean, values.mean(axis=0))
    np.testing.assert_array_equal(curves[LONG].low, values.min(axis=0))
    np.testing.assert_array_equal(curves[LONG].high, values.max(axis=0))
    assert curves[LONG].diverged == 1
    assert [curve.label for curve in score_curves(store)] == [arm.label for arm in STUDY.arms]


def test_learning_curves_have_the_ladders_rungs_when_asked_and_no_more_points_than_asked(store):
    assert [curve.label for curve in learning_curves(store)] == [arm.label for arm in STUDY.arms]
    curves = learning_curves(store, ladder=True, points=50)
    assert [curve.label for curve in curves][4:] == list(dict.fromkeys(run.arm for run in store.runs if run.phase == "ladder"))
    assert max(curve.steps.size for curve in curves) == 50
    assert curves[0].steps[-1] == 199


@pytest.mark.parametrize(
    ("values", "scale"), [((97.0, 98.0), "linear"), ((10.0, 98.0), "function"), ((0.0, 100.0), "function")]
)
def test_accuracies_far_apart_are_shown_by_the_logarithm_of_their_error(values, scale):
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    low, high = score_axis.scale(axes, "y", values, ACCURACY, "")
    assert axes.get_yscale() == scale
    assert low <= values[0] < values[1] <= high <= 100.0
    assert ("logarithm" in axes.get_ylabel()) == (scale == "function")
    transform = axes.yaxis.get_transform()
    inside = np.linspace(low, high, 7)
    np.testing.assert_allclose(transform.inverted().transform(transform.transform(inside)), inside, atol=1e-9)
    assert np.all(np.diff(transform.transform(inside)) > 0)


@pytest.mark.parametrize("better", ["higher", "lower"])
@pytest.mark.parametrize("values", [(20.0, 150.0), (-30.0, 40.0), (250.0, 300.0), (1.0, 99.0)])
def test_every_share_lies_on_its_axis_outside_of_0_to_100_too(better, values):
    axes = Figure().add_subplot()
    low, high = score_axis.scale(axes, "x", values, RankedScore("relative error", better, percent=True), "test ")
    assert low <= values[0] < values[1] <= high
    assert "%" in axes.get_xlabel()
    # The logarithm of the distance from 100 spreads the best shares apart only where 100 is the best.
    assert better == "higher" or axes.get_xscale() != "function"


def test_a_run_that_ended_worse_than_a_diverged_one_counts_is_still_a_dot(analysis):
    score = RankedScore("mse", "lower", worst=5.0)
    mean = dataclasses.replace(analysis.arms[0].described["accuracy"], mean=5.0)
    arm = dataclasses.replace(analysis.arms[0], values={"mse": (9.0, 5.0, 1.0)}, described={"mse": mean}, diverged=1)
    figure = final_score([arm], score, "test ", title="t")
    assert sorted(x for x, _ in marks(figure.axes[0], "o")) == [1.0, 9.0]


@pytest.mark.parametrize("score", ["accuracy", "loss"])
def test_a_learning_rate_of_0_and_a_loss_of_0_do_not_stop_the_sensitivity(analysis, score):
    tuning = next(each for each in analysis.tunings if each.learning_rate == "learning_rate")
    first, *others = tuning.trials
    first = dataclasses.replace(first, values={**first.values, "learning_rate": 0.0}, means={**first.means, "loss": 0.0})
    tuning = dataclasses.replace(tuning, trials=(first, *others))
    figure = sensitivity([tuning], IMAGES[score], title="zeros")
    FigureCanvasAgg(figure).draw()


@pytest.mark.parametrize("values", [(50.0, 99.97), (10.0, 98.0), (99.0, 99.95), (0.0, 100.0), (90.0, 100.0)])
def test_ticks_of_accuracy_do_not_touch(values):
    figure = Figure(figsize=(style.WIDTH, 2.0))
    # As wide as beside the longest labels of arms.
    axes = figure.add_axes((0.4, 0.4, 0.55, 0.5))
    score_axis.scale(axes, "x", values, ACCURACY, "")
    figure.draw_without_rendering()
    low, high = axes.get_xlim()
    boxes = [
        label.get_window_extent()
        for label, at in zip(axes.get_xticklabels(), axes.get_xticks(), strict=True)
        if low <= at <= high
    ]
    assert len(boxes) >= 2
    assert all(one.x1 < other.x0 for one, other in itertools.pairwise(sorted(boxes, key=lambda box: box.x0)))
