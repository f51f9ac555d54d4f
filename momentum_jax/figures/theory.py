"""Pictures of the theory: they take numbers that `momentum_jax.theory` computed, and compute nothing.

Curves come as a mapping from a label to arrays. Curvatures have the unit loss / params^2, frequencies radians a step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from momentum_jax.figures import style

_LIMIT = "#B00020"
_STABLE_LEVELS = np.linspace(0, 1, 21)


def stability_region(
    steps: np.ndarray,
    momenta: np.ndarray,
    rates: np.ndarray,
    limits: Mapping[str, np.ndarray],
    critical: np.ndarray | None = None,
    *,
    title: str,
) -> Figure:
    """The rate over learning rate times curvature, and momentum.

    steps (k,), momenta (n,), rates (n, k). limits: where methods stop being stable, (n,) each. critical: steps (n,) at which
    the two roots meet.
    """
    with mpl.rc_context(style.SETTINGS):
        figure, axes = _axes(title, "Colour: rate a step, below 1 only. Lines: where a method stops being stable.")
        stable = np.ma.masked_where(rates >= 1, rates)
        colours = axes.contourf(steps, momenta, stable, levels=_STABLE_LEVELS, cmap="viridis")
        figure.colorbar(colours, ax=axes, label="rate (factor a step)", ticks=np.linspace(0, 1, 6))
        for index, (label, limit) in enumerate(limits.items()):
            axes.plot(limit, momenta, color=_LIMIT, linestyle=style.DASHES[index], label=style.legend_label(label))
        if critical is not None:
            axes.plot(critical, momenta, color="white", linewidth=3.0)
            axes.plot(critical, momenta, color="black", linewidth=1.2, label="critical damping: both roots meet")
        axes.set(
            xlabel="learning rate × curvature", ylabel="momentum", xlim=(steps[0], steps[-1]), ylim=(momenta[0], momenta[-1])
        )
        axes.grid(visible=False)
        style.legend(figure, axes)
        return _laid_out(figure)


def root_locus(curvatures: np.ndarray, roots: Mapping[str, np.ndarray], *, title: str) -> Figure:
    """The roots of each method as the curvature grows: curvatures (k,), roots (k, n) complex. Stable is inside the circle."""
    with mpl.rc_context(style.SETTINGS):
        figure = Figure(figsize=(style.WIDTH, 3.4 + 0.25 * len(roots)), layout="constrained")
        panels = figure.subplots(1, len(roots), squeeze=False, sharex=True, sharey=True)[0]
        angle = np.linspace(0, 2 * np.pi, 200)
        colours = LogNorm(curvatures[0], curvatures[-1])
        points: Any = None
        for axes, (label, each) in zip(panels, roots.items(), strict=True):
            axes.plot(np.cos(angle), np.sin(angle), color=_LIMIT, linewidth=1.0)
            for k in range(each.shape[1]):
                points = axes.scatter(np.real(each[:, k]), np.imag(each[:, k]), c=curvatures, norm=colours, cmap="viridis", s=7)
            axes.set_title(style.wrapped(label, style.WIDTH / len(roots) - 0.5, 10), parse_math=False)
            axes.set(aspect="equal", xlim=(-1.4, 1.2), ylim=(-1.2, 1.2), xlabel="real part")
        panels[0].set_ylabel("imaginary part")
        figure.colorbar(points, ax=list(panels), label="curvature", location="bottom", shrink=0.6)
        style.heading(figure, title, "Red: the unit circle. A method is stable while all of its roots are inside.")
        return _laid_out(figure)


def rate_against_condition(
    conditions: np.ndarray, worst: Mapping[str, np.ndarray], certified: Mapping[str, np.ndarray], *, title: str
) -> Figure:
    """1 - rate against the condition number: on quadratics (lines), and proven for all functions (marks); NaN, inf: none."""
    with mpl.rc_context(style.SETTINGS):
        figure, axes = _axes(
            title, "Line: worst quadratic. Ring: proven for every strongly convex, smooth function. Higher is faster."
        )
        for index, (label, rates) in enumerate(worst.items()):
            look = style.line_style(index, of=len(worst))
            axes.plot(conditions, 1 - rates, label=style.legend_label(label), **look)
            proven = np.where(np.isfinite(certified[label]), 1 - certified[label], np.nan)
            axes.plot(conditions, proven, color=look["color"], linestyle="none", marker="o", markersize=5, fillstyle="none")
        axes.set(xscale="log", yscale="log", xlabel="condition number L / m", ylabel="1 − rate (share gained a step)")
        style.legend(figure, axes)
        return _laid_out(figure)


def frequency_gain(frequencies: np.ndarray, responses: Mapping[str, np.ndarray], *, title: str) -> Figure:
    """Gain and delay from gradient to update, complex responses (k,): momentum is a low-pass filter."""
    with mpl.rc_context(style.SETTINGS):
        figure = Figure(figsize=(style.WIDTH, style.HEIGHT + 0.4), layout="constrained")
        gain, delay = figure.subplots(2, 1, sharex=True)
        for index, (label, response) in enumerate(responses.items()):
            look = style.line_style(index, of=len(responses))
            gain.plot(frequencies, np.abs(response), label=style.legend_label(label), **look)
            # Minus the gradient is the direction of descent: its phase is 0.
            delay.plot(frequencies, -np.unwrap(np.angle(-response)) / frequencies, **look)
        gain.set(xscale="log", yscale="log", ylabel="gain (update per gradient)")
        delay.set(xlabel="frequency (radians a step)", ylabel="delay (steps)")
        style.heading(figure, title)
        style.legend(figure, gain)
        return _laid_out(figure)


def noise_against_rate(points: Mapping[str, tuple[np.ndarray, np.ndarray]], *, title: str) -> Figure:
    """Steady-state variance against rate, (k,) each along the hyperparameters: the lower left is better."""
    with mpl.rc_context(style.SETTINGS):
        figure, axes = _axes(title, "Each line: one method at growing learning rate. Left is faster, low is quieter.")
        for index, (label, (rates, variances)) in enumerate(points.items()):
            keep = np.isfinite(variances)
            axes.plot(rates[keep], variances[keep], label=style.legend_label(label), **style.line_style(index, of=len(points)))
        axes.set(yscale="log", xlabel="rate (factor a step)", ylabel="steady-state variance")
        style.legend(figure, axes)
        return _laid_out(figure)


def impulse_responses(responses: Mapping[str, np.ndarray], *, title: str) -> Figure:
    """What each method makes of one gradient of 1: its updates (k,), and how far they have moved the parameter."""
    with mpl.rc_context(style.SETTINGS):
        figure = Figure(figsize=(style.WIDTH, style.HEIGHT), layout="constrained")
        update, moved = figure.subplots(1, 2)
        for index, (label, response) in enumerate(responses.items()):
            look = style.line_style(index, of=len(responses))
            update.plot(np.arange(response.size), response, label=style.legend_label(label), **look)
            moved.plot(np.arange(response.size), np.cumsum(response), **look)
        update.set(xlabel="steps after the gradient", ylabel="update")
        moved.set(xlabel="steps after the gradient", ylabel="position")
        style.heading(figure, title)
        style.legend(figure, update)
        return _laid_out(figure)


def limit_cycle(
    positions: np.ndarray, loss: np.ndarray, cycle: Sequence[float], path: Sequence[float], *, title: str
) -> Figure:
    """A cycle on its loss (k,) over positions (k,), and the run that ends in it."""
    with mpl.rc_context(style.SETTINGS):
        figure = Figure(figsize=(style.WIDTH, style.HEIGHT), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.plot(positions, loss, color=style.COLOURS[0], linewidth=1.4)
        left.plot(cycle, np.interp(cycle, positions, loss), color=_LIMIT, linestyle="none", marker="o", label="the cycle")
        for k, (here, there) in enumerate(zip(cycle, [*cycle[1:], cycle[0]], strict=True)):
            ends = [(x, float(np.interp(x, positions, loss))) for x in (here, there)]
            arrow = {"arrowstyle": "->", "color": _LIMIT, "connectionstyle": f"arc3,rad={0.25 if k else -0.2}"}
            left.annotate("", xy=ends[1], xytext=ends[0], arrowprops=arrow)
        left.set(xlabel="parameter", ylabel="loss")
        right.plot(np.arange(len(path)), path, color=style.COLOURS[2], marker=".", linewidth=1.0)
        for each in cycle:
            right.axhline(each, color=_LIMIT, linewidth=0.7)
        right.set(xlabel="step", ylabel="parameter")
        style.heading(figure, title)
        return _laid_out(figure)


def edge_of_stability(sharpness: Mapping[str, tuple[np.ndarray, np.ndarray]], *, title: str) -> Figure:
    """Sharpness over each method's own stability limit, along training: steps (k,) and ratios (k,)."""
    with mpl.rc_context(style.SETTINGS):
        figure, axes = _axes(title, "1: the limit that the optimizer's own code has.")
        for index, (label, (steps, ratios)) in enumerate(sharpness.items()):
            axes.plot(steps, ratios, label=style.legend_label(label), **style.line_style(index, of=len(sharpness)))
        axes.axhline(1, color=_LIMIT, linewidth=1.0)
        axes.set(xlabel="step", ylabel="sharpness / stability limit", ylim=(0, None))
        style.legend(figure, axes)
        return _laid_out(figure)


