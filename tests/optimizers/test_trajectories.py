"""Every method goes, step by step, where PyTorch, Keras, Optax and PEPit went with the same gradients.

The trajectories were computed by the peers themselves, in float64; the files name peer, version and hyperparameters.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import FILES, Problems, assert_same_path, descend, largest_difference, peer_file
from peer_rows import (
    Row,
    annealed_momentum,
    arrays_of,
    assert_published_loop_is_met,
    corrected,
    coupled_decay,
    row,
    row_id,
    stepped_rate,
    trajectories_of,
)

import momentum_jax as mj

PEERS = ("torch", "keras", "optax", "pepit")


def tenfold_rate(t: Any) -> Any:
    return 10 * stepped_rate(t)


def goyal(t: Any) -> Any:
    """Goyal et al.'s momentum correction: mu eta_t / eta_{t-1}."""
    return 0.9 * stepped_rate(t) / stepped_rate(jnp.maximum(t - 1, 0))


def uncorrected_rate(t: Any) -> Any:
    """0.05 (1 - 0.9^(t+1)) / sqrt(1 - 0.9^(t+1)), which takes both of Adam's corrections out at b1 = b2 = 0.9."""
    return 0.05 * jnp.sqrt(1 - 0.9 ** (t + 1.0))


def one_over_10_t_plus_2(t: Any) -> Any:
    return 1 / (10 * (t + 2.0))


def t_over_t_plus_2(t: Any) -> Any:
    return t / (t + 2.0)


def outside(core: Callable[..., optax.GradientTransformation], rate: Any, momentum: Any) -> optax.GradientTransformation:
    return optax.chain(core(momentum), mj.scale_by_learning_rate(rate))


def inside(core: Callable[..., optax.GradientTransformation], rate: Any, momentum: Any) -> optax.GradientTransformation:
    return optax.chain(mj.scale_by_learning_rate(rate), core(momentum))


