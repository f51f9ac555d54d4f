"""The adaptive relatives: where their authors' code went with the same gradients, and each rule a second time in NumPy.

The trajectories were computed by the peers themselves; the files name peer, version, precision and hyperparameters.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import (
    FILES,
    Problems,
    assert_same_path,
    averages,
    descend,
    discounted_sums,
    largest_difference,
    peer_file,
    weighted_means,
)

import momentum_jax as mj

PEERS = sorted(file.stem for file in (FILES / "adaptive").glob("*.npz"))
STEPS = np.arange(60)
START = np.linspace(-1, 2, 6)


# PyTorch keeps NAdam's product of momenta in float32.
FLOAT32_PRODUCT = 1e-8


class Row(NamedTuple):
    """An optimizer of ours and the trajectory that it has to meet.

    Attributes:
      trajectory: "peer/name".
      make, args, kwargs: the optimizer.
      tolerance: relative to the largest coordinate; what a peer's float32 allows.
    """

    trajectory: str
    make: Callable[..., optax.GradientTransformation]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    tolerance: float = 1e-12


def row(trajectory: str, make: Callable[..., optax.GradientTransformation], *args: Any, **kwargs: Any) -> Row:
    return Row(trajectory, make, args, kwargs)


def row_id(row: Row) -> str:
    shown = [getattr(a, "__name__", str(a)) for a in row.args]
    shown += [f"{name}={getattr(value, '__name__', value)}" for name, value in row.kwargs.items()]
    return f"{row.trajectory}-{row.make.__name__}({','.join(shown)})"


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
]

DIFFERENT = [
    row("keras/nadam", mj.nadam, 0.05),
    row("optax/nadam", mj.nadam, 0.05),
    row("torch/nadam", mj.nadam, 0.05, variant="optax"),
    row("optax/adan", mj.adan, 0.05),
]


@pytest.fixture(scope="module")
def peers() -> dict[str, np.ndarray]:
    return {f"{peer}/{name}": array for peer in PEERS for name, array in peer_file(f"adaptive/{peer}")[1].items()}


@pytest.mark.parametrize("row", MET, ids=row_id)
def test_the_method_meets_the_peer_at_every_step(row: Row, problem: Problems, peers: dict[str, np.ndarray]) -> None:
    optimizer = row.make(*row.args, **row.kwargs)
    for name in ("quad", "seq"):
        path = descend(optimizer, getattr(problem, name), problem.theta0, 50).held
        assert_same_path(path, peers[f"{row.trajectory}/{name}"], row.tolerance)


@pytest.mark.parametrize("row", DIFFERENT, ids=row_id)
def test_the_method_parts_from_a_peer_of_another_rule(row: Row, problem: Problems, peers: dict[str, np.ndarray]) -> None:
    descent = descend(row.make(*row.args, **row.kwargs), problem.quad, problem.theta0, 50)
    assert largest_difference(descent.held, peers[f"{row.trajectory}/quad"]) > 1e-3


def gradients() -> np.ndarray:
    g = np.random.default_rng(1).normal(0.3, 1, (60, 6)) * 10.0 ** np.arange(-2, 4)
    g[:20, 1] = 0
    g[25:, 2] = 0
    return g


G = gradients()


def sequence(t: int, x: np.ndarray) -> np.ndarray:
    del x
    return G[t]


def column(values: Any) -> np.ndarray:
    return np.asarray(values)[:, None]


def rate(t: Any) -> Any:
    return 0.3 / (1 + 0.1 * t)


def b1(t: Any) -> Any:
    return 0.5 + 0.45 * t / 60


def b2(t: Any) -> Any:
    return 0.98 - 0.4 * t / 60


def share(t: Any) -> Any:
    return 0.9 - 0.5 * t / 60


def eps(t: Any) -> Any:
    return 0.03 / (1 + t)


def steps_of(optimizer: optax.GradientTransformation) -> np.ndarray:
    return np.diff(descend(optimizer, sequence, START, 60).held, axis=0)


def spread(decay: Callable[[Any], Any] = b2) -> np.ndarray:
    return np.sqrt(weighted_means(decay(STEPS), G**2)) + column(eps(STEPS))


def test_qhadam_mixes_each_mean_with_its_newest_member() -> None:
    nu1, nu2 = column(share(STEPS)), column(b1(STEPS))
    top = (1 - nu1) * G + nu1 * weighted_means(b1(STEPS), G)
    bottom = np.sqrt((1 - nu2) * G**2 + nu2 * weighted_means(b2(STEPS), G**2)) + column(eps(STEPS))
    optimizer = mj.quasi_hyperbolic_adam(rate, b1, b2, share, b1, eps=eps)
    assert_same_path(steps_of(optimizer), -column(rate(STEPS)) * top / bottom)


def test_qhadam_with_whole_shares_is_adam() -> None:
    assert_same_path(steps_of(mj.quasi_hyperbolic_adam(rate, b1, b2, 1.0, 1.0)), steps_of(mj.adam(rate, b1, b2)))


@pytest.mark.parametrize("variant", ["torch", "keras", "optax"])
def test_nadam_weighs_the_gradient_and_the_average_by_products_of_its_momenta(variant: str) -> None:
    def psi(t: Any) -> Any:
        return 0.01 + 0.002 * t

    after = np.arange(61)
    shrink = {"torch": 0.96 ** (psi(after) * (after + 1)), "keras": 0.96 ** (after + 1.0), "optax": np.zeros(61)}[variant]
    mu = b1(after) * (1 - 0.5 * shrink)
    product = np.cumprod(mu)
    top = column((1 - mu[:-1]) / (1 - product[:-1])) * G + column(mu[1:] / (1 - product[1:])) * averages(b1(STEPS), G)
    options = {"momentum_decay": psi} if variant == "torch" else {}
    optimizer = mj.nadam(rate, b1, b2, eps=eps, variant=variant, **options)
    assert_same_path(steps_of(optimizer), -column(rate(STEPS)) * top / spread())


def test_nadam_refuses_a_decay_that_its_variant_would_not_read() -> None:
    with pytest.raises(
        ValueError, match=r"^nadam: variant='keras' has a momentum_decay of its own, got momentum_decay=1\.0\.$"
    ):
        mj.nadam(0.1, momentum_decay=1.0, variant="keras")
    with pytest.raises(ValueError, match=r"^nadam: variant must be 'torch', 'keras' or 'optax', got 'jax'\.$"):
        mj.nadam(0.1, variant="jax")
    with pytest.raises(TypeError, match=r"^nadam: variant must be 'torch', 'keras' or 'optax', got None \(NoneType\)\.$"):
        mj.nadam(0.1, variant=None)


def test_adan_adds_the_mean_of_the_changes_of_the_gradient() -> None:
    changes = np.diff(G, axis=0, prepend=G[:1])
    weight = column(share(STEPS))
    top = weighted_means(b1(STEPS), G) + weight * weighted_means(share(STEPS), changes)
    bottom = np.sqrt(weighted_means(b2(STEPS), (G + weight * changes) ** 2)) + column(eps(STEPS))
    assert_same_path(steps_of(mj.adan(rate, b1, share, b2, eps=eps)), -column(rate(STEPS)) * top / bottom)


def test_adans_weight_decay_is_proximal() -> None:
    def decay(t: Any) -> Any:
        return 0.4 / (1 + 0.2 * t)

    x, expected = START, [START]
    for t, step in enumerate(steps_of(mj.adan(rate, b1, share, b2, eps=eps))):
        x = (x + step) / (1 + rate(t) * decay(t))
        expected.append(x)
    optimizer = mj.adan(rate, b1, share, b2, eps=eps, weight_decay=decay)
    assert_same_path(descend(optimizer, sequence, START, 60).held, np.array(expected))


def test_adan_without_memory_of_changes_is_adam() -> None:
    assert_same_path(steps_of(mj.adan(rate, b1, 0.0, b2)), steps_of(mj.adam(rate, b1, b2)))


def test_laprop_averages_normalised_gradients_with_the_learning_rate_in_the_weights() -> None:
    inside = column(rate(STEPS)) * G / spread()
    correction = rate(STEPS) / averages(b1(STEPS), rate(STEPS))
    assert_same_path(steps_of(mj.laprop(rate, b1, b2, eps=eps)), -column(correction) * averages(b1(STEPS), inside))


def test_laprop_without_momentum_is_adam_without_momentum() -> None:
    assert_same_path(steps_of(mj.laprop(rate, 0.0, b2)), steps_of(mj.adam(rate, 0.0, b2, eps=1e-15)))


def test_laprop_moves_nothing_while_the_learning_rate_is_zero() -> None:
    steps = steps_of(mj.laprop(lambda t: jnp.where((t < 3) | (t == 10), 0.0, 0.1)))
    np.testing.assert_array_equal(steps[[0, 1, 2, 10]], 0.0)
    assert np.abs(steps[[3, 9, 11]]).max(axis=1).min() > 0.01


def test_ademamix_adds_the_slow_average_uncorrected() -> None:
    top = weighted_means(b1(STEPS), G) + column(rate(STEPS)) * averages(share(STEPS), G)
    optimizer = mj.ademamix(rate, b1, b2, share, alpha=rate, eps=eps)
    assert_same_path(steps_of(optimizer), -column(rate(STEPS)) * top / spread())


def test_ademamix_without_the_slow_average_is_adam() -> None:
    assert_same_path(steps_of(mj.ademamix(rate, b1, b2, alpha=0.0)), steps_of(mj.adam(rate, b1, b2)))


def test_simplified_ademamix_sums_gradients_and_adds_the_newest_again() -> None:
    top = discounted_sums(b1(STEPS), G) + column(share(STEPS)) * G
    optimizer = mj.simplified_ademamix(rate, b1, b2, alpha=share, eps=eps)
    assert_same_path(steps_of(optimizer), -column(rate(STEPS)) * top / spread())


def test_demon_is_polyaks_two_point_form_with_its_momentum(problem: Problems) -> None:
    path = [problem.theta0, problem.theta0 - rate(0) * problem.quad(0, problem.theta0) / 10]
    for t in range(1, 50):
        left = 0.8 * max(1 - t / 30, 0)
        step = -rate(t) / 10 * problem.quad(t, path[-1]) + left / (0.2 + left) * (path[-1] - path[-2])
        path.append(path[-1] + step)
    optimizer = mj.demon(lambda t: rate(t) / 10, 0.8, total_steps=30)
    assert_same_path(descend(optimizer, problem.quad, problem.theta0, 50).held, np.array(path))


@pytest.mark.parametrize("peer", PEERS)
def test_a_file_of_trajectories_names_the_peer_its_version_and_the_hyperparameters(peer: str) -> None:
    about, arrays = peer_file(f"adaptive/{peer}")
    assert about["peer"]
    assert about["version"][0].isalnum()
    for name, trajectory in about["trajectories"].items():
        assert trajectory["hyperparameters"]
        assert trajectory["dtype"] in ("float32", "float64")
        assert arrays[f"{name}/quad"].dtype == arrays[f"{name}/seq"].dtype == np.float64
