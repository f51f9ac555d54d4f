"""What the tests against peers share: rows of an optimizer and the trajectory that it has to meet, schedules of some."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
from oracles import Problems, assert_same_path, descend, peer_file

import momentum_jax as mj


class Row(NamedTuple):
    """An optimizer of ours and the trajectory that it has to meet.

    Attributes:
      trajectory: "peer/name".
      make, args, kwargs: the optimizer.
      tolerance: relative to the largest coordinate; what a peer's float32 allows.
      along_peer: on the quadratic, gradients are taken along the peer's path instead of along ours. For three paths that
        amplify rounding: a change of 1e-15 in the start moves the peer itself by 4e-12 to 3e-6 within the 50 steps.
    """

    trajectory: str
    make: Callable[..., optax.GradientTransformation]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    tolerance: float = 1e-12
    along_peer: bool = False

    def build(self) -> optax.GradientTransformation:
        return self.make(*self.args, **self.kwargs)


def row(trajectory: str, make: Callable[..., optax.GradientTransformation], *args: Any, **kwargs: Any) -> Row:
    return Row(trajectory, make, args, kwargs)


def row_id(row: Row) -> str:
    shown = [getattr(a, "__name__", str(a)) for a in row.args]
    shown += [f"{name}={getattr(value, '__name__', value)}" for name, value in row.kwargs.items()]
    return f"{row.trajectory}-{row.make.__name__}({','.join(shown)})"


def arrays_of(peers: Iterable[str], folder: str = "") -> dict[str, np.ndarray]:
    """Every array in the files of `peers`, under "peer/name"."""
    return {f"{peer}/{name}": array for peer in peers for name, array in peer_file(folder + peer)[1].items()}


def trajectories_of(peers: Iterable[str], folder: str = "") -> set[str]:
    """The "peer/name" of every trajectory in the files of `peers`."""
    return {f"{peer}/{name}" for peer in peers for name in peer_file(folder + peer)[0]["trajectories"]}


def assert_published_loop_is_met(row: Row, name: str, problem: Problems, peers: dict[str, np.ndarray]) -> None:
    """The method asks for gradients where the loop asks, and reads out what it returns: its last iterate, or all of them."""
    descent = descend(row.build(), getattr(problem, name), problem.theta0, 50)
    assert_same_path(descent.held[:-1], peers[f"{row.trajectory}/{name}"])
    outputs = {"iterate": descent.read, "final": descent.read[-1]}
    carried = [kind for kind in outputs if f"{row.trajectory}/{kind}_{name}" in peers]
    assert carried
    for kind in carried:
        assert_same_path(outputs[kind], peers[f"{row.trajectory}/{kind}_{name}"])


def stepped_rate(t: Any) -> Any:
    return jnp.where(t < 20, 0.05, jnp.where(t < 35, 0.005, 0.02))


def annealed_momentum(t: Any) -> Any:
    return 0.5 + 0.4 * jnp.minimum(t, 30) / 30


def coupled_decay(make: Callable[..., optax.GradientTransformation], *args: Any) -> optax.GradientTransformation:
    return optax.chain(mj.add_weight_decay(0.1), make(*args))


def corrected(b: float, value: float = 1.0) -> Callable[[Any], Any]:
    """value / sqrt(1 - b^(t+1)): for peers whose eps is not bias corrected, and the paper's AMSGrad, which corrects nothing."""

    def schedule(t: Any) -> Any:
        return value / jnp.sqrt(1 - b ** (t + 1.0))

    return schedule
