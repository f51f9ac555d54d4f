"""Averages of iterates: PyTorch's averaged models, the published primal averaging, closed forms, and what is refused."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from normalised_walk import flat, tree, walk
from oracles import Problems, assert_same_path, averages, descend, peer_file

import momentum_jax as mj
from momentum_jax import theory


@pytest.fixture(scope="module")
def peers() -> dict[str, np.ndarray]:
    return peer_file("averages/peers")[1]


def read_of(optimizer: Any, problem: Problems, steps: int = 50) -> np.ndarray:
    """The averages after each step down the quadratic."""
    return descend(optimizer, problem.quad, problem.theta0, steps).read[1:]


def held_of(optimizer: Any, problem: Problems, steps: int = 50) -> np.ndarray:
    return descend(optimizer, problem.quad, problem.theta0, steps).read[1:]


@pytest.mark.parametrize(("trajectory", "decay"), [("ema", 0.9), ("swa", "uniform")])
@pytest.mark.parametrize("name", ["quad", "seq"])
def test_the_average_is_that_of_pytorchs_averaged_model(
    trajectory: str, decay: Any, name: str, problem: Problems, peers: dict[str, np.ndarray]
) -> None:
    descent = descend(mj.averaged(mj.sgd(0.05, 0.9), decay), getattr(problem, name), problem.theta0, 50)
    assert_same_path(descent.read[1:], peers[f"{trajectory}/{name}"])
    assert_same_path(descent.held, descend(mj.sgd(0.05, 0.9), getattr(problem, name), problem.theta0, 50).held)


def test_averages_start_late_and_their_decay_may_be_scheduled(problem: Problems) -> None:
    alone = held_of(mj.sgd(0.05, 0.9), problem)
    found = read_of(mj.averaged(mj.sgd(0.05, 0.9), "uniform", start=20), problem)
    assert_same_path(found[:21], alone[:21])
    assert_same_path(found[20:], np.cumsum(alone[20:], axis=0) / np.arange(1, 31)[:, None])
    decays = np.where(np.arange(50) < 30, 0.5, 0.9)
    found = read_of(mj.averaged(mj.sgd(0.05, 0.9), lambda t: jnp.where(t < 30, 0.5, 0.9), start=20), problem)
    assert_same_path(found[:21], alone[:21])
    assert_same_path(found[20:], averages(np.where(np.arange(30) == 0, 0, decays[20:]), alone[20:]))


def test_the_average_of_a_method_that_looks_ahead_is_that_of_its_iterates(problem: Problems) -> None:
    descent = descend(mj.nesterov(0.05, 0.9), problem.quad, problem.theta0, 30)
    expected = np.cumsum(descent.read[1:], axis=0) / np.arange(1, 31)[:, None]
    assert_same_path(read_of(mj.averaged(mj.nesterov(0.05, 0.9), "uniform"), problem, 30), expected)
    assert np.abs(descent.read - descent.held).max() > 0.1


def test_of_sixteen_bit_parameters_the_values_that_are_held_are_averaged_in_float32() -> None:
    params = {"w": jnp.linspace(-1.0, 2.0, 7).astype(jnp.bfloat16)}
    optimizer = mj.averaged(mj.sgd(0.3), "uniform")
    state, seen = optimizer.init(params), []
    for t in range(5):
        updates, state = optimizer.update({"w": jnp.cos(3 * params["w"] + t)}, state, params)
        params = optax.apply_updates(params, updates)
        seen.append(np.asarray(params["w"], np.float64))
    assert state.average["w"].dtype == jnp.float32
    np.testing.assert_allclose(state.average["w"], np.mean(seen, axis=0), rtol=1e-6)
    assert mj.evaluation_params(params, state)["w"].dtype == jnp.bfloat16


def test_a_reset_keeps_the_average_and_forgets_the_velocity(problem: Problems) -> None:
    optimizer = mj.averaged(mj.heavy_ball(0.05, 0.9), 0.9)
    held, state = walk(optimizer, problem.seq, problem.theta0, 10)
    fresh = mj.reset_momentum(state)
    chex.assert_trees_all_equal(fresh.average, state.average)
    updates, _ = optimizer.update(tree(problem.gseq[10]), fresh, tree(held[-1]))
    np.testing.assert_allclose(flat(updates), -0.05 * problem.gseq[10], rtol=1e-12)


def test_leaves_that_are_kept_from_the_average_are_read_as_they_are_held(problem: Problems) -> None:
    optimizer = mj.per_layer({"w": mj.averaged(mj.sgd(0.05), "uniform"), "b": mj.sgd(0.05)})
    held, state = walk(optimizer, problem.seq, problem.theta0, 10)
    read = mj.evaluation_params(tree(held[-1]), state)
    np.testing.assert_array_equal(read["b"], held[-1, 12:])
    np.testing.assert_allclose(np.ravel(read["w"]), held[1:, :12].mean(0), rtol=1e-12)


def test_an_average_needs_the_parameters_a_decay_and_a_start() -> None:
    optimizer, params = mj.averaged(mj.sgd(0.1), 0.9), {"w": jnp.ones(2)}
    with pytest.raises(
        ValueError, match=r"^averaged: the average needs the parameters: call update\(gradients, state, params\)"
    ):
        optimizer.update(params, optimizer.init(params))
    with pytest.raises(ValueError, match=r"^averaged: decay must be 'uniform', a number, .*, got 'ema'\.$"):
        mj.averaged(mj.sgd(0.1), "ema")
    with pytest.raises(ValueError, match=r"^averaged: decay must be in \[0, 1\), got 1\.$"):
        mj.averaged(mj.sgd(0.1), 1)
    with pytest.raises(ValueError, match=r"^averaged: start must be at least 0, got -1\.$"):
        mj.averaged(mj.sgd(0.1), "uniform", start=-1)
    with pytest.raises(TypeError, match=r"^averaged: optimizer must be a gradient transformation, got float\.$"):
        mj.averaged(0.1, 0.9)
    nameless = mj.averaged(mj.sgd(0.1), lambda t: None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match=r"^averaged: the schedule of decay must return a real number"):
        nameless.update(params, nameless.init(params), params)


def test_wrappers_that_change_a_step_or_rescale_a_buffer_go_inside_of_an_average(problem: Problems) -> None:
    for who, make in {
        "adaptive_restart: optimizer": lambda: mj.adaptive_restart(mj.averaged(mj.heavy_ball(0.1), 0.9)),
        "momentum_correction: core": lambda: mj.momentum_correction(mj.averaged(mj.scale_by_heavy_ball(), "uniform"), 0.1),
    }.items():
        with pytest.raises(ValueError, match=rf"^{who} must not be averaged; write averaged\(\w+\(\.\.\.\), decay\)"):
            make().init({"w": jnp.ones(2)})
    restarted = mj.adaptive_restart(mj.nesterov(0.05, 0.95))
    expected = np.cumsum(descend(restarted, problem.quad, problem.theta0, 30).read[1:], axis=0) / np.arange(1, 31)[:, None]
    assert_same_path(read_of(mj.averaged(restarted, "uniform"), problem, 30), expected)


def test_primal_averaging_is_the_published_code_around_adam(peers: dict[str, np.ndarray]) -> None:
    grads = peers["gpa/grads"]
    descent = descend(mj.gpa(mj.adam(0.01, 0.9, 0.99)), lambda t, x: grads[t], peers["gpa/x0"], 50)
    assert_same_path(descent.held, peers["gpa/traj"])
    assert_same_path(descent.read, peers["gpa/eval_params"])


def test_primal_averaging_is_its_three_sequences_under_schedules_and_around_weight_decay(problem: Problems) -> None:
    def training(t: Any) -> Any:
        return 0.9 - 0.01 * t

    def evaluation(t: Any) -> Any:
        return 0.5 + 0.005 * t

    base = mj.adamw(0.05, 0.9, 0.99, weight_decay=0.1)
    state = base.init({"w": problem.theta0})
    x = z = y = problem.theta0
    held, read = [y], [x]
    for t in range(30):
        step, state = base.update({"w": problem.bent(t, y)}, state, {"w": y})
        z = z + np.asarray(step["w"])
        x = evaluation(t) * x + (1 - evaluation(t)) * z
        y = training(t + 1) * x + (1 - training(t + 1)) * z
        held.append(y)
        read.append(x)
    descent = descend(mj.gpa(base, training=training, evaluation=evaluation), problem.bent, problem.theta0, 30)
    assert_same_path(descent.held, np.array(held))
    assert_same_path(descent.read, np.array(read))


def test_at_its_ends_primal_averaging_is_the_optimizer_or_its_moving_average(problem: Problems) -> None:
    base = mj.heavy_ball(0.02, 0.9)
    alone = descend(base, problem.quad, problem.theta0, 30).held
    for ends in ({"evaluation": 0.0}, {"training": 0.0}):
        assert_same_path(descend(mj.gpa(base, **ends), problem.quad, problem.theta0, 30).held, alone)
    decays = np.where(np.arange(31) == 0, 0, 0.8)
    found = descend(mj.gpa(base, training=0.0, evaluation=0.8), problem.quad, problem.theta0, 30)
    assert_same_path(found.read, averages(decays, alone))


def test_after_a_reset_the_held_point_of_primal_averaging_is_its_iterate(problem: Problems) -> None:
    optimizer = mj.gpa(mj.heavy_ball(0.05, 0.9))
    held, state = walk(optimizer, problem.quad, problem.theta0, 10)
    params = mj.evaluation_params(tree(held[-1]), state)
    assert np.abs(flat(params) - held[-1]).max() > 1e-3
    fresh = mj.reset_momentum(state)
    chex.assert_trees_all_equal(mj.evaluation_params(params, fresh), params)
    ours, _ = optimizer.update(tree(problem.gseq[0]), fresh, params)
    first, _ = optimizer.update(tree(problem.gseq[0]), optimizer.init(params), params)
    chex.assert_trees_all_close(ours, first, rtol=1e-12)


def test_primal_averaging_refuses_weights_out_of_range_and_what_is_no_optimizer() -> None:
    with pytest.raises(ValueError, match=r"^gpa: training must be in \[0, 1\], got 1\.5\.$"):
        mj.gpa(mj.sgd(0.1), training=1.5)
    with pytest.raises(ValueError, match=r"^gpa: evaluation must be in \[0, 1\), got 1\.$"):
        mj.gpa(mj.sgd(0.1), evaluation=1)
    with pytest.raises(TypeError, match=r"^gpa: optimizer must be a gradient transformation, got function\.$"):
        mj.gpa(mj.sgd)  # pyright: ignore[reportArgumentType]


def test_a_file_of_averages_names_the_peer_its_version_and_the_hyperparameters() -> None:
    about, arrays = peer_file("averages/peers")
    assert {*about["trajectories"]} == {name.split("/")[0] for name in arrays} == {"gpa", "ema", "swa"}
    for trajectory in about["trajectories"].values():
        assert trajectory["peer"]
        assert trajectory["version"]
        assert trajectory["hyperparameters"]


@pytest.mark.parametrize("wrap", [lambda o: mj.averaged(o, 0.9), mj.gpa], ids=["averaged", "gpa"])
def test_an_average_is_read_out_of_chains_and_of_optaxs_wrappers(wrap: Any) -> None:
    params = {"w": jnp.linspace(-1.0, 2.0, 6)}

    def end(optimizer: Any, repeat: int = 1) -> Any:
        held, state, update = params, optimizer.init(params), jax.jit(optimizer.update)
        for t in range(3):
            for _ in range(repeat):
                updates, state = update({"w": jnp.sin(params["w"] + t)}, state, held)
                held = optax.apply_updates(held, updates)
        return mj.evaluation_params(held, state)["w"]

    optimizer = wrap(mj.heavy_ball(0.1, 0.9))
    expected = end(optimizer)
    np.testing.assert_allclose(end(optax.chain(optax.clip(1e6), optimizer)), expected, rtol=1e-12)
    np.testing.assert_allclose(end(optax.MultiSteps(optimizer, 2).gradient_transformation(), 2), expected, rtol=1e-6)
    assert np.abs(expected - params["w"]).max() > 1e-3


def test_the_theory_reads_averages_of_linear_methods_and_names_what_is_not_linear() -> None:
    base = mj.heavy_ball(0.1, 0.9)
    averaged = mj.averaged(base, 0.9)
    assert theory.equivalent(averaged, base).same
    assert not theory.equivalent(averaged, base, of="iterate").same
    assert theory.stability_limit(averaged) == pytest.approx(theory.stability_limit(base))
    # z' = z - eta c y with y = my x + (1 - my) z, then x' = mx x + (1 - mx) z'
    eta, my, mx, curvature = 0.1, 0.7, 0.9, 3.0
    of_z = np.array([-eta * curvature * my, 1 - eta * curvature * (1 - my)])
    system = np.array([[mx, 0], [0, 0]]) + np.outer([1 - mx, 1], of_z)
    rate = theory.rate(mj.gpa(mj.gradient_descent(eta), training=my, evaluation=mx), curvature)
    np.testing.assert_allclose(rate, np.abs(np.linalg.eigvals(system)).max(), rtol=1e-10)
    for optimizer in (mj.soap(0.1), mj.adamuon(0.1), mj.scion(0.1), mj.dion(0.1, rank=1), mj.averaged(mj.adam(0.1), 0.9)):
        with pytest.raises(
            theory.NotLinear, match=r"^linearize: update is not linear: `\w+` at momentum_jax/optimizers/\w+\.py"
        ):
            theory.linearize(optimizer, horizon=4)
