"""Modules of Flax NNX, Flax linen and Equinox as (init, apply): what they compute, in which mode, and what they carry."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from momentum_jax.training import classifier, of_equinox, of_linen, of_nnx, regression, train_many

KEY = jax.random.key(3)
X = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32) * 2 + 1
Y = (X @ np.arange(5) + np.sin(X[:, 0])).astype(np.float32)


class Nnx(nnx.Module):
    """An ordinary module: no argument says the mode, dropout draws from rngs of its own."""

    def __init__(self, rngs, rate=0.5):
        self.first, self.norm = nnx.Linear(5, 8, rngs=rngs), nnx.BatchNorm(8, momentum=0.9, rngs=rngs)
        self.dropout, self.last = nnx.Dropout(rate, rngs=rngs), nnx.Linear(8, 1, rngs=rngs)

    def __call__(self, x):
        return self.last(self.dropout(nnx.relu(self.norm(self.first(x)))))


class Linen(nn.Module):
    rate: float = 0.5

    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(nn.Dense(8)(x)))
        return nn.Dense(1)(nn.Dropout(self.rate, deterministic=not train)(x))


class Equinox(eqx.Module):
    """Called on single examples, with a count in an int array that is no parameter."""

    first: eqx.nn.Linear
    norm: eqx.nn.BatchNorm
    dropout: eqx.nn.Dropout
    last: eqx.nn.Linear
    table: jax.Array

    def __init__(self, key, rate=0.5):
        keys = jax.random.split(key)
        self.first, self.norm = eqx.nn.Linear(5, 8, key=keys[0]), eqx.nn.BatchNorm(8, "batch", momentum=0.9, mode="batch")
        self.dropout, self.last = eqx.nn.Dropout(rate), eqx.nn.Linear(8, 1, key=keys[1])
        self.table = jnp.arange(3)

    def __call__(self, x, state, *, key):
        x, state = self.norm(self.first(x), state)
        return self.last(self.dropout(jax.nn.relu(x), key=key)), state


ADAPTED = {
    "nnx": lambda rate=0.5: of_nnx(lambda rngs: Nnx(rngs, rate)),
    "linen": lambda rate=0.5: of_linen(Linen(rate), X[:1]),
    "equinox": lambda rate=0.5: of_equinox(lambda key: eqx.nn.make_with_state(Equinox)(key, rate)),
}
WEIGHTS = {
    "nnx": lambda p: [p["first"]["kernel"], p["first"]["bias"], p["last"]["kernel"], p["last"]["bias"]],
    "linen": lambda p: [p[name][each] for name in ("Dense_0", "Dense_1") for each in ("kernel", "bias")],
    "equinox": lambda p: [p["first.weight"].T, p["first.bias"], p["last.weight"].T, p["last.bias"]],
}
MEANS = {
    "nnx": lambda state: state["norm"]["mean"],
    "linen": lambda state: state["batch_stats"]["BatchNorm_0"]["mean"],
    "equinox": lambda state: next(leaf for leaf in state if leaf.shape == (8,)),
}


@pytest.mark.slow
@pytest.mark.parametrize("framework", ADAPTED)
def test_a_training_call_normalises_by_the_batch_and_an_evaluation_by_what_it_has_seen(framework):
    init, apply = ADAPTED[framework](0.0)
    params, state = init(KEY)
    w, b, v, c = map(np.asarray, WEIGHTS[framework](params))
    hidden = X @ w + b

    def outputs(mean, variance):
        return np.maximum((hidden - mean) / np.sqrt(variance + 1e-5), 0) @ v + c

    trained, after = apply(params, state, X, key=KEY, train=True)
    np.testing.assert_allclose(trained, outputs(hidden.mean(0), hidden.var(0)), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(MEANS[framework](after), 0.1 * hidden.mean(0), rtol=1e-4, atol=1e-6)
    evaluated, same = apply(params, state, X, key=KEY, train=False)
    np.testing.assert_allclose(evaluated, outputs(np.zeros(8), np.ones(8)), rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(MEANS[framework](same), MEANS[framework](state))


@pytest.mark.parametrize("framework", ADAPTED)
def test_dropout_acts_in_training_alone_and_anew_in_every_call(framework):
    init, apply = ADAPTED[framework]()
    params, state = init(KEY)
    evaluated = [apply(params, state, X, key=jax.random.key(seed), train=False)[0] for seed in (0, 1)]
    np.testing.assert_array_equal(*evaluated)
    first, after = apply(params, state, X, key=jax.random.key(0), train=True)
    second, _ = apply(params, after, X, key=jax.random.key(1), train=True)
    assert np.mean(np.asarray(first) != np.asarray(second)) > 0.5
    assert jax.tree.structure(after) == jax.tree.structure(state)


@pytest.mark.parametrize("framework", ["nnx", *(pytest.param(name, marks=pytest.mark.slow) for name in ("linen", "equinox"))])
def test_a_module_learns_and_its_state_comes_back_with_the_result(framework):
    keys = jax.random.split(jax.random.key(0), 2)
    problem = regression(*ADAPTED[framework](0.1), X, Y)
    runs = train_many(keys, optax.adam, {"learning_rate": 0.03}, problem, steps=150, batch_size=16).runs
    assert all(run.validation["r2"][0] < 0 < 0.5 < run.validation["r2"][-1] for run in runs)
    mean = MEANS[framework](runs[0].model_state)
    w, b, *_ = map(np.asarray, WEIGHTS[framework](runs[0].params))
    np.testing.assert_allclose(mean, (X @ w + b).mean(0), atol=1.0)
    assert np.abs(mean).max() > 0.3
    # Keys that a module of NNX holds come back typed, with the number of steps.
    for stream in (run.model_state["dropout"]["rngs"] for run in runs if framework == "nnx"):
        assert jnp.issubdtype(stream["key"].dtype, jax.dtypes.prng_key)
        assert int(stream["count"]) == 150


def test_an_argument_that_a_module_names_is_passed_and_no_other():
    seen = {}

    class Naming(nnx.Module):
        def __init__(self, rngs):
            self.scale = nnx.Param(jnp.ones(()))

        def __call__(self, x, *, deterministic, training=None, rngs=None, **more):
            seen.update(deterministic=deterministic, training=training, rngs=rngs, more=more)
            return x * self.scale[...]

    init, apply = of_nnx(Naming)
    params, state = init(KEY)
    for train in (True, False):
        apply(params, state, X, key=KEY, train=train)
        assert (seen["deterministic"], seen["training"], seen["more"]) == (not train, train, {})
        assert isinstance(seen["rngs"], nnx.Rngs)


def test_a_module_without_state_and_with_several_inputs_is_adapted():
    class Product(eqx.Module):
        w: jax.Array

        def __init__(self, key):
            self.w = jax.random.normal(key, (5,))

        def __call__(self, a, b):
            return jnp.dot(a * b, self.w)

    init, apply = of_equinox(Product)
    params, state = init(KEY)
    outputs, after = apply(params, state, X, X[::-1], key=KEY, train=True)
    np.testing.assert_allclose(outputs, (X * X[::-1]) @ params["w"], rtol=1e-4, atol=1e-5)
    assert state == after == []


def test_a_linen_module_without_state_or_mode_is_adapted_and_what_it_sows_is_dropped():
    class Sowing(nn.Module):
        @nn.compact
        def __call__(self, x):
            self.sow("intermediates", "x", x)
            return nn.Dense(1)(x)

    init, apply = of_linen(Sowing(), X[:1])
    params, state = init(KEY)
    assert state == apply(params, state, X, key=KEY, train=True)[1] == {}
    assert params["Dense_0"]["kernel"].shape == (5, 1)


@pytest.mark.slow
def test_colour_images_train_in_a_net_with_batch_norm():
    class Colours(nnx.Module):
        def __init__(self, rngs):
            self.convolution = nnx.Conv(3, 4, (3, 3), rngs=rngs)
            self.norm, self.output = nnx.BatchNorm(4, rngs=rngs), nnx.Linear(4, 3, rngs=rngs)

        def __call__(self, x):
            return self.output(nnx.relu(self.norm(self.convolution(x / 255.0))).mean((1, 2)))

    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 90)
    x = rng.integers(0, 60, (90, 4, 4, 3)).astype(np.uint8)
    x[np.arange(90), :, :, y] += 120
    problem = classifier(*of_nnx(Colours), x, y)
    (run,) = train_many(jax.random.key(0)[None], optax.adam, {"learning_rate": 0.05}, problem, steps=120, batch_size=16).runs
    assert run.accuracy == run.test["accuracy"] > 0.9
    assert run.test["confusion"].sum() == 18
