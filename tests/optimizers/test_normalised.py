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


def lion() -> Optimizer:
    return optax.lion(0.01, weight_decay=0)


def lars(learning_rate: Any, **more: Any) -> Optimizer:
    return mj.lars(learning_rate, 0.9, **{"weight_decay": 0.01, "trust_coefficient": 0.02, "eps": 0, **more})


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

trajectory_id = lambda met: met.trajectory  # noqa: E731


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
    with pytest.raises(ValueError, match=r"^muon: scale must be 'official', 'moonlight' or 'optax', got 'keras'\.$"):
        mj.muon(scale="keras")
    with pytest.raises(ValueError, match=r"^normuon: neurons must be 'rows' or 'columns'"):
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


@pytest.mark.parametrize("normalizer", ["mean", "count"])
def test_a_cautious_step_is_masked_and_rescaled_leaf_by_leaf(normalizer: str, problem: Problems) -> None:
    plain, cautious = mj.heavy_ball(0.05, 0.9), mj.cautious(mj.heavy_ball(0.05, 0.9), normalizer=normalizer)
    state, params = plain.init(tree(problem.theta0)), tree(problem.theta0)
    kept = 0
    for g in map(tree, problem.gseq):
        (d, after), (ours, ours_after) = plain.update(g, state, params), cautious.update(g, state, params)
        chex.assert_trees_all_close(ours_after, after, rtol=1e-15)
        for name in ("w", "b"):
            agrees = np.asarray(d[name]) * g[name] < 0
            gain = 1 / max(agrees.mean(), 1e-3) if normalizer == "mean" else agrees.size / (agrees.sum() + 1)
            np.testing.assert_allclose(ours[name], np.where(agrees, d[name], 0) * gain, rtol=1e-12)
            kept += agrees.sum()
        state = after
    assert 0.3 < kept / problem.gseq.size < 0.9


def test_a_mask_of_a_large_leaf_is_rescaled_by_a_thousand_at_most() -> None:
    g = jnp.ones(5000)
    momentum = mj.heavy_ball(1.0, 0.5)
    optimizer = mj.cautious(momentum)
    _, state = optimizer.update({"w": -10 * g}, optimizer.init({"w": g}))
    step, _ = optimizer.update({"w": g.at[0].set(-1.0)}, state)
    np.testing.assert_allclose(step["w"][0], 6.0 * 1000)
    np.testing.assert_array_equal(step["w"][1:], 0)


def test_masks_of_complex_leaves_ask_for_the_angle_between_them() -> None:
    g = {"w": jnp.asarray([1 + 1j, 1 - 1j, -1 + 0j, 1j])}
    momentum = {"w": jnp.asarray([1 + 0j, 0.5j, 1.0, 1j])}
    fixed = optax.GradientTransformation(lambda p: (), lambda g, s, p=None: (jax.tree.map(jnp.negative, momentum), s))
    updates, _ = mj.cautious(fixed).update(g, (), g)
    np.testing.assert_allclose(updates["w"], 2 * np.asarray([-1, 0, 0, -1j]))
    decay = mj.cautious_weight_decay(0.1)
    updates, _ = decay.update(momentum, decay.init(g), g)
    np.testing.assert_allclose(updates["w"] - momentum["w"], 0.1 * np.asarray([1 + 1j, 0, 0, 1j]))


def test_cautious_weight_decay_shrinks_what_the_step_shrinks_and_what_it_leaves() -> None:
    u, p = jnp.asarray([1.0, -1.0, 0.0, 1.0, -1.0]), jnp.asarray([2.0, 2.0, 2.0, -2.0, -2.0])
    link = mj.cautious_weight_decay(0.1)
    updates, _ = link.update({"w": u}, link.init({"w": p}), {"w": p})
    np.testing.assert_allclose(updates["w"] - u, 0.1 * np.asarray([2, 0, 2, 0, -2]), atol=1e-15)
    with pytest.raises(ValueError, match=r"^cautious_weight_decay: weight_decay needs the parameters"):
        link.update({"w": u}, link.init({"w": p}))


