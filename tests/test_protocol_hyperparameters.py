"""`hyperparameters` finds the methods inside of every wrapper, of Optax and of this library, at the step of the next update."""

import doctest
import functools
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn, nnx
from flax.training.train_state import TrainState

import momentum_jax as mj
from momentum_jax.training.lookahead import lookahead

MU = 0.9


def rate(step: Any) -> Any:
    return jnp.asarray(0.1) / (1 + step)


def mu(step: Any) -> Any:
    return 0.1 * (1 + jnp.asarray(step, jnp.float32))


def method() -> Any:
    return mj.heavy_ball(rate, MU)


def at(step: int) -> dict[str, Any]:
    return {"learning_rate": 0.1 / (1 + step), "momentum": MU}


def some_params() -> dict[str, Any]:
    return {"w": jnp.linspace(-1.0, 2.0, 6).reshape(2, 3), "b": jnp.asarray([0.5, -1.5, 0.3])}


def after(optimizer: Any, steps: int, params: Any = None) -> Any:
    params = some_params() if params is None else params
    state = optimizer.init(params)
    for _ in range(steps):
        _, state = optimizer.update(params, state, params)
    return state


def assert_told(optimizer: Any, state: Any, expected: dict[str, Any]) -> None:
    told = mj.hyperparameters(optimizer, state)
    assert [*told] == [*expected]
    chex.assert_trees_all_close(jax.tree.map(np.float64, told), jax.tree.map(np.float64, expected), rtol=1e-6)


def by_label(params: Any) -> Any:
    return {"w": "large", "b": "small"} if isinstance(params, dict) else params


def clipped(lr: Any, momentum: Any) -> Any:
    return optax.chain(optax.clip(1.0), mj.heavy_ball(lr, momentum))


def of_optax(lr: Any) -> Any:
    return optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(lr, MU))


STEPS = 3
INJECTED = {"learning_rate": 0.1 / (1 + STEPS), "momentum": MU, "accumulator_dtype": 0.0}
TWO = {"large": method(), "small": mj.adam(rate)}
ADAM = {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "learning_rate": 0.1 / (1 + STEPS)}

