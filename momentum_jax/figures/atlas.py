"""The forest of an atlas: momentum beside gradient descent in every cell, grouped by problem."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from momentum_jax.figures import style
from momentum_jax.studies.atlas import Cells, wording

# To either side; what lies beyond is an arrow at the edge.
_WIDEST = 5.0
_LEGEND = (("better", "o", style.COLOURS[2]), ("not shown", "D", style.COLOURS[7]), ("worse", "s", style.COLOURS[3]))


def forest(cells: Cells) -> Figure | None:
    """Effects in standard deviations over seeds, with their intervals; None: no cell is answered."""
    shown = [(found, arm) for found in cells.answered if (arm := found.asked) is not None and arm.effect is not None]
    if not shown:
        return None
    with mpl.rc_context(style.SETTINGS):
        figure = Figure(figsize=(style.WIDTH, 1.3 + 0.25 * len(shown)), layout="constrained")
        axes: Any = figure.subplots()
        axes.axvline(0, color="#777777", linewidth=0.9, zorder=1)
        for row, (found, arm) in enumerate(shown):
            label, marker, colour = _LEGEND[1 - found.claimed]
            _draw(axes, row, arm.effect or 0.0, arm.effect_interval, marker, colour, label)
        names = [f"{found.entry}, {wording.setting(found)}" for found, _ in shown]
        axes.set_yticks(range(len(shown)), labels=names, fontsize=8)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_xlim(-_WIDEST, _WIDEST)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("gain of momentum (standard deviations of gradient descent over seeds)")
        handles, labels = axes.get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        figure.legend(unique.values(), unique.keys(), loc="outside upper right", ncols=3, frameon=False)
    return figure


def _draw(axes: Any, row: int, effect: float, ends: tuple[float, float] | None, marker: str, colour: str, label: str) -> None:
    if ends is not None:
        low, high = np.clip(ends, -_WIDEST, _WIDEST)
        axes.plot([low, high], [row, row], color=colour, linewidth=2.2, alpha=0.5, solid_capstyle="butt")
    if abs(effect) <= _WIDEST:
        axes.plot([effect], [row], marker, color=colour, markersize=5.5, label=label, linestyle="none")
        return
    side = np.sign(effect)
    shape = ">" if side > 0 else "<"
    axes.plot([side * 0.985 * _WIDEST], [row], shape, color=colour, markersize=6, clip_on=False, linestyle="none")