def restarted(problem: Problems, criterion: str, momentum: Callable[[int], float], look_ahead: bool, min_steps: int) -> Any:
    """The published scheme in two sequences, and the steps after which it restarted.

    x+ = y - eta g(y) + mu (x - x_prev) where y = x (heavy ball), or y - eta g(y) where y = x + mu (x - x_prev).
    """
    eta, x, y, k = 0.05, problem.theta0, problem.theta0, 0
    x_prev, length, value = x, 0.0, np.inf
    path, restarts = [y], []
    for t in range(150):
        g = problem.bent(t, y)
        if criterion == "function":
            if k >= min_steps and loss(problem, y) > value:
                x, x_prev, k = y, y, 0
                restarts.append(t)
            value = loss(problem, y)
        x_new = y - eta * g if look_ahead else x - eta * g + momentum(k) * (x - x_prev)
        x_prev, x, k = x, x_new, k + 1
        moved = x - x_prev
        uphill, slower = g @ moved > 0, np.linalg.norm(moved) < length
        length = np.linalg.norm(moved)
        if criterion != "function" and k >= min_steps and (uphill if criterion == "gradient" else slower):
            x_prev, k, length = x, 0, 0.0
            restarts.append(t)
        y = x + momentum(k) * (x - x_prev) if look_ahead else x
        path.append(y)
    return np.array(path), restarts


def loss(problem: Problems, x: np.ndarray) -> float:
    return 0.5 * (x - problem.center) @ problem.H @ (x - problem.center) + np.sum(np.log(np.cosh(x)))


@pytest.mark.parametrize("min_steps", [1, 5])
@pytest.mark.parametrize("criterion", ["gradient", "function", "speed"])
@pytest.mark.parametrize("look_ahead", [False, True], ids=["heavy_ball", "nesterov"])
@pytest.mark.parametrize("momentum", [mj.schedules.fista(150), lambda t: 0.97], ids=["fista", "constant"])
def test_restarts_come_where_the_published_scheme_has_them(
    momentum: Any, look_ahead: bool, criterion: str, min_steps: int, problem: Problems
) -> None:
    make = mj.nesterov if look_ahead else mj.heavy_ball
    optimizer = mj.adaptive_restart(make(0.05, momentum), criterion=criterion, min_steps=min_steps)
    # In the function scheme the held point becomes the iterate; its look-ahead is of a velocity of 0.
    path, restarts = restarted(problem, criterion, lambda k: float(momentum(k)), look_ahead, min_steps)
    assert restarts
    update, state, held = jax.jit(optimizer.update), optimizer.init(tree(problem.theta0)), [problem.theta0]
    for t in range(150):
        x = held[-1]
        updates, state = update(tree(problem.bent(t, x)), state, tree(x), value=jnp.asarray(loss(problem, x)))
        held.append(x + flat(updates))
    # Near the minimum the sign of a difference of two losses is rounding over a distance of the root of that.
    assert_same_path(np.array(held), path, 1e-7 if criterion == "function" else 1e-9)


def test_restart_finds_its_way_into_any_chain_and_any_partition(problem: Problems) -> None:
    alone, _ = walk(mj.adaptive_restart(mj.heavy_ball(0.02, 0.97)), problem.quad, problem.theta0, 100)
    unrestarted, _ = walk(mj.heavy_ball(0.02, 0.97), problem.quad, problem.theta0, 100)
    assert np.abs(alone - unrestarted).max() > 0.1
    chained = optax.chain(optax.clip_by_global_norm(1e9), mj.heavy_ball(0.02, 0.97), optax.scale(1.0))
    parts = mj.per_layer({"w": mj.heavy_ball(0.02, 0.97), "b": optax.sgd(0.02, 0.97)})
    for optimizer in (chained, parts, optax.sgd(0.02, 0.97), optax.apply_if_finite(mj.heavy_ball(0.02, 0.97), 3)):
        held, _ = walk(mj.adaptive_restart(optimizer), problem.quad, problem.theta0, 100)
        assert_same_path(held, alone)
    within = optax.chain(optax.identity(), mj.adaptive_restart(mj.heavy_ball(0.02, 0.97)))
    assert_same_path(walk(within, problem.quad, problem.theta0, 100)[0], alone)


@pytest.mark.parametrize("make", [mj.heavy_ball, mj.nesterov])
@pytest.mark.parametrize("min_steps", [1, 7])
def test_restart_by_speed_passes_over_the_updates_between_the_steps_of_multisteps(
    make: Any, min_steps: int, problem: Problems
) -> None:
    def restarting(optimizer: Any) -> Any:
        return mj.adaptive_restart(optimizer, criterion="speed", min_steps=min_steps)

    alone, state = walk(restarting(make(0.02, 0.97)), problem.quad, problem.theta0, 60)
    assert state.steps_since_restart < 60
    thrice, _ = walk(
        restarting(optax.MultiSteps(make(0.02, 0.97), 3).gradient_transformation()), problem.quad, problem.theta0, 180
    )
    # Optax takes the mean of three equal gradients in float32.
    assert_same_path(thrice[::3], alone, 1e-7)


