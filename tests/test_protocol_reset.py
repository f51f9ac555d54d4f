"""`reset_momentum`: the velocity and its place in the momentum's sequence start anew, and nothing else does."""

import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from oracles import Problems, assert_identical, assert_same_path, averages, descend, discounted_sums, split, weighted_means

import momentum_jax as mj

pytestmark = pytest.mark.usefixtures("x64")
BEFORE, AFTER = 12, 25
AGAIN = np.arange(AFTER)
LATER = np.arange(BEFORE, BEFORE + AFTER)


def rate(t):
    return 0.04 / (1 + 0.1 * t)


def later_rate(t):
    return rate(t + BEFORE)


def momentum(t):
    return 0.9 - 0.4 * jnp.minimum(t, 30) / 30


def decay(t):
    return 0.5 + 0.4 * t / 40


def after_reset(
    optimizer: optax.GradientTransformation, gradient: Any, start: np.ndarray, cut: int | None = None
) -> np.ndarray:
    """The path from a reset after BEFORE steps on."""
    first = descend(optimizer, gradient, start, BEFORE, cut=cut)
    fresh = mj.reset_momentum(first.states[-1])
    return descend(optimizer, lambda t, x: gradient(t + BEFORE, x), first.held[-1], AFTER, fresh, cut=cut).held


LINEAR: dict[str, Callable[[Any], optax.GradientTransformation]] = {
    "heavy_ball": lambda eta: mj.heavy_ball(eta, momentum),
    "nesterov": lambda eta: mj.nesterov(eta, momentum),
    "sgd": lambda eta: mj.sgd(eta, momentum, dampening=lambda t: 0.5 * decay(t)),
    "sgd with nesterov and weight decay": lambda eta: mj.sgd(eta, momentum, nesterov=True, weight_decay=0.1),
    "ema_momentum": lambda eta: mj.ema_momentum(eta, momentum),
    "ema_momentum, debiased": lambda eta: mj.ema_momentum(eta, momentum, debias=True),
}


@pytest.mark.parametrize("make", LINEAR.values(), ids=LINEAR.keys())
def test_after_a_reset_the_path_is_a_fresh_start_at_the_rate_of_the_later_step(make, problem: Problems) -> None:
    path = after_reset(make(rate), problem.bent, problem.theta0)
    fresh = descend(make(later_rate), problem.bent, path[0], AFTER).held
    assert_same_path(path, fresh)
    unreset = descend(make(rate), problem.bent, problem.theta0, BEFORE + AFTER).held[BEFORE:]
    assert np.abs(path - unreset).max() > 1e-3


def test_after_a_reset_adam_keeps_its_second_moment_and_begins_its_first_anew(problem: Problems) -> None:
    optimizer = mj.adam(rate, momentum, decay, eps=1e-3)
    steps = np.diff(after_reset(optimizer, problem.seq, problem.theta0), axis=0)
    g = problem.gseq[: BEFORE + AFTER]
    second = weighted_means(decay(np.arange(BEFORE + AFTER)), g**2)[BEFORE:]
    expected = -rate(LATER)[:, None] * weighted_means(np.asarray(momentum(AGAIN)), g[BEFORE:]) / (np.sqrt(second) + 1e-3)
    assert_same_path(steps, expected)


def test_after_a_reset_amsgrad_keeps_its_maximum(problem: Problems) -> None:
    state = descend(mj.adam(rate, amsgrad=True), problem.seq, problem.theta0, BEFORE).states[-1]
    fresh = mj.reset_momentum(state)
    jax.tree.map(np.testing.assert_array_equal, fresh[0].max_second_moment, state[0].max_second_moment)
    assert fresh[0].max_second_moment["w"].all()


@pytest.mark.parametrize("inside", [False, True], ids=["rate outside", "rate inside"])
def test_after_a_reset_rmsprop_keeps_its_second_moment_and_begins_its_buffer_anew(inside: bool, problem: Problems) -> None:
    optimizer = mj.rmsprop(rate, decay, eps=1e-3, momentum=momentum, learning_rate_inside=inside)
    steps = np.diff(after_reset(optimizer, problem.seq, problem.theta0), axis=0)
    g = problem.gseq[: BEFORE + AFTER]
    scaled = (g / (np.sqrt(averages(decay(np.arange(BEFORE + AFTER)), g**2)) + 1e-3))[BEFORE:]
    rates = rate(LATER)[:, None]
    mu = np.asarray(momentum(AGAIN))
    expected = discounted_sums(mu, rates * scaled) if inside else rates * discounted_sums(mu, scaled)
    assert_same_path(steps, -expected)