# Each wrapper with what it tells after three updates.
WRAPPED: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "itself": (method, {"heavy_ball": at(STEPS)}),
    "chain": (lambda: optax.chain(optax.clip(1.0), method()), {"clip": None, "heavy_ball": at(STEPS)}),
    "chain of chains": (
        lambda: optax.chain(optax.chain(optax.scale(1.0), method()), optax.chain(method())),
        {"scale": None, "heavy_ball[0]": at(STEPS), "heavy_ball[1]": at(STEPS)},
    ),
    "named_chain": (
        lambda: optax.named_chain(("first", optax.trace(MU)), ("second", method())),
        {"first/trace": None, "second/heavy_ball": at(STEPS)},
    ),
    "masked": (lambda: optax.masked(method(), {"w": True, "b": False}), {"heavy_ball": at(STEPS)}),
    "partition": (lambda: optax.partition(TWO, by_label), {"large/heavy_ball": at(STEPS), "small/adam": ADAM}),
    "multi_transform": (lambda: optax.multi_transform(TWO, by_label), {"large/heavy_ball": at(STEPS), "small/adam": ADAM}),
    "partition of partitions": (
        lambda: optax.partition({0: optax.partition({"x": method()}, {"w": "x", "b": "x"})}, {"w": 0, "b": 0}),
        {"0/x/heavy_ball": at(STEPS)},
    ),
    "freeze": (
        lambda: optax.chain(method(), optax.transforms.freeze({"w": True, "b": False})),
        {"heavy_ball": at(STEPS), "set_to_zero": None},
    ),
    "MultiSteps": (lambda: optax.MultiSteps(method(), 2), {"heavy_ball": at(1)}),
    "MultiSteps as a transformation": (
        lambda: optax.MultiSteps(method(), 2).gradient_transformation(),
        {"heavy_ball": at(1)},
    ),
    "apply_if_finite": (lambda: optax.apply_if_finite(method(), 3), {"heavy_ball": at(STEPS)}),
    "conditionally_mask": (lambda: optax.conditionally_mask(method(), lambda step: step < 2), {"heavy_ball": at(2)}),
    "conditionally_transform": (lambda: optax.conditionally_transform(method(), lambda step: step < 2), {"heavy_ball": at(2)}),
    "flatten": (lambda: optax.flatten(method()), {"heavy_ball": at(STEPS)}),
    "split_real_and_imaginary": (lambda: optax.contrib.split_real_and_imaginary(method()), {"heavy_ball": at(STEPS)}),
    "schedule_free": (
        lambda: optax.contrib.schedule_free(mj.gradient_descent(rate), 0.1),
        {"schedule_free": None, "gradient_descent": {"learning_rate": 0.1 / (1 + STEPS)}},
    ),
    "mechanize": (lambda: optax.contrib.mechanize(method()), {"mechanize": None, "heavy_ball": at(STEPS)}),
    "jit": (
        lambda: optax.GradientTransformation(jax.jit(method().init), jax.jit(method().update)),
        {"heavy_ball": at(STEPS)},
    ),
    "an update of one's own": (
        lambda: optax.GradientTransformation(method().init, lambda u, s, p=None: method().update(u, s, p)),
        {"heavy_ball": at(STEPS)},
    ),
    "an init of one's own": (
        lambda: optax.GradientTransformation(lambda p: method().init(p), method().update),
        {"heavy_ball": None},
    ),
    "Optax's own": (lambda: optax.adamw(rate), {"scale_by_adam": None, "add_decayed_weights": None, "scale_by_schedule": None}),
    "inject_hyperparams": (
        lambda: optax.inject_hyperparams(method_of)(learning_rate=rate, momentum=MU),
        {"method_of": {"momentum": MU, "learning_rate": 0.1 / (1 + STEPS)}, "heavy_ball": at(STEPS)},
    ),
    "inject_hyperparams of this library's": (
        lambda: optax.inject_hyperparams(mj.heavy_ball)(learning_rate=rate, momentum=MU),
        {"heavy_ball": at(STEPS)},
    ),
    "inject_hyperparams of Optax's": (
        lambda: optax.chain(optax.clip(1.0), optax.inject_hyperparams(optax.sgd)(learning_rate=rate, momentum=mu)),
        {"clip": None, "sgd": {"learning_rate": 0.1 / (1 + STEPS), "momentum": 0.1 * (1 + STEPS)}},
    ),
    "inject_hyperparams of a chain": (
        lambda: optax.inject_hyperparams(clipped)(rate, MU),
        {"clipped": {"momentum": MU, "lr": 0.1 / (1 + STEPS)}, "clip": None, "heavy_ball": at(STEPS)},
    ),
    "inject_hyperparams of a chain of Optax's": (
        lambda: optax.inject_hyperparams(of_optax)(rate),
        {"of_optax": {"lr": 0.1 / (1 + STEPS)}, "clip_by_global_norm": None, "trace": None, "scale": None},
    ),
    "inject_hyperparams of a part": (
        lambda: optax.inject_hyperparams(functools.partial(mj.heavy_ball, momentum=MU))(learning_rate=rate),
        {"heavy_ball": at(STEPS)},
    ),
    "a link alone": (lambda: mj.scale_by_heavy_ball(mu), {"scale_by_heavy_ball": {"momentum": 0.1 * (1 + STEPS)}}),
    "no hyperparameters": (mj.scale_by_fista, {"scale_by_fista": {}}),
    "adaptive_restart": (lambda: mj.adaptive_restart(method(), min_steps=9), {"heavy_ball": at(STEPS)}),
    "cautious": (lambda: mj.cautious(method()), {"heavy_ball": at(STEPS)}),
    "quantized_state": (lambda: mj.quantized_state(method(), min_size=0), {"heavy_ball": at(STEPS)}),
    "per_layer": (
        lambda: mj.per_layer({"w": method(), "*": optax.inject_hyperparams(optax.scale)(step_size=rate)}),
        {"w/heavy_ball": at(STEPS), "*/scale": {"step_size": 0.1 / (1 + STEPS)}},
    ),
    "momentum_correction": (
        lambda: mj.momentum_correction(mj.scale_by_heavy_ball(mu), rate),
        {
            "momentum_correction": {"learning_rate": 0.1 / (1 + STEPS)},
            "scale_by_heavy_ball": {"momentum": 0.1 * (1 + STEPS)},
        },
    ),
    "lookahead of the trainer": (lambda: lookahead(method(), 2, 0.5), {"heavy_ball": at(STEPS)}),
    "around Optax's": (
        lambda: mj.quantized_state(mj.cautious(optax.inject_hyperparams(optax.sgd)(learning_rate=rate))),
        {"sgd": {"learning_rate": 0.1 / (1 + STEPS)}},
    ),
    "fallback": (
        lambda: mj.muon(rate, fallback=optax.chain(optax.clip(1.0), method())),
        {
            "muon": {"momentum": 0.95, "eps": 1e-7, "weight_decay": 0.0, "learning_rate": 0.1 / (1 + STEPS)},
            "fallback/clip": None,
            "fallback/heavy_ball": at(STEPS),
        },
    ),
    "wrappers in wrappers": (
        lambda: optax.MultiSteps(
            optax.chain(
                optax.clip_by_global_norm(1.0),
                optax.partition(
                    {
                        "large": optax.masked(optax.apply_if_finite(mj.adaptive_restart(method()), 2), True),
                        "small": TWO["small"],
                    },
                    by_label,
                ),
            ),
            1,
        ),
        {"clip_by_global_norm": None, "large/heavy_ball": at(STEPS), "small/adam": ADAM},
    ),
}


