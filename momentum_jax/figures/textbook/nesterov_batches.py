"""T1: Nesterov beside classical momentum, on quadratics and on a small net at the same points."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from momentum_jax.figures import style
from momentum_jax.figures.textbook._drawing import MARKERS, drawn
from momentum_jax.textbook.nesterov_batches import METHODS, Data


def draw(data: Data) -> Mapping[str, Figure]:
    return {"nesterov_quadratic": _quadratic(data), "nesterov_batches": _batches(data)}


def _quadratic(data: Data) -> Figure:
    def draw_both(above, below) -> None:
        for index, method in enumerate(METHODS):
            look = style.line_style(2 * index, of=3)
            above.plot(data.few, data.limits[method], label=method, marker=MARKERS[index], **look)
            below.plot(data.rest, data.left[method], label=method, **look)
        below.axhline(data.goal, color="black", linewidth=0.8, linestyle=":")
        below.text(data.rest[0], data.goal, f" {data.goal:g}", va="bottom", ha="left", **style.NOTE)
        below.set_yscale("log")
        below.set_ylim(bottom=1e-8)
        above.set_ylim(bottom=0)
        for axes in (above, below):
            axes.set_xscale("log")
            axes.invert_xaxis()
        above.set_ylabel("stable up to ηλ")
        below.set_ylabel(f"share of the distance left\nafter {data.updates} updates, η = 1/L")
        below.set_xlabel("1 − μ (momentum grows to the right)")
        above.legend(frameon=False)

    return drawn(draw_both, "T1: Nesterov is stable on fewer curvatures, and damps more", rows=2, height=6.4)


def _batches(data: Data) -> Figure:
    def draw_all(*panels) -> None:
        for axes, (batch, trials) in zip(panels[:2], data.trials.items(), strict=True):
            finite = trials[np.isfinite(trials).all(axis=1)]
            axes.plot(*finite.T, color=style.COLOURS[2], marker="o", markersize=4, linestyle="none")
            ends = float(finite.min()) / 1.3, float(finite.max()) * 1.3
            axes.plot(ends, ends, color="black", linewidth=0.8)
            axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, aspect="equal")
            axes.set_title(f"{batch}, trials", fontsize=9)
            axes.set_xlabel("held-out loss, classical (nats)")
            axes.set_ylabel("held-out loss, Nesterov (nats)")
        for axes, (batch, losses) in zip(panels[2:], data.losses.items(), strict=True):
            for pair in losses:
                axes.plot((0, 1), pair, color="#999999", linewidth=0.8, marker=MARKERS[0], markersize=3)
            means = np.exp(np.log(losses).mean(axis=0))
            axes.plot((0, 1), means, color="black", linewidth=1.6, marker="s", zorder=4, label="geometric mean")
            axes.set_yscale("log")
            axes.set_xlim(-0.4, 1.4)
            axes.set_xticks((0, 1), ("classical", "Nesterov"))
            axes.set_title(f"{batch}, seeds", fontsize=9)
            axes.set_xlabel("method")
            axes.set_ylabel("training loss, last pass (nats)")
            axes.legend(frameon=False, fontsize=8)

    title = "T1: both methods at the same learning rates and momenta, and each at its best"
    return drawn(draw_all, title, rows=2, columns=2, height=6.6)
