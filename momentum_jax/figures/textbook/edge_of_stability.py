"""Sharpness over the stability limit along training, one panel a limit, one line a method."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from momentum_jax.figures.theory import edge_of_stability
from momentum_jax.textbook.edge_of_stability import Data


def draw(data: Data) -> Mapping[str, Figure]:
    limits = sorted({each.limit for each in data.trained})
    return {
        f"edge_of_stability_{limit:g}": edge_of_stability(
            {each.method: (each.steps, each.ratios) for each in data.trained if each.limit == limit and each.ratios.size},
            title=f"Learning rates whose stability limit is {limit:g}"
            + "".join(f"; {each.method} diverged" for each in data.trained if each.limit == limit and each.diverged),
        )
        for limit in limits
    }
