"""T4, figures 11-7 and 11-10: a ball with momentum between two minima, Nesterov's beside it, and both in motion."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from momentum_jax.figures import style
from momentum_jax.figures.textbook._animation import Animation
from momentum_jax.figures.textbook._drawing import draw_contours, draw_path, drawn, legend_below
from momentum_jax.textbook.rolling_ball import Data

_SHOWN = {"classical": "classical momentum", "Nesterov": "Nesterov"}
_LAST_FRAMES = 10
_MARGIN = 0.15


def draw(data: Data) -> Mapping[str, Figure | Animation]:
    return {
        "figure_11-7": _classical(data),
        "figure_11-10": _beside(data),
        "ball": _animation(data),
    }


def _classical(data: Data) -> Figure:
    def draw_paths(axes) -> None:
        draw_contours(axes, data.surface)
        for index, traces in enumerate(data.by_start):
            trace = traces["classical"]
            descent = trace.descent
            label = f"from ({descent.start[0]:g}, {descent.start[1]:g}), η = {descent.learning_rate:g}, {descent.steps} updates"
            draw_path(axes, trace.points, 2 + index, label, descent.symbol)
        axes.set_aspect("equal")

    figure = drawn(draw_paths, "Figure 11-7 (T4): a ball with momentum 0.9", height=6.4)
    legend_below(figure, figure.axes[0], columns=1)
    return figure


def _beside(data: Data) -> Figure:
    def draw_paths(*panels) -> None:
        for axes, traces in zip(panels, data.by_start, strict=True):
            draw_contours(axes, data.surface)
            for index, (method, label) in enumerate({**_SHOWN, "listing": "Nesterov of the source's listing"}.items()):
                draw_path(axes, traces[method].points, 2 + index, label)
            start = traces["classical"].descent.start
            axes.set_title(f"from ({start[0]:g}, {start[1]:g})", fontsize=9.5)
            _close_up(axes, traces)

    title = "Figure 11-10 (T4): Nesterov beside classical momentum"
    figure = drawn(draw_paths, title, rows=len(data.by_start), height=8.6)
    legend_below(figure, figure.axes[0])
    return figure


def _close_up(axes, traces) -> None:
    """Shows where the paths are, and a little around them."""
    points = np.concatenate([trace.points for trace in traces.values()])
    low, high = points.min(axis=0) - _MARGIN, points.max(axis=0) + _MARGIN
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])


def _animation(data: Data) -> Animation:
    """A ball for each start and method, with its trail; those that have arrived lie where they are."""
    balls = []
    with mpl.rc_context(style.SETTINGS):
        figure = Figure(figsize=(5.0, 5.6))
        axes = figure.add_axes((0.13, 0.2, 0.84, 0.74))
        draw_contours(axes, data.surface)
        for number, traces in enumerate(data.by_start):
            for index, (method, label) in enumerate(_SHOWN.items()):
                look = {"color": style.COLOURS[2 + index], "animated": True}
                (trail,) = axes.plot([], [], linewidth=1.2, **look)
                marker, size = (("o", 12), ("s", 7))[index]
                name = "_" if number else label
                (ball,) = axes.plot([], [], marker, markersize=size, markeredgecolor="black", label=name, **look)
                balls.append((traces[method].points, trail, ball))
        figure.legend(*axes.get_legend_handles_labels(), loc="lower center", ncols=3, frameon=False)
        heading = axes.set_title("", animated=True)
    longest = max(len(points) for points, _, _ in balls)

    def update(frame: int) -> list[Artist]:
        for points, trail, ball in balls:
            last = min(frame, len(points) - 1)
            trail.set_data(*points[: last + 1].T)
            ball.set_data(*points[last : last + 1].T)
        heading.set_text(f"Figures 11-7 and 11-10 (T4): after {min(frame, longest - 1)} updates")
        return [heading, *(trail for _, trail, _ in balls), *(ball for _, _, ball in balls)]

    return Animation(figure, update, range(longest + _LAST_FRAMES))