def test_restart_needs_the_loss_a_known_criterion_and_a_momentum_that_can_be_reset(problem: Problems) -> None:
    params = tree(problem.theta0)
    optimizer = mj.adaptive_restart(mj.heavy_ball(0.1), criterion="function")
    with pytest.raises(ValueError, match=r'^adaptive_restart: criterion "function" needs the loss: .*value=loss'):
        optimizer.update(params, optimizer.init(params), params)
    with pytest.raises(ValueError, match=r"criterion must be 'gradient', 'function' or 'speed', got 'loss'"):
        mj.adaptive_restart(mj.heavy_ball(0.1), criterion="loss")
    with pytest.raises(ValueError, match=r"reset_momentum"):
        mj.adaptive_restart(optax.lbfgs()).init(params)
    with pytest.raises(TypeError, match=r"^adaptive_restart: optimizer is an optax\.MultiSteps; give its \.gradient_transf"):
        mj.adaptive_restart(optax.MultiSteps(mj.heavy_ball(0.1), 4))  # pyright: ignore[reportArgumentType]
    for wrapper in (mj.adaptive_restart, mj.cautious):
        with pytest.raises(TypeError, match=r"^\w+: optimizer must be a gradient transformation, got function\.$"):
            wrapper(mj.heavy_ball)


def test_a_reset_from_outside_reaches_into_the_wrappers(problem: Problems) -> None:
    for wrap in (mj.cautious, lambda o: mj.adaptive_restart(o, criterion="speed")):
        optimizer = wrap(mj.heavy_ball(0.05, 0.9))
        _, state = walk(optimizer, problem.seq, problem.theta0, 10)
        again, _ = optimizer.update(tree(problem.gseq[10]), mj.reset_momentum(state))
        chex.assert_trees_all_close(again, tree(-0.05 * problem.gseq[10]), rtol=1e-12)


def stepped_rate(t: Any) -> Any:
    return jnp.where(t < 20, 0.05, jnp.where(t < 35, 0.005, 0.02))


@pytest.mark.parametrize("trajectory", ["torch/momentum_lrsched", "keras/momentum_goyal"])
@pytest.mark.parametrize("core", [mj.scale_by_heavy_ball(0.9), optax.trace(0.9)], ids=["heavy_ball", "trace"])
def test_the_corrected_momentum_meets_the_peers_with_the_rate_outside(core: Any, trajectory: str, problem: Problems) -> None:
    peer, name = trajectory.split("/")
    arrays = peer_file(peer)[1]
    for problem_name in ("quad", "seq"):
        held, _ = walk(mj.momentum_correction(core, stepped_rate), getattr(problem, problem_name), problem.theta0)
        assert_same_path(held, arrays[f"{name}/{problem_name}"])
    assert (
        largest_difference(walk(mj.heavy_ball(stepped_rate, 0.9), problem.quad, problem.theta0)[0], arrays[f"{name}/quad"])
        > 0.1
    )


@pytest.mark.parametrize(
    "core",
    [mj.scale_by_nesterov(decay), mj.scale_by_ema_momentum(decay), mj.scale_by_sgd(0.8, dampening=0.2, nesterov=False)],
    ids=["nesterov", "ema", "sgd"],
)
def test_the_correction_of_any_linear_core_takes_its_rate_outside(core: Any, problem: Problems) -> None:
    outside = optax.chain(core, mj.scale_by_learning_rate(stepped_rate))
    held, _ = walk(mj.momentum_correction(core, stepped_rate), problem.bent, problem.theta0)
    assert_same_path(held, walk(outside, problem.bent, problem.theta0)[0])


def test_a_corrected_velocity_is_the_step_itself(problem: Problems) -> None:
    optimizer = mj.momentum_correction(mj.scale_by_heavy_ball(0.9), stepped_rate)
    held, state = walk(optimizer, problem.seq, problem.theta0, 30)
    np.testing.assert_allclose(flat(state.inner_state.velocity), held[-1] - held[-2], rtol=1e-10)


