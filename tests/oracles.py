"""What the oracle tests share: test problems, any optimizer driven down them in float64, closed forms, peers' trajectories.

Gradients and parameters pass through NumPy in float64, so an oracle is a few lines of NumPy; only the optimizer's update is
JAX. Call these inside `jax.enable_x64(True)`.
"""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

import momentum_jax as mj

Gradient = Callable[[int, np.ndarray], np.ndarray]
Value = Callable[[int, np.ndarray], float]

FILES = Path(__file__).parent / "optimizers" / "trajectories"


class Descent(NamedTuple):
    """What a run went through.

    Attributes:
      held: (steps + 1, n), the parameters that the user holds; the gradient of step t is taken at row t.
      states: the optimizer's state before each step and after the last.
      cut: where the vector was split into leaves, if it was.
    """

    held: np.ndarray
    states: list[Any]
    cut: int | None = None

    @property
    def read(self) -> np.ndarray:
        """(steps + 1, n), `evaluation_params` of each row, of all of them at once."""
        states = jax.tree.map(lambda *leaves: np.stack(leaves), *self.states)
        of_rows = jax.vmap(lambda x, state: mj.evaluation_params(split(x, self.cut), state))(self.held, states)
        return np.concatenate([np.asarray(of_rows[name]) for name in ("w", "b") if name in of_rows], axis=1)


def descend(
    optimizer: optax.GradientTransformation,
    gradient: Gradient,
    start: np.ndarray,
    steps: int,
    state: Any = None,
    value: Value | None = None,
    cut: int | None = None,
) -> Descent:
    """Run `optimizer` from `start` (n,) for `steps` steps, from its initial state or from `state`.

    `value` is handed to the update if given; `cut` is where the vector is split into two leaves, for methods that tell leaves
    apart or have numbers of the whole tree. The others have one leaf, which halves what XLA has to compile.
    """
    update = jax.jit(optimizer.update)
    held = [np.asarray(start, np.float64)]
    states = [optimizer.init(split(held[0], cut)) if state is None else state]
    for t in range(steps):
        extra = {} if value is None else {"value": value(t, held[-1])}
        updates, new_state = update(split(gradient(t, held[-1]), cut), states[-1], split(held[-1], cut), **extra)
        held.append(held[-1] + join(updates))
        states.append(new_state)
    return Descent(np.array(held), states, cut)


def split(x: np.ndarray, cut: int | None = None) -> dict[str, np.ndarray]:
    """A vector as a tree of one leaf, or of two, which JAX visits in the other order than they have in the vector."""
    return {"w": x} if cut is None else {"w": x[:cut], "b": x[cut:]}


def join(tree: Any) -> np.ndarray:
    return np.concatenate([np.asarray(tree[name]) for name in ("w", "b") if name in tree])


class Problems(NamedTuple):
    """The two problems of the peers' trajectories: a quadratic with curvatures from 0.1 to 10, and 50 fixed gradients."""

    theta0: np.ndarray
    H: np.ndarray
    center: np.ndarray
    gseq: np.ndarray

    def quad(self, t: int, x: np.ndarray) -> np.ndarray:
        del t
        return self.H @ (x - self.center)

    def seq(self, t: int, x: np.ndarray) -> np.ndarray:
        del x
        return self.gseq[t]

    def bent(self, t: int, x: np.ndarray) -> np.ndarray:
        """Gradient of the quadratic plus sum log cosh x: convex, curvatures up to 11, not linear."""
        return self.quad(t, x) + np.tanh(x)


def problems() -> Problems:
    with np.load(FILES / "problems.npz", allow_pickle=False) as file:
        return Problems(**{name: file[name] for name in Problems._fields})


@functools.cache
def peer_file(peer: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(about, arrays) of one peer's trajectories; about names the peer, its version and the hyperparameters of each."""
    with np.load(FILES / f"{peer}.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return json.loads(arrays.pop("about").item()), arrays


def discounted_sums(decays: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Row t: sum over i <= t of values[i] times the product of decays[i+1 .. t]; decays (steps,), values (steps, ...)."""
    weights = np.eye(len(decays))
    for t in range(1, len(decays)):
        weights[t, :t] = decays[t] * weights[t - 1, :t]
    return np.tensordot(weights, values, axes=1)


def averages(decays: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Row t of an exponential moving average that starts at 0, as the sum of what each value still weighs."""
    return discounted_sums(decays, _by_row(1 - decays, values) * values)


def weighted_means(decays: np.ndarray, values: np.ndarray) -> np.ndarray:
    """`averages` divided by the sum of its weights, which is what a bias correction has to achieve."""
    total = averages(decays, np.ones(len(decays)))
    return averages(decays, values) / _by_row(total, values)


def _by_row(factors: np.ndarray, values: np.ndarray) -> np.ndarray:
    return factors.reshape(-1, *[1] * (values.ndim - 1))


def assert_same_path(ours: np.ndarray, theirs: np.ndarray, tolerance: float = 1e-12) -> None:
    """Equal to `tolerance` relative to the largest coordinate of the path: coordinates cross 0 on their way."""
    assert ours.dtype == theirs.dtype == np.float64
    assert ours.shape == theirs.shape
    assert np.isfinite(ours).all()
    worst = np.max(np.abs(ours - theirs)) / np.max(np.abs(theirs))
    assert worst <= tolerance, f"paths differ by {worst:.1e} of the largest coordinate"


def assert_identical(ours: Any, theirs: Any) -> None:
    """Trees of one structure, equal to the last bit."""
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def largest_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    assert ours.shape == theirs.shape
    return float(np.max(np.abs(ours - theirs)))
