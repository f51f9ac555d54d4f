"""Normalised and orthogonalised methods, and the wrappers, go where their authors' code went with the same gradients.

The trajectories were computed by the peers, in float64; `about` in the file names peer, version and hyperparameters of each.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from normalised_walk import lars, walk
from oracles import Problems, assert_same_path, largest_difference, peer_file
from peer_rows import corrected

import momentum_jax as mj

Optimizer = optax.GradientTransformation
NOTHING = optax.set_to_zero()


@pytest.fixture(scope="module")
def peers() -> dict[str, np.ndarray]:
    return peer_file("normalised/peers")[1]


class Met(NamedTuple):
    """A trajectory that `make()` meets; `along_peer`: with gradients along the peer's path, where rounding is amplified."""

    trajectory: str
    make: Callable[[], Optimizer]
    tolerance: float = 1e-12
    along_peer: bool = False


def lion() -> Optimizer:
    return optax.lion(0.01, weight_decay=0)


MET = [
    Met("muon", lambda: mj.muon(0.05, fallback=NOTHING)),
    # Moonlight's buffer is the sum, 1 / (1 - mu) times the average.
    Met("muon_moonlight", lambda: mj.muon(0.05, scale="moonlight", weight_decay=0.1, eps=0.05 * 1e-7, fallback=NOTHING)),
    # Keras' norm is good to float32; its AdamW does not correct eps.
    Met(
        "muon_keras",
        lambda: mj.muon(0.05, eps=0.05 * 1e-7, fallback=mj.adamw(0.05, eps=corrected(0.999, 1e-7), weight_decay=0.004)),
        1e-7,
        True,
    ),
    Met("normuon", lambda: mj.normuon(0.05, fallback=NOTHING)),
    Met("cautious_lion_mean", lambda: mj.cautious(lion())),
    Met("cautious_lion_count", lambda: mj.cautious(lion(), normalizer="count")),
    # The peer decays x before its step, and does not correct eps.
    Met(
        "cautious_adamw",
        lambda: optax.chain(mj.cautious(mj.adam(0.05, eps=corrected(0.999, 1e-8))), optax.add_decayed_weights(-0.005)),
    ),
    # The peer's decay is good to float32.
    Met(
        "lion_cautious_weight_decay",
        lambda: optax.chain(optax.scale_by_lion(), mj.cautious_weight_decay(0.5), mj.scale_by_learning_rate(0.01)),
        2e-7,
    ),
    Met("lars", lambda: lars(0.5)),
    # The peer gives leaves with one axis plain SGD.
    Met("lars_kozistr", lambda: mj.per_layer({"w": lars(0.5), "b": mj.sgd(0.5, 0.9)})),
]

DIFFERENT = [
    Met("muon_optax", lambda: mj.muon(0.05, fallback=NOTHING)),
    Met("muon_moonlight", lambda: mj.muon(0.05, weight_decay=0.1, fallback=NOTHING)),
    Met("normuon", lambda: mj.normuon(0.05, neurons="columns", fallback=NOTHING)),
    Met("normuon", lambda: mj.muon(0.05, fallback=NOTHING)),
    Met("cautious_lion_mean", lambda: mj.cautious(lion(), normalizer="count")),
    Met("cautious_lion_count", lambda: mj.cautious(lion())),
    Met("lion_cautious_weight_decay", lambda: optax.lion(0.01, weight_decay=0.5)),
    Met("lars_optax", lambda: lars(0.5)),
]


def trajectory_id(met: Met) -> str:
    return met.trajectory


def test_every_carried_trajectory_is_used(peers: dict[str, np.ndarray]) -> None:
    used = {met.trajectory for met in (*MET, *DIFFERENT)} | {"nigt_without_extrapolation"}
    assert used == {name.split("/")[0] for name in peers} == set(peer_file("normalised/peers")[0]["trajectories"])


@pytest.mark.parametrize("met", MET, ids=trajectory_id)
@pytest.mark.parametrize("name", ["quad", "seq"])
def test_the_method_meets_its_peer_at_every_step(met: Met, name: str, problem: Problems, peers: dict[str, np.ndarray]) -> None:
    path = peers[f"{met.trajectory}/{name}"]
    gradient = getattr(problem, name)
    held, _ = walk(met.make(), lambda t, x: gradient(t, path[t] if met.along_peer else x), problem.theta0)
    assert_same_path(held, path, met.tolerance)


@pytest.mark.parametrize("met", DIFFERENT, ids=trajectory_id)
def test_the_method_parts_from_a_peer_of_another_convention(met: Met, problem: Problems, peers: dict[str, np.ndarray]) -> None:
    held, _ = walk(met.make(), problem.quad, problem.theta0)
    assert largest_difference(held[:, :12], peers[f"{met.trajectory}/quad"][:, :12]) > 1e-3


def layer_rates(path: np.ndarray, part: slice) -> np.ndarray:
    return 0.5 * 0.05 * np.linalg.norm(path[:-1, part], axis=1)


@pytest.mark.parametrize("name", ["quad", "seq"])
def test_each_layer_by_itself_normalized_momentum_meets_the_official_code(
    name: str, problem: Problems, peers: dict[str, np.ndarray]
) -> None:
    # The official average starts at 0. Bias corrected it points the same way, and that is the paper's under this schedule.
    path = peers[f"nigt_without_extrapolation/{name}"]

    def debiased(t: Any) -> Any:
        return 0.9 * (1 - 0.9**t) / (1 - 0.9 ** (t + 1.0))

    def layer(part: slice) -> Optimizer:
        rates = jnp.asarray(layer_rates(path, part))
        return mj.normalized_momentum(lambda t: rates[t], debiased, eps=0)

    optimizer = mj.per_layer({"w": layer(slice(12)), "b": layer(slice(12, 17))})
    held, _ = walk(optimizer, getattr(problem, name), problem.theta0)
    assert_same_path(held, path)