@pytest.mark.parametrize("core", [mj.scale_by_heavy_ball(0.9), mj.scale_by_nesterov(0.9), optax.trace(0.9)])
@pytest.mark.parametrize("zeros", [(0,), (0, 1, 2), (5,), (0, 7, 8, 20)])
def test_rates_of_zero_stop_the_steps_and_not_the_memory(core: Any, zeros: tuple[int, ...], problem: Problems) -> None:
    def rate(t: Any) -> Any:
        return jnp.where(jnp.isin(t, jnp.asarray(zeros)), 0.0, 0.05 / (1 + jnp.asarray(t, float)))

    outside = optax.chain(core, mj.scale_by_learning_rate(rate))
    held, _ = walk(mj.momentum_correction(core, rate), problem.bent, problem.theta0)
    assert_same_path(held, walk(outside, problem.bent, problem.theta0)[0])


def test_the_correction_refuses_what_is_no_core_and_no_rate() -> None:
    with pytest.raises(TypeError, match=r"^momentum_correction: core must be a gradient transformation, got float\.$"):
        mj.momentum_correction(0.1, 0.1)
    with pytest.raises(ValueError, match=r"^momentum_correction: learning_rate must be finite and at least 0, got -1\.$"):
        mj.momentum_correction(mj.scale_by_heavy_ball(), -1)


def test_lars_keeps_the_rate_of_each_step_inside_its_velocity(problem: Problems) -> None:
    held, _ = walk(lars(rate), problem.seq, problem.theta0)
    x, v = problem.theta0.copy(), np.zeros(17)
    for t in range(50):
        for part in (slice(12), slice(12, 17)):
            g, norm = problem.gseq[t][part], np.linalg.norm(x[part])
            trust = 0.02 * norm / (np.linalg.norm(g) + 0.01 * norm)
            v[part] = 0.9 * v[part] + rate(t) * trust * (g + 0.01 * x[part])
        x = x - v
        np.testing.assert_allclose(held[t + 1], x, rtol=1e-11)


def test_lars_moves_leaves_of_zeros_at_the_plain_rate_and_needs_the_parameters() -> None:
    params, g = {"w": jnp.zeros(3)}, {"w": jnp.ones(3)}
    optimizer = mj.lars(0.1)
    updates, _ = optimizer.update(g, optimizer.init(params), params)
    np.testing.assert_allclose(updates["w"], -0.1)
    with pytest.raises(ValueError, match=r"^lars: its ratios need the parameters: call update\(gradients, state, params\)"):
        optimizer.update(g, optimizer.init(params))


def test_nigt_goes_where_the_papers_algorithm_goes(problem: Problems) -> None:
    held, state = walk(mj.nigt(rate, decay, eps=0), problem.bent, problem.theta0)
    w = w_prev = problem.theta0
    m = np.zeros(17)
    points = []
    for t in range(51):
        beta = decay(t)
        points.append(w + beta / (1 - beta) * (w - w_prev))
        if t == 50:
            break
        g = problem.bent(t, points[-1])
        m = g if t == 0 else beta * m + (1 - beta) * g
        w_prev, w = w, w - rate(t) * m / np.linalg.norm(m)
    assert_same_path(held, np.array(points))
    np.testing.assert_allclose(flat(mj.evaluation_params(tree(held[-1]), state)), w, rtol=1e-12)


def test_on_a_quadratic_the_iterate_of_nigt_is_normalised_gradient_descent_without_momentum(problem: Problems) -> None:
    optimizer, state, held = mj.nigt(0.1, 0.9, eps=0), None, problem.theta0
    state, w = optimizer.init(tree(held)), problem.theta0
    for t in range(50):
        read = flat(mj.evaluation_params(tree(held), state))
        np.testing.assert_allclose(read, w, rtol=0, atol=1e-9)
        updates, state = optimizer.update(tree(problem.quad(t, held)), state)
        held = held + flat(updates)
        g = problem.quad(t, w)
        w = w - 0.1 * g / np.linalg.norm(g)
    fresh = mj.reset_momentum(state)
    np.testing.assert_array_equal(flat(mj.evaluation_params(tree(held), fresh)), held)
    updates, _ = optimizer.update(tree(problem.gseq[0]), fresh)
    np.testing.assert_allclose(flat(updates), -0.1 * 10 * problem.gseq[0] / np.linalg.norm(problem.gseq[0]), rtol=1e-12)