def method_of(learning_rate: Any, momentum: Any) -> Any:
    return mj.heavy_ball(learning_rate, momentum)


@pytest.mark.parametrize("name", WRAPPED)
def test_inside_of_a_wrapper_the_next_update_is_told(name: str) -> None:
    make, expected = WRAPPED[name]
    optimizer = make()
    assert_told(optimizer, after(optimizer, STEPS), expected)


# Around gradient descent these leave the step alone: it is minus the rate that was told times the gradient.
FAITHFUL: dict[str, Callable[[Any], Any]] = {
    "chain": lambda inner: optax.chain(optax.identity(), inner),
    "named_chain": lambda inner: optax.named_chain(("it", inner)),
    "masked": lambda inner: optax.masked(inner, {"w": True, "b": True}),
    "partition": lambda inner: optax.partition({"it": inner}, {"w": "it", "b": "it"}),
    "MultiSteps": lambda inner: optax.MultiSteps(inner, 3).gradient_transformation(),
    "apply_if_finite": lambda inner: optax.apply_if_finite(inner, 3),
    "conditionally_mask": lambda inner: optax.conditionally_mask(inner, lambda step: step != 1),
    "flatten": optax.flatten,
    "inject_hyperparams": lambda inner: optax.inject_hyperparams(optax.sgd)(learning_rate=rate),
    "per_layer": lambda inner: mj.per_layer({"*": inner}),
    "adaptive_restart": mj.adaptive_restart,
    "quantized_state": mj.quantized_state,
    "momentum_correction": lambda inner: mj.momentum_correction(optax.identity(), rate),
}


@pytest.mark.parametrize("name", FAITHFUL)
def test_the_rate_that_is_told_is_that_of_the_very_next_update(name: str) -> None:
    optimizer, params = FAITHFUL[name](mj.gradient_descent(rate)), some_params()
    state = optimizer.init(params)
    moved = 0
    for _ in range(4):
        told = [each for values in mj.hyperparameters(optimizer, state).values() if values for each in values.values()]
        updates, state = optimizer.update(params, state, params)
        if np.any(updates["w"]):
            chex.assert_trees_all_close(updates, jax.tree.map(lambda p, rate=told[0]: -rate * p, params), rtol=1e-6)
            moved += 1
    assert moved


