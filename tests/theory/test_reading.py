"""Reading an optimizer: what is linear is read to its last coefficient, and nothing else is accepted."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from contract_rows import FIRST, ROWS
from flax import nnx
from linear_files import LINEAR

import momentum_jax as mj
from momentum_jax import theory

STEPS = 12


def rows(keep):
    return [pytest.param(row, id=row.id, marks=() if row in FIRST else pytest.mark.slow) for row in ROWS if keep(row)]


def run(optimizer, gradients, theta):
    """Held points and iterates of a run on given gradients, (steps, ...) each, in float64."""
    with jax.enable_x64(True):
        params = jnp.asarray(theta)
        state = optimizer.init(params)

        def step(carry, gradient):
            params, state = carry
            updates, state = optimizer.update(gradient, state, params)
            params = optax.apply_updates(params, updates)
            return (params, state), (params, mj.evaluation_params(params, state))

        state = jax.tree.map(jnp.asarray, state)
        return jax.tree.map(np.asarray, jax.lax.scan(step, (params, state), jnp.asarray(gradients))[1])


def predicted(read, gradients, theta):
    """The same from the coefficients."""
    x, held, iterates = np.multiply.outer(read.start, theta), [], []
    for t, gradient in enumerate(gradients):
        k = read.place(t)
        x = np.tensordot(read.F[k], x, 1) + np.multiply.outer(read.b[k], gradient)
        held.append(x[0])
        iterates.append(np.tensordot(read.readout[k], x, 1))
    return np.array(held), np.array(iterates)


def assert_reads(optimizer, read):
    random = np.random.default_rng(1)
    gradients, theta = random.normal(size=(STEPS, 2, 3)), random.normal(size=(2, 3))
    for found, expected in zip(predicted(read, gradients, theta), run(optimizer, gradients, theta), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("row", rows(lambda row: row.file in LINEAR))
def test_the_coefficients_are_those_of_the_optimizers_own_steps(row):
    optimizer = row.build()
    assert_reads(optimizer, theory.linearize(optimizer, horizon=2 * STEPS))


# The loss of the restarting row is 1 at every step, and the logits of `qk_clip` are the same: they are linear rules there, as
# averages of linear rules are.
LINEAR_THERE = {"adaptive_restart-function", "averaged-0.9", "averaged-uniform", "gpa", "qk_clip"}


@pytest.mark.parametrize("row", rows(lambda row: row.file not in LINEAR and row.id not in LINEAR_THERE))
def test_what_is_not_linear_is_refused(row):
    with pytest.raises(theory.NotLinear, match=r"^linearize: [^\n]+\.$"):
        theory.linearize(row.build(), horizon=8)


OTHERS = {
    "optax.sgd": optax.sgd(0.1, 0.9),
    "optax.sgd nesterov": optax.sgd(0.1, 0.9, nesterov=True),
    "optax.trace": optax.chain(optax.trace(0.9), optax.scale(-0.1)),
    "optax.ema": optax.chain(optax.ema(0.9), optax.scale(-0.1)),
    "MultiSteps": optax.MultiSteps(mj.heavy_ball(0.1, 0.9), 4),
    "inject_hyperparams": optax.inject_hyperparams(optax.sgd)(0.1, 0.9),
    "apply_if_finite": optax.apply_if_finite(mj.heavy_ball(0.1, 0.9), 3),
    "zero_nans": optax.chain(optax.zero_nans(), mj.heavy_ball(0.1, 0.9)),
    "schedule": optax.sgd(optax.linear_schedule(0.25, 0.0, 8), 0.5),
    "decay": optax.chain(optax.add_decayed_weights(0.1), mj.sgd(0.1, 0.9)),
    "schedule free": optax.contrib.schedule_free_sgd(0.1),
    "cycle": mj.nesterov(lambda t: jnp.where(t % 2 == 0, 0.1, 0.05), lambda t: jnp.where(t % 3 == 0, 0.9, 0.5)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_optax_and_its_wrappers_are_read(name):
    # Optax's schedules and means are of float32.
    read = theory.linearize(OTHERS[name], horizon=64)
    random = np.random.default_rng(1)
    gradients, theta = random.normal(size=(STEPS, 2, 3)), random.normal(size=(2, 3))
    for found, expected in zip(predicted(read, gradients, theta), run(OTHERS[name], gradients, theta), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def _stateless(update):
    return optax.GradientTransformation(lambda params: optax.EmptyState(), lambda g, s, p=None: (jax.tree.map(update, g), s))


def _looped(g):
    return jax.lax.fori_loop(0, 3, lambda _, u: 0.5 * u - g, -g)


def _scanned(g):
    return jax.lax.scan(lambda u, k: (0.5 * u - k * g, u), -g, jnp.arange(3.0))[0]


@pytest.mark.parametrize("update", [_looped, _scanned, jax.jit(lambda g: -0.1 * g), jax.checkpoint(lambda g: -0.1 * g)])
def test_loops_and_functions_within_a_linear_update_are_walked(update):
    assert_reads(_stateless(update), theory.linearize(_stateless(update), horizon=4))


@pytest.mark.parametrize(
    ("update", "culprit"),
    [
        (lambda g: -jnp.clip(g, -1e9, 1e9), "max|clamp|min"),
        (lambda g: -jnp.where(g > 1e9, 0.0, g), "gt"),
        (lambda g: -jnp.abs(g), "abs"),
        (lambda g: -g * jnp.max(jnp.abs(g)), "abs"),
        (lambda g: jax.lax.cond(jnp.sum(g) > 1e9, jnp.zeros_like, jnp.negative, g), "gt"),
        (lambda g: jax.lax.while_loop(lambda u: jnp.sum(u) > 1e9, lambda u: 0.5 * u, -g), "while|gt"),
        (lambda g: jax.lax.fori_loop(0, 2, lambda _, u: u * g, g), "mul"),
        (lambda g: -(g**3), "integer_pow|mul"),
        (lambda g: -jax.jit(jnp.sign)(g), "sign"),
        (lambda g: -g.astype(jnp.bfloat16).astype(g.dtype), "convert_element_type"),
        (lambda g: -jnp.sort(g), "sort"),
    ],
)
def test_a_rule_that_only_looks_linear_is_refused_by_its_operation(update, culprit):
    with pytest.raises(theory.NotLinear, match=rf"update is not linear: `({culprit})` at .*test_reading\.py:\d+"):
        theory.linearize(_stateless(update))


REFUSED = {
    "a clip that never clips here": (
        optax.chain(optax.clip_by_global_norm(1e9), mj.heavy_ball(0.1)),
        r"`square` at optax/tree_utils/_tree_math\.py:\d+ \(clip_by_global_norm\); linearise what follows it",
    ),
    "a state": (mj.adaptive_restart(mj.heavy_ball(0.1)), r"the state \.steps_since_restart depends on the gradients' values"),
    "coordinates": (
        optax.chain(optax.centralize(), mj.heavy_ball(0.1)),
        r"parameters 0 and 1 move each other .*\(centralize\)",
    ),
    "an offset": (optax.add_noise(0.1, 0.5, key=0), r"it adds -?0\.\d+ of its own to params at step 0"),
    "bfloat16": (
        mj.heavy_ball(0.1, accumulator_dtype=jnp.bfloat16),
        "velocity is bfloat16, whose rounding is not linear; use acc",
    ),
    "float16": (optax.trace(0.9, accumulator_dtype=jnp.float16), "trace is float16, whose rounding is not linear"),
    "8 bits": (mj.quantized_state(mj.heavy_ball(0.1)), r"at the shapes of params the state is 8-bit at \S+; at shape \(2, 2\)"),
    "a loss": (mj.momo(0.1), r"update must work with \(gradients, state, params\), got momo: value must be the loss"),
    "lion": (optax.lion(0.1), r"`sign` at optax/_src/transform\.py:\d+ \(scale_by_lion\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_names_the_culprit(name):
    optimizer, said = REFUSED[name]
    with pytest.raises(theory.NotLinear, match=said):
        theory.linearize(optimizer, horizon=4)


def test_bad_arguments_are_refused():
    tree = {"net": {"w": jnp.zeros((3, 3)), "b": jnp.zeros(3)}}
    layers = mj.per_layer({"*/b": mj.gradient_descent(0.1), "*": mj.heavy_ball(0.1, 0.9)})
    with pytest.raises(TypeError, match="optimizer must have init and update, got float"):
        theory.linearize(0.1)
    for horizon in (0, 10**12, 1.5, True):
        with pytest.raises(ValueError, match=rf"horizon must be an int in \[1, 1000000\], got {horizon}"):
            theory.linearize(mj.heavy_ball(0.1), horizon=horizon)
    with pytest.raises(ValueError, match="leaves net/b and net/w are treated differently; give leaf="):
        theory.linearize(layers, params=tree, horizon=4)
    with pytest.raises(ValueError, match="leaf must be one of net/b, net/w, got 'w'"):
        theory.linearize(layers, params=tree, leaf="w", horizon=4)
    with pytest.raises(ValueError, match="at least one floating-point leaf"):
        theory.linearize(mj.heavy_ball(0.1), params={"count": jnp.zeros(3, jnp.int32)})
    with pytest.raises(theory.NotLinear, match="params must be real, got complex"):
        theory.linearize(mj.heavy_ball(0.1), params=jnp.zeros(3, jnp.complex64))
    assert theory.linearize(layers, params=tree, leaf="net/b", horizon=4).names == ("params",)
    assert theory.linearize(layers, params=tree, leaf="net/w", horizon=4).names == ("params", "velocity")


def test_an_optimizer_that_treats_coordinates_differently_is_refused():
    def update(gradients, state, params=None):
        return jax.tree.map(lambda g: g * jnp.linspace(-0.1, -0.2, g.size).reshape(g.shape), gradients), state

    with pytest.raises(theory.NotLinear, match="coordinates 0 and 1 of one leaf are treated differently"):
        theory.linearize(optax.GradientTransformation(lambda params: optax.EmptyState(), update), horizon=4)


def test_the_values_are_read_and_not_a_derivative_of_ones_own():
    @jax.custom_jvp
    def scaled(g):
        return 0.1 * g

    @jax.custom_vjp
    def reversed_only(g):
        return 0.1 * g

    scaled.defjvp(lambda primals, tangents: (scaled(*primals), 0.2 * tangents[0]))
    reversed_only.defvjp(lambda g: (reversed_only(g), None), lambda _, g: (0.2 * g,))
    for update in (scaled, reversed_only, lambda g: 0.1 * jax.lax.stop_gradient(g)):
        assert theory.linearize(_stateless(update), horizon=4).b[0] == 0.1


def test_what_goes_by_the_sizes_of_leaves_is_refused():
    by_label = optax.partition(
        {"large": optax.lion(0.1), "small": optax.sgd(0.1)},
        lambda params: jax.tree.map(lambda p: "large" if p.size > 1000 else "small", params),
    )
    by_width = _stateless(lambda g: -g / g.shape[0])
    tree = {"kernel": jnp.zeros((64, 64)), "bias": jnp.zeros(2)}
    for optimizer in (by_label, by_width):
        with pytest.raises(theory.NotLinear):
            theory.linearize(optimizer, params=tree, horizon=4)
        with pytest.raises(theory.NotLinear):
            theory.linearize(optimizer, horizon=4)
    with pytest.raises(theory.NotLinear, match="goes by the sizes of leaves"):
        theory.linearize(by_width, params=tree["kernel"], horizon=4)
    assert theory.linearize(by_width, params=tree["bias"], horizon=4).b[0] == -0.5


def _stateful(init, update):
    return optax.GradientTransformation(init, lambda g, s, p=None: update(g, s))


def _remembering():
    kept = [0.0]

    def update(g, s):
        kept[0] = 0.9 * kept[0] + g
        return -0.1 * kept[0], s

    return _stateful(lambda p: optax.EmptyState(), update)


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        (_stateful(lambda p: None, lambda g, s: (-0.1 * g, g)), "a state of another form than that of init"),
        (_stateful(lambda p: 0, lambda g, s: (-0.1 * g * s, s + 0.5)), "a state of another form than that of init"),
        (_stateful(lambda p: jnp.zeros(1), lambda g, s: (-g, jnp.append(s, s))), "a state of another form than that of init"),
        (_stateful(lambda p: "text", lambda g, s: (-g, s)), "init must work with params, got"),
        (_remembering(), r"update must work with \(gradients, state, params\), got"),
        (_stateless(lambda g: jax.lax.reduce(g[None], 1.0, lambda a, b: a * b * 1.0, (0,))), "`reduce`"),
    ],
)
def test_what_jax_could_not_run_twice_is_refused_in_a_line(optimizer, said):
    with pytest.raises(theory.NotLinear, match=rf"^linearize: [^\n]*{said}[^\n]*\.$"):
        theory.linearize(optimizer, horizon=4)


@pytest.mark.parametrize("offset", [1.0, 1e-13, 1e-30])
def test_no_offset_is_too_small(offset):
    with pytest.raises(theory.NotLinear, match="of its own to params at step 0"):
        theory.linearize(_stateless(lambda g: -0.1 * g + offset), horizon=4)


def test_a_number_that_nothing_reads_may_depend_on_the_gradients():
    inner = mj.heavy_ball(0.1, 0.9)

    def update(gradients, state, params=None):
        updates, following = inner.update(gradients, state[0], params)
        return updates, (following, optax.tree.norm(gradients))

    logged = optax.GradientTransformation(lambda params: (inner.init(params), jnp.zeros(())), update)
    assert theory.linearize(logged, horizon=8).names == ("params", "velocity")


def test_settled_steps_and_periods():
    assert theory.linearize(mj.heavy_ball(0.1, 0.9)).settled == 0
    assert theory.linearize(mj.sgd(0.1, 0.9, dampening=0.5)).settled == 1
    assert theory.linearize(optax.sgd(optax.linear_schedule(0.1, 0.05, 20), 0.9)).settled == 20
    fista = theory.linearize(mj.fista(0.1))
    assert fista.settled is None
    with pytest.raises(ValueError, match=r"rate: its coefficients still change at step 511 .*give step="):
        theory.rate(fista, 1.0)
    with pytest.raises(ValueError, match="step must be below the horizon of 512"):
        fista.at(512)
    # The unit of the learning rate is not that of the coefficients that stand at 1.
    assert theory.linearize(optax.sgd(optax.linear_schedule(1e-13, 0.5e-13, 20), 0.9)).settled == 20
    accumulated = theory.linearize(optax.MultiSteps(mj.heavy_ball(0.1, 0.9), 4))
    assert (accumulated.settled, accumulated.period) == (0, 4)
    assert repr(accumulated) == "Dynamics: 2 memories (velocity, acc_grads), settled at step 0 of 512 read, period 4"
    slow = theory.linearize(optax.sgd(optax.cosine_decay_schedule(0.1, 1_000_000), 0.9))
    assert slow.settled is None


def test_the_users_precision_comes_back_and_hyperparameters_stay_what_they_are():
    before = jax.config.read("jax_enable_x64")
    read = theory.linearize(mj.heavy_ball(jnp.float32(0.1), 0.9))
    assert jax.config.read("jax_enable_x64") == before
    np.testing.assert_array_equal(-read.D, np.float32(0.1))
    with pytest.raises(theory.NotLinear):
        theory.linearize(mj.adam(0.1))
    assert jax.config.read("jax_enable_x64") == before


def test_the_matrices_of_a_settled_method():
    read = theory.linearize(mj.sgd(0.1, 0.9))
    assert read.A.tolist() == [[0.9]]
    assert read.B.tolist() == [1.0]
    np.testing.assert_allclose([*read.C, read.D], [-0.09, -0.1], rtol=1e-15)
    np.testing.assert_allclose(read.closed_loop([0.0, 2.0])[1], [[0.8, -0.09], [2.0, 0.9]], rtol=1e-15)
    assert not re.search("memor", str(read.names))


def test_an_unseen_mode_is_no_part_of_the_system():
    # A velocity of constant 0 with decay 0.99 that no gradient reaches, beside gradient descent.
    def update(gradients, state, params=None):
        return jax.tree.map(lambda g, s: -0.1 * g + s, gradients, state), jax.tree.map(
            lambda s, g: 0.99 * s + 0 * g, state, gradients
        )

    hidden = optax.GradientTransformation(lambda params: jax.tree.map(jnp.zeros_like, params), update)
    np.testing.assert_allclose(theory.rate(hidden, 5.0), 0.5, rtol=1e-12)
    # Three memories of PID, one of which the parameters see: it is a quasi-hyperbolic momentum.
    assert len(theory.linearize(mj.pid(0.01)).at(5).F) == 2


@pytest.mark.parametrize("rate", [1e-12, 1e-3, 1e6])
def test_the_unit_of_the_learning_rate_is_no_rounding(rate):
    for optimizer in (mj.heavy_ball(rate, 0.9), mj.sgd(rate, 0.9), mj.ema_momentum(rate, 0.9)):
        gain = theory.effective_learning_rate(optimizer)
        np.testing.assert_allclose(theory.stability_limit(optimizer) * gain, 2 * 1.9 / (1 - 0.9), rtol=1e-9)


def test_leaves_that_are_none_or_empty_are_passed_over():
    tree = {"activation": None, "empty": jnp.zeros((0, 3)), "kernel": jnp.zeros((3, 3))}
    assert theory.linearize(mj.nesterov(0.1, 0.9), params=tree, horizon=4).names == ("params", "velocity")
    with pytest.raises(ValueError, match="leaf must be one of kernel, got 'empty'"):
        theory.linearize(mj.nesterov(0.1, 0.9), params=tree, leaf="empty", horizon=4)
    with pytest.raises(ValueError, match="at least one floating-point leaf"):
        theory.linearize(mj.nesterov(0.1, 0.9), params=jnp.zeros((0, 3)))


def test_the_memory_of_a_flax_state_has_its_own_name():
    params = nnx.state(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), nnx.Param)
    assert theory.linearize(mj.nesterov(0.1, 0.9), params=params, horizon=4).names == ("params", "velocity")


@pytest.mark.slow
def test_a_tree_is_read_by_its_leaves():
    tree = {f"layer{i}": {"kernel": jnp.zeros((64, 32)), "bias": jnp.zeros(32), "steps": 3} for i in range(12)}
    read = theory.linearize(mj.nesterov(0.1, 0.9), params=tree, horizon=32)
    assert read.names == ("params", "velocity")
    shapes = jax.eval_shape(lambda: tree)
    np.testing.assert_array_equal(theory.linearize(mj.nesterov(0.1, 0.9), params=shapes, horizon=32).F, read.F)
