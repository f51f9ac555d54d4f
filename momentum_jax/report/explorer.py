"""The explorer: one page with sliders that shows what a learning rate and a momentum do on a quadratic.

It holds no method's equation. What it computes with are matrices that `theory.linearize` read from the optimizers' own
updates, as polynomials in the hyperparameters; the page's script knows linear algebra alone.
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import momentum_jax
from momentum_jax._files import atomic
from momentum_jax.optimizers.gradient_descent import gradient_descent
from momentum_jax.optimizers.heavy_ball import heavy_ball
from momentum_jax.optimizers.nesterov import nesterov
from momentum_jax.optimizers.quasi_hyperbolic_momentum import quasi_hyperbolic_momentum
from momentum_jax.report.setting import asset, embedded
from momentum_jax.theory.polynomials import Polynomials, fitted

# Steps of a path, and of an impulse response.
STEPS, SHARES = 60, 40


class Method(NamedTuple):
    """A method of the page.

    Attributes:
      style: the number of its colour and dashes.
      hyperparameters: those of `RANGES` that it has.
      matched: its learning rate is the one that gives it the first method's effective learning rate.
    """

    name: str
    short: str
    style: int
    constructor: Callable[..., Any]
    hyperparameters: tuple[str, ...]
    matched: bool = False


class Knob(NamedTuple):
    """A hyperparameter, or the curvature ratio, and its slider; `log`: the slider goes by powers of ten."""

    key: str
    name: str
    letter: str
    low: float
    high: float
    step: float
    log: bool = False


class Preset(NamedTuple):
    """Values that show one thing, and what they show."""

    name: str
    lesson: str
    learning_rate: float
    momentum: float
    kappa: float
    nu: float = 0.7


METHODS = (
    Method("Heavy ball", "heavy ball", 1, heavy_ball, ("learning_rate", "momentum")),
    Method("Nesterov", "Nesterov", 2, nesterov, ("learning_rate", "momentum")),
    Method(
        "Quasi-hyperbolic",
        "quasi-hyperbolic momentum",
        5,
        quasi_hyperbolic_momentum,
        ("learning_rate", "momentum", "nu"),
        matched=True,
    ),
    Method("Gradient descent", "gradient descent", 3, gradient_descent, ("learning_rate",), matched=True),
)
# Where the optimizers are read. The polynomials hold beyond, wherever a constructor takes the values.
RANGES = {"learning_rate": (0.0, 4.0), "momentum": (0.0, 1.0), "nu": (0.0, 1.0)}
KNOBS = (
    Knob("learning_rate", "Learning rate", "η", 0.01, 4.0, 0.01, log=True),
    Knob("momentum", "Momentum", "μ", 0.0, 0.99, 0.01),
    Knob("kappa", "Curvature ratio", "κ", 1.0, 1000.0, 0.02, log=True),
    Knob("nu", "QHM share", "ν", 0.0, 1.0, 0.01),
)
HEADINGS = (
    "learning rate",
    "effective learning rate",
    "limit",
    "rate across",
    "rate along",
    "steps for a factor of 10",
    "noise ratio across",
    "noise ratio along",
)
_LETTERS = {"learning_rate": "η", "momentum": "μ", "nu": "ν", "params": "θ", "velocity": "v", "average": "m"}


def presets() -> tuple[Preset, ...]:
    """The steep direction has curvature 1, the gentle one m = 1 / kappa."""
    kappa = 25.0
    m, root = 1 / kappa, math.sqrt(1 / kappa)
    return (
        Preset(
            "Everyday",
            "A usual pair. In the long run all four take the same step, ten times the learning rate.",
            0.1,
            0.9,
            kappa,
        ),
        Preset(
            "No momentum",
            "All four are gradient descent with its best learning rate: both directions shrink at (κ − 1)/(κ + 1).",
            2 / (1 + m),
            0.0,
            kappa,
        ),
        Preset(
            "Polyak's best pair",
            "Both directions shrink at (√κ − 1)/(√κ + 1), heavy ball's best. Gradient descent with that step diverges.",
            4 / (1 + root) ** 2,
            ((1 - root) / (1 + root)) ** 2,
            kappa,
        ),
        Preset(
            "Critical damping",
            "Heavy ball's two roots of the gentle direction meet. Less momentum is slower there, more makes it swing.",
            1.0,
            (1 - root) ** 2,
            kappa,
        ),
        Preset(
            "Too much momentum",
            "Heavy ball's roots lie near the circle: it swings past the minimum for a long time.",
            0.1,
            0.98,
            kappa,
        ),
        Preset(
            "Noise averaged",
            "With the same effective step, momentum ends with less noise in the steep direction than gradient descent.",
            0.15,
            0.9,
            kappa,
        ),
        Preset(
            "Heavy ball alone holds",
            "The other limits are lower, Nesterov's too, though it has the same two numbers. Only heavy ball converges here.",
            1.7,
            0.9,
            kappa,
        ),
        Preset(
            "Over the edge",
            "The learning rate is beyond heavy ball's limit 2(1 + μ): the steep direction swings wider with every step.",
            3.1,
            0.5,
            kappa,
        ),
    )


def write(path: Path) -> None:
    """Writes the page, in place of a file that is there.

    Raises:
      OSError: `path` is a directory, or its directory is missing or cannot be written to.
    """
    # Before the work, and with the name that the user gave.
    for is_wrong, code in ((path.is_dir(), errno.EISDIR), (not path.parent.is_dir(), errno.ENOENT)):
        if is_wrong:
            raise OSError(code, os.strerror(code), str(path))
    text = html()
    with atomic(path) as file:
        file.write(text.encode())


def html() -> str:
    """The page: one file that asks nobody for anything."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    from momentum_jax.figures import page

    loader = PackageLoader("momentum_jax.report", package_path="")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals |= {"key": page.key, "position": _position}
    read, shown = polynomials(), presets()
    data = {
        "methods": [
            {**read[method.name].to_dict(), "name": method.name, "short": method.short, "matched": method.matched}
            for method in METHODS
        ],
        "knobs": [knob._asdict() for knob in KNOBS],
        "presets": [preset._asdict() for preset in shown],
        "steps": STEPS,
        "shares": SHARES,
    }
    return (
        environment.get_template("explorer.html.jinja").render(
            methods=METHODS,
            knobs=KNOBS,
            presets=shown,
            headings=HEADINGS,
            equations={method.name: equations(read[method.name]) for method in METHODS},
            version=momentum_jax.__version__,
            style=Markup(asset("page.css", "explorer.css")),
            script=Markup(asset("algebra.js", "explorer.js", "theme.js")),
            data=Markup(embedded(data)),
        )
        + "\n"
    )


