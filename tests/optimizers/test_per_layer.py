"""A layer's own optimizer, on plain dicts, Flax linen trees and NNX states, against optimizers split by hand."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import momentum_jax as mj
from momentum_jax._trees import leaves_by_path
from momentum_jax.optimizers.per_layer import layer_path

X = jnp.linspace(-1, 1, 12).reshape(4, 3)


def run(optimizer: optax.GradientTransformation, loss, params, steps: int = 8):
    state = optimizer.init(params)
    step = jax.jit(lambda p, s: optimizer.update(jax.grad(loss)(p), s, p))
    for _ in range(steps):
        updates, state = step(params, state)
        params = optax.apply_updates(params, updates)
    return params, state


def assert_equal_trees(ours, theirs) -> None:
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14), ours, theirs)


def coupled_loss(params) -> jax.Array:
    hidden = jnp.tanh(X @ params["hidden1"]["w"] + params["hidden1"]["b"])
    return jnp.sum((hidden @ params["hidden2"]["w"] - 1) ** 2)


def plain_params():
    w1, w2 = jnp.linspace(-1, 1, 15).reshape(3, 5), jnp.linspace(1, -2, 10).reshape(5, 2)
    return {"hidden1": {"w": w1, "b": jnp.full(5, 0.1)}, "hidden2": {"w": w2}}


def test_each_layer_of_a_dict_moves_as_under_its_own_optimizer() -> None:
    slow, fast = mj.heavy_ball(0.01, 0.5), mj.nesterov(0.02, 0.9)
    ours, state = run(mj.per_layer({"hidden1/*": slow, "*": fast}), coupled_loss, plain_params())

    params = plain_params()
    states = {"hidden1": slow.init(params["hidden1"]), "hidden2": fast.init(params["hidden2"])}
    for _ in range(8):
        gradients = jax.grad(coupled_loss)(params)
        for name, optimizer in (("hidden1", slow), ("hidden2", fast)):
            updates, states[name] = optimizer.update(gradients[name], states[name], params[name])
            params[name] = optax.apply_updates(params[name], updates)
    assert_equal_trees(ours, params)
    read = mj.evaluation_params(ours, state)
    assert_equal_trees(read["hidden1"], params["hidden1"])
    assert_equal_trees(read["hidden2"], mj.evaluation_params(params["hidden2"], states["hidden2"]))
    assert np.abs(read["hidden2"]["w"] - params["hidden2"]["w"]).max() > 1e-4


def test_the_first_pattern_that_fits_decides() -> None:
    still, moving = optax.set_to_zero(), mj.gradient_descent(0.1)
    params = plain_params()
    ours, _ = run(mj.per_layer({"*/b": still, "hidden?/?": moving}), coupled_loss, params, steps=1)
    np.testing.assert_array_equal(ours["hidden1"]["b"], params["hidden1"]["b"])
    assert np.abs(ours["hidden1"]["w"] - params["hidden1"]["w"]).max() > 1e-3
    # "*" crosses "/", so that here it leaves nothing for the second pattern.
    with pytest.raises(
        ValueError, match=r"^per_layer: every pattern must decide a leaf, 'hidden1/b' decides none of hidden1/b, "
    ):
        mj.per_layer({"*": moving, "hidden1/b": still}).init(params)


def test_one_pattern_for_all_is_the_optimizer_itself() -> None:
    ours, _ = run(mj.per_layer({"*": mj.adam(0.05)}), coupled_loss, plain_params())
    alone, _ = run(mj.adam(0.05), coupled_loss, plain_params())
    assert_equal_trees(ours, alone)


def test_on_a_linen_tree_patterns_name_modules() -> None:
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(2, param_dtype=jnp.float64)(jnp.tanh(nn.Dense(5, param_dtype=jnp.float64)(x)))

    net = Net()
    variables = net.init(jax.random.key(0), X)

    def loss(variables):
        return jnp.sum((net.apply(variables, X) - 1) ** 2)

    first, second = mj.heavy_ball(0.01, 0.3), mj.sgd(0.02, 0.9)
    ours, _ = run(mj.per_layer({"params/Dense_0/*": first, "params/Dense_1/*": second}), loss, variables)

    labels = {"params": {"Dense_0": {"kernel": "a", "bias": "a"}, "Dense_1": {"kernel": "b", "bias": "b"}}}
    by_hand, _ = run(optax.partition({"a": first, "b": second}, labels), loss, variables)
    assert_equal_trees(ours, by_hand)
    assert not np.allclose(ours["params"]["Dense_0"]["kernel"], variables["params"]["Dense_0"]["kernel"])


class NnxNet(nnx.Module):
    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.layers = nnx.List([nnx.Linear(3, 5, rngs=rngs, param_dtype=jnp.float64)])
        self.out = nnx.Linear(5, 2, rngs=rngs, param_dtype=jnp.float64)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.out(jnp.tanh(self.layers[0](x)))


def nnx_loss(model: NnxNet) -> jax.Array:
    return jnp.sum((model(X) - 1) ** 2)


def test_in_an_nnx_optimizer_patterns_name_attributes() -> None:
    inner, outer = mj.heavy_ball(0.01, 0.3), mj.nesterov(0.02, 0.9)
    model = NnxNet()
    optimizer = nnx.Optimizer(model, mj.per_layer({"layers/0/*": inner, "out/kernel": outer, "*": outer}), wrt=nnx.Param)
    for _ in range(8):
        optimizer.update(model, nnx.grad(nnx_loss)(model))

    graph, start = nnx.split(NnxNet(), nnx.Param)
    params = nnx.to_pure_dict(start)

    def loss(params):
        state = nnx.state(NnxNet(), nnx.Param)
        nnx.replace_by_pure_dict(state, params)
        return nnx_loss(nnx.merge(graph, state))

    labels = {"layers": {0: {"kernel": "a", "bias": "a"}}, "out": {"kernel": "b", "bias": "b"}}
    by_hand, by_hand_state = run(optax.partition({"a": inner, "b": outer}, labels), loss, params)
    assert_equal_trees(nnx.to_pure_dict(nnx.state(model, nnx.Param)), by_hand)
    read = mj.evaluation_params(nnx.state(model, nnx.Param), optimizer.opt_state)
    assert_equal_trees(nnx.to_pure_dict(read), mj.evaluation_params(by_hand, by_hand_state))


def test_a_path_reads_the_same_in_a_variable_tree_and_in_a_pure_one() -> None:
    state = nnx.state(NnxNet(), nnx.Param)
    wrapped = [layer_path(path) for path in leaves_by_path(state)]
    pure = [layer_path(path) for path in leaves_by_path(nnx.to_pure_dict(state))]
    assert wrapped == pure == ["layers/0/bias", "layers/0/kernel", "out/bias", "out/kernel"]


def test_a_reset_reaches_every_layer() -> None:
    optimizer = mj.per_layer({"hidden1/*": mj.heavy_ball(0.01, 0.5), "*": mj.adam(0.02)})
    _, state = run(optimizer, coupled_loss, plain_params())
    fresh = mj.reset_momentum(state)
    assert jax.tree.structure(fresh) == jax.tree.structure(state)
    assert not fresh.inner_states["hidden1/*"].inner_state[1].velocity["hidden1"]["w"].any()
    assert not fresh.inner_states["*"].inner_state[0].first_moment["hidden2"]["w"].any()
    assert fresh.inner_states["*"].inner_state[0].second_moment["hidden2"]["w"].all()


def test_leaves_that_no_optimizer_moves_need_no_optimizer_of_their_own() -> None:
    params = {"w": jnp.ones(2), "none": None, "steps": jnp.array(3)}
    optimizer = mj.per_layer({"*": mj.heavy_ball(0.1)})
    gradients = {"w": jnp.ones(2), "none": None, "steps": np.zeros((), jax.dtypes.float0)}
    updates, _ = optimizer.update(gradients, optimizer.init(params), params)
    np.testing.assert_allclose(updates["w"], -0.1)
    assert updates["none"] is None
    assert updates["steps"] == 0


GD = mj.gradient_descent(0.1)


@pytest.mark.parametrize(
    ("optimizers", "error", "message"),
    [
        ([GD], TypeError, r"optimizers must be a dict pattern -> optimizer, got list\.$"),
        ({}, ValueError, r"optimizers must name at least one pattern, got an empty dict\.$"),
        ({1: GD}, TypeError, r"a pattern must be a string, got 1\.$"),
        ({"*": 0.1}, TypeError, r"the optimizer of '\*' must be a gradient transformation, got float\.$"),
        ({"*": mj.heavy_ball}, TypeError, r"the optimizer of '\*' must be a gradient transformation, got function\.$"),
    ],
)
def test_a_wrong_argument_is_refused_when_it_is_built(optimizers, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match="^per_layer: " + message):
        mj.per_layer(optimizers)


def test_a_leaf_without_a_pattern_is_named() -> None:
    optimizer = mj.per_layer({"hidden1/w": GD, "hidden2/w": GD})
    message = (
        r"^per_layer: optimizers must have a pattern for every leaf, none of \('hidden1/w', 'hidden2/w'\) fits 'hidden1/b'\.$"
    )
    with pytest.raises(ValueError, match=message):
        optimizer.init(plain_params())


def test_patterns_are_case_sensitive() -> None:
    with pytest.raises(ValueError, match="fits 'hidden1/b'"):
        mj.per_layer({"Hidden*": GD}).init(plain_params())


def test_an_empty_tree_needs_no_pattern() -> None:
    optimizer = mj.per_layer({"hidden1/*": GD})
    updates, _ = optimizer.update({}, optimizer.init({}))
    assert updates == {}
