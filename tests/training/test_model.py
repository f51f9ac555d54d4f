import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from momentum_jax.training.model import LOSSES, cnn, convolve, from_nnx, halve, mlp


def begun(model, key=0):
    """Parameters and model state, drawn by one program."""
    return jax.jit(model.init)(jax.random.key(key))


@functools.cache
def called(model, train):
    return jax.jit(lambda params, state, x, key: model.apply(params, state, x, key=key, train=train)[0])


def call(model, x, *, train=False, key=0):
    params, state = begun(model, 1)
    return params, called(model, train)(params, state, x, jax.random.key(key))


def pictures(n=3, shape=(6, 6)):
    return np.random.default_rng(0).random((n, *shape), np.float32)


def test_an_mlp_is_its_matrix_products():
    model = mlp((8, 7), "tanh", output_activation="sigmoid", input_shape=(6, 6), classes=4)
    x = pictures()
    params, outputs = call(model, x)
    hidden = x.reshape(3, 36)
    for layer in ("hidden_0", "hidden_1"):
        hidden = np.tanh(hidden @ params[layer]["kernel"] + params[layer]["bias"])
    logits = hidden @ params["output"]["kernel"] + params["output"]["bias"]
    np.testing.assert_allclose(outputs, 1 / (1 + np.exp(-logits)), rtol=1e-5)
    assert set(params) == {"hidden_0", "hidden_1", "output"}


def test_he_normal_weights_have_variance_two_over_fan_in_with_tails_and_no_bias():
    params, _ = begun(mlp((300,), input_shape=(20, 20)))
    kernel = np.asarray(params["hidden_0"]["kernel"]) / np.sqrt(2 / 400)
    assert abs(kernel.std() - 1) < 0.01
    assert abs(kernel.mean()) < 0.01
    assert np.abs(kernel).max() > 3.5
    assert not np.any(params["hidden_0"]["bias"])


def test_glorot_uniform_weights_fill_the_interval_that_both_fans_give_and_biases_are_zero():
    # Off centre: 300 in and 100 out, so that neither fan alone gives the same bound.
    params, _ = begun(mlp((100,), init="glorot_uniform", input_shape=(15, 20), classes=4))
    for layer, fan_in, fan_out in (("hidden_0", 300, 100), ("output", 100, 4)):
        kernel = np.asarray(params[layer]["kernel"]) / np.sqrt(6 / (fan_in + fan_out))
        assert -1 <= kernel.min() < -0.98
        assert 0.98 < kernel.max() <= 1
        assert abs(kernel.std() - 3**-0.5) < 0.02
        assert not np.any(params[layer]["bias"])


def test_uniform_weights_and_biases_fill_the_interval_from_minus_to_plus_one_half():
    params, _ = begun(mlp((1000,), init="uniform", input_shape=(10, 10)))
    for leaf in params["hidden_0"].values():
        assert -0.5 <= leaf.min() < -0.49
        assert 0.49 < leaf.max() <= 0.5
        assert abs(np.std(leaf) - 12**-0.5) < 0.02


def test_dropout_acts_in_training_alone_and_follows_its_key():
    model, x = mlp((50,), dropout=0.5, input_shape=(6, 6)), pictures()
    _, plain = call(model, x)
    np.testing.assert_array_equal(call(model, x, key=1)[1], plain)
    dropped = call(model, x, train=True)[1]
    assert not np.allclose(dropped, plain)
    assert not np.allclose(call(model, x, train=True, key=1)[1], dropped)
    np.testing.assert_array_equal(call(model, x, train=True)[1], dropped)


def test_convolutions_see_the_neighbourhood_and_pool_to_a_quarter():
    model = cnn((3,), (), input_shape=(4, 6), classes=2)
    x = pictures(2, (4, 6))
    params, outputs = call(model, x)
    kernel = params["convolution_0"]["kernel"]
    planes = jax.lax.conv_general_dilated(x[:, None], jnp.transpose(kernel, (3, 2, 0, 1)), (1, 1), "SAME")
    pooled = np.maximum(planes, 0).reshape(2, 3, 2, 2, 3, 2).max(axis=(3, 5))
    features = np.transpose(pooled, (0, 2, 3, 1)).reshape(2, -1)
    np.testing.assert_allclose(outputs, features @ params["dense"]["output"]["kernel"], rtol=1e-4, atol=1e-5)


