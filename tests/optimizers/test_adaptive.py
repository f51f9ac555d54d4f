"""The adaptive relatives: where their authors' code went with the same gradients, and each rule a second time in NumPy.

The trajectories were computed by the peers themselves; the files name peer, version, precision and hyperparameters.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import (
    FILES,
    Problems,
    Value,
    assert_same_path,
    averages,
    descend,
    discounted_sums,
    largest_difference,
    peer_file,
    weighted_means,
)

import momentum_jax as mj
from momentum_jax.optimizers._transformation import chain
from momentum_jax.optimizers.learning_rate import ScaleByLearningRateState
from momentum_jax.optimizers.weight_decay import AddWeightDecayState
from momentum_jax.optimizers.yellowfin import _root_of_cubic

PEERS = sorted(file.stem for file in (FILES / "adaptive").glob("*.npz"))
PEERS_LEAF = 12  # the peers' tensors are the first 12 coordinates and the other 5
STEPS = np.arange(60)
START = np.linspace(-1, 2, 6)
LINKS = (ScaleByLearningRateState, AddWeightDecayState)


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
    return {f"{peer}/{name}": array for peer in PEERS for name, array in peer_file(f"adaptive/{peer}")[1].items()}


def losses(problem: Problems, peers: dict[str, np.ndarray]) -> dict[str, Value]:
    """The loss of either problem: the quadratic's, and the sequence that the peers were given."""
    return {
        "quad": lambda t, x: float((x - problem.center) @ problem.H @ (x - problem.center) / 2),
        "seq": lambda t, x: float(peers["momo-opt/losses"][t]),
    }


@pytest.mark.parametrize("row", MET, ids=row_id)
def test_the_method_meets_the_peer_at_every_step(row: Row, problem: Problems, peers: dict[str, np.ndarray]) -> None:
    optimizer = row.make(*row.args, **row.kwargs)
    for name, value in losses(problem, peers).items():
        path = descend(optimizer, getattr(problem, name), problem.theta0, 50, value=value, cut=PEERS_LEAF).held
        assert_same_path(path, peers[f"{row.trajectory}/{name}"], row.tolerance)


@pytest.mark.parametrize("row", DIFFERENT, ids=row_id)
def test_the_method_parts_from_a_peer_of_another_rule(row: Row, problem: Problems, peers: dict[str, np.ndarray]) -> None:
    optimizer, value = row.make(*row.args, **row.kwargs), losses(problem, peers)["quad"]
    descent = descend(optimizer, problem.quad, problem.theta0, 50, value=value)
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


def test_mars_is_adamw_on_gradients_with_their_last_change_and_of_norm_at_most_one() -> None:
    def gamma(t: Any) -> Any:
        return 0.1 + 0.02 * t

    weight = column(gamma(STEPS) * b1(STEPS) / (1 - b1(STEPS)))
    raw = G / 50
    corrected = raw + weight * np.diff(raw, axis=0, prepend=0.0)
    for tensor in (slice(0, 3), slice(3, 6)):
        corrected[:, tensor] /= np.maximum(np.linalg.norm(corrected[:, tensor], axis=1, keepdims=True), 1)
    norms = np.linalg.norm(corrected[:, :3], axis=1)
    assert norms.min() < 0.9
    assert np.linalg.norm(corrected[:, 3:], axis=1).max() > 1 - 1e-12
    optimizer = mj.mars(rate, b1, b2, gamma=gamma, eps=eps, weight_decay=share)
    ours = descend(optimizer, lambda t, x: raw[t], START, 60).held
    adamw = descend(mj.adamw(rate, b1, b2, eps=eps, weight_decay=share), lambda t, x: corrected[t], START, 60).held
    assert_same_path(ours, adamw)


class Parabola(NamedTuple):
    """A least-squares loss with a minimum of 0.3, and its gradient."""

    A: np.ndarray
    y: np.ndarray

    def loss(self, t: int, x: np.ndarray) -> float:
        return 0.3 + 0.5 * float(np.sum((self.A @ x - self.y - 0.1 * np.sin(t)) ** 2))

    def gradient(self, t: int, x: np.ndarray) -> np.ndarray:
        return self.A.T @ (self.A @ x - self.y - 0.1 * np.sin(t))


@pytest.fixture(scope="module")
def parabola() -> Parabola:
    rng = np.random.default_rng(3)
    return Parabola(rng.normal(size=(6, 6)), rng.normal(size=6))