@pytest.mark.parametrize("core", [mj.scale_by_heavy_ball, mj.scale_by_sgd, mj.scale_by_nesterov])
def test_without_a_gradient_a_velocity_shrinks_by_the_momentum_that_is_told(core: Callable[..., Any]) -> None:
    optimizer, params = core(mu), some_params()
    state = after(optimizer, STEPS)
    (told,) = mj.hyperparameters(optimizer, state).values()
    _, later = optimizer.update(jax.tree.map(jnp.zeros_like, params), state, params)
    np.testing.assert_allclose(later.velocity["w"], told["momentum"] * state.velocity["w"], rtol=1e-6)
    np.testing.assert_allclose(told["momentum"], 0.1 * (1 + STEPS), rtol=1e-6)


def test_an_injected_momentum_of_nesterov_is_told_as_it_is_taken_one_update_late() -> None:
    optimizer = optax.inject_hyperparams(mj.nesterov)(learning_rate=1.0, momentum=mu)
    state = after(optimizer, STEPS)
    told = mj.hyperparameters(optimizer, state)["nesterov"]
    _, later = optimizer.update(jax.tree.map(jnp.zeros_like, some_params()), state, some_params())
    before, behind = (each.inner_state[1].velocity["w"] for each in (state, later))
    np.testing.assert_allclose(behind, told["momentum"] * before, rtol=1e-6)
    np.testing.assert_allclose(told["momentum"], 0.1 * STEPS, rtol=1e-6)


def test_a_hyperparameter_that_was_set_by_hand_is_told() -> None:
    optimizer = optax.inject_hyperparams(mj.heavy_ball)(learning_rate=rate, momentum=MU)
    state = after(optimizer, STEPS)
    state.hyperparams["momentum"] = 0.5
    state.hyperparams["learning_rate"] = 7.0  # a schedule decides, as it does in Optax
    assert_told(optimizer, state, {"heavy_ball": {"learning_rate": 0.1 / (1 + STEPS), "momentum": 0.5}})


def test_a_schedule_with_a_state_of_its_own_is_not_guessed() -> None:
    class OfTheLoss(optax.schedules.StatefulSchedule):
        def init(self) -> Any:
            return jnp.zeros(())

        def update(self, state: Any, **extra_args: Any) -> Any:
            return state

        def __call__(self, state: Any, **extra_args: Any) -> Any:
            return extra_args.get("value", 0.3)

    optimizer = optax.inject_hyperparams(mj.heavy_ball)(learning_rate=OfTheLoss(), momentum=MU)
    told = mj.hyperparameters(optimizer, optimizer.init(some_params()))
    assert told["heavy_ball"]["learning_rate"] is None
    np.testing.assert_allclose(told["heavy_ball"]["momentum"], MU)


def test_pairs_of_parameters_and_two_optimizers_in_one() -> None:
    pairs = optax.lookahead(method(), 2, 0.5)
    state = pairs.init(optax.LookaheadParams.init_synced(some_params()))
    assert_told(pairs, state, {"lookahead": None, "heavy_ball": at(0)})
    sam = optax.contrib.sam(method(), mj.gradient_descent(0.3))
    assert_told(
        sam,
        sam.init(some_params()),
        {"sam": None, "optimizer/heavy_ball": at(0), "adv_optimizer/gradient_descent": {"learning_rate": 0.3}},
    )


def test_after_a_reset_the_momentum_begins_anew_and_the_rest_goes_on() -> None:
    optimizer = mj.adam(rate, mu, lambda step: 0.99 - 0.01 * step)
    state = mj.reset_momentum(after(optimizer, STEPS))
    adam = {"b1": 0.1, "b2": 0.99 - 0.01 * STEPS, "eps": 1e-8, "learning_rate": 0.1 / (1 + STEPS)}
    assert_told(optimizer, state, {"adam": adam})


