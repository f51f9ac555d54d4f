"""SOAP: the authors' trajectory, Adam where nothing is rotated, bases that turn with the gradients, and what is refused."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import Problems, assert_same_path, peer_file

import momentum_jax as mj


def walk(optimizer: Any, gradients: Any, params: Any) -> list[Any]:
    """Updates on fixed parameters, step by step."""
    update, state, seen = jax.jit(optimizer.update), optimizer.init(params), []
    for g in gradients:
        updates, state = update(g, state, params)
        seen.append(jax.tree.map(np.asarray, updates))
    return seen


def matrices(*shape: int, dtype: str = "float64", seed: int = 0, steps: int = 7) -> np.ndarray:
    rng = np.random.default_rng(seed)
    g = rng.normal(size=(steps, *shape))
    return g + 1j * rng.normal(size=g.shape) if dtype == "complex128" else g


def of_first(problem: Problems) -> np.ndarray:
    return problem.quad(0, problem.theta0)[:12].reshape(3, 4)


@pytest.fixture(scope="module")
def peers() -> dict[str, np.ndarray]:
    return peer_file("normalised/neighbours")[1]


def test_the_authors_trajectory_is_met_to_the_float32_that_it_was_computed_in(
    problem: Problems, peers: dict[str, np.ndarray]
) -> None:
    x = problem.theta0[:12].reshape(3, 4)
    steps = walk(mj.soap(0.01, precondition_frequency=1), [g[:12].reshape(3, 4) for g in problem.gseq], x)
    held = np.concatenate([[x], x + np.cumsum(steps, axis=0)]).reshape(51, 12)
    assert_same_path(held, peers["soap/seq"], 1e-6)


def test_on_the_quadratic_ports_part_where_a_repeated_gradient_has_nothing_but_rounding(
    problem: Problems, peers: dict[str, np.ndarray]
) -> None:
    """The first gradient sets the bases and moves nothing, so on a quadratic the second gradient is the first once more.

    In its own bases it is diagonal. The other 9 of 12 entries are rounding, which Adam divides by its own size: in float32 they
    become steps of up to the learning rate. Two ports of one method differ there from their first step on, by 1.6e-2 after two.
    """
    g = of_first(problem)
    left, s, right = np.linalg.svd(g, full_matrices=True)
    path = peers["soap/quad"]
    np.testing.assert_array_equal(path[1], path[0])
    theirs = left.T @ (path[2] - path[1]).reshape(3, 4) @ right.T
    ours = left.T @ walk(mj.soap(0.01), [g, g], g)[1] @ right.T
    diagonal = np.eye(3, 4, dtype=bool)
    np.testing.assert_allclose(ours[diagonal], -0.01, rtol=1e-6)
    np.testing.assert_allclose(theirs[diagonal], -0.01, rtol=1e-3)
    assert np.abs(ours[~diagonal]).max() < 1e-8
    assert np.abs(theirs[~diagonal]).max() > 5e-3
    assert s.min() > 1


def test_without_rotations_and_for_vectors_it_is_adam_one_step_late() -> None:
    params = {"w": jnp.ones((3, 4)), "b": jnp.ones(5)}
    gradients = [{"w": w, "b": b} for w, b in zip(matrices(3, 4), matrices(5, seed=1), strict=True)]
    found = walk(mj.soap(0.1, 0.8, 0.9, max_size=2), gradients, params)
    expected = walk(mj.adam(0.1, 0.8, 0.9), gradients[1:], params)
    assert not any(leaf.any() for leaf in jax.tree.leaves(found[0]))
    for ours, adam in zip(found[1:], expected, strict=True):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), ours, adam)
    rotated = walk(mj.soap(0.1, 0.8, 0.9), gradients, params)
    assert np.abs(rotated[-1]["w"] - found[-1]["w"]).max() > 1e-2
    np.testing.assert_allclose(rotated[-1]["b"], found[-1]["b"], rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_rotated_gradients_make_rotated_steps(dtype: str) -> None:
    gradients = matrices(3, 4, dtype=dtype)
    u, v = (np.linalg.qr(matrices(n, n, dtype=dtype, steps=1, seed=n)[0])[0] for n in (3, 4))
    optimizer = mj.soap(0.1, precondition_frequency=2)
    plain, turned = (walk(optimizer, g, jnp.zeros((3, 4), dtype)) for g in (gradients, u @ gradients @ v))
    for a, b in zip(plain, turned, strict=True):
        np.testing.assert_allclose(b, u @ a @ v, rtol=0, atol=1e-10)


def test_bases_are_renewed_at_their_frequency_and_stay_orthogonal() -> None:
    optimizer, params, changed = mj.soap(0.1, precondition_frequency=3), jnp.zeros((3, 4)), []
    state = optimizer.init(params)
    for t, g in enumerate(matrices(3, 4, steps=8)):
        before = state[0].input_basis
        _, state = jax.jit(optimizer.update)(g, state, params)
        if not np.array_equal(before, state[0].input_basis):
            changed.append(t)
        for basis in (state[0].input_basis[0], state[0].output_basis[0]):
            np.testing.assert_allclose(basis.T @ basis, np.eye(len(basis)), atol=1e-12)
    assert changed == [0, 3, 6]


def test_matrices_on_other_axes_and_side_by_side_go_as_each_would_alone() -> None:
    g = matrices(2, 3, 4)
    alone = np.stack([walk(mj.soap(0.1, precondition_frequency=2), g[:, i], jnp.zeros((3, 4))) for i in range(2)], axis=1)
    for spec, change in {
        "batch in out": lambda x: x,
        "in batch out": lambda x: np.swapaxes(x, -3, -2),
        "out in batch": lambda x: np.moveaxis(x, -3, -1).swapaxes(-3, -2),
        mj.Matrix("in out", blocks=2): lambda x: np.moveaxis(x, -3, -2).reshape(*x.shape[:-3], 3, 8),
    }.items():
        leaf = change(g)
        found = walk(mj.soap(0.1, precondition_frequency=2, axes={"w": spec}), [{"w": x} for x in leaf], {"w": leaf[0]})
        np.testing.assert_allclose([u["w"] for u in found], change(alone), rtol=0, atol=1e-12)
    whole = walk(mj.soap(0.1, axes={"w": "in in out"}), [{"w": x} for x in g], {"w": g[0]})
    flat = walk(mj.soap(0.1), g.reshape(-1, 6, 4), jnp.zeros((6, 4)))
    np.testing.assert_allclose([u["w"].reshape(6, 4) for u in whole], flat, rtol=0, atol=1e-12)


@pytest.mark.parametrize("params", [jnp.zeros((2, 3)), jnp.arange(6.0).reshape(2, 3), jnp.eye(3), jnp.ones((3, 2))])
def test_the_derivative_through_steps_of_matrices_is_finite(params: Any) -> None:
    optimizer = mj.soap(0.1, precondition_frequency=1)

    def after(params: Any) -> Any:
        state, moved = optimizer.init(params), params
        for scale in (1.0, 0.5, 0.0, -1.0):
            updates, state = optimizer.update(scale * moved, state, moved)
            moved = optax.apply_updates(moved, updates)
        return jnp.sum(moved**2)

    assert np.isfinite(jax.jit(jax.grad(after))(params)).all()


def test_a_reset_forgets_the_first_moment_and_keeps_the_bases() -> None:
    optimizer, params, g = mj.soap(0.1, precondition_frequency=2), jnp.zeros((3, 4)), matrices(3, 4)
    state = optimizer.init(params)
    for each in g:
        _, state = optimizer.update(each, state, params)
    fresh = mj.reset_momentum(state)[0]
    assert not fresh.first_moment.any()
    assert fresh.momentum_step == 0
    np.testing.assert_array_equal(fresh.input_basis, state[0].input_basis)
    np.testing.assert_array_equal(fresh.second_moment, state[0].second_moment)


def test_what_soap_refuses_is_named() -> None:
    with pytest.raises(ValueError, match=r"^soap: precondition_frequency must be at least 1, got 0\.$"):
        mj.soap(0.1, precondition_frequency=0)
    with pytest.raises(TypeError, match=r"^soap: precondition_frequency must be an int, got 2\.5 \(float\)\.$"):
        mj.soap(0.1, precondition_frequency=2.5)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"^soap: max_size must be at least 1, got 0\.$"):
        mj.soap(0.1, max_size=0)
    with pytest.raises(ValueError, match=r"kernel'\] is a kernel of shape \(3, 3, 2, 4\), which axes must name"):
        mj.soap(0.1).init({"Conv_0": {"kernel": jnp.ones((3, 3, 2, 4))}})
    with pytest.raises(ValueError, match=r"axes of leaf \['w'\] must have blocks of one size, got \(4, 1, 1\); without blocks"):
        mj.soap(0.1, axes={"w": mj.Matrix("in out", blocks=(4, 1, 1))}).init({"w": jnp.ones((3, 6))})


@pytest.mark.slow
def test_on_eight_devices_factorised_matrices_go_as_on_one_and_stay_where_they_are() -> None:
    script = Path(__file__).parents[1] / "factorised_on_eight_devices.py"
    env = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(script.parents[1])}
    run = subprocess.run([sys.executable, "-W", "error", str(script)], capture_output=True, text=True, env=env, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.split() == ["soap", "dion"]


def test_runs_at_different_steps_go_together_as_each_would_alone_and_decompose_on_demand() -> None:
    optimizer, params, g = mj.soap(0.1, precondition_frequency=2), jnp.zeros((3, 4)), matrices(3, 4)
    states = [optimizer.init(params)]
    for each in g[:3]:
        states.append(optimizer.update(each, states[-1], params)[1])
    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    update = jax.vmap(optimizer.update, (None, 0, None))
    found, after = jax.jit(update)(g[3], together, params)
    for i, state in enumerate(states):
        expected, alone = optimizer.update(g[3], state, params)
        np.testing.assert_allclose(found[i], expected, rtol=0, atol=1e-12)
        ours = jax.tree.map(lambda leaf: leaf[i], after)  # noqa: B023
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-12), ours, alone)
    program = jax.make_jaxpr(update)(g[3], together, params)
    outside = {equation.primitive.name for equation in program.jaxpr.eqns}
    assert "cond" in outside
    assert not {"eigh", "qr", "householder_product"} & outside
