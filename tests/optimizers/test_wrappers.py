"""The wrappers: cautious steps, adaptive restart, momentum correction, against the published rules and what they amount to."""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from normalised_walk import decay, flat, tree, walk
from oracles import Problems, assert_same_path, largest_difference, peer_file
from peer_rows import stepped_rate

import momentum_jax as mj


@pytest.mark.parametrize("normalizer", ["mean", "count"])
def test_a_cautious_step_is_masked_and_rescaled_leaf_by_leaf(normalizer: str, problem: Problems) -> None:
    plain, cautious = mj.heavy_ball(0.05, 0.9), mj.cautious(mj.heavy_ball(0.05, 0.9), normalizer=normalizer)
    state, params = plain.init(tree(problem.theta0)), tree(problem.theta0)
    kept, update, cautious_update = 0, jax.jit(plain.update), jax.jit(cautious.update)
    for g in map(tree, problem.gseq):
        (d, after), (ours, ours_after) = update(g, state, params), cautious_update(g, state, params)
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


@pytest.mark.parametrize("criterion", ["gradient", "function", "speed"])
@pytest.mark.parametrize("look_ahead", [False, True], ids=["heavy_ball", "nesterov"])
@pytest.mark.parametrize(
    ("momentum", "min_steps"),
    [
        pytest.param(momentum, min_steps, id=f"{name}-{min_steps}", marks=() if telling else pytest.mark.slow)
        for name, momentum, min_steps, telling in (
            ("fista", mj.schedules.fista(150), 1, True),
            ("fista", mj.schedules.fista(150), 5, False),
            ("constant", lambda t: 0.97, 1, False),
            ("constant", lambda t: 0.97, 5, True),
        )
    ],
)
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
    for optimizer, kind in ((optax.lion(0.1), "ScaleByLionState"), (optax.adabelief(0.1), "ScaleByBeliefState")):
        with pytest.raises(ValueError, match=rf"^adaptive_restart: optimizer must be .* known, got one with a {kind};"):
            mj.adaptive_restart(optimizer).init(params)
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
@pytest.mark.parametrize("zeros", [pytest.param((0,), marks=pytest.mark.slow), (0, 1, 2), (5,), (0, 7, 8, 20)])
def test_rates_of_zero_stop_the_steps_and_not_the_memory(core: Any, zeros: tuple[int, ...], problem: Problems) -> None:
    def rate(t: Any) -> Any:
        return jnp.where(jnp.isin(t, jnp.asarray(zeros)), 0.0, 0.05 / (1 + jnp.asarray(t, float)))

    outside = optax.chain(core, mj.scale_by_learning_rate(rate))
    held, _ = walk(mj.momentum_correction(core, rate), problem.bent, problem.theta0)
    assert_same_path(held, walk(outside, problem.bent, problem.theta0)[0])


@pytest.mark.parametrize("core", [mj.scale_by_heavy_ball(0.9), mj.scale_by_nesterov(0.9), optax.trace(0.9)])
def test_the_velocity_follows_a_rate_that_an_eager_schedule_says_as_a_python_float(core: Any) -> None:
    def rate(step: Any) -> float:
        return 0.1 if int(step) < 3 else 0.001

    def steps(optimizer: Any) -> list[np.ndarray]:
        one, seen = jnp.ones(1), []
        state = optimizer.init(one)
        for _ in range(6):
            updates, state = optimizer.update(one, state, one)
            seen.append(np.asarray(updates))
        return seen

    outside = optax.chain(core, mj.scale_by_learning_rate(rate))
    np.testing.assert_allclose(steps(mj.momentum_correction(core, rate)), steps(outside), rtol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_at_a_constant_rate_the_correction_changes_no_bit(dtype: Any) -> None:
    def end(optimizer: Any) -> Any:
        params = jnp.linspace(-1, 2, 64).astype(dtype)
        state, update = optimizer.init(params), jax.jit(optimizer.update)
        for t in range(8):
            updates, state = update((jnp.cos(7.3 * params.astype(jnp.float32) + t)).astype(dtype), state, params)
            params = optax.apply_updates(params, updates)
        return np.asarray(params.astype(jnp.float32))

    np.testing.assert_array_equal(
        end(mj.momentum_correction(mj.scale_by_heavy_ball(0.9), 1 / 3)), end(mj.heavy_ball(1 / 3, 0.9))
    )


def test_the_correction_refuses_what_is_no_core_and_no_rate() -> None:
    with pytest.raises(TypeError, match=r"^momentum_correction: core must be a gradient transformation, got float\.$"):
        mj.momentum_correction(0.1, 0.1)
    with pytest.raises(ValueError, match=r"^momentum_correction: learning_rate must be finite and at least 0, got -1\.$"):
        mj.momentum_correction(mj.scale_by_heavy_ball(), -1)


@pytest.mark.parametrize(
    ("core", "message"),
    [
        (mj.scale_by_adam(), "must be linear in the gradients, .* got one that keeps a second moment, second_moment"),
        (optax.chain(optax.trace(0.9), optax.scale_by_rms()), ".* got one that keeps a second moment, nu"),
        (mj.quantized_state(mj.scale_by_heavy_ball(0.9), min_size=1), r"must not be quantised, .* write quantized_state\(mom"),
    ],
    ids=["adam", "chain", "quantized_state"],
)
def test_momentum_correction_refuses_what_it_cannot_rescale(core: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^momentum_correction: core {message}"):
        mj.momentum_correction(core, stepped_rate).init({"w": jnp.ones(3)})


def test_momentum_correction_is_not_misled_by_the_name_of_a_parameter() -> None:
    class Named(NamedTuple):
        nu: Any

    params = Named(jnp.ones(3))
    optimizer = mj.momentum_correction(mj.scale_by_heavy_ball(0.9), stepped_rate)
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    np.testing.assert_allclose(updates.nu, -float(stepped_rate(0)) * np.ones(3), rtol=1e-12)


def test_restart_by_speed_leaves_fista_its_acceleration() -> None:
    curvatures = jnp.geomspace(1e-3, 1.0, 30)

    def after_500_steps(optimizer: Any) -> float:
        def step(_: Any, carry: Any) -> Any:
            x, state = carry
            updates, state = optimizer.update(curvatures * x, state, x)
            return x + updates, state

        x = jnp.ones(30)
        x, _ = jax.lax.fori_loop(0, 500, step, (x, optimizer.init(x)))
        return float(jnp.sum(curvatures * x**2))

    descent = after_500_steps(mj.gradient_descent(0.5))
    assert after_500_steps(mj.adaptive_restart(mj.fista(0.5), criterion="speed")) < descent / 100
    # The second step of gradient descent is shorter than its first, and FISTA's momentum is 0 in both.
    assert after_500_steps(mj.adaptive_restart(mj.fista(0.5), criterion="speed", min_steps=2)) == pytest.approx(descent)