MEMORYLESS: dict[str, Callable[[], optax.GradientTransformation]] = {
    "gradient_descent": lambda: mj.gradient_descent(rate),
    "sgd without a buffer": lambda: mj.sgd(rate, None),
    "rmsprop without a buffer": lambda: mj.rmsprop(rate, momentum=None, centered=True),
    "adagrad": lambda: mj.adagrad(rate),
    "adadelta": lambda: mj.adadelta(rate),
    "optax.rmsprop": lambda: optax.rmsprop(1e-2),
    "optax.adagrad": lambda: optax.adagrad(1e-2),
    "optax.adadelta": lambda: optax.adadelta(1e-2),
    "optax.sgd with a schedule": lambda: optax.sgd(rate),
    "clips and noise": lambda: optax.chain(optax.clip(1.0), optax.clip_by_global_norm(1.0), optax.zero_nans()),
}


@pytest.mark.parametrize("make", MEMORYLESS.values(), ids=MEMORYLESS.keys())
def test_a_state_without_momentum_comes_back_as_it_is(make, problem: Problems) -> None:
    state = descend(make(), problem.bent, problem.theta0, 3).states[-1]
    assert_identical(mj.reset_momentum(state), state)


class Method(NamedTuple):
    """An Optax optimizer and where its state holds momentum."""

    make: Callable[[], optax.GradientTransformation]
    momentum: Callable[[Any], Any]


OPTAX: dict[str, Method] = {
    "sgd": Method(lambda: optax.sgd(0.05, 0.9), lambda state: state[0].trace),
    "sgd with nesterov": Method(lambda: optax.sgd(0.05, 0.9, nesterov=True), lambda state: state[0].trace),
    "ema": Method(lambda: optax.ema(0.9), lambda state: (state.ema, state.count)),
    "adam": Method(lambda: optax.adam(0.05), lambda state: state[0].mu),
    "adamw with a schedule": Method(lambda: optax.adamw(rate), lambda state: state[0].mu),
    "nadam": Method(lambda: optax.nadam(0.05), lambda state: state[0].mu),
}


@pytest.mark.parametrize("method", OPTAX.values(), ids=OPTAX.keys())
def test_of_optax_states_the_momentum_becomes_0_and_the_rest_is_kept(method: Method, problem: Problems) -> None:
    state = descend(method.make(), problem.bent, problem.theta0, 5).states[-1]
    fresh = mj.reset_momentum(state)
    assert any(np.any(leaf) for leaf in jax.tree.leaves(method.momentum(state)))
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(method.momentum(fresh)))
    changed = sum(not np.array_equal(a, b) for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(fresh), strict=True))
    assert changed == len(jax.tree.leaves(method.momentum(state)))


def test_after_a_reset_optax_sgd_starts_afresh(problem: Problems) -> None:
    path = after_reset(optax.sgd(0.04, 0.9), problem.bent, problem.theta0)
    assert_same_path(path, descend(optax.sgd(0.04, 0.9), problem.bent, path[0], AFTER).held)


def inner() -> optax.GradientTransformation:
    return mj.nesterov(0.04, 0.8)


EACH = {"w": "x", "b": "y"}
WRAPPERS: dict[str, Callable[[], optax.GradientTransformation]] = {
    "chain": lambda: optax.chain(optax.clip(1e6), inner()),
    "named_chain": lambda: optax.named_chain(("clip", optax.clip(1e6)), ("method", inner())),
    "masked": lambda: optax.masked(inner(), {"w": True, "b": True}),
    "partition": lambda: optax.partition({"x": inner(), "y": inner()}, EACH),
    "per_layer": lambda: mj.per_layer({"w": inner(), "b": inner()}),
    "apply_if_finite": lambda: optax.apply_if_finite(inner(), 2),
    "inject_hyperparams": lambda: optax.inject_hyperparams(mj.nesterov)(0.04, momentum=0.8),
    "inject_hyperparams, schedules": lambda: optax.inject_hyperparams(mj.nesterov)(lambda t: 0.04, momentum=lambda t: 0.8),
    "MultiSteps": lambda: optax.MultiSteps(inner(), 1).gradient_transformation(),
    "conditionally_transform": lambda: optax.conditionally_transform(inner(), lambda step: step >= 0),
    "conditionally_mask": lambda: optax.conditionally_mask(inner(), lambda step: step >= 0),
}