def polynomials() -> dict[str, Polynomials]:
    """What `linearize` read of each method, by its name."""
    return {
        method.name: fitted(method.constructor, {name: RANGES[name] for name in method.hyperparameters}) for method in METHODS
    }


def equations(read: Polynomials) -> list[str]:
    """The method's rows as they were read, as θ' = θ + μ v − η g; last how the iterate is read where it is not θ."""
    rows = []
    letters = [_LETTERS.get(name, name) for name in read.names]
    for i, letter in enumerate(letters):
        terms = [*zip(np.moveaxis(read.F[:, i], 1, 0), letters, strict=True), (read.b[:, i], "g")]
        rows.append(f"{letter}' = {_sum(read, terms)}")
    iterate = _sum(read, [(read.readout[:, i], f"{letter}'") for i, letter in enumerate(letters)])
    return rows if iterate == f"{letters[0]}'" else [*rows, f"iterate = {iterate}"]


def _sum(read: Polynomials, terms: Sequence[tuple[np.ndarray, str]]) -> str:
    """Of coefficients (terms,) times letters."""
    said = ""
    for coefficients, letter in terms:
        used = np.flatnonzero(coefficients).tolist()
        if not used:
            continue
        sign = -1 if coefficients[used[0]] < 0 else 1
        inner = "".join(
            f" {'−' if sign * coefficients[k] < 0 else '+'} {_product(read, k, abs(coefficients[k]))}" for k in used
        ).removeprefix(" + ")
        factor = f"({inner}) " if len(used) > 1 else "" if inner == "1" else f"{inner} "
        said += f" {'−' if sign < 0 else '+'} {factor}{letter}"
    return said.removeprefix(" + ") or "0"


def _product(read: Polynomials, term: int, size: float) -> str:
    powers = zip(read.hyperparameters, read.exponents[term], strict=True)
    letters = [_LETTERS.get(name, name) + {1: "", 2: "²", 3: "³"}[int(e)] for name, e in powers if e]
    return " ".join(letters if letters and size == 1 else [f"{size:g}", *letters])


def _position(knob: Knob, value: float) -> float:
    """Where a slider stands: a power of ten, or the value itself."""
    return round(math.log10(value) if knob.log else value, 4)