def prediction_beside_measurement(
    predicted: Mapping[str, tuple[np.ndarray, np.ndarray]], measured: Mapping[str, tuple[np.ndarray, np.ndarray]], *, title: str
) -> Figure:
    """Decrease of the loss by step: as the quadratic model has it (lines) and as it was measured (marks)."""
    with mpl.rc_context(style.SETTINGS):
        figure, axes = _axes(title, "Line: the quadratic model. Ring: measured.")
        for index, (label, (steps, values)) in enumerate(predicted.items()):
            look = style.line_style(index, of=len(predicted))
            axes.plot(steps, values, label=style.legend_label(label), **look)
            axes.plot(*measured[label], color=look["color"], linestyle="none", marker="o", markersize=4.5, fillstyle="none")
        axes.set(xscale="log", yscale="log", xlabel="step", ylabel="decrease of the loss")
        style.legend(figure, axes)
        return _laid_out(figure)


def overview(
    curvatures: np.ndarray,
    rates: Mapping[str, np.ndarray],
    limits: Mapping[str, float],
    responses: Mapping[str, np.ndarray],
    variances: Mapping[str, np.ndarray],
    *,
    title: str,
) -> Figure:
    """Some optimizers at a glance: rate and noise over curvatures (k,), and the response to one gradient."""
    with mpl.rc_context(style.SETTINGS):
        figure = Figure(figsize=(style.WIDTH, 6.6), layout="constrained")
        rate, impulse, noise = figure.subplots(3, 1)
        for index, label in enumerate(rates):
            look = style.line_style(index, of=len(rates))
            rate.plot(curvatures, rates[label], label=style.legend_label(label), **look)
            if np.isfinite(limits[label]) and limits[label] > 0:
                rate.axvline(limits[label], color=look["color"], linestyle=look["linestyle"], linewidth=0.8)
            impulse.plot(np.arange(responses[label].size), responses[label], **look)
            finite = np.isfinite(variances[label])
            noise.plot(curvatures[finite], variances[label][finite], **look)
        rate.axhline(1, color=_LIMIT, linewidth=1.0)
        largest = max(float(np.max(each)) for each in rates.values())
        rate.set(xscale="log", xlabel="curvature", ylabel="rate", ylim=(0, min(2.0, 1.05 * largest)))
        impulse.set(xlabel="steps after one gradient", ylabel="update")
        is_any = any((np.isfinite(each) & (each > 0)).any() for each in variances.values())
        noise.set(
            xscale="log", yscale="log" if is_any else "linear", xlabel="curvature", ylabel="variance", xlim=rate.get_xlim()
        )
        style.heading(figure, title, "Red line: rate 1. Thin upright lines: where a method stops being stable.")
        style.legend(figure, rate)
        return _laid_out(figure)


def _axes(title: str, note: str = "") -> tuple[Figure, Any]:
    figure = Figure(figsize=(style.WIDTH, style.HEIGHT), layout="constrained")
    axes = figure.add_subplot()
    style.heading(figure, title, note)
    return figure, axes


def _laid_out(figure: Figure) -> Figure:
    style.lay_out(figure)
    return figure
