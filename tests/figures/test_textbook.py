"""The textbook's figures: every experiment has them, their axes have names, nothing leaves the picture."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from textbook_runs import quick_run

from momentum_jax import textbook
from momentum_jax.figures import textbook as drawings
from momentum_jax.figures.textbook import optimizers_side_by_side as drawing_11_11
from momentum_jax.textbook import optimizers_side_by_side

NAMES = [experiment.name for experiment in textbook.EXPERIMENTS if not experiment.datasets]


def test_every_experiment_is_drawn() -> None:
    assert set(drawings.DRAWINGS) == {experiment.name for experiment in textbook.EXPERIMENTS}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "one-dimension" else pytest.mark.slow) for name in NAMES]
)
def test_every_figure_of_an_experiment_names_its_axes_and_stays_within_the_picture(name) -> None:
    drawn = drawings.draw(quick_run(name))
    numbers = {text.split()[-1] for text in textbook.find(name).reproduces if " figure " in text}
    assert {f"figure_{number}" for number in numbers} <= set(drawn)
    for figure in (each for each in drawn.values() if isinstance(each, Figure)):
        figure.set_dpi(100)
        figure.draw_without_rendering()
        for axes in figure.axes:
            subplot = axes.get_subplotspec()
            assert axes.get_xlabel() or not subplot.is_last_row()
            assert axes.get_ylabel() or not subplot.is_first_col()
            assert axes.lines
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width
        assert box.y1 <= height


def test_figure_11_11_fits_its_picture_and_has_no_error_of_two_times() -> None:
    labels = ("SGD", "RMSprop", "Adagrad", "Adam")
    scores = {label: np.linspace(0.8, 0.9, 5) for label in labels}

    def drawn(waves: int) -> Figure:
        seconds = {label: np.linspace(13.5, 14.5, waves) for label in labels}
        made = optimizers_side_by_side.Data(scores, seconds, {label: np.linspace(0.1, 0.9, 13) for label in labels})
        return drawing_11_11.draw(made)["figure_11-11"]

    for waves in (1, 2, 3):
        figure = drawn(waves)
        figure.set_dpi(100)
        figure.draw_without_rendering()
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert min(box.x0, box.y0, width - box.x1, height - box.y1) >= 0
        left, right = figure.axes
        assert "among as many as there are cores" in right.get_ylabel()
        assert [bar.has_yerr for bar in left.containers] == [True] * 4
        assert [bar.has_yerr for bar in right.containers] == [waves >= 3] * 4
        assert ("standard error" in right.get_title()) == (waves >= 3)


@pytest.mark.slow
def test_the_ball_is_animated_from_its_starts_to_where_it_ends(tmp_path) -> None:
    result = quick_run("rolling-ball")
    animation = drawings.draw(result)["ball"]
    assert set(range(91)) <= set(animation.frames)
    replace(animation, frames=(0, 45, 90)).save(tmp_path / "ball.gif")
    with Image.open(tmp_path / "ball.gif") as gif:
        assert gif.n_frames == 3
        pictures = []
        for frame in range(3):
            gif.seek(frame)
            pictures.append(np.asarray(gif.convert("L"), np.float64))
    assert np.abs(pictures[0] - pictures[1]).max() > 50
    assert np.abs(pictures[1] - pictures[2]).max() > 50
    ends = [trace.get_xydata()[-1] for trace in animation.update(90)[1:5]]
    expected = [traces[method].end for traces in result.data.by_start for method in ("classical", "Nesterov")]
    np.testing.assert_allclose(ends, expected)


@pytest.mark.slow
def test_writing_gives_png_and_gif_by_the_numbers_of_the_source(tmp_path) -> None:
    written = drawings.write(quick_run("one-dimension"), tmp_path)
    assert [path.name for path in written] == ["figure_11-1.png", "figure_11-2.png", "figure_11-6.png"]
    assert all(path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for path in written)


def test_what_has_no_drawing_is_refused() -> None:
    stranger = replace(quick_run("one-dimension"), experiment=replace(textbook.find("one-dimension"), name="stranger"))
    with pytest.raises(ValueError, match=r"draw: experiment must be one of random-walk, .*, got 'stranger'\."):
        drawings.draw(stranger)
