"""Conventions as their methods: a few lines of NumPy each, in their own letters, and schedules to run them under."""

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from oracles import Problems, assert_same_path, descend

from momentum_jax.conventions import (
    EMA,
    PID,
    QHM,
    AcceleratedSGD,
    AggMo,
    Convention,
    EMANesterov,
    Grokfast,
    HeavyBall,
    Keras,
    Nesterov,
    Optax,
    PyTorch,
    ReformulatedNesterov,
    TripleMomentum,
    build,
    convert,
)

STEPS = 50
BOTH = {"momentum_both": False, "nesterov_both": True}


def rate(t: Any) -> Any:
    return jnp.where(t < 20, 0.05, jnp.where(t < 35, 0.005, 0.02))


def momentum(t: Any) -> Any:
    return jnp.where(t < 15, 0.9, jnp.where(t < 30, 0.6, 0.8))


def warm_up(t: Any) -> Any:
    return jnp.minimum(t / 5, 1.0) * 0.05


def share(t: Any) -> Any:
    return 0.4 + 0.3 * jnp.cos(jnp.asarray(t, float) / 7)  # an int32 step divided would be float32


def at(value: Any, t: int) -> float:
    return float(table(value)[t] if callable(value) else value)


@functools.cache
def table(schedule: Any) -> np.ndarray:
    """Its values at all steps, and at the step that a look-ahead reads beyond them."""
    # Op by op: the few programs of the ops serve all schedules.
    return np.asarray(jax.vmap(lambda t: jnp.broadcast_to(schedule(t), ()))(jnp.arange(STEPS + 2)))


def sgd(h: Any, x: np.ndarray) -> Iterator[np.ndarray]:
    """torch.optim.SGD and optax.sgd."""
    b = None
    for t in itertools.count():
        eta, mu = at(getattr(h, "lr", None) or h.learning_rate, t), at(h.momentum, t)
        g = yield x
        b = g if b is None else mu * b + (1 - at(getattr(h, "dampening", 0.0), t) * (mu != 0)) * g
        x = x - eta * (g + mu * b if h.nesterov else b)


def keras(h: Any, x: np.ndarray) -> Iterator[np.ndarray]:
    v = 0.0
    for t in itertools.count():
        eta, mu = at(h.learning_rate, t), at(h.momentum, t)
        g = yield x
        v = mu * v - eta * g
        x = x + (mu * v - eta * g if getattr(h, "nesterov", isinstance(h, ReformulatedNesterov)) else v)


def look_ahead(h: Any, theta: np.ndarray) -> Iterator[np.ndarray]:
    v = 0.0
    for t in itertools.count():
        g = yield theta + at(h.momentum, t) * v
        v = at(h.momentum, t) * v - at(h.learning_rate, t) * g
        theta = theta + v


def mixture(h: Any, x: np.ndarray) -> Iterator[np.ndarray]:
    """EMA and QHM."""
    m = 0.0
    for t in itertools.count():
        b, nu = at(h.momentum, t), at(getattr(h, "nu", 1.0), t)
        g = yield x
        m = b * m + (1 - b) * g
        x = x - at(h.learning_rate, t) * ((1 - nu) * g + nu * m)


def accelerated_sgd(h: Any, x: np.ndarray) -> Iterator[np.ndarray]:
    """As in the authors' code: two sequences, a long and a short step."""
    buf = x
    for t in itertools.count():
        eta, kappa, xi, c = (at(v, t) for v in (h.learning_rate, h.kappa, h.xi, h.small_const))
        large, alpha = eta * kappa / c, 1 - c * c * xi / kappa
        beta = 1 - alpha
        zeta = c / (c + beta)
        g = yield x
        buf = (1 / beta - 1) * buf + x - large * g
        buf = buf * beta
        x = zeta * (x - eta * g) + (1 - zeta) * buf


def triple_momentum(h: Any, xi: np.ndarray) -> Iterator[np.ndarray]:
    previous = xi
    for t in itertools.count():
        g = yield xi + at(h.gamma, t) * (xi - previous)
        xi, previous = xi + at(h.beta, t) * (xi - previous) - at(h.alpha, t) * g, xi


