"""The adaptive relatives go, step by step, where their authors' code and other libraries went with the same gradients.

The trajectories were computed by the peers themselves; the files name peer, version, precision and hyperparameters.
"""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import FILES, Problems, Value, assert_same_path, descend, largest_difference, peer_file
from peer_rows import Row, arrays_of, row, row_id, trajectories_of

import momentum_jax as mj

PEERS = sorted(file.stem for file in (FILES / "adaptive").glob("*.npz"))
PEERS_LEAF = 12  # the peers' tensors are the first 12 coordinates and the other 5


# PyTorch keeps NAdam's product of momenta in float32.
FLOAT32_PRODUCT = 1e-8


def nadamw(learning_rate: float, weight_decay: float, variant: str) -> optax.GradientTransformation:
    core, decay = mj.scale_by_nadam(variant=variant), mj.add_weight_decay(weight_decay)
    return optax.chain(core, decay, mj.scale_by_learning_rate(learning_rate))


def authors_b3(t: Any) -> Any:
    """AdEMAMix's warm-up as its authors' code has it: 1e-8 against a logarithm of 0, and the half-life less 1."""
    share = jnp.minimum((t + 1.0) / 40, 1.0)
    start, end = (math.log(0.5) / math.log(b + 1e-8) - 1 for b in (0.9, 0.9999))
    return jnp.where(share < 1, 0.5 ** (1 / ((1 - share) * start + share * end + 1)), 0.9999)


def demon_decay(t: Any) -> Any:
    """The peer counts from 1."""
    return mj.schedules.demon(0.9, total_steps=60)(t + 1)


def demon_rate(t: Any) -> Any:
    """The peer corrects by 1 - beta_t^t, Adam here by 1 - prod beta_i."""
    decays = demon_decay(jnp.arange(60))
    product = jnp.prod(jnp.where(jnp.arange(60) <= t, decays, 1.0))
    return 0.05 * (1 - product) / (1 - demon_decay(t) ** (t + 1.0))


MET = [
    row("qhoptim/qhadam", mj.quasi_hyperbolic_adam, 0.05, 0.9, 0.99, 0.7, 0.8, eps=1e-4),
    row("torch/nadam", mj.nadam, 0.05)._replace(tolerance=FLOAT32_PRODUCT),
    row("torch/nadam_psi1", mj.nadam, 0.05, momentum_decay=1.0)._replace(tolerance=FLOAT32_PRODUCT),
    row("torch/nadam_eps2", mj.nadam, 0.05, eps=0.01)._replace(tolerance=FLOAT32_PRODUCT),
    row("torch/nadamw", nadamw, 0.05, 0.1, "torch")._replace(tolerance=FLOAT32_PRODUCT),
    row("torch/nadam_psi1", mj.nadam, 0.05, variant="keras")._replace(tolerance=FLOAT32_PRODUCT),
    row("keras/nadam", mj.nadam, 0.05, variant="keras"),
    row("keras/nadam_eps2", mj.nadam, 0.05, eps=0.01, variant="keras"),
    row("optax/nadam", mj.nadam, 0.05, variant="optax"),
    row("optax/nadam", mj.nadam, 0.05, momentum_decay=1e6),
    row("optax/nadam_eps2", mj.nadam, 0.05, eps=0.01, variant="optax"),
    row("optax/nadamw", nadamw, 0.05, 0.1, "optax"),
    row("sail-sg/adan", mj.adan, 0.05),
    row("sail-sg/adan_wd", mj.adan, 0.05, weight_decay=0.1),
    row("laprop/laprop", mj.laprop, 0.05),
    row("laprop/laprop_eps", mj.laprop, 0.05, eps=0.01),
    row("apple/ademamix", mj.ademamix, 0.05),
    row("optax/ademamix", mj.ademamix, 0.05),
    row("apple/ademamix_warm", mj.ademamix, 0.05, b3=authors_b3, alpha=mj.schedules.ademamix_alpha(steps=40)),
    row(
        "pytorch_optimizer/ademamix_warm",
        mj.ademamix,
        0.05,
        b3=mj.schedules.ademamix_b3(steps=40),
        alpha=mj.schedules.ademamix_alpha(steps=40),
    ),
    *[
        row(f"{peer}/simplified_ademamix", mj.simplified_ademamix, 0.002, 0.9, 0.95, alpha=2.0)
        for peer in ("simplified_ademamix", "optax")
    ],
    row("demonranger/demon_adam", mj.adam, demon_rate, demon_decay)._replace(tolerance=2e-6),
    row("mars/mars_adamw", mj.mars, 0.01),
    row("momo-opt/momo", mj.momo),
    row("momo-opt/momo_wd", mj.momo, weight_decay=0.1),
    row("optax/momo", mj.momo),
    row("yellowfin/yellowfin", mj.yellowfin, 0.01)._replace(tolerance=1e-6),
]

DIFFERENT = [
    row("keras/nadam", mj.nadam, 0.05),
    row("optax/nadam", mj.nadam, 0.05),
    row("torch/nadam", mj.nadam, 0.05, variant="optax"),
    row("optax/adan", mj.adan, 0.05),
    row("optax/momo_wd", mj.momo, weight_decay=0.1),
]


@pytest.fixture(scope="module")
def peers() -> dict[str, np.ndarray]:
    return arrays_of(PEERS, "adaptive/")


def losses(problem: Problems, peers: dict[str, np.ndarray]) -> dict[str, Value]:
    """The loss of either problem: the quadratic's, and the sequence that the peers were given."""
    return {
        "quad": lambda t, x: float((x - problem.center) @ problem.H @ (x - problem.center) / 2),
        "seq": lambda t, x: float(peers["momo-opt/losses"][t]),
    }


@pytest.mark.parametrize("row", MET, ids=row_id)
def test_the_method_meets_the_peer_at_every_step(row: Row, problem: Problems, peers: dict[str, np.ndarray]) -> None:
    optimizer = row.build()
    for name, value in losses(problem, peers).items():
        path = descend(optimizer, getattr(problem, name), problem.theta0, 50, value=value, cut=PEERS_LEAF).held
        assert_same_path(path, peers[f"{row.trajectory}/{name}"], row.tolerance)


@pytest.mark.parametrize("row", DIFFERENT, ids=row_id)
def test_the_method_parts_from_a_peer_of_another_rule(row: Row, problem: Problems, peers: dict[str, np.ndarray]) -> None:
    optimizer, value = row.build(), losses(problem, peers)["quad"]
    descent = descend(optimizer, problem.quad, problem.theta0, 50, value=value)
    assert largest_difference(descent.held, peers[f"{row.trajectory}/quad"]) > 1e-3


def test_every_carried_trajectory_is_met_or_known_to_differ() -> None:
    used = {row.trajectory for row in (*MET, *DIFFERENT)}
    assert used == trajectories_of(PEERS, "adaptive/")


@pytest.mark.parametrize("peer", PEERS)
def test_a_file_of_trajectories_names_the_peer_its_version_and_the_hyperparameters(peer: str) -> None:
    about, arrays = peer_file(f"adaptive/{peer}")
    assert about["peer"]
    assert about["version"][0].isalnum()
    for name, trajectory in about["trajectories"].items():
        assert trajectory["hyperparameters"]
        assert trajectory["dtype"] in ("float32", "float64")
        assert arrays[f"{name}/quad"].dtype == arrays[f"{name}/seq"].dtype == np.float64
