"""The linear family goes, step by step, where the methods' authors and other libraries went with the same gradients.

The trajectories were computed by the peers themselves, in float64; the files name peer, version and hyperparameters.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import optax
import pytest
from oracles import FILES, Problems, assert_same_path, descend, peer_file
from peer_rows import Row, arrays_of, assert_published_loop_is_met, coupled_decay, row, row_id, trajectories_of

import momentum_jax as mj

PEERS = sorted(file.stem for file in (FILES / "linear").glob("*.npz"))


def decoupled_decay(core: Callable[..., optax.GradientTransformation], eta: float, *args: Any) -> optax.GradientTransformation:
    return optax.chain(core(*args), mj.add_weight_decay(0.1), mj.scale_by_learning_rate(eta))


def grokfast_before(make: Callable[..., optax.GradientTransformation], *args: Any) -> optax.GradientTransformation:
    return optax.chain(mj.grokfast(*args), make())


def descent_at_a_fiftieth() -> optax.GradientTransformation:
    return mj.gradient_descent(0.02)


def adam_without_eps() -> optax.GradientTransformation:
    """The peer takes the larger of root and eps, and the root is larger all the way."""
    return mj.adam(0.05, 0.9, 0.99, eps=0.0)


BETAS = (0.0, 0.9, 0.99)
MET = [
    *[
        row(f"{peer}/qhm", mj.quasi_hyperbolic_momentum, 0.5, 0.95, 0.7)
        for peer in ("qhoptim", "torch_optimizer", "pytorch_optimizer")
    ],
    row("qhoptim/qhm_wd", coupled_decay, mj.quasi_hyperbolic_momentum, 0.5, 0.95, 0.7),
    row("qhoptim/qhm_wd_direct", decoupled_decay, mj.scale_by_quasi_hyperbolic_momentum, 0.5, 0.95, 0.7),
    *[row(f"{peer}/aggmo", mj.aggregated_momentum, 0.05, BETAS) for peer in ("aggmo", "torch_optimizer", "pytorch_optimizer")],
    *[
        row(f"{peer}/aggmo_wd", coupled_decay, mj.aggregated_momentum, 0.05, BETAS)
        for peer in ("aggmo", "torch_optimizer", "pytorch_optimizer")
    ],
    *[
        row(f"{peer}/accsgd", mj.accelerated_sgd, 0.05, 100.0, 5.0, 0.7)
        for peer in ("accsgd", "torch_optimizer", "pytorch_optimizer")
    ],
    row("pytorch_optimizer/pid", mj.pid, 0.005),
    row("grokfast/grokfast_ema_sgd", grokfast_before, descent_at_a_fiftieth, 0.95, 2.0),
    row("pytorch_optimizer/grokfast_adamw", grokfast_before, adam_without_eps, 0.98, 2.0),
    row("optax/optimistic", mj.optimistic, 0.05),
]
KAPPA = 100.0
RHO = 0.3 * (1 - 1 / KAPPA) + 0.7 * (1 - 1 / KAPPA**0.5)
PUBLISHED_LOOPS = [
    row("pepit/triple_momentum", mj.triple_momentum, strong_convexity=0.1, smoothness=10.0),
    row("pepit/robust_momentum", mj.robust_momentum, strong_convexity=0.1, smoothness=10.0, rate=RHO),
    row("pepit/accelerated_gradient_convex", mj.fista, 0.1),
    row("modded-nanogpt/ema_nesterov_sgd", mj.ema_nesterov, 0.02, 0.6, 0.9),
]
DIFFERENT = [row("pidoptimizer/pid", mj.pid, 0.005), row("torch_optimizer/pid", mj.pid, 0.005)]


@pytest.fixture(scope="module")
def peers() -> dict[str, np.ndarray]:
    return arrays_of(PEERS, "linear/")


@pytest.mark.parametrize("row", MET, ids=row_id)
@pytest.mark.parametrize("name", ["quad", "seq"])
def test_the_method_meets_the_peer_at_every_step(row: Row, name: str, problem: Problems, peers: dict[str, np.ndarray]) -> None:
    descent = descend(row.build(), getattr(problem, name), problem.theta0, 50)
    assert_same_path(descent.held, peers[f"{row.trajectory}/{name}"])


@pytest.mark.parametrize("row", PUBLISHED_LOOPS, ids=row_id)
@pytest.mark.parametrize("name", ["quad", "seq"])
def test_the_method_asks_where_the_published_loop_asks_and_reads_out_what_it_returns(
    row: Row, name: str, problem: Problems, peers: dict[str, np.ndarray]
) -> None:
    assert_published_loop_is_met(row, name, problem, peers)


@pytest.mark.parametrize("row", DIFFERENT, ids=row_id)
def test_the_method_parts_from_a_peer_that_forgets_the_first_gradient(
    row: Row, problem: Problems, peers: dict[str, np.ndarray]
) -> None:
    ours, theirs = descend(row.build(), problem.seq, problem.theta0, 50).held, peers[f"{row.trajectory}/seq"]
    assert_same_path(ours[:2], theirs[:2])
    # D_2 = (1 - mu) g_2 there and (1 - mu) (g_2 - g_1) here: the difference (1 - mu) g_1 decays by mu and moves eta k_d each.
    weight = 0.005 * 10.0 * 0.1 * (1 - 0.9 ** np.arange(50)) / (1 - 0.9)
    assert_same_path(ours[1:] - np.outer(weight, problem.gseq[0]), theirs[1:])


def test_every_carried_trajectory_is_met_or_known_to_differ() -> None:
    used = {row.trajectory for row in (*MET, *PUBLISHED_LOOPS, *DIFFERENT)}
    assert used == trajectories_of(PEERS, "linear/")


@pytest.mark.parametrize("peer", PEERS)
def test_a_file_of_trajectories_names_the_peer_its_version_and_the_hyperparameters(peer: str) -> None:
    about, arrays = peer_file(f"linear/{peer}")
    assert about["peer"].lower().endswith(peer)
    assert about["version"]
    for name, trajectory in about["trajectories"].items():
        assert trajectory["hyperparameters"]
        assert arrays[f"{name}/quad"].dtype == arrays[f"{name}/seq"].dtype == np.float64
