"""AdaMuon, Scion and Dion: their authors' trajectories, closed forms of the rest, any axes, and what they refuse."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import assert_same_path, peer_file

import momentum_jax as mj

NOTHING = optax.set_to_zero()
RNG = np.random.default_rng(5)
GRADIENTS = RNG.normal(size=(4, 2, 3, 4))


@pytest.fixture(scope="module")
def peers() -> dict[str, np.ndarray]:
    return peer_file("normalised/neighbours")[1]


def walk(optimizer: Any, gradients: Any, start: Any, state: Any = None) -> tuple[np.ndarray, Any]:
    """(steps + 1, ...), the held parameters of a tree of one leaf, "w", and the last state."""
    update, held = jax.jit(optimizer.update), [np.asarray(start)]
    state = optimizer.init({"w": start}) if state is None else state
    for g in gradients:
        updates, state = update({"w": g}, state, {"w": held[-1]})
        held.append(held[-1] + np.asarray(updates["w"]))
    return np.array(held), state


def alone(optimizer: Any, gradients: np.ndarray) -> np.ndarray:
    return walk(optimizer, gradients, np.zeros(gradients.shape[1:]))[0]


def quintic(g: np.ndarray) -> np.ndarray:
    """Five steps of Newton-Schulz on the singular values of a matrix."""
    left, s, right = np.linalg.svd(g, full_matrices=False)
    s = s / (np.linalg.norm(g) + 1e-7)
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return left @ np.diag(s) @ right


MET: dict[str, Callable[[], Any]] = {
    "adamuon": lambda: mj.adamuon(0.05, weight_decay=0.1, fallback=NOTHING),
    "scion_spectral": lambda: mj.scion(0.05, radius=3.0),
    "scion_sign": lambda: mj.scion(0.05, norm="sign", radius=2.0),
    "scion_bias": lambda: mj.scion(0.05),
}


@pytest.mark.parametrize("name", MET)
def test_the_method_meets_its_authors_code_at_every_step(name: str, peers: dict[str, np.ndarray]) -> None:
    held, state = walk(MET[name](), peers[f"{name}/grads"], peers[f"{name}/x0"])
    assert_same_path(held, peers[f"{name}/traj"])
    if name == "adamuon":
        last = state.matrices[0]
        np.testing.assert_allclose(last.first_moment["w"], peers["adamuon/m_final"], rtol=1e-12)
        np.testing.assert_allclose(np.ravel(last.second_moment["w"]), peers["adamuon/v_final"], rtol=1e-10)


def test_dion_meets_its_authors_code_from_their_first_basis(peers: dict[str, np.ndarray]) -> None:
    optimizer = mj.dion(0.05, rank=1, weight_decay=0.1, fallback=NOTHING)
    state = optimizer.init({"w": peers["dion/x0"]})
    core, *links = state.matrices
    state = state._replace(matrices=(core._replace(basis={"w": jnp.asarray(peers["dion/Q0"])[None]}), *links))
    held, state = walk(optimizer, peers["dion/grads"], peers["dion/x0"], state)
    assert_same_path(held, peers["dion/traj"])
    np.testing.assert_allclose(state.matrices[0].basis["w"][0], peers["dion/Q"], atol=1e-12)
    np.testing.assert_allclose(state.matrices[0].error["w"], peers["dion/M"], atol=1e-12)


def test_every_carried_trajectory_is_used_and_names_its_peer() -> None:
    about, arrays = peer_file("normalised/neighbours")
    assert {*about["trajectories"]} == {name.split("/")[0] for name in arrays} == {*MET, "dion", "soap"}
    for trajectory in about["trajectories"].values():
        assert trajectory["peer"]
        assert trajectory["version"]
        assert trajectory["hyperparameters"]


MAKERS: dict[str, Callable[..., Any]] = {
    "adamuon": lambda **more: mj.adamuon(0.1, 0.9, **more),
    "scion": lambda **more: mj.scion(0.1, 0.8, radius=2.0, **more),
    "scion colnorm": lambda **more: mj.scion(0.1, 0.8, norm="colnorm", **more),
    "scion sign": lambda **more: mj.scion(0.1, 0.8, norm="sign", **more),
}
CHANGES: dict[Any, Callable[[np.ndarray], np.ndarray]] = {
    "batch in out": lambda x: x,
    "out in batch": lambda x: np.moveaxis(x, -3, -1).swapaxes(-3, -2),
    mj.Matrix("in out", blocks=2): lambda x: np.moveaxis(x, -3, -2).reshape(*x.shape[:-3], 3, 8),
}


@pytest.mark.parametrize("name", MAKERS)
def test_matrices_on_other_axes_and_side_by_side_go_as_each_would_alone(name: str) -> None:
    make = MAKERS[name]
    each = np.stack([alone(make(layout="inputs_first"), GRADIENTS[:, i]) for i in range(2)], axis=1)
    for spec, change in CHANGES.items():
        np.testing.assert_allclose(alone(make(axes={"w": spec}), change(GRADIENTS)), change(each), rtol=0, atol=1e-12)


def test_dion_keeps_a_basis_for_each_matrix_whatever_its_axes() -> None:
    stack = mj.dion(0.1, 0.9, rank=2, axes={"w": "batch in out"})
    found, last = walk(stack, GRADIENTS, np.zeros((2, 3, 4)))
    for spec, change in CHANGES.items():
        other = alone(mj.dion(0.1, 0.9, rank=2, axes={"w": spec}), change(GRADIENTS))
        np.testing.assert_allclose(other, change(found), rtol=0, atol=1e-12)
    one = mj.dion(0.1, 0.9, rank=2, layout="inputs_first")
    first = stack.init({"w": GRADIENTS[0]}).matrices[0].basis["w"]
    for i in range(2):
        state = one.init({"w": GRADIENTS[0, i]})
        core, *links = state.matrices
        state = state._replace(matrices=(core._replace(basis={"w": first[i : i + 1]}), *links))
        held, state = walk(one, GRADIENTS[:, i], np.zeros((3, 4)), state)
        np.testing.assert_allclose(held, found[:, i], rtol=0, atol=1e-12)
        np.testing.assert_allclose(state.matrices[0].basis["w"][0], last.matrices[0].basis["w"][i], atol=1e-12)


def test_dion_of_full_rank_decays_all_of_its_momentum_and_steps_along_orthonormal_directions() -> None:
    g = GRADIENTS[:, 0]
    optimizer = mj.dion(0.1, 0.9, rank=9)  # rows are outputs, 3 of them
    held, state = walk(optimizer, g, np.zeros((3, 4)))
    expected = sum(0.9 ** (len(g) - t) * each for t, each in enumerate(g))
    np.testing.assert_allclose(state.matrices[0].error["w"], expected, atol=1e-12)
    assert state.matrices[0].basis["w"].shape == (1, 4, 3)
    np.testing.assert_allclose(np.linalg.norm(np.diff(held, axis=0), axis=(1, 2)), 0.1 * (3 / 4) ** 0.5 * 3**0.5, rtol=1e-6)
    power = alone(mj.dion(1.0, 1 - 1e-12, rank=1), np.stack([g[0]] * 60))
    u, _, v = np.linalg.svd(g[0])
    np.testing.assert_allclose(power[-1] - power[-2], -((3 / 4) ** 0.5) * np.outer(u[:, 0], v[0]), atol=1e-6)


def test_the_first_basis_of_dion_goes_by_seed_and_path_alone() -> None:
    def bases(params: Any, seed: int = 0, **more: Any) -> Any:
        return mj.dion(0.1, rank=2, seed=seed, **more).init(params).matrices[0].basis

    params = {"a": {"w": jnp.zeros((3, 4)), "v": jnp.zeros((3, 4))}, "b": jnp.zeros(3)}
    both, other = bases(params), bases(params, 1)
    np.testing.assert_array_equal(bases({"a": {"w": params["a"]["w"]}, "c": params["b"]})["a"]["w"], both["a"]["w"])
    for name in ("w", "v"):
        assert not np.array_equal(other["a"][name], both["a"][name])
    assert not np.array_equal(both["a"]["w"], both["a"]["v"])


def test_a_step_of_scion_has_the_length_of_its_norm() -> None:
    kernel = RNG.normal(size=(3, 3, 2, 4))
    flat = quintic(kernel.reshape(18, 4)).reshape(kernel.shape)
    table = RNG.normal(size=(5, 3))
    expected = {
        # sqrt(outputs / channels) over the 9 points of the filter
        ("convolution", "in in in out"): (kernel, (4 / 2) ** 0.5 / 9 * flat),
        ("spectral", "in in in out"): (kernel, (4 / 18) ** 0.5 * flat),
        ("sign", "in in in out"): (kernel, np.sign(kernel) / 18),
        ("colnorm", "in out"): (table, table / np.sqrt(np.mean(table**2, axis=1, keepdims=True))),
        ("colnorm", "out in"): (table, table / np.sqrt(np.mean(table**2, axis=0, keepdims=True))),
        ("rms", "in out"): (table, table / np.sqrt(np.mean(table**2))),
        ("rms", "batch in in out"): (kernel, kernel / np.sqrt(np.mean(kernel**2, axis=(1, 2, 3), keepdims=True))),
        ("sign", None): (table, np.sign(table)),
        **{(norm, None): (table, table / np.sqrt(np.mean(table**2))) for norm in ("spectral", "convolution", "colnorm", "rms")},
    }
    for (norm, spec), (g, step) in expected.items():
        optimizer = mj.scion(0.5, 0.0, norm=norm, radius=3.0, constrained=False, axes={"w": spec})
        np.testing.assert_allclose(alone(optimizer, g[None])[1], -0.5 * 3.0 * step, rtol=1e-7, atol=1e-12)
    turned = mj.scion(0.5, 0.0, norm="convolution", constrained=False, axes={"w": "out in in in"})
    ours = alone(turned, np.transpose(kernel, (3, 2, 0, 1))[None])[1]
    np.testing.assert_allclose(np.transpose(ours, (2, 3, 1, 0)), -0.5 * (4 / 2) ** 0.5 / 9 * flat, atol=1e-12)


@pytest.mark.parametrize("norm", ["sign", "rms"])
def test_constrained_parameters_come_into_their_ball_and_stay_there(norm: str) -> None:
    optimizer, start = mj.scion(0.3, 0.5, norm=norm, radius=2.0), 50 * np.ones((3, 4))
    held, _ = walk(optimizer, np.concatenate([GRADIENTS[:, 0]] * 8), start)
    size = {"sign": lambda x: 4 * np.abs(x).max(), "rms": lambda x: np.sqrt(np.mean(x**2))}[norm]
    sizes = np.array([size(x) for x in held])
    excess = sizes - 2.0
    assert np.all(excess[1:] <= np.maximum(0.7 * excess[:-1], 0) + 1e-6)
    assert excess[-1] < 1e-2


def test_an_update_of_adamuon_has_the_rms_of_one_of_adamw() -> None:
    for shape in ((3, 4), (4, 3), (1, 5)):
        held = alone(mj.adamuon(0.1, 0.9), RNG.normal(size=(5, *shape)))
        np.testing.assert_allclose(np.sqrt(np.mean(np.diff(held, axis=0) ** 2, axis=(1, 2))), 0.1 * 0.2, rtol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        mj.scale_by_adamuon,
        lambda: mj.scale_by_dion(rank=2),
        *[lambda n=n: mj.scale_by_scion(norm=n) for n in ("spectral", "colnorm")],
    ],
    ids=["adamuon", "dion", "scion", "colnorm"],
)
def test_the_derivative_through_a_matrix_step_is_finite_at_zero_and_matrices_without_entries_stay(make: Any) -> None:
    optimizer = make()

    def after(params: Any) -> Any:
        updates, _ = optimizer.update(params, optimizer.init(params), params)
        return jnp.sum(updates["w"] ** 2)

    derivative = jax.jit(jax.grad(after))
    for w in (jnp.zeros((2, 3)), jnp.arange(6.0).reshape(2, 3)):
        assert np.isfinite(derivative({"w": w})["w"]).all()
    empty = {"empty": jnp.zeros((0, 3)), "thin": jnp.zeros((3, 0)), "zero": jnp.zeros((2, 2))}
    updates, _ = optimizer.update(empty, optimizer.init(empty), empty)
    assert jax.tree.map(jnp.shape, updates) == jax.tree.map(jnp.shape, empty)
    np.testing.assert_allclose(updates["zero"], 0, atol=1e-6)


def test_what_the_neighbours_refuse_is_named() -> None:
    with pytest.raises(ValueError, match=r"^dion: rank must be at least 1, got 0\.$"):
        mj.dion(rank=0)
    with pytest.raises(TypeError, match=r"^dion: missing a required (keyword-only )?argument: 'rank'; its arguments are"):
        mj.dion()  # pyright: ignore[reportCallIssue]
    with pytest.raises(ValueError, match=r"^dion: seed must be at least 0, got -1\.$"):
        mj.dion(rank=1, seed=-1)
    with pytest.raises(
        ValueError, match=r"^scion: norm must be 'spectral', 'convolution', 'sign', 'colnorm' or 'rms', got 'nuclear'\.$"
    ):
        mj.scion(0.1, norm="nuclear")
    with pytest.raises(ValueError, match=r"^scion: radius must be finite and at least 0, got -1\.$"):
        mj.scion(0.1, radius=-1)
    for make in (mj.adamuon, lambda: mj.dion(rank=1)):
        with pytest.raises(ValueError, match=r"^\w+: params must have a matrix .*take adamw for it, or .*fallback="):
            make().init({"bias": jnp.ones(3)})
    kernel = {"Conv_0": {"kernel": jnp.ones((3, 3, 2, 4))}}
    for make in (mj.adamuon, lambda: mj.dion(rank=1), lambda: mj.scion(0.1, norm="convolution")):
        with pytest.raises(
            ValueError, match=r'kernel\'\] is a kernel of shape \(3, 3, 2, 4\), .*axes=\{".*": "in in in out"\}'
        ):
            make().init(kernel)
    optimizer = mj.scion(0.1)
    with pytest.raises(ValueError, match=r"^scion: constrained=True needs the parameters: call update"):
        optimizer.update({"w": jnp.ones(2)}, optimizer.init({"w": jnp.ones(2)}))


@pytest.mark.parametrize("name", ["soap", "scion"])
def test_axes_that_do_not_fit_are_refused_in_the_name_of_the_constructor(name: str) -> None:
    make, kernels = getattr(mj, name), {"q": {"kernel": jnp.ones((4, 2, 3))}}
    with pytest.raises(
        ValueError, match=rf"^{name}: leaf \['q'\]\['kernel'\] is a kernel of shape \(4, 2, 3\), which axes must"
    ):
        make(0.1).init(kernels)
    with pytest.raises(ValueError, match=rf"^{name}: axes of leaf \['q'\]\['kernel'\] must have a word for each axis"):
        make(0.1, axes={"q/*": "in out"}).init(kernels)
