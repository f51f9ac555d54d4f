"""Normalised and orthogonalised methods, and the wrappers, against their authors' code and against the papers' formulas.

The trajectories were computed by the peers, in float64; `about` in the file names peer, version and hyperparameters of each.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import Problems, assert_same_path, largest_difference, peer_file

import momentum_jax as mj

Optimizer = optax.GradientTransformation
Gradient = Callable[[int, np.ndarray], np.ndarray]
NOTHING = optax.set_to_zero()


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


@pytest.fixture(scope="module")
def peers() -> dict[str, np.ndarray]:
    return peer_file("normalised/peers")[1]


class Met(NamedTuple):
    """A trajectory that `make()` meets; `along_peer`: with gradients along the peer's path, where rounding is amplified."""

    trajectory: str
    make: Callable[[], Optimizer]
    tolerance: float = 1e-12
    along_peer: bool = False


def corrected(b: float, value: float) -> Callable[[Any], Any]:
    """value / sqrt(1 - b^(t+1)): for peers whose eps is not bias corrected."""
    return lambda t: value / jnp.sqrt(1 - b ** (t + 1.0))


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
]

DIFFERENT = [
    Met("muon_optax", lambda: mj.muon(0.05, fallback=NOTHING)),
    Met("muon_moonlight", lambda: mj.muon(0.05, weight_decay=0.1, fallback=NOTHING)),
    Met("normuon", lambda: mj.normuon(0.05, neurons="columns", fallback=NOTHING)),
    Met("normuon", lambda: mj.muon(0.05, fallback=NOTHING)),
]

trajectory_id = lambda met: met.trajectory  # noqa: E731


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


def rate(t: Any) -> Any:
    return 0.05 / (1 + 0.1 * t)


def decay(t: Any) -> Any:
    return 0.5 + 0.4 * t / 50


def paper_average(g: np.ndarray, beta: Callable[[int], float]) -> np.ndarray:
    """m_1 = g_1, then m = beta m + (1 - beta) g."""
    m = [g[0]]
    for t in range(1, len(g)):
        m.append(beta(t) * m[-1] + (1 - beta(t)) * g[t])
    return np.array(m)


def test_normalized_momentum_goes_the_length_of_the_rate_along_the_papers_average(problem: Problems) -> None:
    held, _ = walk(mj.normalized_momentum(rate, decay, eps=0), problem.seq, problem.theta0)
    m = paper_average(problem.gseq, decay)
    steps = -rate(np.arange(50))[:, None] * m / np.linalg.norm(m, axis=1, keepdims=True)
    assert_same_path(held, problem.theta0 + np.vstack([np.zeros(17), np.cumsum(steps, axis=0)]))


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


def test_the_scale_of_the_loss_does_not_move_normalized_momentum(problem: Problems) -> None:
    optimizer = mj.normalized_momentum(rate, 0.9, eps=0)
    plain, _ = walk(optimizer, problem.seq, problem.theta0)
    scaled, _ = walk(optimizer, lambda t, x: 1e5 * problem.seq(t, x), problem.theta0)
    assert_same_path(scaled, plain)


def test_a_gradient_that_was_always_zero_gets_no_normalized_step() -> None:
    params = {"w": jnp.zeros(3)}
    for eps in (0, 1e-8, jnp.asarray(0.0)):
        optimizer = mj.normalized_momentum(0.1, eps=eps)
        updates, _ = optimizer.update(params, optimizer.init(params), params)
        np.testing.assert_array_equal(updates["w"], 0)


