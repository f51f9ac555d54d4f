"""What the tests of the normalised methods and the wrappers share: a tree that has a matrix, any optimizer walked over it."""

from typing import Any

import jax
import numpy as np
import optax
from oracles import Gradient

import momentum_jax as mj


def tree(x: np.ndarray) -> dict[str, np.ndarray]:
    """The peers' tree: a matrix (3, 4) and a vector (5,)."""
    return {"w": x[:12].reshape(3, 4), "b": x[12:]}


def flat(t: Any) -> np.ndarray:
    return np.concatenate([np.asarray(t["w"]).ravel(), np.asarray(t["b"])])


def walk(optimizer: Any, gradient: Gradient, start: np.ndarray, steps: int = 50, **extra_args: Any) -> tuple[np.ndarray, Any]:
    """(steps + 1, 17), the held parameters, and the last state; `extra_args` are functions of the step."""
    update = jax.jit(optimizer.update, static_argnames=("grad_fn",))
    held, state = [start], optimizer.init(tree(start))
    for t in range(steps):
        extra = {name: argument(t) for name, argument in extra_args.items()}
        updates, state = update(tree(gradient(t, held[-1])), state, tree(held[-1]), **extra)
        held.append(held[-1] + flat(updates))
    return np.array(held), state


def lars(learning_rate: Any, **more: Any) -> optax.GradientTransformation:
    return mj.lars(learning_rate, 0.9, **{"weight_decay": 0.01, "trust_coefficient": 0.02, "eps": 0, **more})


def rate(t: Any) -> Any:
    return 0.05 / (1 + 0.1 * t)


def decay(t: Any) -> Any:
    return 0.5 + 0.4 * t / 50


def polynomial_of_singular_values(u: np.ndarray, steps: int, eps: float) -> np.ndarray:
    """Newton-Schulz acts on the singular values alone, each by s -> a s + b s^3 + c s^5."""
    left, s, right = np.linalg.svd(u, full_matrices=False)
    s = s / (np.linalg.norm(u) + eps)
    for _ in range(steps):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return left @ np.diag(s) @ right
