"""The adaptive relatives: where their authors' code went with the same gradients, and each rule a second time in NumPy.

The trajectories were computed by the peers themselves; the files name peer, version, precision and hyperparameters.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import optax
import pytest
from oracles import FILES, Problems, assert_same_path, averages, descend, largest_difference, peer_file, weighted_means

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
]

DIFFERENT = [
    row("keras/nadam", mj.nadam, 0.05),
    row("optax/nadam", mj.nadam, 0.05),
    row("torch/nadam", mj.nadam, 0.05, variant="optax"),
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


@pytest.mark.parametrize("peer", PEERS)
def test_a_file_of_trajectories_names_the_peer_its_version_and_the_hyperparameters(peer: str) -> None:
    about, arrays = peer_file(f"adaptive/{peer}")
    assert about["peer"]
    assert about["version"][0].isalnum()
    for name, trajectory in about["trajectories"].items():
        assert trajectory["hyperparameters"]
        assert trajectory["dtype"] in ("float32", "float64")
        assert arrays[f"{name}/quad"].dtype == arrays[f"{name}/seq"].dtype == np.float64