def polynomial_of_singular_values(u: np.ndarray, steps: int, eps: float) -> np.ndarray:
    """Newton-Schulz acts on the singular values alone, each by s -> a s + b s^3 + c s^5."""
    left, s, right = np.linalg.svd(u, full_matrices=False)
    s = s / (np.linalg.norm(u) + eps)
    for _ in range(steps):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return left @ np.diag(s) @ right


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4), (1, 6), (6, 1)])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_a_step_of_muon_is_the_quintic_of_the_singular_values(shape: tuple[int, int], dtype: str) -> None:
    rng = np.random.default_rng(0)
    g = rng.normal(size=(2, *shape)) + (1j * rng.normal(size=(2, *shape)) if dtype == "complex128" else 0)
    rows, columns = shape
    scales = {
        "official": max(1, rows / columns) ** 0.5,
        "optax": max(1, columns / rows) ** 0.5,
        "moonlight": 0.2 * max(shape) ** 0.5,
    }
    for scale, factor in scales.items():
        optimizer = mj.muon(0.1, 0.9, ns_steps=3, scale=scale)
        state = optimizer.init({"w": g[0]})
        _, state = optimizer.update({"w": g[0]}, state)
        updates, _ = optimizer.update({"w": g[1]}, state)
        m = 0.9 * 0.1 * g[0] + 0.1 * g[1]
        expected = -0.1 * factor * polynomial_of_singular_values(0.9 * m + 0.1 * g[1], 3, 1e-7)
        np.testing.assert_allclose(updates["w"], expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("nesterov", [False, True])
def test_without_the_mix_muon_of_this_scale_is_that_of_optax(nesterov: bool, problem: Problems) -> None:
    theirs = optax.contrib.muon(1.0, beta=0.9, eps=1e-30, nesterov=nesterov)
    ours = mj.muon(1.0, 0.9, nesterov=nesterov, scale="optax", eps=0)
    params = {"w": problem.theta0[:12].reshape(3, 4)}
    (our_state, their_state), worst = (ours.init(params), theirs.init(params)), 0.0
    for g in problem.gseq[:10]:
        updates = {"w": g[:12].reshape(3, 4)}
        a, our_state = ours.update(updates, our_state, params)
        b, their_state = theirs.update(updates, their_state, params)
        worst = max(worst, np.abs(a["w"] - b["w"]).max())
    assert (worst > 1e-2) if nesterov else (worst < 1e-5)  # Optax holds the coefficients of the quintic in float32


@pytest.mark.parametrize(("dtype", "expected"), [("bfloat16", "float32"), ("float32", "float32"), ("float64", "float64")])
def test_newton_schulz_runs_in_the_precision_of_the_leaf(dtype: str, expected: str) -> None:
    optimizer, params = mj.scale_by_muon(), {"w": jnp.ones((2, 3), dtype)}
    program = jax.make_jaxpr(optimizer.update)(params, optimizer.init(params), params)
    products = re.findall(r":(\w+)\[\d+,\d+\] = dot_general", str(program))
    assert products == [{"float32": "f32", "float64": "f64"}[expected]] * 15


def test_by_default_other_leaves_go_to_adamw_at_its_share_of_the_rate(problem: Problems) -> None:
    for make in (mj.muon, mj.normuon):
        default, _ = walk(make(rate, weight_decay=0.1), problem.seq, problem.theta0)
        named = mj.adamw(lambda t: 0.015 * rate(t), 0.9, 0.95, eps=1e-10, weight_decay=0.1)
        explicit, _ = walk(make(rate, weight_decay=0.1, fallback=named), problem.seq, problem.theta0)
        assert_same_path(default, explicit)
        assert np.abs(np.diff(default[:, 12:], axis=0)).min() > 0


@pytest.mark.parametrize("make", [mj.muon, mj.normuon])
def test_a_tree_without_matrices_is_refused_with_the_remedy(make: Any) -> None:
    params = {"kernel": jnp.ones((3, 3, 1, 8)), "bias": jnp.ones(8)}
    with pytest.raises(ValueError, match=r"^\w+: params must have a matrix .*\(8,\).*take adamw for it, or .*fallback="):
        make().init(params)
    make(fallback=mj.adam(0.1)).init(params)


def test_the_words_and_the_optimizers_that_muon_takes_are_named() -> None:
    with pytest.raises(
        ValueError, match=r"^muon: scale must be one of 'official', 'moonlight', 'optax', got 'keras' \(str\)\.$"
    ):
        mj.muon(scale="keras")
    with pytest.raises(ValueError, match=r"^normuon: neurons must be one of 'rows', 'columns'"):
        mj.normuon(neurons="cols")
    with pytest.raises(TypeError, match=r"^muon: fallback must be a gradient transformation, got float\.$"):
        mj.muon(fallback=0.1)
    with pytest.raises(ValueError, match=r"^muon: ns_steps must be at least 1, got 0\.$"):
        mj.muon(ns_steps=0)
    with pytest.raises(TypeError, match=r"optax\.inject_hyperparams needs static_args='ns_steps'"):
        optax.inject_hyperparams(mj.muon)().init({"w": jnp.ones((2, 2))})


@pytest.mark.parametrize("make", [mj.scale_by_muon, mj.scale_by_normuon])
def test_matrices_of_zeros_and_without_entries_stay_where_they_are(make: Any) -> None:
    params = {"zero": jnp.zeros((2, 3)), "empty": jnp.zeros((0, 3)), "thin": jnp.zeros((3, 0))}
    for eps in (0, 1e-7):
        optimizer = make(eps=eps)
        updates, _ = optimizer.update(params, optimizer.init(params), params)
        chex.assert_trees_all_equal(updates, params)


@pytest.mark.parametrize("make", [mj.scale_by_muon, mj.scale_by_normuon])
def test_the_derivative_through_a_matrix_step_is_finite_at_zero(make: Any) -> None:
    optimizer = make()

    def after(params: Any) -> Any:
        updates, _ = optimizer.update(params, optimizer.init(params), params)
        return jnp.sum(updates["w"] ** 2)

    for w in (jnp.zeros((2, 3)), jnp.arange(6.0).reshape(2, 3)):
        assert np.isfinite(jax.grad(after)({"w": w})["w"]).all()


@pytest.mark.parametrize(("neurons", "axis"), [("rows", 1), ("columns", 0)])
def test_at_the_first_step_normuon_gives_every_neuron_the_same_length(neurons: str, axis: int) -> None:
    g = np.random.default_rng(1).normal(size=(4, 7))
    optimizer = mj.normuon(1.0, 0.9, neurons=neurons)
    updates, _ = optimizer.update({"w": g}, optimizer.init({"w": g}))
    o = polynomial_of_singular_values(g, 5, 1e-7)
    lengths = np.linalg.norm(updates["w"], axis=axis)
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(updates["w"]), np.linalg.norm(o), rtol=1e-6)


def test_after_a_reset_the_matrices_and_the_fallback_begin_anew(problem: Problems) -> None:
    optimizer = mj.muon(0.05, fallback=mj.heavy_ball(0.05))
    held, state = walk(optimizer, problem.seq, problem.theta0, 10)
    fresh, _ = optimizer.update(tree(problem.gseq[10]), optimizer.init(tree(held[-1])))
    again, _ = optimizer.update(tree(problem.gseq[10]), mj.reset_momentum(state))
    chex.assert_trees_all_close(again, fresh, rtol=1e-12)
