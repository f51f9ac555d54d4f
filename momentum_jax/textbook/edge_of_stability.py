"""The edge of stability: full-batch training raises the sharpness to the optimizer's own stability limit, and no further.

Cohen et al. (2021) found it for gradient descent and two forms of momentum, with limits that they derived by hand. Here the
limit is that of the optimizer's own code (`theory.stability_limit`). The sharpness is the largest eigenvalue of the Hessian of
the loss on all training examples. The problem is small: centred digits, a tanh network, half the squared error.

Every method is trained at the learning rates whose limits are `limits`. All set-ups are reported. Some come to the edge and
stay, some fall back from it, some stay below within the budget, and some diverge.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from momentum_jax import aggregated_momentum, data, gradient_descent, heavy_ball, nesterov, quasi_hyperbolic_momentum, theory
from momentum_jax.curvature import extreme_eigenvalues
from momentum_jax.textbook.experiment import Claim, Experiment, Outcome, Surroundings, Table

METHODS: Mapping[str, Callable[[Any], Any]] = {
    "gradient descent": gradient_descent,
    "heavy ball 0.9": functools.partial(heavy_ball, momentum=0.9),
    "Nesterov 0.9": functools.partial(nesterov, momentum=0.9),
    "quasi-hyperbolic 0.9, 0.7": functools.partial(quasi_hyperbolic_momentum, momentum=0.9, nu=0.7),
    "aggregated 0, 0.9, 0.99": functools.partial(aggregated_momentum, momenta=(0.0, 0.9, 0.99)),
}
# Of sharpness over limit: from here on a run touches the edge.
EDGE = 0.97


@dataclass(frozen=True)
class Settings:
    """Limits that the learning rates are chosen for, the network and the budget, and how often sharpness is measured."""

    limits: tuple[float, ...] = (5.0, 7.0, 10.0, 16.0)
    hidden: tuple[int, ...] = (32, 32)
    examples: int = 500
    steps: int = 6000
    measurements: int = 60
    products: int = 30
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Trained:
    """One set-up: (measurements,) each, as far as the run stayed finite; `steps` are those at which it was measured."""

    method: str
    limit: float
    learning_rate: float
    steps: np.ndarray
    ratios: np.ndarray
    losses: np.ndarray
    diverged: bool

    @property
    def edge(self) -> int | None:
        """The first measurement at which it touches the edge; None: there is none, or it diverged."""
        found = np.flatnonzero(self.ratios >= EDGE)
        return int(found[0]) if found.size and not self.diverged else None

    @property
    def since(self) -> float:
        """The median of sharpness over limit from then on; NaN for a run that does not touch the edge."""
        return math.nan if self.edge is None else float(np.median(self.ratios[self.edge :]))

    @property
    def stays(self) -> bool:
        return self.since >= EDGE

    @property
    def said(self) -> str:
        if self.diverged:
            return "diverged"
        if self.edge is None:
            return "stays below"
        step = self.steps[self.edge]
        return f"from step {step}" if self.stays else f"touches it at step {step}, falls back"


@dataclass(frozen=True, eq=False)
class Data:
    """All set-ups, in the order of `METHODS` and then of the limits."""

    trained: tuple[Trained, ...]


def measure(settings: Settings, surroundings: Surroundings) -> Outcome:
    loss, params = _problem(settings, surroundings)
    trained = tuple(found for method in METHODS for found in _train(settings, method, loss, params))
    touching = [each for each in trained if each.edge is not None]
    staying = [each for each in touching if each.stays]
    quantities: dict[str, object] = {
        _MEDIAN: max((each.since for each in staying), default=math.nan),
        _STAYING: len(staying) / len(touching) if touching else math.nan,
        _METHODS: len({each.method for each in staying}),
        "set-ups at the edge": len(staying),
        "set-ups": len(trained),
        "set-ups that diverged": sum(each.diverged for each in trained),
    }
    rows = tuple(
        (
            each.method,
            each.limit,
            each.learning_rate,
            each.said,
            each.since if each.edge is not None else "",
            float(each.ratios[-1]) if each.ratios.size else "",
            float(each.losses[-1]) if each.losses.size else "",
        )
        for each in trained
    )
    return Outcome(quantities, Data(trained), (Table("Every set-up that was tried", _COLUMNS, rows),))


def _problem(settings: Settings, surroundings: Surroundings) -> tuple[Callable[[Any], jax.Array], Any]:
    """The loss on all examples, and where training begins."""
    digits = data.load("digits", directory=surroundings.data_directory)
    chosen = digits.split(settings.seed).train[: settings.examples]
    images = jnp.asarray(digits.images[chosen] / digits.scale, jnp.float32).reshape(len(chosen), -1)
    # Positive pixels alone would give the first layer a sharp direction of their own.
    images = images - images.mean(0)
    targets = jax.nn.one_hot(jnp.asarray(digits.labels[chosen], int), 10)
    widths = (images.shape[1], *settings.hidden, 10)
    keys = jax.random.split(jax.random.key(settings.seed), len(widths) - 1)
    layers = zip(keys, widths[:-1], widths[1:], strict=True)
    params = [(jax.random.normal(key, (before, after)) / math.sqrt(before), jnp.zeros(after)) for key, before, after in layers]

    def loss(params: Any, _: Any = None) -> jax.Array:
        signal = images
        for weights, biases in params[:-1]:
            signal = jnp.tanh(signal @ weights + biases)
        weights, biases = params[-1]
        return jnp.mean(jnp.sum((signal @ weights + biases - targets) ** 2, -1)) / 2

    return loss, params


def _train(settings: Settings, method: str, loss: Callable[..., jax.Array], params: Any) -> Sequence[Trained]:
    every = settings.steps // settings.measurements
    # The limit of a linear method is inversely proportional to its learning rate.
    unit = theory.stability_limit(METHODS[method](1.0))

    @jax.jit
    def some_steps(rate: jax.Array, params: Any, state: Any) -> Any:
        optimizer = METHODS[method](rate)

        def step(carry: Any, _: None) -> Any:
            params, state = carry
            value, gradients = jax.value_and_grad(loss)(params)
            updates, state = optimizer.update(gradients, state, params)
            return (jax.tree.map(jnp.add, params, updates), state), value

        (params, state), values = jax.lax.scan(step, (params, state), None, length=every)
        return params, state, values[-1]

    found = []
    for limit in settings.limits:
        rate = jnp.float32(unit / limit)
        here, state = params, METHODS[method](rate).init(params)
        ratios, losses = [], []
        for _ in range(settings.measurements):
            here, state, value = some_steps(rate, here, state)
            if not math.isfinite(float(value)):
                break
            ends = extreme_eigenvalues(loss, here, None, iterations=settings.products, key=jax.random.key(settings.seed))
            ratios.append(float(ends.largest[0]) / limit)
            losses.append(float(value))
        steps = every * np.arange(1, len(ratios) + 1)
        is_lost = len(ratios) < settings.measurements
        found.append(Trained(method, limit, float(rate), steps, np.array(ratios), np.array(losses), is_lost))
    return found


_COLUMNS = ("method", "stability limit", "learning rate", "edge", "median ratio since", "last ratio", "last loss")
_MEDIAN = "sharpness over limit at the edge: highest median of a set-up"
_STAYING = "share of the set-ups that touch the edge and stay there"
_METHODS = "methods with a set-up at the edge"
_SOURCE = "J. Cohen, S. Kaur, Y. Li, J. Z. Kolter and A. Talwalkar (2021), ICLR, arXiv:2103.00065: at or just above the limit"

EXPERIMENT = Experiment(
    name="edge-of-stability",
    title="Full-batch training: sharpness over the stability limit of each optimizer's own code",
    reproduces=(),
    claims=(
        Claim(_MEDIAN, 1, 0.1, _SOURCE, relation="at most"),
        Claim(_STAYING, 0.8, 0, _SOURCE, relation="at least", full_only=True),
        Claim(_METHODS, 4, 0, "four of the five methods or all", relation="at least", full_only=True),
    ),
    full=Settings(),
    quick=Settings(limits=(7.0,), steps=1200, measurements=12),
    measure=measure,
    duration="1 min, quick 10 s",
    datasets=("digits",),
)
