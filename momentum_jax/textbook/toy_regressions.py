"""The toy regressions of the tutorial, corrected (T2): a line on y = x², and a 1-1-1 ReLU network on it.

What is wrong in the tutorial, and what is done here instead, is the table `FAULTS`. The first weights of its network are not
known: here both begin at 0.1 and the biases at 0.

Both costs are means of squared errors, and have least values that need no descent: of the line by linear least squares, of the
network, which is a constant up to a hinge and a line after it (or before), by least squares for every place of the hinge.
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
PRINTED_AT_0 = 1.389
BOUND = "network: largest cost at step 0, any data in [-1, 1], first weights of any product in [0, 2]"
FIRST_WEIGHT = 0.1


@dataclass(frozen=True)
class Settings:
    """As the tutorial has them; `examples` is the size of the network's data, drawn uniformly from [-1, 1]."""

    learning_rate: float = 0.01
    momentum: float = 0.9
    steps: int = 1000
    printed_every: int = 100
    examples: int = 100
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
    x = np.arange(-10.0, 10.0)
    line = _fit(settings, _line, x, np.zeros(2), _least_of_line(x))
    x = np.sort(np.random.default_rng(settings.seed).uniform(-1, 1, settings.examples))
    first = np.array([FIRST_WEIGHT, 0.0, FIRST_WEIGHT, 0.0])
    network = _fit(settings, _network, x, first, _least_of_network(x))
    # As the text names them: 0.9 multiplies the gradient.
    rate, momentum = settings.momentum, settings.learning_rate
    swapped, _ = _run(heavy_ball, _line, line.x, np.zeros(2), rate, momentum, settings.steps)
    quantities = {
        "line: cost at step 0": line.costs["momentum"][0],
        **{
            f"line, {method}: cost at step {settings.steps} above the least": line.costs[method][-1] - line.least
            for method in METHODS
        },
        "line, rate and momentum as named in the text: cost at step 50": swapped[50],
        "network: cost at step 0": network.costs["momentum"][0],
        BOUND: _largest_first_cost(),
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
    """The least cost over hinges, in both directions, their places on a grid over the ascending x."""
    hinges = np.linspace(x[1], x[-2], 401)[:, None]
    shapes = np.concatenate([np.maximum(x - hinges, 0), np.maximum(hinges - x, 0)])
    return float(np.min(_residual(shapes, x**2)))


def _residual(feature: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The mean of squared errors that least squares leave of y (n,) by each feature (..., n) and a constant."""
    feature, y = feature - feature.mean(axis=-1, keepdims=True), y - y.mean()
    return np.mean(y**2) - np.mean(feature * y, axis=-1) ** 2 / np.mean(feature**2, axis=-1)


def _largest_first_cost() -> float:
    """The largest squared error of first weights w₁, w₂ with 0 ≤ w₁ w₂ ≤ 2: no mean of squared errors is above it."""
    x = np.linspace(-1, 1, 2001)
    products = np.linspace(0, 2, 401)[:, None]
    return float(np.max((products * np.maximum(x, 0) - x**2) ** 2))


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
        ("class in NumPy", "never initialises its velocity", "the velocity begins at 0"),
        ("class in TensorFlow", "cannot run", "left out: the network is run in JAX"),
        (
            "printed costs of the network",
            "1.389 at step 0 cannot be: with x in [-1, 1] no cost is above 1",
            "costs beside the least possible one",
        ),
    ),
)

EXPERIMENT = Experiment(
    name="toy-regressions",
    title="A line and a 1-1-1 ReLU network on y = x²: the tutorial's costs, corrected",
    reproduces=("T2 linear regression", "T2 network"),
    claims=(
        Claim("line: cost at step 0", float(np.mean(np.arange(-10.0, 10.0) ** 4)), 1e-9, "closed form, mean of x⁴"),
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
            PRINTED_AT_0,
            5e-4,
            "T2, printed cost at step 0",
            known_fault="targets x² are in [0, 1] and the first predictions next to 0, so that no squared error is above 1, "
            "whatever x in [-1, 1] were drawn; nor is it with larger weights, up to a product of 2",
        ),
        Claim(BOUND, 1.0, 1e-12, "bound, for T2: of any x in [-1, 1]"),
    ),
    full=Settings(),
    quick=Settings(),
    measure=measure,
    duration="3 s",
)
