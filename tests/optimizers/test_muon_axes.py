"""Muon on any axes: the authors' own trajectories, what a leaf is read as, other polynomials, and stacks."""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from normalised_walk import polynomial_of_singular_values
from oracles import assert_same_path, peer_file

import momentum_jax as mj
from momentum_jax.optimizers._axes import views

Dims = optax.contrib.MuonDimensionNumbers
NOTHING = optax.set_to_zero()


@pytest.fixture(scope="module")
def peers() -> dict[str, np.ndarray]:
    return peer_file("muon/peers")[1]


class Met(NamedTuple):
    """A trajectory, and the optimizer of a leaf `w` that meets it."""

    trajectory: str
    make: Callable[..., Any]
    axes: Any
    options: dict[str, Any] = {}  # noqa: RUF012


# Moonlight's buffer is the sum, 1 / (1 - mu) times the average.
MOONLIGHT = {"scale": "moonlight", "weight_decay": 0.1, "eps": 0.05 * 1e-7}
MET = [
    Met("kj_muon_stack", mj.muon, "batch out in", {"weight_decay": 0.1}),
    Met("kj_muon_attention_whole", mj.muon, "in out out", {"weight_decay": 0.1}),
    Met("kj_muon_fused_qkv", mj.muon, mj.Matrix("in out", blocks=3)),
    Met("kj_muon_fused_qkv", mj.muon, mj.Matrix("in out", blocks=(6, 6, 6)), {"stack": True}),
    # The authors scale a convolution by the sides of its window, here 1.
    Met("kj_muon_conv", mj.muon, "in in in out", {"scale": lambda inputs, outputs: 1.0}),
    Met("moonlight_stack", mj.muon, "... out in", MOONLIGHT),
    Met("muon_polar_express_wide", mj.muon, "out in", {"newton_schulz": "polar_express", "ns_steps": 5, "weight_decay": 0.1}),
]


@pytest.mark.parametrize("met", MET, ids=lambda met: f"{met.trajectory}-{met.axes}")
def test_the_method_meets_its_peer_at_every_step(met: Met, peers: dict[str, np.ndarray]) -> None:
    path, gradients = (peers[f"{met.trajectory}/{name}"] for name in ("path", "gradients"))
    optimizer = met.make(0.05, 0.95, axes={"w": met.axes}, fallback=NOTHING, **met.options)
    state, held = optimizer.init({"w": path[0]}), [path[0]]
    update = jax.jit(optimizer.update)
    for g in gradients:
        updates, state = update({"w": g}, state, {"w": held[-1]})
        held.append(held[-1] + updates["w"])
    assert_same_path(np.array(held).reshape(len(held), -1), path.reshape(len(path), -1), 1e-9)


@pytest.mark.parametrize("steps", [1, 3, 5, 8, 10])
def test_polar_express_is_the_authors_map(steps: int, peers: dict[str, np.ndarray]) -> None:
    x = peers["polar_express_maps/X"]
    expected = peers[f"polar_express_maps/steps{steps}"]
    ours = orthogonal(x, "... in out", newton_schulz="polar_express", ns_steps=steps)
    np.testing.assert_allclose(ours, expected, atol=1e-12)


def test_triples_of_ones_own_are_the_map_of_gram_newton_schulz(peers: dict[str, np.ndarray]) -> None:
    x, triples, expected = (peers[f"gram_newton_schulz_maps/{name}"] for name in ("X", "coefficients", "standard"))
    ours = orthogonal(x, "batch out in", newton_schulz=[tuple(row) for row in triples.tolist()])
    np.testing.assert_allclose(ours, expected, atol=1e-12)
    np.testing.assert_allclose(ours, peers["gram_newton_schulz_maps/gram"], atol=1e-9)


def orthogonal(x: Any, axes: Any = None, **options: Any) -> np.ndarray:
    """The orthogonal step of one gradient: Muon without momentum and scale."""
    options = {"scale": lambda inputs, outputs: 1.0} | options
    optimizer = mj.scale_by_muon(0.0, axes=None if axes is None else {"w": axes}, **options)
    return np.asarray(jax.jit(optimizer.update)({"w": x}, optimizer.init({"w": x}))[0]["w"])