@pytest.mark.parametrize("weight_decay", [0.0, 0.2])
def test_momo_stops_where_the_average_of_its_linear_models_meets_the_bound(parabola: Parabola, weight_decay: float) -> None:
    def beta(t: Any) -> Any:
        return 0.9 - 0.5 * t / 60

    def cap(t: Any) -> Any:
        return 0.02 + 0.01 * t

    def bound(t: Any) -> Any:
        return 0.2 + 0.001 * t

    # The models f_i + <g_i, x - x_i> themselves, each with the weight that it still has.
    x, path, models, capped = START, [START], [], 0
    for t in range(60):
        keep = beta(t) if t else 0.0
        g, f = parabola.gradient(t, x), parabola.loss(t, x)
        models = [(keep * w, *model) for w, *model in models] + [(1 - keep, g, f - g @ x)]
        d = sum(w * g for w, g, _ in models)
        constant = sum(w * c for w, _, c in models)
        shrink = 1 + cap(t) * weight_decay
        # tau where the model, at the point that the step leads to, is at the bound.
        tau = (d @ x / shrink + constant - bound(t)) / (d @ d / shrink)
        capped += tau > cap(t)
        x = (x - np.clip(tau, 0, cap(t)) * d) / shrink
        path.append(x)
    assert 0 < capped < 60
    optimizer = mj.momo(cap, beta, lower_bound=bound, weight_decay=weight_decay)

    # Gradients and losses of the expected path: these steps amplify a rounding a hundred thousand times.
    def gradient(t: int, x: np.ndarray) -> np.ndarray:
        return parabola.gradient(t, path[t])

    def loss(t: int, x: np.ndarray) -> float:
        return parabola.loss(t, path[t])

    assert_same_path(descend(optimizer, gradient, START, 60, value=loss).held, np.array(path))


def test_momo_with_a_bound_out_of_reach_is_a_plain_average_of_gradients(parabola: Parabola) -> None:
    ours = descend(mj.momo(0.01, 0.9, lower_bound=-1e6), parabola.gradient, START, 60, value=parabola.loss).held
    average = optax.chain(mj.scale_by_sgd(0.9, dampening=0.9), mj.scale_by_learning_rate(0.01))
    assert_same_path(ours, descend(average, parabola.gradient, START, 60).held)


def test_momo_without_a_loss_says_how_to_hand_it_one() -> None:
    optimizer, params = mj.momo(), {"w": jnp.ones(2)}
    state = optimizer.init(params)
    with pytest.raises(
        ValueError, match=r"^momo: value must be the loss .* call update\(gradients, state, params, value=loss\)\.$"
    ):
        optimizer.update(params, state, params)
    with pytest.raises(
        ValueError, match=r"^momo: the parameters are needed: call update\(gradients, state, params, value=loss\)\.$"
    ):
        optimizer.update(params, state, value=1.0)
    for value in (jnp.ones(2), 1j, True):
        with pytest.raises(TypeError, match=r"^momo: value must be the loss at params, a real number, got an array of "):
            optimizer.update(params, state, params, value=value)


def test_the_loss_reaches_momo_through_chains_and_wrappers(parabola: Parabola) -> None:
    alone = descend(mj.momo(), parabola.gradient, START, 5, value=parabola.loss).held
    for wrapped in (
        optax.chain(optax.identity(), mj.momo()),
        chain("ours", mj.add_weight_decay(0.0), mj.momo()),
        optax.MultiSteps(mj.momo(), 1),
        mj.per_layer({"*": mj.momo()}),
    ):
        assert_same_path(descend(wrapped, parabola.gradient, START, 5, value=parabola.loss).held, alone)


FORGOTTEN = {
    "quasi_hyperbolic_adam": {"momentum_step", "first_moment", "log_product1"},
    "nadam": {"momentum_step", "first_moment", "log_product1"},
    "adan": {"momentum_step", "first_moment", "difference", "log_product1", "log_product2"},
    "laprop": {"momentum_step", "first_moment", "average_rate"},
    "ademamix": {"momentum_step", "first_moment", "slow_moment", "log_product1"},
    "simplified_ademamix": {"momentum_step", "first_moment"},
    "demon": {"step", "velocity"},
    "mars": {"momentum_step", "first_moment", "log_product1"},
    "momo": {"momentum_step", "first_moment", "average_loss", "average_product"},
    "yellowfin": {"velocity"},
}