def pid(h: Any, x: np.ndarray, starts_at_zero: bool = False) -> Iterator[np.ndarray]:
    """`starts_at_zero`: the gradient before the first counts as 0, as it does in the transfer function."""
    integral = derivative = 0.0
    previous = 0.0 if starts_at_zero else None
    for t in itertools.count():
        mu = at(h.momentum, t)
        g = yield x
        integral = mu * integral + g
        derivative = mu * derivative + (1 - mu) * (g - (g if previous is None else previous))
        previous = g
        x = x - at(h.learning_rate, t) * (g + at(h.integral, t) * integral + at(h.derivative, t) * derivative)


def grokfast(h: Any, x: np.ndarray, starts_at_zero: bool = False) -> Iterator[np.ndarray]:
    slow = 0.0 if starts_at_zero else None
    for t in itertools.count():
        a = at(h.alpha, t)
        g = yield x
        slow = a * (g if slow is None else slow) + (1 - a) * g
        x = x - at(h.learning_rate, t) * (g + at(h.lamb, t) * slow)


def ema_nesterov(h: Any, theta: np.ndarray) -> Iterator[np.ndarray]:
    m = 0.0
    for t in itertools.count():
        y = theta + at(h.beta, t) * m
        g = yield y
        new = y - at(h.learning_rate, t) * g
        m = at(h.gamma, t) * m + (1 - at(h.gamma, t)) * (new - theta)
        theta = new


def aggmo(h: Any, x: np.ndarray) -> Iterator[np.ndarray]:
    velocities = [0.0, 0.0]
    for t in itertools.count():
        g = yield x
        velocities = [b * v + g for b, v in zip((0.0, at(h.momentum, t)), velocities, strict=True)]
        x = x - at(h.learning_rate, t) / 2 * sum(velocities)


METHODS: dict[type[Convention], Callable[..., Any]] = {
    PyTorch: sgd,
    Optax: sgd,
    Keras: keras,
    HeavyBall: keras,
    ReformulatedNesterov: keras,
    Nesterov: look_ahead,
    EMA: mixture,
    QHM: mixture,
    AcceleratedSGD: accelerated_sgd,
    TripleMomentum: triple_momentum,
    PID: pid,
    Grokfast: grokfast,
    EMANesterov: ema_nesterov,
    AggMo: aggmo,
}


def path(h: Convention, problem: Problems, steps: int = STEPS, first: float = 1.0, **options: Any) -> np.ndarray:
    """Where the method takes its gradients; the first gradient is multiplied by `first`."""
    method = METHODS[type(h)](h, problem.theta0, **options)
    points = [next(method)]
    for t in range(steps):
        g = problem.bent(t, points[-1])
        points.append(method.send(g * first if t == 0 else g))
    return np.array(points)


def library(h: Convention) -> optax.GradientTransformation | None:
    """This library's optimizer, where it begins as the convention says: PID's derivative and Grokfast's average begin apart."""
    return None if isinstance(h, PID | Grokfast) else build(h)


def tabulated(h: Convention) -> Convention:
    """With each schedule as the table of its values, which takes less to compile."""
    values = {name: _looked_up(v) if callable(v) else v for name, v in h.hyperparameters().items()}
    return type(h)(**values)


def _looked_up(schedule: Any) -> Any:
    values = table(schedule)
    return lambda t: jnp.asarray(values)[t]


def exact(h: Convention, target: type[Convention]) -> Convention | None:
    try:
        return convert(h, to=target, steps=STEPS)
    except ValueError:
        return None


def show(h: Any) -> str:
    if isinstance(h, set):
        return f"{len(h)} forms"
    return h.__name__ if isinstance(h, type) else str(h)[:60]


def path_on_seq(h: Convention, problem: Problems) -> np.ndarray:
    method = METHODS[type(h)](h, problem.theta0)
    return np.array([next(method)] + [method.send(problem.seq(k, None)) for k in range(STEPS)])


def assert_goes_along(optimizer: Any, arrays: dict[str, np.ndarray], name: str, problem: Problems) -> None:
    assert_same_path(descend(optimizer, problem.quad, problem.theta0, STEPS).held, arrays[f"{name}/quad"])
    assert_same_path(descend(optimizer, problem.seq, problem.theta0, STEPS).held, arrays[f"{name}/seq"])