LINEAR = [
    *[
        row(f"{peer}/sgd", make, *args)
        for peer in ("torch", "keras")
        for make, args in (
            (mj.gradient_descent, (0.05,)),
            (mj.sgd, (0.05,)),
            (mj.sgd, (0.05, None)),
            (mj.heavy_ball, (0.05, 0.0)),
            (mj.nesterov, (0.05, 0.0)),
            (mj.ema_momentum, (0.05, 0.0)),
        )
    ],
    *[
        row(f"{peer}/momentum", make, *args)
        for peer in ("torch", "keras", "optax")
        for make, args in ((mj.sgd, (0.05, 0.9)), (mj.heavy_ball, (0.05, 0.9)), (mj.ema_momentum, (0.5, 0.9)))
    ],
    *[row(f"{peer}/nesterov", mj.sgd, 0.05, 0.9, nesterov=True) for peer in ("torch", "keras", "optax")],
    *[row(f"{peer}/nesterov", mj.nesterov, 0.05, 0.9) for peer in ("torch", "keras", "optax")],
    row("torch/momentum_wd", mj.sgd, 0.05, 0.9, weight_decay=0.1),
    row("torch/momentum_wd", coupled_decay, mj.heavy_ball, 0.05, 0.9),
    row("torch/nesterov_wd", mj.sgd, 0.05, 0.9, weight_decay=0.1, nesterov=True),
    row("torch/nesterov_wd", coupled_decay, mj.nesterov, 0.05, 0.9),
    row("torch/dampening", mj.sgd, 0.3, 0.9, dampening=0.5),
    row("torch/ema_dampening", mj.sgd, 0.5, 0.9, dampening=0.9),
    row("torch/momentum_lrsched", mj.sgd, stepped_rate, 0.9),
    row("torch/momentum_lrsched", mj.ema_momentum, tenfold_rate, 0.9),
    row("torch/momentum_lrsched", mj.heavy_ball, stepped_rate, goyal),
    row("torch/momentum_lrsched", outside, mj.scale_by_heavy_ball, stepped_rate, 0.9),
    row("torch/nesterov_lrsched", mj.sgd, stepped_rate, 0.9, nesterov=True),
    row("torch/nesterov_lrsched", outside, mj.scale_by_nesterov, stepped_rate, 0.9),
    row("keras/momentum_lrsched", mj.heavy_ball, stepped_rate, 0.9),
    row("keras/momentum_lrsched", inside, mj.scale_by_sgd, stepped_rate, 0.9),
    row("keras/nesterov_lrsched", mj.nesterov, stepped_rate, 0.9),
    row("keras/momentum_goyal", mj.sgd, stepped_rate, 0.9),
    row("keras/momentum_goyal", mj.heavy_ball, stepped_rate, goyal),
    row("torch/momentum_musched", mj.sgd, 0.05, annealed_momentum),
    row("torch/momentum_musched", mj.heavy_ball, 0.05, annealed_momentum),
    row("torch/nesterov_musched", mj.sgd, 0.05, annealed_momentum, nesterov=True),
    row("optax/ema", mj.ema_momentum, 0.5, 0.9),
    row("optax/ema_debias", mj.ema_momentum, 0.5, 0.9, debias=True),
]
RMSPROP = [
    row("torch/rmsprop", mj.rmsprop, 0.01),
    row("torch/rmsprop", mj.rmsprop, 0.01, momentum=None),
    row("torch/rmsprop_eps2", mj.rmsprop, 0.01, eps=0.01),
    row("torch/rmsprop_momentum", mj.rmsprop, 0.01, momentum=0.9),
    row("torch/rmsprop_centered", mj.rmsprop, 0.01, eps=1e-3, centered=True)._replace(along_peer=True),
    *[row(f"{peer}/rmsprop", mj.rmsprop, 0.01, eps_inside_sqrt=True) for peer in ("keras", "optax")],
    *[row(f"{peer}/rmsprop_eps2", mj.rmsprop, 0.01, eps=0.01, eps_inside_sqrt=True) for peer in ("keras", "optax")],
    *[
        row(f"{peer}/rmsprop_momentum", mj.rmsprop, 0.01, eps_inside_sqrt=True, momentum=0.9, learning_rate_inside=True)
        for peer in ("keras", "optax")
    ],
    row("keras/rmsprop_centered", mj.rmsprop, 0.01, eps=1e-6, eps_inside_sqrt=True, centered=True)._replace(along_peer=True),
    row("optax/rmsprop_eps_out", mj.rmsprop, 0.01),
    row("optax/rmsprop_eps_out_eps2", mj.rmsprop, 0.01, eps=0.01),
    row(
        "optax/rmsprop_nesterov", mj.rmsprop, 0.01, eps_inside_sqrt=True, momentum=0.9, nesterov=True, learning_rate_inside=True
    )._replace(along_peer=True),
]
ADAGRAD_AND_ADADELTA = [
    row("torch/adagrad", mj.adagrad, 0.1, eps=1e-8),
    row("torch/adagrad_eps2", mj.adagrad, 0.1, eps=0.01),
    *[row(f"{peer}/adagrad", mj.adagrad, 0.1, eps=1e-8, eps_inside_sqrt=True) for peer in ("keras", "optax")],
    *[row(f"{peer}/adagrad_eps2", mj.adagrad, 0.1, eps=0.01, eps_inside_sqrt=True) for peer in ("keras", "optax")],
    *[
        row(f"{peer}/adagrad_default", mj.adagrad, 0.1, initial_accumulator=0.1, eps=1e-7, eps_inside_sqrt=True)
        for peer in ("keras", "optax")
    ],
    *[row(f"{peer}/adadelta", mj.adadelta) for peer in ("torch", "keras", "optax")],
]
ADAM = [
    *[row(f"{peer}/adam", mj.adam, 0.05) for peer in ("torch", "optax")],
    *[row(f"{peer}/adam_eps2", mj.adam, 0.05, eps=0.01) for peer in ("torch", "optax")],
    *[row(f"{peer}/adamw", mj.adamw, 0.05, weight_decay=0.1) for peer in ("torch", "optax")],
    row("keras/adam", mj.adam, 0.05, eps=corrected(0.999, 1e-8)),
    row("keras/adam_eps2", mj.adam, 0.05, eps=corrected(0.999, 0.01)),
    row("keras/adamw", mj.adamw, 0.05, eps=corrected(0.999, 1e-8), weight_decay=0.1),
    row("torch/adam_l2", coupled_decay, mj.adam, 0.05),
    row("torch/amsgrad", mj.adam, 0.05, 0.9, 0.9, amsgrad=True),
    row("torch/amsgrad_eps2", mj.adam, 0.05, 0.9, 0.9, eps=0.01, amsgrad=True),
    row("keras/amsgrad", mj.adam, 0.05, 0.9, 0.9, eps=corrected(0.9, 1e-8), amsgrad=True),
    row("keras/amsgrad_eps2", mj.adam, 0.05, 0.9, 0.9, eps=corrected(0.9, 0.01), amsgrad=True),
    row("optax/amsgrad_paper", mj.adam, uncorrected_rate, 0.9, 0.9, eps=corrected(0.9, 1e-8), amsgrad=True),
    row("optax/amsgrad_paper_eps2", mj.adam, uncorrected_rate, 0.9, 0.9, eps=corrected(0.9, 0.01), amsgrad=True),
]
ROWS = [*LINEAR, *RMSPROP, *ADAGRAD_AND_ADADELTA, *ADAM]