def test_the_product_in_the_place_of_a_convolution_keeps_its_precision_and_its_element_type():
    x, kernel = jnp.ones((1, 4, 4, 2), jnp.bfloat16), jnp.ones((3, 3, 2, 5), jnp.bfloat16)

    def convolved(x, kernel):
        options = {"dimension_numbers": ("NHWC", "HWIO", "NHWC"), "precision": "highest", "preferred_element_type": jnp.float32}
        return convolve(x, kernel, (1, 1), "SAME", **options)

    assert convolved(x, kernel).dtype == jnp.float32
    assert "precision = [HIGHEST, HIGHEST]" in str(jax.jit(convolved).lower(x, kernel).as_text())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"window_strides": (2, 1)},
        {"window_strides": (2, 3), "padding": ((1, 2), (0, 1))},
        {"padding": "VALID"},
        {"padding": ((0, 0), (-6, 0))},
        {"padding": ((-1, 1), (2, -1))},
        {"rhs_dilation": (1, 2)},
        {"lhs_dilation": (2, 1), "padding": ((1, 1), (0, 1))},
        {"feature_group_count": 2},
        {"dimension_numbers": ("NWHC", "HWIO", "NHWC")},
    ],
    ids=str,
)
def test_a_convolution_of_any_options_is_that_of_xla(options):
    options = {"window_strides": (1, 1), "padding": "SAME", "dimension_numbers": ("NHWC", "HWIO", "NHWC")} | options
    channels = 4 // options.get("feature_group_count", 1)
    x, kernel = jax.random.normal(jax.random.key(0), (2, 5, 6, 4)), jax.random.normal(jax.random.key(1), (3, 2, channels, 6))
    expected, slope = jax.vjp(lambda x, kernel: jax.lax.conv_general_dilated(x, kernel, **options), x, kernel)
    found, our_slope = jax.vjp(lambda x, kernel: convolve(x, kernel, **options), x, kernel)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    weights = jax.random.normal(jax.random.key(2), expected.shape)
    for ours, theirs in zip(our_slope(weights), slope(weights), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_losses_are_per_example():
    outputs, labels = jnp.array([[1.0, 2.0, 0.5], [0.0, 0.0, 3.0]]), jnp.array([1, 0])
    shares = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(LOSSES["cross_entropy"](outputs, labels), -np.log([shares[0, 1], shares[1, 0]]), rtol=1e-6)
    np.testing.assert_allclose(LOSSES["half_squared_error"](outputs, labels), [0.5 * (1 + 1 + 0.25), 0.5 * (1 + 9)])


def test_the_same_specification_is_the_same_model():
    assert mlp([4], input_shape=[6, 6]) is mlp((4,), input_shape=(6, 6))
    assert mlp((4,)) is not mlp((4,), dropout=0.1)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: mlp((0,)), "mlp: every width in hidden must be a whole number of at least 1, got 0"),
        (lambda: mlp(activation="swoosh"), "mlp: activation must be one of relu, tanh, sigmoid or a function, got 'swoosh'"),
        (lambda: mlp(activation=None), "mlp: activation must be one of"),
        (lambda: mlp(output_activation="softmax"), "mlp: output_activation must be one of"),
        (lambda: mlp(dropout=1.0), r"mlp: dropout must be in \[0, 1\), got 1\.0"),
        (lambda: mlp(init="zeros"), "mlp: init must be one of he_normal, glorot_uniform, uniform, got 'zeros'"),
        (lambda: mlp(loss="hinge"), "mlp: loss must be one of cross_entropy, half_squared_error, got 'hinge'"),
        (lambda: mlp(classes=True), "mlp: classes must be a whole number of at least 1, got True"),
        (lambda: cnn((4, 0)), "cnn: every number in channels must be"),
        (lambda: cnn((4, 4, 4), input_shape=(7, 28)), r"cnn: input_shape must be .* at least 8 pixels .* got \(7, 28\)"),
    ],
)
def test_a_model_that_cannot_be_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_a_call_leaves_the_model_state_of_its_caller_as_it_was():
    class Net(nnx.Module):
        def __init__(self, rngs):
            self.norm, self.dropout = nnx.BatchNorm(36, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)

        def __call__(self, x, *, train, rngs):
            return self.dropout(self.norm(x.reshape(len(x), -1), use_running_average=not train), deterministic=not train)

    model = from_nnx(Net, LOSSES["cross_entropy"])
    params, state = model.init(jax.random.key(0))
    held = {**state, "norm": jax.tree.map(np.array, state["norm"])}
    held["dropout"]["rngs"]["count"] = np.array(3, np.uint32)
    before = jax.tree.map(np.copy, (held["norm"], held["dropout"]["rngs"]["count"]))
    _, after = model.apply(params, held, pictures(), key=jax.random.key(0), train=True)
    jax.tree.map(np.testing.assert_array_equal, (held["norm"], held["dropout"]["rngs"]["count"]), before)
    assert int(after["dropout"]["rngs"]["count"]) == 4
    assert np.any(after["norm"]["mean"] != before[0]["mean"])


@pytest.mark.parametrize("shape", [(28, 28, 1), (7, 9, 3), (3, 2, 16), (1, 6, 2)])
@pytest.mark.parametrize("activation", [jax.nn.relu, jnp.tanh])
def test_pooling_is_that_of_flax_bit_for_bit_with_its_gradients_at_ties(shape, activation):
    random = np.random.default_rng(3)
    # Few different numbers: most windows have ties, those of a rectifier at 0.
    x = jnp.asarray(np.round(3 * random.standard_normal((4, *shape))), jnp.float32)
    weights = jnp.asarray(random.standard_normal((4, shape[0] // 2, shape[1] // 2, shape[2])), jnp.float32)

    def pooled(pool, x):
        return jax.jit(jax.value_and_grad(lambda x: jnp.sum(pool(activation(x)) * weights)))(x)

    def by_flax(x):
        return nnx.max_pool(x, (2, 2), strides=(2, 2))

    np.testing.assert_array_equal(halve(x), by_flax(x))
    for ours, theirs in zip(pooled(halve, x), pooled(by_flax, x), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(*(jax.jvp(pool, (x,), (x * x,)) for pool in (halve, by_flax)), strict=True):
        np.testing.assert_array_equal(ours, theirs)