@pytest.mark.parametrize("name", FORGOTTEN)
def test_a_reset_forgets_the_momentum_and_nothing_else(name: str, parabola: Parabola) -> None:
    options = {"total_steps": 100} if name == "demon" else {}
    state = descend(getattr(mj, name)(0.01, **options), parabola.gradient, START, 5, value=parabola.loss).states[-1]
    # The links that only scale keep their place in the schedule.
    links = [s for s in (state if type(state) is tuple else (state,)) if not isinstance(s, LINKS)]
    for link in jax.tree.leaves(links, is_leaf=lambda s: hasattr(s, "_fields")):
        reset = mj.reset_momentum(link)
        for field in link._fields:
            for before, after in zip(
                jax.tree.leaves(getattr(link, field)), jax.tree.leaves(getattr(reset, field)), strict=True
            ):
                assert np.any(before)
                np.testing.assert_array_equal(after, np.zeros_like(before) if field in FORGOTTEN[name] else before)


def test_momo_starts_its_averages_anew_after_a_reset(parabola: Parabola) -> None:
    run = descend(mj.momo(), parabola.gradient, START, 10, value=parabola.loss)
    reset = mj.reset_momentum(run.states[-1])
    assert int(reset.step) == 10
    again = descend(mj.momo(), parabola.gradient, run.held[-1], 5, state=reset, value=parabola.loss).held
    assert_same_path(again, descend(mj.momo(), parabola.gradient, run.held[-1], 5, value=parabola.loss).held)


def test_yellowfin_is_the_published_tuner_with_a_cubic_solved_by_eigenvalues() -> None:
    beta, window, eps = 0.99, 7, 1e-6
    b, x, path = np.zeros(6), START, [START]
    average = np.zeros(6)
    squares = []
    square_average = norm_average = distance_average = low = high = 0.0
    gains = np.random.default_rng(2).uniform(0.5, 2, 60)[:, None] * (G / np.array([0.01, 0.1, 1, 10, 100, 1000]))
    for t, g in enumerate(gains):
        weight = 1 - beta ** (t + 1)
        squares.append(g @ g)
        average = beta * average + (1 - beta) * g
        square_average = beta * square_average + (1 - beta) * squares[-1]
        norm_average = beta * norm_average + (1 - beta) * np.sqrt(squares[-1])
        distance_average = beta * distance_average + (1 - beta) * norm_average / (square_average + eps)
        low = beta * low + (1 - beta) * np.log(min(squares[-window:]) + eps)
        high = beta * high + (1 - beta) * np.log(max(squares[-window:]) + eps)
        smallest, largest = np.exp(low / weight), np.exp(high / weight)
        variance = max(square_average / weight - average @ average / weight**2, eps)
        p = (distance_average / weight + eps) ** 2 * (smallest + eps) ** 2 / 2 / (variance + eps)
        roots = np.roots([-1.0, 3.0, -(3 + p), 1.0])
        (real,) = [r.real for r in roots if abs(r.imag) < 1e-9]
        r = np.sqrt((largest + eps) / (smallest + eps))
        mu = max(real, (r - 1) / (r + 1)) ** 2
        rate = (1 - np.sqrt(mu)) ** 2 / (smallest + eps) * min(1, (t + 1) / (10 * window))
        b = (mu if t > 1 else 0.0) * b + g
        x = x - 0.7 * (rate if t else 0.02) * b
        path.append(x)
    optimizer = mj.yellowfin(0.02, decay=beta, curvature_window=window, factor=0.7)
    assert_same_path(descend(optimizer, lambda t, x: gains[t], START, 60).held, np.array(path), 1e-10)


@pytest.mark.parametrize("p", [1e-25, 1e-12, 1e-3, 1.0, 1e3, 1e9, 1e20])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_yellowfins_cubic_is_solved_in_float32_at_any_size(p: float, dtype: Any) -> None:
    y = np.float64(_root_of_cubic(jnp.asarray(p, dtype)))
    low, high = 0.0, 1.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (low, middle) if middle**3 > p * (1 - middle) else (middle, high)
    np.testing.assert_allclose(y, low, rtol=1e-6 if dtype == np.float32 else 1e-14)


def test_every_carried_trajectory_is_met_or_known_to_differ() -> None:
    used = {row.trajectory for row in (*MET, *DIFFERENT)}
    assert used == {f"{peer}/{name}" for peer in PEERS for name in peer_file(f"adaptive/{peer}")[0]["trajectories"]}


@pytest.mark.parametrize("peer", PEERS)
def test_a_file_of_trajectories_names_the_peer_its_version_and_the_hyperparameters(peer: str) -> None:
    about, arrays = peer_file(f"adaptive/{peer}")
    assert about["peer"]
    assert about["version"][0].isalnum()
    for name, trajectory in about["trajectories"].items():
        assert trajectory["hyperparameters"]
        assert trajectory["dtype"] in ("float32", "float64")
        assert arrays[f"{name}/quad"].dtype == arrays[f"{name}/seq"].dtype == np.float64
