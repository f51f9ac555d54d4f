"""Gradient descent in two dimensions: a bowl, a ravine and a landscape with two minima (T4, figures 11-3, 11-4 and 11-5).

Table 11-1 has the starts of figure 11-5 and the symbols of their paths, of which the source's text speaks.

On the two quadratics gradient descent multiplies the distance to the minimum along each axis by 1 - η λ, λ the curvature
there: their ends have closed forms. Where the source's steps are not known, 12 are made, as in its first descent.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from momentum_jax import landscapes
from momentum_jax.textbook.descents import Descent, Trace, trace
from momentum_jax.textbook.experiment import Claim, Experiment, Outcome, Surroundings, Table
from momentum_jax.textbook.surfaces import Surface, surface


@dataclass(frozen=True)
class Settings:
    """The descents of each figure, in the order of the source."""

    figure_11_3: tuple[Descent, ...] = (
        Descent((-0.5, 2.9), 0.02, 12),
        Descent((1.5, -0.8), 0.02, 12),
        Descent((2.7, 2.3), 0.02, 12),
    )
    figure_11_4: tuple[Descent, ...] = (Descent((-0.5, 2.3), 0.02, 12), Descent((2.3, 2.3), 0.01, 12))
    figure_11_5: tuple[Descent, ...] = (
        Descent((-1.5, 1.2), 0.4, 9, symbol="circle"),
        Descent((1.5, -1.8), 0.4, 9, symbol="square"),
        Descent((0.0, 0.0), 0.4, 20, symbol="plus"),
        Descent((0.7, -0.2), 0.4, 20, symbol="triangle"),
        Descent((1.5, 1.5), 0.4, 30, symbol="star"),
    )


@dataclass(frozen=True, eq=False)
class Drawn:
    """A surface and the descents upon it."""

    surface: Surface
    traces: tuple[Trace, ...]


@dataclass(frozen=True, eq=False)
class Data:
    """What each figure shows."""

    figure_11_3: Drawn
    figure_11_4: Drawn
    figure_11_5: Drawn


def measure(settings: Settings, surroundings: Surroundings) -> Outcome:
    del surroundings
    bowl = tuple(trace(landscapes.bowl, descent) for descent in settings.figure_11_3)
    trough = tuple(trace(landscapes.trough, descent) for descent in settings.figure_11_4)
    gaussians = tuple(trace(landscapes.two_gaussians, descent) for descent in settings.figure_11_5)
    named = {"11-3": bowl, "11-4": trough, "11-5": gaussians}
    quantities: dict[str, object] = {
        f"figure {number}: end of the path from {each.descent.start}": each.end
        for number, traces in named.items()
        for each in traces
    }
    for each in trough:
        floor = landscapes.trough.minima[0, 1]
        changes = np.sum(np.diff(np.sign(each.points[:, 1] - floor)) != 0)
        quantities[f"figure 11-4: times it crossed the floor, learning rate {each.descent.learning_rate:g}"] = int(changes)
    nearest = [int(np.argmin(np.linalg.norm(each.end - landscapes.two_gaussians.minima, axis=1))) for each in gaussians]
    quantities[_MISSED] = nearest
    quantities["figure 11-5: paths that reach the deeper minimum"] = nearest.count(0)
    quantities["figure 11-5: paths that reach the shallower minimum"] = nearest.count(1)
    data = Data(
        Drawn(surface(landscapes.bowl), bowl),
        Drawn(surface(landscapes.trough), trough),
        Drawn(surface(landscapes.two_gaussians), gaussians),
    )
    return Outcome(quantities, data, (_table_11_1(gaussians, nearest),))


def _table_11_1(traces: Sequence[Trace], nearest: Sequence[int]) -> Table:
    rows = tuple(
        (
            each.descent.symbol or "-",
            f"{each.descent.start}",
            float(each.descent.steps),
            each.descent.learning_rate,
            tuple(map(float, each.end)),
            ("deeper", "shallower")[minimum],
        )
        for each, minimum in zip(traces, nearest, strict=True)
    )
    columns = ("symbol", "start", "updates", "learning rate", "end, computed in float64", "minimum")
    return Table("T4, table 11-1: the paths of figure 11-5", columns, rows)


def _closed_form(start: tuple[float, float], minimum: tuple[float, float], factors: tuple[float, float]) -> tuple[float, ...]:
    """Where twelve updates lead that multiply the distances to the minimum by the factors 1 - η λ."""
    return tuple(m + (x - m) * factor**12 for x, m, factor in zip(start, minimum, factors, strict=True))


def _end(number: str, start: tuple[float, float]) -> str:
    return f"figure {number}: end of the path from {start}"


_MISSED = "figure 11-5: 1 where the path ends in the shallower minimum, in the order of table 11-1"
_BOWL, _BOWL_FACTORS = (1.0, 7 / 9), (1 - 0.02 * 12, 1 - 0.02 * 18)
_TROUGH = (1.0, 0.375)
_ON_11_3, _ON_11_4 = "closed form for T4, figure 11-3", "closed form for T4, figure 11-4"
_ON_11_5 = "T4, figure 11-5, the listing run in float64"

EXPERIMENT = Experiment(
    name="two-dimensions",
    title="Gradient descent in a bowl, in a ravine and between two minima",
    reproduces=(
        "T4 figure 11-3",
        "T4 figure 11-4",
        "T4 figure 11-5",
        "T4 table 11-1",
        "T4 equation 11.4",
        "T4 listing 11-1",
        "T4 file gd_2d",
        "T4 file gd_multiple",
    ),
    claims=(
        Claim(_end("11-3", (-0.5, 2.9)), _closed_form((-0.5, 2.9), _BOWL, _BOWL_FACTORS), 1e-12, _ON_11_3),
        Claim(_end("11-3", (1.5, -0.8)), _closed_form((1.5, -0.8), _BOWL, _BOWL_FACTORS), 1e-12, _ON_11_3),
        Claim(_end("11-3", (2.7, 2.3)), _closed_form((2.7, 2.3), _BOWL, _BOWL_FACTORS), 1e-12, _ON_11_3),
        Claim(_end("11-4", (-0.5, 2.3)), _closed_form((-0.5, 2.3), _TROUGH, (0.76, -0.6)), 1e-12, _ON_11_4),
        Claim(_end("11-4", (2.3, 2.3)), _closed_form((2.3, 2.3), _TROUGH, (0.88, 0.2)), 1e-12, _ON_11_4),
        Claim("figure 11-4: times it crossed the floor, learning rate 0.02", 12, 0, "T4, figure 11-4: at every update"),
        Claim("figure 11-4: times it crossed the floor, learning rate 0.01", 0, 0, "T4, figure 11-4: never"),
        Claim(_end("11-5", (-1.5, 1.2)), (-0.980386, 0.980386), 1e-6, _ON_11_5),
        Claim(_end("11-5", (1.5, -1.8)), (0.934347, -0.938517), 1e-6, _ON_11_5),
        Claim(_end("11-5", (0.0, 0.0)), (-0.980384, 0.980384), 1e-6, _ON_11_5),
        Claim(_end("11-5", (0.7, -0.2)), (0.884720, -0.884705), 1e-6, _ON_11_5),
        Claim(_end("11-5", (1.5, 1.5)), (-0.980384, 0.980384), 1e-6, _ON_11_5),
        Claim(_MISSED, (0, 1, 0, 1, 0), 0, "T4, figure 11-5: square and triangle miss the deeper minimum"),
        Claim("figure 11-5: paths that reach the deeper minimum", 3, 0, "T4, figure 11-5"),
        Claim("figure 11-5: paths that reach the shallower minimum", 2, 0, "T4, figure 11-5"),
    ),
    full=Settings(),
    quick=Settings(),
    measure=measure,
    duration="2 s",
)