class Line(nnx.Module):
    def __init__(self) -> None:
        self.w = nnx.Param(jnp.ones((2, 3)))


NNX = {
    "alone": (method, {"heavy_ball": at(STEPS)}),
    "nesterov": (lambda: mj.nesterov(rate, mu), {"nesterov": {"learning_rate": 0.025, "momentum": 0.4}}),
    "wrapped": (
        lambda: optax.chain(
            optax.clip(1.0),
            mj.per_layer({"*": mj.quantized_state(mj.nesterov(rate, mu), min_size=0)}),
            optax.inject_hyperparams(optax.scale)(step_size=rate),
        ),
        {
            "clip": None,
            "*/nesterov": {"learning_rate": 0.025, "momentum": 0.4},
            "scale": {"step_size": 0.025},
        },
    ),
    "MultiSteps": (lambda: optax.MultiSteps(method(), 2), {"heavy_ball": at(1)}),
    "inject_hyperparams": (
        lambda: optax.inject_hyperparams(mj.nesterov)(learning_rate=rate, momentum=MU),
        {"nesterov": {"learning_rate": 0.025, "momentum": MU}},
    ),
}


@pytest.mark.parametrize("name", NNX)
def test_out_of_the_variables_of_an_nnx_optimizer(name: str) -> None:
    make, expected = NNX[name]
    model = Line()
    optimizer = nnx.Optimizer(model, make(), wrt=nnx.Param)
    for _ in range(STEPS):
        optimizer.update(model, nnx.state(model, nnx.Param))
    assert_told(optimizer.tx, optimizer.opt_state, expected)
    told = nnx.jit(lambda optimizer: mj.hyperparameters(optimizer.tx, optimizer.opt_state))(optimizer)
    chex.assert_trees_all_close(told, mj.hyperparameters(optimizer.tx, optimizer.opt_state), rtol=1e-6)


def test_out_of_a_train_state_of_linen() -> None:
    model = nn.Dense(2)
    params = model.init(jax.random.key(0), jnp.ones(3))
    state = TrainState.create(apply_fn=model.apply, params=params, tx=optax.chain(optax.clip(1.0), method()))
    for _ in range(STEPS):
        state = state.apply_gradients(grads=params)
    assert_told(state.tx, state.opt_state, {"clip": None, "heavy_ball": at(STEPS)})


def test_traced_numbers_and_states_of_several_runs() -> None:
    rates, params = jnp.asarray([0.1, 0.2]), some_params()

    def init(rate: Any) -> Any:
        return mj.nesterov(rate, mu).init(params)

    states = jax.vmap(init)(rates)
    told = jax.vmap(lambda rate, state: mj.hyperparameters(mj.nesterov(rate, mu), state))(rates, states)
    np.testing.assert_allclose(told["nesterov"]["learning_rate"], rates)
    with pytest.raises(
        ValueError, match=r"^hyperparameters: opt_state must be that of one run, got states of .* use jax\.vmap"
    ):
        mj.hyperparameters(mj.nesterov(0.1, mu), states)
    injected = optax.inject_hyperparams(optax.sgd)(learning_rate=0.1)
    stacked = jax.tree.map(lambda x: jnp.stack([x, x]), injected.init(params))
    with pytest.raises(ValueError, match=r"got states of inject_hyperparams stacked to \(2,\)"):
        mj.hyperparameters(injected, stacked)


def test_what_was_told_outlives_the_state() -> None:
    for optimizer in (mj.nesterov(0.1, mu), optax.inject_hyperparams(optax.sgd)(learning_rate=0.1, momentum=mu)):
        state = after(optimizer, STEPS)
        told = mj.hyperparameters(optimizer, state)
        jax.tree.map(lambda x: x.delete(), state)
        assert np.isfinite(np.asarray(jax.tree.leaves(told))).all()