@pytest.mark.parametrize("make", WRAPPERS.values(), ids=WRAPPERS.keys())
def test_a_reset_reaches_through_the_wrapper(make, problem: Problems) -> None:
    path = after_reset(make(), problem.bent, problem.theta0, cut=8)
    assert_same_path(path, descend(inner(), problem.bent, path[0], AFTER).held)


@pytest.mark.parametrize("make", [*LINEAR.values(), lambda eta: mj.adam(eta, amsgrad=True), lambda eta: mj.rmsprop(eta)])
def test_a_reset_keeps_structure_shapes_and_dtypes_and_goes_through_jit(make, problem: Problems) -> None:
    state = descend(make(rate), problem.bent, problem.theta0, 3).states[-1]
    fresh = mj.reset_momentum(state)
    assert jax.tree.structure(fresh) == jax.tree.structure(state)
    for old, new in zip(jax.tree.leaves(state), jax.tree.leaves(fresh), strict=True):
        assert (new.shape, new.dtype, new.weak_type) == (old.shape, old.dtype, old.weak_type)
    assert_identical(jax.jit(mj.reset_momentum)(state), fresh)


def test_after_a_reset_nesterovs_iterate_is_the_held_point(problem: Problems) -> None:
    descent = descend(mj.nesterov(0.04, 0.8), problem.bent, problem.theta0, 5)
    params = split(descent.held[-1])
    assert_identical(mj.evaluation_params(params, mj.reset_momentum(descent.states[-1])), params)


def test_the_state_of_an_nnx_optimizer_can_be_reset() -> None:
    class Net(nnx.Module):
        def __init__(self) -> None:
            self.layer = nnx.Linear(3, 2, rngs=nnx.Rngs(0))

    def loss(model: Net) -> jax.Array:
        return jnp.sum((model.layer(jnp.ones((1, 3))) - 1) ** 2)

    model = Net()
    optimizer = nnx.Optimizer(model, mj.heavy_ball(0.01, 0.9), wrt=nnx.Param)
    for _ in range(3):
        optimizer.update(model, nnx.grad(loss)(model))
    optimizer.opt_state = mj.reset_momentum(optimizer.opt_state)
    held = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    gradient = nnx.to_pure_dict(nnx.grad(loss)(model))
    optimizer.update(model, nnx.grad(loss)(model))
    # The first step of a fresh velocity is the plain one.
    for ours, x, g in zip(*map(jax.tree.leaves, (nnx.to_pure_dict(nnx.state(model, nnx.Param)), held, gradient)), strict=True):
        np.testing.assert_allclose(ours, x - 0.01 * g, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: optax.lion(1e-3), "ScaleByLionState"),
        (lambda: optax.chain(optax.clip(1.0), optax.adabelief(1e-3)), "ScaleByBeliefState"),
        (lambda: optax.masked(optax.lion(1e-3), {"w": True, "b": True}), "ScaleByLionState"),
        (lambda: optax.contrib.schedule_free_sgd(0.05), "ScheduleFreeState"),
    ],
    ids=["lion", "adabelief in a chain", "lion in a mask", "schedule_free"],
)
def test_a_state_whose_momentum_is_not_known_is_refused_by_its_name(make, name: str) -> None:
    state = make().init({"w": jnp.ones(2), "b": jnp.ones(1)})
    with pytest.raises(ValueError, match=rf"^reset_momentum: opt_state must be built of states .*, got a {name};"):
        mj.reset_momentum(state)


def test_parameters_are_not_a_state() -> None:
    with pytest.raises(ValueError, match=r"^reset_momentum: opt_state must be built of"):
        mj.reset_momentum({"w": jnp.ones(2)})


def test_a_state_of_the_users_own_takes_part_by_its_method() -> None:
    class Own(NamedTuple):
        memory: Any
        scale: Any

        def reset_momentum(self) -> "Own":
            return self._replace(memory=jnp.zeros_like(self.memory))

    fresh = mj.reset_momentum(({"inner": [Own(jnp.ones(2), jnp.ones(2))]}, None, optax.EmptyState()))
    np.testing.assert_array_equal(fresh[0]["inner"][0].memory, 0)
    np.testing.assert_array_equal(fresh[0]["inner"][0].scale, 1)


def test_the_error_of_an_unknown_momentum_can_be_sent_to_another_process() -> None:
    with pytest.raises(ValueError, match="ScaleByLionState") as caught:
        mj.reset_momentum(optax.lion(0.1).init({"w": jnp.ones(2)}))
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
