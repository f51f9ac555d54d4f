"""What Muon and NorMuon refuse: in their arguments, in axes that do not fit a leaf, and in a mesh."""

import ast
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax
import pytest
from jax.sharding import AxisType

import momentum_jax as mj

Dims = optax.contrib.MuonDimensionNumbers
NOTHING = optax.set_to_zero()


def test_a_kernel_of_three_axes_that_nothing_names_is_refused_with_specs_to_paste() -> None:
    attention = {name: {"kernel": jnp.ones((4, 2, 3)), "bias": jnp.ones((2, 3))} for name in ("query", "key", "value")}
    attention["out"] = {"kernel": jnp.ones((2, 3, 4)), "bias": jnp.ones(4)}
    others = {"Conv_0": (3, 3, 1, 8), "scan": (2, 4, 4)}
    params = {"attention": attention} | {name: {"kernel": jnp.ones(shape)} for name, shape in others.items()}
    for make in (mj.muon, mj.normuon, mj.scale_by_muon, mj.scale_by_normuon):
        with pytest.raises(
            ValueError, match=r"^\w+: leaf \['Conv_0'\]\['kernel'\] is a kernel of shape \(3, 3, 1, 8\)"
        ) as error:
            make().init(params)
    pasted = ast.literal_eval(str(error.value).partition("axes=")[2].partition("}")[0] + "}")
    assert pasted == {
        "Conv_0/kernel": "in in in out",
        "*/query/kernel": "in out out",
        "*/key/kernel": "in out out",
        "*/value/kernel": "in out out",
        "*/out/kernel": "in in out",
        "scan/kernel": "batch in out",
    }
    mj.muon(axes=pasted).init(params)
    state = mj.muon(axes={"scan/*": "batch in out", "*": None}).init(params)
    assert len(jax.tree.leaves(state.matrices[0].first_moment)) == 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"axes": {"w": "in in"}}, ValueError, r"axes\['w'\] must have the words 'in', 'out' and 'batch', .* got 'in in'\."),
        ({"axes": {"w": "in ... out"}}, ValueError, r"axes\['w'\] must have the words"),
        ({"axes": "rows columns"}, ValueError, r"axes must have the words"),
        ({"axes": 3}, TypeError, r"axes must be a spec of axes such as 'in out', a Matrix, .* got 3 \(int\)\."),
        ({"layout": "keras"}, ValueError, r"layout must be 'auto', 'inputs_first' or 'outputs_first', got 'keras'\."),
        ({"newton_schulz": "cubic"}, ValueError, r"newton_schulz must be 'quintic', 'polar_express', triples"),
        ({"newton_schulz": [(1.0, 2.0)]}, TypeError, r"newton_schulz must be .* got \[\(1\.0, 2\.0\)\]\."),
        ({"newton_schulz": [(1.0, 2.0, float("nan"))]}, ValueError, r"newton_schulz\[0\]\[2\] must be finite, got nan\."),
        ({"ns_steps": 0}, ValueError, r"ns_steps must be at least 1, got 0\."),
        ({"ns_dtype": "float16"}, ValueError, r"ns_dtype must be bfloat16, float32, float64 or None, got float16\."),
        ({"stack": 1}, TypeError, r"stack must be True or False, got 1 \(int\)\."),
        ({"spread": 1}, TypeError, r"spread must be the name of a mesh axis, or several, or None, got 1\."),
        ({"spread": ("x", "x")}, ValueError, r"spread must name each mesh axis once"),
    ],
)
@pytest.mark.parametrize("make", [mj.muon, mj.scale_by_normuon])
def test_a_wrong_argument_is_refused_when_it_is_built(
    make: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{make.__name__}: {message}"):
        make(**options)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (
            {"w": "in in out"},
            r"axes of leaf \['w'\] must have a word for each axis, got 'in in out', 3 words, for shape \(4, 18\)",
        ),
        ({"w": "... in in out"}, r"must have a word for each axis, .* at least 3 words"),
        ({"w": mj.Matrix("in out", blocks=5)}, r"must have blocks that divide the last out axis of 18"),
        ({"w": mj.Matrix("in out", blocks=(9, 8))}, r"must have blocks that sum to the last out axis of 18, .* sum to 17\."),
        ({"w": Dims(0, 0)}, r"must name inputs and outputs apart"),
        ({"w": Dims(0, 2)}, r"must be axes of the leaf"),
        (lambda params: {"v": "in out"}, r"axes must have a spec for every leaf, got none for leaf \['w'\]\."),
        ({"w": "in out", "v": None}, r"every pattern of axes must decide a leaf, 'v' decides none of w\."),
    ],
)
@pytest.mark.parametrize("make", [mj.muon, mj.scale_by_normuon])
def test_axes_that_do_not_fit_a_leaf_are_refused_in_init(make: Any, axes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{make.__name__}: .*{message}"):
        make(axes=axes).init({"w": jnp.ones((4, 18))})


def test_a_matrix_refuses_what_it_cannot_be() -> None:
    for given, error in [
        (("in in",), ValueError),
        ((3,), TypeError),
        (("in out", 0), ValueError),
        (("in out", 1.5), TypeError),
    ]:
        with pytest.raises(error, match=r"^Matrix: \w+ must"):
            mj.Matrix(*given)


def test_a_scale_that_is_no_number_is_refused_where_it_is_read() -> None:
    optimizer = mj.muon(scale=lambda inputs, outputs: "large")
    with pytest.raises(TypeError, match=r"a function scale must return a real number, got 'large'\."):
        optimizer.update({"w": jnp.ones((2, 3))}, optimizer.init({"w": jnp.ones((2, 3))}))


def test_axes_of_spread_that_the_mesh_has_not_are_refused_and_one_device_needs_none() -> None:
    params = {"w": jnp.ones((2, 3))}
    optimizer = mj.muon(spread="fsdp", fallback=NOTHING)
    expected, _ = mj.muon(fallback=NOTHING).update(params, mj.muon(fallback=NOTHING).init(params))
    chex.assert_trees_all_equal(optimizer.update(params, optimizer.init(params))[0], expected)
    for kind, found in ((AxisType.Auto, r"axes of the mesh, data, got 'fsdp'"), (AxisType.Explicit, r"axes of the mesh, data")):
        mesh = jax.make_mesh((1,), ("data",), axis_types=(kind,))
        placed = jax.device_put(params, jax.sharding.NamedSharding(mesh, jax.P()))
        with pytest.raises(ValueError, match=f"^muon: spread must name {found}"):
            optimizer.update(placed, optimizer.init(placed))


def test_under_a_mask_a_pattern_may_decide_no_leaf() -> None:
    params = {"a": jnp.ones((2, 3)), "b": jnp.ones((2, 3))}
    optimizer = optax.masked(mj.muon(axes={"a": "in out", "b": "out in"}), {"a": True, "b": False})
    optimizer.init(params)
    per_layer = mj.per_layer({"a": mj.muon(axes={"[ab]": "in out"}), "*": mj.sgd(0.1)})
    per_layer.update(params, per_layer.init(params), params)