def test_a_state_from_a_file_is_read() -> None:
    optimizer = mj.nesterov(rate, mu)
    state = jax.tree.map(np.asarray, after(optimizer, STEPS))
    assert_told(optimizer, state, {"nesterov": {"learning_rate": 0.025, "momentum": 0.4}})


WRONG = {
    "shorter chain": (lambda: optax.chain(method(), method()), lambda: optax.chain(method()), "whose chain keeps a tuple of 2"),
    "another wrapper": (
        lambda: optax.masked(method(), {"w": True, "b": True}),
        lambda: optax.apply_if_finite(method(), 2),
        "whose masked keeps a MaskedState, got an ApplyIfFiniteState",
    ),
    "other labels": (
        lambda: optax.partition({"c": method()}, {"w": "c", "b": "c"}),
        lambda: optax.partition(TWO, by_label),
        "whose partition keeps states of c, got states of large, small",
    ),
    "other names": (
        lambda: optax.named_chain(("a", method())),
        lambda: optax.chain(method()),
        "whose named_chain keeps states of a, got a tuple",
    ),
    "no MultiSteps": (lambda: optax.MultiSteps(method(), 2), method, "whose MultiSteps keeps a MultiStepsState, got a tuple"),
    "not injected": (
        lambda: optax.inject_hyperparams(optax.sgd)(0.1),
        lambda: optax.sgd(0.1),
        "whose inject_hyperparams keeps an InjectStatefulHyperparamsState, got a tuple",
    ),
    "deep inside": (
        lambda: optax.chain(optax.masked(mj.heavy_ball(0.1), True)),
        lambda: optax.chain(optax.masked(mj.nesterov(0.1), True)),
        "whose scale_by_heavy_ball keeps a HeavyBallState, got a NesterovState",
    ),
    "nothing": (
        method,
        lambda: optax.GradientTransformation(lambda p: None, method().update),
        "keeps a tuple of 2, got a NoneType",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_state_of_another_wrapper_is_refused_in_a_sentence(name: str) -> None:
    ours, other, said = WRONG[name]
    with pytest.raises(ValueError, match=rf"^hyperparameters: opt_state must be that of the optimizer, .*{said}[^.]*\.$"):
        mj.hyperparameters(ours(), other().init(some_params()))


def test_the_example_comes_to_what_it_says() -> None:
    example = doctest.DocTestFinder(recurse=False).find(mj.hyperparameters, "hyperparameters", globs=globals())
    assert doctest.DocTestRunner().run(example[0]) == doctest.TestResults(failed=0, attempted=4)


def test_what_is_no_optimizer_is_refused_in_a_sentence() -> None:
    with pytest.raises(TypeError, match=r"^hyperparameters: optimizer must have init and update, got a function\.$"):
        mj.hyperparameters(lambda: None, ())
    optimizer = nnx.Optimizer(Line(), method(), wrt=nnx.Param)
    with pytest.raises(TypeError, match=r"got an Optimizer; of an NNX optimizer give its tx\.$"):
        mj.hyperparameters(optimizer, optimizer.opt_state)


def test_of_a_wrapper_that_is_built_otherwise_than_it_was_the_name_alone_is_told() -> None:
    for name in ("chain", "named_chain", "partition", "flatten", "masked", "lookahead", "inject_hyperparams"):
        inner = method()

        def init(params: Any, inner: Any = inner) -> Any:
            return inner.init(params)

        def update(updates: Any, state: Any, params: Any = None) -> Any:
            raise AssertionError

        for function in (init, update):
            function.__module__, function.__qualname__ = "optax.of_tomorrow", f"{name}.<locals>.{function.__name__}"
        optimizer = optax.GradientTransformation(init, update)
        assert mj.hyperparameters(optimizer, optimizer.init(some_params())) == {name: None}
