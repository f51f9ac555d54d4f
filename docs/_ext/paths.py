"""The path of every method down one ravine, computed and drawn by the library."""

import inspect
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import momentum_jax as mj
from momentum_jax import descent, landscapes
from momentum_jax.figures.style import heading
from momentum_jax.figures.textbook._drawing import (
    draw_contours,
    draw_path,
    drawn,
    legend_below,
)
from momentum_jax.textbook.surfaces import surface

RAVINE = landscapes.ravine(30, angle=0.4)
START = (-2.0, 0.6)
STEPS = 40
RATES = np.array(
    [round(digit * 10.0**power, 6) for power in range(-3, 2) for digit in (1, 2, 5)]
)
_DOMAIN = ((-2.6, 1.6), (-2.2, 1.5))

# `sgd` has no momentum by default.
_CHOSEN = {"sgd": {"momentum": "0.9"}}
# What a constructor asks for, by the name of the parameter.
_GIVEN = {
    "optimizer": "mj.heavy_ball(RATE, 0.9)",
    "core": "mj.scale_by_heavy_ball(0.9)",
    "optimizers": '{"*": mj.heavy_ball(RATE, 0.9)}',
    "decay": "0.9",
    "weight_decay": "0.01",
    "total_steps": str(STEPS),
    "rank": "1",
    "beta": "0.9",
    "gamma": "0.9",
    "strong_convexity": "1.0",
    "smoothness": "30.0",
    "rate": "0.9",
    "A": "[[0.9]]",
    "B": "[-0.02]",
    "C": "[0.9]",
    "D": "-0.02",
}


def call_of(name: str, rate: str) -> str:
    """A call of the method with all that it asks for."""
    arguments = []
    for parameter in inspect.signature(getattr(mj, name)).parameters.values():
        if parameter.name == "learning_rate":
            arguments.append(f"learning_rate={rate}")
        elif parameter.name in _CHOSEN.get(name, {}):
            arguments.append(f"{parameter.name}={_CHOSEN[name][parameter.name]}")
        elif parameter.default is parameter.empty:
            arguments.append(
                f"{parameter.name}={_GIVEN[parameter.name].replace('RATE', rate)}"
            )
    call = f"mj.{name}({', '.join(arguments)})"
    # These two are links of a chain: alone they would climb.
    if name == "grokfast":
        return f"optax.chain({call}, mj.gradient_descent({rate}))"
    if name == "cautious_weight_decay":
        return f"optax.chain(mj.gradient_descent({rate}), {call})"
    return call


def takes_matrices(name: str) -> bool:
    return "axes" in inspect.signature(getattr(mj, name)).parameters


def example_of(name: str, found: tuple[str, float]) -> str:
    """Python that runs, with what it prints; `found`: the call and the last value."""
    call, value = found
    first = float(RAVINE(jnp.asarray(START)))
    lines = [
        "import momentum_jax as mj",
        "from momentum_jax import descent, landscapes",
        "",
    ]
    if "optax." in call:
        lines.insert(0, "import optax")
    if takes_matrices(name):
        return "\n".join(
            [
                "import jax",
                "import optax",
                "import momentum_jax as mj",
                "",
                f"optimizer = {call}",
                'params = {"w": jax.numpy.ones((4, 3))}',
                "state = optimizer.init(params)",
                'gradient = jax.grad(lambda params: (params["w"] ** 2).sum())(params)',
                "updates, state = optimizer.update(gradient, state, params)",
                "params = optax.apply_updates(params, updates)",
            ]
        )
    lines += [
        f"optimizer = {call}",
        "ravine = landscapes.ravine(30, angle=0.4)",
        f"path = descent.descend(ravine, optimizer, {list(START)}, steps={STEPS})",
        'print(f"from {path.values[0]:.4f} to {path.values[-1]:.4f}")',
        f"# from {first:.4f} to {value:.4f}",
    ]
    return "\n".join(lines)


def write_pictures(folder: Path, methods: list[str]) -> dict[str, tuple[str, float]]:
    """Draw each method beside gradient descent: by method its call and last value."""
    found = {name: best(name) for name in methods}
    plain, rate, _ = best("gradient_descent")

    def draw(axes: Any) -> None:
        draw_contours(axes, surface(RAVINE, _DOMAIN))
        draw_path(axes, plain, 0, "gradient descent")
        draw_path(axes, plain, 3, "the method of the page")
        axes.set(xlim=_DOMAIN[0], ylim=_DOMAIN[1], aspect="equal")

    # One figure serves all: the second path, its label and the title change.
    figure = drawn(draw, "gradient descent")
    axes = figure.axes[0]
    legend_below(figure, axes, columns=3)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    joined = axes.lines[-2]
    label = figure.legends[0].get_texts()[-1]
    for name, (points, its_rate, _) in found.items():
        joined.set_data(*points.T)
        label.set_text(name)
        heading(figure, f"{call_of(name, its_rate)}, beside gradient_descent({rate})")
        figure.savefig(folder / f"{name}.png", dpi=100)
    return {
        name: (call_of(name, its_rate), value)
        for name, (_, its_rate, value) in found.items()
    }


def best(name: str) -> tuple[np.ndarray, str, float]:
    """Points, the best learning rate of the grid as text, and the last value."""
    optimizer_of = _compiled(name)
    if "RATE" not in call_of(name, "RATE"):
        path = descent.descend(RAVINE, optimizer_of(0.0), START, STEPS)
        return np.asarray(path.points), "", float(path.values[-1])
    paths = jax.vmap(
        lambda rate: descent.descend(RAVINE, optimizer_of(rate), START, STEPS)
    )(jnp.asarray(RATES))
    # One point may be near the minimum by chance, half a path is not.
    means = np.asarray(paths.values[:, STEPS // 2 :], np.float64).mean(axis=1)
    index = int(np.argmin(np.where(np.isfinite(means), means, math.inf)))
    return (
        np.asarray(paths.points[index]),
        f"{RATES[index]:g}",
        float(paths.values[index, -1]),
    )


def _compiled(name: str) -> Any:
    code = compile(call_of(name, "RATE"), name, "eval")

    def optimizer_of(rate: Any) -> optax.GradientTransformation:
        made = eval(code, {"mj": mj, "optax": optax, "RATE": rate})
        return as_matrix(made) if takes_matrices(name) else made

    return optimizer_of


def as_matrix(optimizer: Any) -> optax.GradientTransformationExtraArgs:
    """The optimizer on a point as a matrix of one column."""

    def init(params: Any) -> Any:
        return optimizer.init(params[:, None])

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        del extra
        updates, state = optimizer.update(updates[:, None], state, params[:, None])
        return updates[:, 0], state

    return optax.GradientTransformationExtraArgs(init, update)