PUBLISHED_LOOPS = [
    row("pepit/heavy_ball_momentum", mj.heavy_ball, 0.05, 0.8),
    row("pepit/heavy_ball_momentum_qg_convex", mj.heavy_ball, one_over_10_t_plus_2, t_over_t_plus_2),
    row("pepit/accelerated_gradient_strongly_convex", mj.nesterov, 1 / 10, (100**0.5 - 1) / (100**0.5 + 1)),
    row("pepit/accelerated_gradient_convex", mj.nesterov, 1 / 10, mj.schedules.fista(50)),
]

DIFFERENT = [
    row("keras/momentum_lrsched", mj.sgd, stepped_rate, 0.9),
    row("torch/momentum_lrsched", mj.heavy_ball, stepped_rate, 0.9),
    row("torch/nesterov_lrsched", mj.nesterov, stepped_rate, 0.9),
    row("torch/nesterov_musched", mj.nesterov, 0.05, annealed_momentum),
    row("optax/ema", mj.ema_momentum, 0.5, 0.9, debias=True),
    row("torch/ema_dampening", mj.ema_momentum, 0.5, 0.9),
    row("torch/rmsprop_eps2", mj.rmsprop, 0.01, eps=0.01, eps_inside_sqrt=True),
    row("keras/rmsprop_eps2", mj.rmsprop, 0.01, eps=0.01),
    row("torch/adagrad_eps2", mj.adagrad, 0.1, eps=0.01, eps_inside_sqrt=True),
    row("keras/adam_eps2", mj.adam, 0.05, eps=0.01),
    row("torch/adam_l2", mj.adamw, 0.05, weight_decay=0.1),
    row("optax/amsgrad", mj.adam, 0.05, 0.9, 0.9, amsgrad=True),
    row("optax/amsgrad_paper", mj.adam, 0.05, 0.9, 0.9, amsgrad=True),
]


@pytest.fixture(scope="module")
def peers() -> dict[str, np.ndarray]:
    return arrays_of(PEERS)


@pytest.mark.parametrize("row", ROWS, ids=row_id)
def test_the_method_meets_the_peer_at_every_step(row: Row, problem: Problems, peers: dict[str, np.ndarray]) -> None:
    optimizer = row.build()
    quad, seq = peers[f"{row.trajectory}/quad"], peers[f"{row.trajectory}/seq"]

    def gradient(t: int, x: np.ndarray) -> np.ndarray:
        return problem.quad(t, quad[t] if row.along_peer else x)

    assert_same_path(descend(optimizer, gradient, problem.theta0, 50).held, quad)
    assert_same_path(descend(optimizer, problem.seq, problem.theta0, 50).held, seq)


@pytest.mark.parametrize("row", PUBLISHED_LOOPS, ids=row_id)
@pytest.mark.parametrize("name", ["quad", "seq"])
def test_the_method_asks_where_the_published_loop_asks_and_reads_out_what_it_returns(
    row: Row, name: str, problem: Problems, peers: dict[str, np.ndarray]
) -> None:
    assert_published_loop_is_met(row, name, problem, peers)


@pytest.mark.parametrize("row", DIFFERENT, ids=row_id)
def test_the_method_parts_from_a_peer_of_another_convention(row: Row, problem: Problems, peers: dict[str, np.ndarray]) -> None:
    descent = descend(row.build(), problem.quad, problem.theta0, 50)
    assert largest_difference(descent.held, peers[f"{row.trajectory}/quad"]) > 1e-3


def test_every_carried_trajectory_is_met_or_known_to_differ() -> None:
    used = {row.trajectory for row in (*ROWS, *PUBLISHED_LOOPS, *DIFFERENT)}
    assert used == trajectories_of(PEERS)
    assert {file.stem for file in FILES.glob("*.npz")} == {*PEERS, "problems"}


@pytest.mark.parametrize("peer", PEERS)
def test_a_file_of_trajectories_names_the_peer_its_version_and_the_hyperparameters(peer: str) -> None:
    about, arrays = peer_file(peer)
    assert about["peer"].lower() == peer
    assert about["version"][0].isdigit()
    for name, trajectory in about["trajectories"].items():
        assert trajectory["hyperparameters"]
        assert arrays[f"{name}/quad"].dtype == arrays[f"{name}/seq"].dtype == np.float64


def test_the_problems_tell_methods_apart(problem: Problems) -> None:
    curvatures = np.linalg.eigvalsh(problem.H)
    np.testing.assert_allclose([curvatures[0], curvatures[-1]], [0.1, 10], rtol=1e-6)
    assert problem.gseq.shape == (50, 17)
    assert np.all(problem.center != 0)