def storm_walk(optimizer: Any, gradient: Gradient, start: np.ndarray, steps: int) -> np.ndarray:
    held, state = [start], optimizer.init(tree(start))
    for t in range(steps):
        updates, state = optimizer.update(
            tree(gradient(t, held[-1])),
            state,
            tree(held[-1]),
            grad_fn=lambda p, t=t: tree(gradient(t, flat(p))),
        )
        held.append(held[-1] + flat(updates))
    return np.array(held)


@pytest.mark.parametrize("c", [3.0, 100.0])
def test_storm_goes_where_the_papers_algorithm_goes(c: float, problem: Problems) -> None:
    def sample(t: int, x: np.ndarray) -> np.ndarray:
        return problem.bent(t, x) + problem.gseq[t] * (1 + 0.3 * x)

    held = storm_walk(mj.storm(0.5, c=c, w=8.0), sample, problem.theta0, 50)
    x, x_prev, total, below = problem.theta0, problem.theta0, 0.0, 0
    d, eta = np.zeros(17), 0.0
    for t in range(50):
        g = sample(t, x)
        a = min(1.0, c * eta**2) if t else 1.0
        below += a < 1
        d = g + (1 - a) * (d - sample(t, x_prev))
        total += g @ g
        eta = 0.5 / (8.0 + total) ** (1 / 3)
        x_prev, x = x, x - eta * d
        np.testing.assert_allclose(held[t + 1], x, rtol=1e-9, atol=1e-12)
    assert below > 20


def test_without_noise_storm_is_gradient_descent_at_its_rates(problem: Problems) -> None:
    held = storm_walk(mj.storm(0.5, c=3.0), problem.bent, problem.theta0, 30)
    x, total = problem.theta0, 0.0
    for t in range(30):
        g = problem.bent(t, x)
        total += g @ g
        x = x - 0.5 / (10 + total) ** (1 / 3) * g
    np.testing.assert_allclose(held[-1], x, rtol=1e-11)


def test_storm_says_what_it_needs(problem: Problems) -> None:
    params = tree(problem.theta0)
    optimizer = mj.storm()
    state = optimizer.init(params)
    with pytest.raises(ValueError, match=r"^storm: it needs the gradient of this step's sample .*grad_fn=grad_fn\)\.$"):
        optimizer.update(params, state, params)
    with pytest.raises(ValueError, match=r"^storm: it needs the parameters"):
        optimizer.update(params, state, grad_fn=lambda p: p)
    with pytest.raises(ValueError, match=r"^storm: leaf \['b'\] of the gradient, .*, is not in what grad_fn returned"):
        optimizer.update(params, state, params, grad_fn=lambda p: {"w": p["w"]})


def test_extra_arguments_reach_storm_through_chains_and_wrappers(problem: Problems) -> None:
    def sample(t: int, x: np.ndarray) -> np.ndarray:
        return problem.quad(t, x) + problem.gseq[t]

    alone = storm_walk(mj.storm(0.1), sample, problem.theta0, 10)
    for optimizer in (
        optax.chain(optax.identity(), mj.storm(0.1)),
        optax.apply_if_finite(mj.storm(0.1), 3),
        mj.quantized_state(mj.storm(0.1)),
        mj.adaptive_restart(mj.storm(0.1), min_steps=1000),
    ):
        assert_same_path(storm_walk(optimizer, sample, problem.theta0, 10), alone)


def test_restart_by_the_loss_and_storm_say_what_their_extra_arguments_must_be() -> None:
    params = {"w": jnp.ones(2), "b": jnp.ones(2)}
    restart = mj.adaptive_restart(mj.heavy_ball(0.1), criterion="function")
    for value, message in ((None, "got None"), (jnp.ones(2), r"got an array of float\d\d\[2\]")):
        with pytest.raises((ValueError, TypeError), match=f"^adaptive_restart: value must be the loss at params.*{message}"):
            restart.update(params, restart.init(params), params, value=value)
    storm = mj.storm()
    state = storm.init(params)
    with pytest.raises(ValueError, match=r"^storm: it needs the gradient of this step's sample"):
        storm.update(params, state, params, grad_fn=None)
    with pytest.raises(ValueError, match=r"^storm: grad_fn must return the gradient alone, got a tuple of 2\.$"):
        storm.update(params, state, params, grad_fn=jax.value_and_grad(lambda p: p["w"] @ p["b"]))
    part = optax.masked(storm, {"w": True, "b": False})
    with pytest.raises(ValueError, match="put storm around the whole tree"):
        part.update(params, part.init(params), params, grad_fn=jax.grad(lambda p: p["w"] @ p["b"]))
