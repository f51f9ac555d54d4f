"""The toy regressions of the tutorial, corrected (T2): a line on y = x², and a 1-1-1 ReLU network on it.

Data, start, learning rate, momentum and steps are those of the tutorial's two listings. The tables of faults say
what is wrong in the listings and what is done here instead.

Both costs are means of squared errors, and both have a least value that no descent is needed for. Linear least squares
give that of the line. The network is a constant up to a hinge and a line after it, or before it. Its least cost is that
of least squares on each side where the two meet between the same two examples, else with the hinge on an example.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax

from momentum_jax import heavy_ball, nesterov
from momentum_jax.descent import descend
from momentum_jax.textbook.experiment import Claim, Experiment, Outcome, Surroundings, Table

METHODS = ("gradient descent", "momentum", "Nesterov")
# What the tutorial prints of its network: the first cost, the last cost, and the last w₁, b₁, w₂, b₂.
PRINTED_FIRST, PRINTED_LAST = 1.389, 0.0007
PRINTED_WEIGHTS = (-0.388278, 0.47611492, 0.34317363, 0.13568316)
# The first and the last cost that it prints of its line.
PRINTED_OF_LINE = (0.022, 0.001)
DRAWS = 2000
BOUND = "network: largest squared error at step 0 of any x in [-1, 1]"
OF_DRAWS = {
    "first": f"network: largest cost at step 0 over {DRAWS:,} draws of the data",
    "last": f"network: least cost of the printed last weights over {DRAWS:,} draws of the data",
}


@dataclass(frozen=True)
class Settings:
    """As the listings have them: the points of the line from `low` up to `high`, `examples` of the network from [-1, 1].

    `start` is w₁, b₁, w₂, b₂, of which the line has the first two. `seed` draws the examples, whose seed no source gives.
    """

    learning_rate: float = 0.01
    momentum: float = 0.9
    steps: int = 1000
    printed_every: int = 100
    low: float = -10.0
    high: float = 10.0
    spacing: float = 0.1
    examples: int = 10
    start: tuple[float, float, float, float] = (-0.5, 0.5, -0.5, 0.5)
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Fit:
    """Data and fits of one regression: `x`, `y` (n,), `costs` (steps + 1,) and `fitted` (n,) by method, the `least` cost."""

    x: np.ndarray
    y: np.ndarray
    costs: dict[str, np.ndarray]
    fitted: dict[str, np.ndarray]
    least: float


@dataclass(frozen=True, eq=False)
class Data:
    """The two regressions."""

    line: Fit
    network: Fit


def measure(settings: Settings, surroundings: Surroundings) -> Outcome:
    del surroundings
    points = round((settings.high - settings.low) / settings.spacing)
    x = settings.low + settings.spacing * np.arange(points)
    start = np.array(settings.start)
    line = _fit(settings, _line, x, start[:2], _least_of_line(x))
    random = np.random.default_rng(settings.seed)
    x = np.sort(random.uniform(-1, 1, settings.examples))
    network = _fit(settings, _network, x, start, _least_of_network(x))
    # As the text names them: 0.9 multiplies the gradient.
    rate, momentum = settings.momentum, settings.learning_rate
    swapped, _ = _run(heavy_ball, _line, line.x, start[:2], rate, momentum, settings.steps)
    anywhere, draws = np.linspace(-1, 1, 2001), random.uniform(-1, 1, (DRAWS, settings.examples))
    first, last = (_squared_errors(np.array(weights), draws).mean(axis=1) for weights in (start, PRINTED_WEIGHTS))
    quantities = {
        "line: points": len(line.x),
        "line: cost of zero weights": np.mean(line.y**2),
        "line: least cost of any line": line.least,
        **{
            f"line, {method}: cost at step {settings.steps} above the least": line.costs[method][-1] - line.least
            for method in METHODS
        },
        "line, rate and momentum as named in the text: cost at step 50": swapped[50],
        "network: cost at step 0": network.costs["momentum"][0],
        BOUND: np.max(_squared_errors(start, anywhere)),
        OF_DRAWS["first"]: first.max(),
        OF_DRAWS["last"]: last.min(),
        f"network: median cost of the printed last weights over {DRAWS:,} draws of the data": np.median(last),
        f"network: largest cost of the printed last weights over {DRAWS:,} draws of the data": last.max(),
        **{f"network, {method}: cost at step {settings.steps}": network.costs[method][-1] for method in METHODS},
        "network: least cost": network.least,
    }
    printed = (_printed(name, fit, settings) for name, fit in (("a line", line), ("a 1-1-1 ReLU network", network)))
    return Outcome(quantities, Data(line, network), (*printed, FAULTS))


def _fit(settings: Settings, model: Callable[..., jax.Array], x: np.ndarray, first: np.ndarray, least: float) -> Fit:
    rate, momentum = settings.learning_rate, settings.momentum
    runs = {
        "gradient descent": _run(heavy_ball, model, x, first, rate, 0.0, settings.steps),
        "momentum": _run(heavy_ball, model, x, first, rate, momentum, settings.steps),
        "Nesterov": _run(nesterov, model, x, first, rate, momentum, settings.steps),
    }
    costs = {name: costs for name, (costs, _) in runs.items()}
    return Fit(x, x**2, costs, {name: fitted for name, (_, fitted) in runs.items()}, least)


def _run(
    method: Callable[..., optax.GradientTransformation],
    model: Callable[[jax.Array, jax.Array], jax.Array],
    x: np.ndarray,
    first: np.ndarray,
    learning_rate: float,
    momentum: float,
    steps: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The costs along a descent (steps + 1,), and what its last parameters predict (n,). Momentum 0: gradient descent."""
    with jax.enable_x64(True):
        arrays = map(jnp.asarray, (x, first, learning_rate, momentum))
        costs, fitted = _costs_and_fit(method, model, steps, *arrays)
        return np.asarray(costs), np.asarray(fitted)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _costs_and_fit(
    method: Callable[..., optax.GradientTransformation],
    model: Callable[[jax.Array, jax.Array], jax.Array],
    steps: int,
    x: jax.Array,
    first: jax.Array,
    learning_rate: jax.Array,
    momentum: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    def cost(params: jax.Array) -> jax.Array:
        return jnp.mean((model(params, x) - x**2) ** 2)

    path = descend(cost, method(learning_rate, momentum), first, steps)
    return path.values, model(path.points[-1], x)


def _line(params: jax.Array, x: jax.Array) -> jax.Array:
    return params[0] * x + params[1]


def _network(params: jax.Array, x: jax.Array) -> jax.Array:
    return params[2] * jax.nn.relu(params[0] * x + params[1]) + params[3]


def _least_of_line(x: np.ndarray) -> float:
    return float(_residual(x, x**2))


def _least_of_network(x: np.ndarray) -> float:
    """The least cost over all weights and biases, x (n,) ascending."""
    places = x[:-1, None]
    costs = [*_residual(np.concatenate([np.maximum(x - places, 0), np.maximum(x[::-1][:-1, None] - x, 0)]), x**2)]
    for points in (x, -x[::-1]):
        for flat in range(1, len(x) - 1):
            level = np.mean(points[:flat] ** 2)
            slope, offset = np.polyfit(points[flat:], points[flat:] ** 2, 1)
            if points[flat - 1] <= (level - offset) / slope <= points[flat]:
                fitted = np.where(np.arange(len(x)) < flat, level, slope * points + offset)
                costs.append(np.mean((fitted - points**2) ** 2))
    return float(min(costs))


def _residual(feature: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The mean of squared errors that least squares leave of y (n,) by each feature (..., n) and a constant."""
    feature, y = feature - feature.mean(axis=-1, keepdims=True), y - y.mean()
    return np.mean(y**2) - np.mean(feature * y, axis=-1) ** 2 / np.mean(feature**2, axis=-1)


def _squared_errors(weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Those of the network with these w₁, b₁, w₂, b₂ at every x."""
    w1, b1, w2, b2 = weights
    return (w2 * np.maximum(w1 * x + b1, 0) + b2 - x**2) ** 2


def _printed(name: str, fit: Fit, settings: Settings) -> Table:
    """The cost every so many steps, as the tutorial prints it."""
    steps = range(0, settings.steps + 1, settings.printed_every)
    rows = tuple((f"{step}", *(float(fit.costs[method][step]) for method in METHODS)) for step in steps)
    return Table(f"T2, cost of {name} (least possible: {fit.least:.7g})", ("step", *METHODS), rows)


FAULTS = Table(
    "T2, what is wrong in it",
    ("where", "fault", "here"),
    (
        (
            "text of the method",
            "learning rate and momentum have each other's names: α = 0.9 multiplies the gradient",
            "0.01 and 0.9 the right way round; as named, the cost at step 50 shows what comes of it",
        ),
        ("formula of Nesterov's method", "reduces to no known method", "Nesterov's, the gradient at θ + μ v"),
        ("NumPy listing", "never initialises its velocity", "the velocity begins at 0"),
        ("NumPy listing", "`params +=` on a list makes the list longer", "θ + v"),
        ("NumPy listing", "its gradients are the parameters themselves", "gradients of the cost"),
        ("NumPy listing", "`float(loss)` of an array of 200 numbers cannot run", "the mean of squared errors"),
        ("NumPy listing", "`sgd` is defined and never called", "gradient descent runs beside momentum"),
        (
            "NumPy listing, printed costs",
            "0.022 to 0.001 cannot be: no line on these points costs less than 888.778",
            "costs beside the least possible one",
        ),
        ("TensorFlow listing", "`tf.matmul` of two vectors cannot run", "products of numbers"),
        ("TensorFlow listing", "slots are made for one variable of four", "a velocity for every weight and bias"),
        ("TensorFlow listing", "`grad / (1 - momentum)` stands in the place of a velocity", "v = μ v - η g"),
        ("TensorFlow listing", "uses names that do not exist", "the network is run in JAX"),
        (
            "TensorFlow listing, printed costs",
            "1.389 at step 0 cannot be: with x in [-1, 1] no squared error of its start is above 1",
            "costs beside the least possible one",
        ),
        (
            "TensorFlow listing, printed weights",
            "its last weights do not have the printed cost of 0.0007 on any draw of the data",
            f"their cost over {DRAWS:,} draws",
        ),
    ),
)

_NO_LINE = "least squares leave 888.778 of y = x² on these points, whatever the line"
_START = "with w₁ = -0.5, b₁ = 0.5, w₂ = -0.5, b₂ = 0.5 the network is (1 + x) / 4, so that no squared error is above 1"

EXPERIMENT = Experiment(
    name="toy-regressions",
    title="A line and a 1-1-1 ReLU network on y = x²: the tutorial's costs, corrected",
    reproduces=("T2 NumPy listing", "T2 TensorFlow listing"),
    claims=(
        Claim("line: points", 200, 0, "T2, NumPy listing: arange(-10, 10, 0.1)"),
        Claim("line: cost of zero weights", 2000.333, 5e-4, "closed form, mean of x⁴"),
        Claim("line: least cost of any line", 888.778, 5e-4, "linear least squares"),
        Claim(
            "line: least cost of any line",
            PRINTED_OF_LINE[0],
            0,
            "T2, NumPy listing, first printed cost",
            "at most",
            known_fault=_NO_LINE,
        ),
        Claim(
            "line: least cost of any line",
            PRINTED_OF_LINE[1],
            0,
            "T2, NumPy listing, last printed cost",
            "at most",
            known_fault=_NO_LINE,
        ),
        Claim("line, gradient descent: cost at step 1000 above the least", 0.0, 1e-4, "linear least squares, for T2"),
        Claim("line, momentum: cost at step 1000 above the least", 0.0, 1e-9, "linear least squares, for T2"),
        Claim("line, Nesterov: cost at step 1000 above the least", 0.0, 1e-9, "linear least squares, for T2"),
        Claim(
            "line, rate and momentum as named in the text: cost at step 50",
            1e6,
            0,
            "beyond 2 (1 + μ) / L descents grow, for T2's text",
            relation="at least",
        ),
        Claim(
            "network: cost at step 0",
            PRINTED_FIRST,
            5e-4,
            "T2, TensorFlow listing, printed cost at step 0",
            known_fault=_START,
        ),
        Claim(BOUND, 1.0, 1e-12, "closed form, for T2: (x² - (1 + x) / 4)² at x = -1"),
        Claim(OF_DRAWS["first"], PRINTED_FIRST, 0, "T2, TensorFlow listing, cost at step 0", "at least", known_fault=_START),
        Claim(
            OF_DRAWS["last"],
            PRINTED_LAST,
            5e-5,
            "T2, TensorFlow listing, printed last weights and cost",
            "at most",
            known_fault="on no draw of ten examples do the printed weights cost as little",
        ),
    ),
    full=Settings(),
    quick=Settings(),
    measure=measure,
    duration="3 s",
)