def gradient(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_triples_repeat_the_last_and_fewer_steps_take_the_first() -> None:
    x, first, last = gradient(3, 4), (3.4445, -4.7750, 2.0315), (1.875, -1.25, 0.375)
    for given, steps, same in [([first, last], 3, [first, last, last]), ([first, last], 1, [first])]:
        np.testing.assert_array_equal(orthogonal(x, newton_schulz=given, ns_steps=steps), orthogonal(x, newton_schulz=same))
    np.testing.assert_array_equal(orthogonal(x, newton_schulz=[first] * 5), orthogonal(x))


def test_a_function_is_given_a_stack_of_normalised_wide_matrices() -> None:
    seen = []

    def polar(x: jax.Array) -> jax.Array:
        seen.append(x.shape)
        left, _, right = jnp.linalg.svd(x, full_matrices=False)
        return left @ right

    for axes, shape, stack in [("out in", (5, 3), (1, 3, 5)), ("batch in out", (2, 3, 5), (2, 3, 5))]:
        o = orthogonal(gradient(*shape), axes, newton_schulz=polar)
        np.testing.assert_allclose(np.linalg.svd(o)[1], 1.0, rtol=1e-12)
        assert seen.pop() == stack
    with pytest.raises(ValueError, match=r"^muon: ns_steps must be None where newton_schulz is a function, got 3\.$"):
        mj.muon(newton_schulz=polar, ns_steps=3)
    with pytest.raises(ValueError, match=r"a function must return the shape it is given, \(1, 3, 4\), got \(1, 3, 3\)"):
        orthogonal(gradient(3, 4), newton_schulz=lambda x: x[..., :3])


def by_hand(x: np.ndarray) -> np.ndarray:
    """A step of learning rate 1 of one matrix (inputs, outputs), with the official scale."""
    return -(max(1, x.shape[1] / x.shape[0]) ** 0.5) * polynomial_of_singular_values(x, 5, 1e-7)


GIVEN = ("tree", "function", "words", "prefix")
VIEWS = [
    ("out in", (4, 3), lambda x: by_hand(x.T).T),
    ("in out", (4, 3), by_hand),
    ("in in in out", (3, 2, 2, 5), lambda x: by_hand(x.reshape(12, 5)).reshape(x.shape)),
    ("in in out", (2, 3, 4), lambda x: by_hand(x.reshape(6, 4)).reshape(x.shape)),
    ("in batch out", (4, 2, 3), lambda x: np.stack([by_hand(x[:, h]) for h in range(2)], 1)),
    ("out in batch", (3, 4, 2), lambda x: np.stack([by_hand(x[..., h].T).T for h in range(2)], -1)),
    ("... in out", (2, 2, 3, 4), lambda x: np.stack([[by_hand(m) for m in row] for row in x])),
    ("... in out", (3, 4), by_hand),
    (mj.Matrix("in out", blocks=(2, 5)), (3, 7), lambda x: np.hstack([by_hand(x[:, :2]), by_hand(x[:, 2:])])),
    (Dims((0,), (1, 2)), (4, 2, 3), lambda x: by_hand(x.reshape(4, 6)).reshape(x.shape)),
    (Dims(-1, -2), (4, 3), lambda x: by_hand(x.T).T),
]


@pytest.mark.parametrize(("spec", "shape", "expected"), VIEWS, ids=[f"{spec}-{shape}" for spec, shape, _ in VIEWS])
@pytest.mark.parametrize("stack", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_named_axes_form_the_matrices_and_their_scale(spec: Any, shape: Any, expected: Any, stack: bool) -> None:
    g = gradient(*shape)
    optimizer = mj.muon(1.0, 0.0, axes={"*": spec}, stack=stack)
    updates, _ = optimizer.update({"w": g}, optimizer.init({"w": g}))
    np.testing.assert_allclose(updates["w"], expected(g), atol=1e-12)


@pytest.mark.parametrize("make", [mj.muon, mj.normuon])
def test_a_leaf_and_its_words_in_another_order_get_the_same_step(make: Any) -> None:
    g, words, order = gradient(2, 3, 4, 5), ["batch", "in", "out", "out"], (3, 1, 0, 2)

    def step(x: np.ndarray, words: list[str]) -> np.ndarray:
        optimizer = make(1.0, axes={"w": " ".join(words)})
        return optimizer.update({"w": x}, optimizer.init({"w": x}))[0]["w"]

    permuted = step(g.transpose(order), [words[i] for i in order])
    np.testing.assert_allclose(permuted, step(g, words).transpose(order), atol=1e-12)


@pytest.mark.parametrize("given", ["patterns", *(pytest.param(g, marks=pytest.mark.slow) for g in GIVEN)])
def test_however_it_is_given_a_leaf_is_the_matrix_that_optax_reads(given: str) -> None:
    params = {"a": {"w": gradient(4, 2, 3), "v": gradient(2, 5, 4, seed=1)}, "c": gradient(6, seed=2)}
    dims = {"a": {"w": Dims((0,), (1, 2)), "v": Dims((1,), (2,))}, "c": None}
    axes = {
        "patterns": {"a/w": Dims((0,), (1, 2)), "*/v": Dims((1,), (2,))},
        "tree": dims,
        "function": lambda tree: {**dims, "a": {name: dims["a"][name] for name in tree["a"]}},
        "words": {"a/w": "in out out", "a/v": "batch in out", "*": None},
        "prefix": {"a": {"w": Dims(0, (1, 2)), "v": "... in out"}, "c": None},
    }[given]
    theirs = optax.contrib.muon(1.0, beta=0.9, eps=1e-30, nesterov=False, muon_weight_dimension_numbers=dims)
    expected, _ = theirs.update(params, theirs.init(params), params)
    ours = mj.muon(1.0, 0.9, axes=axes, nesterov=False, eps=0.0)
    updates, _ = ours.update(params, ours.init(params), params)
    chex.assert_trees_all_close(updates["a"], expected["a"], atol=1e-5)  # Optax holds its quintic in float32


def flax_tree() -> Any:
    names = ["kernel", "bias", "scale", "embedding"]
    return {"Dense_0": {name: jnp.ones((4, 3)) for name in names}, "w": jnp.ones((4, 3))}


@pytest.mark.parametrize(
    ("layout", "inputs"),
    [
        ("auto", {"kernel": (0,), "bias": None, "scale": None, "embedding": None, "w": (1,)}),
        ("inputs_first", dict.fromkeys(["kernel", "bias", "scale", "embedding", "w"], (0,))),
        ("outputs_first", dict.fromkeys(["kernel", "bias", "scale", "embedding", "w"], (1,))),
    ],
)
def test_what_axes_does_not_name_the_layout_reads_by_its_last_key(layout: str, inputs: dict[str, Any]) -> None:
    seen = views("muon", flax_tree(), None, layout)
    assert {path[-1].key: view and view.inputs for path, view in seen.items()} == inputs


def test_a_flax_kernel_keeps_its_singular_values_near_one_without_a_word() -> None:
    g = {"kernel": gradient(784, 256).astype(np.float32), "bias": gradient(8, 4)}
    optimizer = mj.scale_by_muon()
    updates, _ = jax.jit(optimizer.update)(g, optimizer.init(g))
    assert np.linalg.svd(updates["kernel"], compute_uv=False).max() <= 1.2
    mixed = 0.95 * (0.05 * g["bias"]) + 0.05 * g["bias"]
    np.testing.assert_allclose(updates["bias"], mixed, rtol=1e-6)


def test_the_scale_of_optax_reads_what_nothing_names_inputs_first() -> None:
    def ratio(axes: Any, **options: Any) -> Any:
        g = {"w": gradient(3, 12)}
        steps = []
        for scale in ("optax", lambda inputs, outputs: 1.0):
            optimizer = mj.muon(1.0, scale=scale, axes=axes, **options)
            steps.append(optimizer.update(g, optimizer.init(g))[0]["w"])
        return (steps[0] / steps[1]).mean()

    np.testing.assert_allclose([ratio(None), ratio({"w": "in out"}), ratio({"w": "out in"})], [2, 2, 1], rtol=1e-12)
    np.testing.assert_allclose([ratio(None, layout="outputs_first"), ratio(None, layout="inputs_first")], 2, rtol=1e-12)


def unlike_leaves() -> Any:
    shapes = {
        "q/kernel": (6, 2, 3),
        "o/kernel": (2, 3, 6),
        "wide": (6, 12),
        "tall": (12, 6),
        "scan": (3, 6, 12),
        "qkv": (6, 36),
    }
    params = {name: gradient(*shape, seed=i) for i, (name, shape) in enumerate(shapes.items())}
    return params | {"c": gradient(6, 12) + 1j * gradient(6, 12, seed=9), "b": gradient(5)}


AXES = {"q/kernel": "in out out", "o/*": "in in out", "scan": "batch in out", "qkv": mj.Matrix("in out", blocks=3)}


@pytest.mark.parametrize("make", [mj.muon, mj.normuon])
def test_stacked_leaves_take_the_steps_that_each_would_alone(make: Any) -> None:
    params = unlike_leaves()
    walked = []
    for stack in (False, True):
        optimizer = make(0.02, axes=AXES, stack=stack)
        updates, state = None, optimizer.init(params)
        for _ in range(2):
            updates, state = jax.jit(optimizer.update)(params, state, params)
        walked.append((updates, state))
    chex.assert_trees_all_close(*walked, rtol=1e-12, atol=1e-14)
    program = str(jax.make_jaxpr(make(axes=AXES, stack=True).update)(params, make(axes=AXES).init(params), params))
    # q and o, (6, 6); wide, tall, scan and qkv, (6, 12); c.
    assert program.count("dot_general") == 3 * 15


def test_large_stacks_are_iterated_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    g = gradient(5, 3, 4)
    whole = orthogonal(g, "batch in out")
    monkeypatch.setattr("momentum_jax.optimizers._stacks._MOST", 24)
    program = jax.make_jaxpr(
        lambda x: mj.scale_by_muon(axes={"w": "batch in out"}).update(
            {"w": x}, mj.scale_by_muon(axes={"w": "batch in out"}).init({"w": x})
        )
    )
    assert str(program(g)).count("dot_general") == 3 * 15
    np.testing.assert_allclose(orthogonal(g, "batch in out"), whole, rtol=1e-12)


def test_in_bfloat16_products_are_narrow_and_the_result_is_as_wide_as_before() -> None:
    g = gradient(16, 24).astype(np.float32)
    optimizer = mj.scale_by_muon(ns_dtype="bfloat16")
    program = str(jax.make_jaxpr(optimizer.update)({"w": g}, optimizer.init({"w": g})))
    assert program.count("bf16[16,16] = dot_general") == 10
    assert "HIGHEST" not in program
    narrow, wide = orthogonal(g, ns_dtype="bfloat16"), orthogonal(g)
    assert narrow.dtype == np.float32
    assert 1e-4 < np.abs(narrow - wide).max() < 0.1
    z = (g + 1j * g[::-1]).astype(np.complex64)
    np.testing.assert_array_equal(orthogonal(z, ns_dtype="bfloat16"), orthogonal(z))


def test_the_neurons_of_a_named_leaf_are_its_outputs() -> None:
    g = {"q": gradient(4, 2, 3), "kernel": gradient(3, 4), "w": gradient(3, 4)}
    for neurons, shapes in [(None, [(1, 4), (1, 2, 3), (3, 1)]), ("columns", [(1, 4), (1, 2, 3), (1, 4)])]:
        optimizer = mj.normuon(1.0, 0.0, axes={"q": "in out out"}, neurons=neurons)
        updates, state = optimizer.update(g, optimizer.init(g))
        second = [leaf.shape for leaf in jax.tree.leaves(state.matrices[0].second_moment)]
        assert second == shapes
        lengths = np.linalg.norm(updates["q"], axis=0)
        np.testing.assert_allclose(lengths, lengths[0, 0], rtol=1e-6)


def test_norms_of_normuon_are_those_of_each_block() -> None:
    g = gradient(4, 9) * np.array([1, 1, 1] + [100] * 6)
    whole = mj.normuon(1.0, 0.0, axes={"w": mj.Matrix("in out", blocks=(3, 6))})
    updates, _ = whole.update({"w": g}, whole.init({"w": g}))
    for part in (slice(0, 3), slice(3, 9)):
        alone = mj.normuon(1.0, 0.0, axes={"w": "in out"})
        expected, _ = alone.update({"w": g[:, part]}, alone.init({"w": g[:, part]}))
        np.testing.assert_allclose(updates["w"][:, part], expected["w"], atol=1e-12)
