"""Muon and NorMuon: the quintic of the singular values, the scales, the fallback of other leaves, and what they refuse."""

import re
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from normalised_walk import polynomial_of_singular_values, rate, tree, walk
from oracles import Problems, assert_same_path

import momentum_jax as mj


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((3, 5), "float64"),
        ((5, 3), "complex128"),
        ((1, 6), "float64"),
        *[pytest.param(shape, "float64", marks=pytest.mark.slow) for shape in ((5, 3), (4, 4), (6, 1))],
        *[pytest.param(shape, "complex128", marks=pytest.mark.slow) for shape in ((3, 5), (4, 4), (1, 6), (6, 1))],
    ],
)
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


@pytest.mark.slow
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
    params = {"filters": jnp.ones((3, 3, 1, 8)), "bias": jnp.ones(8)}
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
        optax.inject_hyperparams(mj.muon)(ns_steps=4).init({"w": jnp.ones((2, 2))})


@pytest.mark.parametrize("make", [mj.scale_by_muon, mj.scale_by_normuon])
def test_matrices_of_zeros_and_without_entries_stay_where_they_are(make: Any) -> None:
    params = {"zero": jnp.zeros((2, 3)), "empty": jnp.zeros((0, 3)), "thin": jnp.zeros((3, 0))}
    for eps in (0, 1e-7):
        optimizer = make(eps=eps)
        updates, _ = jax.jit(optimizer.update)(params, optimizer.init(params), params)
        chex.assert_trees_all_equal(updates, params)


@pytest.mark.parametrize("make", [mj.scale_by_muon, mj.scale_by_normuon])
def test_the_derivative_through_a_matrix_step_is_finite_at_zero(make: Any) -> None:
    optimizer = make()

    def after(params: Any) -> Any:
        updates, _ = optimizer.update(params, optimizer.init(params), params)
        return jnp.sum(updates["w"] ** 2)

    derivative = jax.jit(jax.grad(after))
    for w in (jnp.zeros((2, 3)), jnp.arange(6.0).reshape(2, 3)):
        assert np.isfinite(derivative({"w": w})["w"]).all()


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
