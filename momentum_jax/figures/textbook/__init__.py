"""The figures of the textbook's experiments: from the data of a result, by the numbers that they have in the sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from momentum_jax.figures import style
from momentum_jax.figures.textbook import (
    adaptive_methods,
    batch_size,
    edge_of_stability,
    fair_comparison,
    fashion_mnist,
    flat_minima,
    hundred_runs,
    mnist,
    moving_averages,
    nesterov_batches,
    one_dimension,
    optimizers_side_by_side,
    poor_minima,
    random_walk,
    ravine,
    rolling_ball,
    smoother_losses,
    toy_regressions,
    two_dimensions,
)
from momentum_jax.figures.textbook._animation import Animation
from momentum_jax.textbook import Result

# By the name of the experiment: a function of its data that returns figures and animations by their file names without ending.
DRAWINGS: Mapping[str, Callable[[Any], Mapping[str, Figure | Animation]]] = {
    "random-walk": random_walk.draw,
    "moving-averages": moving_averages.draw,
    "one-dimension": one_dimension.draw,
    "two-dimensions": two_dimensions.draw,
    "rolling-ball": rolling_ball.draw,
    "poor-minima": poor_minima.draw,
    "mnist-momentum": mnist.draw,
    "fashion-mnist": fashion_mnist.draw,
    "fair-comparison": fair_comparison.draw,
    "hundred-runs": hundred_runs.draw,
    "batch-size": batch_size.draw,
    "optimizers-side-by-side": optimizers_side_by_side.draw,
    "ravine": ravine.draw,
    "nesterov-batches": nesterov_batches.draw,
    "adaptive-methods": adaptive_methods.draw,
    "flat-minima": flat_minima.draw,
    "smoother-losses": smoother_losses.draw,
    "toy-regressions": toy_regressions.draw,
    "edge-of-stability": edge_of_stability.draw,
}


def draw(result: Result) -> Mapping[str, Figure | Animation]:
    """The figures of a result, by file name without its ending.

    Raises:
      ValueError: an experiment of which nothing is drawn.
    """
    if result.experiment.name not in DRAWINGS:
        raise ValueError(f"draw: experiment must be one of {', '.join(DRAWINGS)}, got {result.experiment.name!r}.")
    return DRAWINGS[result.experiment.name](result.data)


def write(result: Result, directory: str | Path) -> list[Path]:
    """Draws a result into a directory that is there: figures as PNG, animations as GIF. Returns the files."""
    written = []
    for name, drawing in draw(result).items():
        if isinstance(drawing, Figure):
            path = Path(directory) / f"{name}.png"
            style.save(drawing, path)
        else:
            path = Path(directory) / f"{name}.gif"
            drawing.save(path)
        written.append(path)
    return written
