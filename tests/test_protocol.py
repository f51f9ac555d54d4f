"""`evaluation_params`: the iterate is found wherever the state of a shifted method lies, and nowhere else."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.training.train_state import TrainState
from oracles import assert_identical

import momentum_jax as mj
from momentum_jax import conventions

ETA, MU = 0.05, 0.8


def params_tree() -> dict[str, Any]:
    return {"w": jnp.linspace(-1, 2, 6).reshape(2, 3), "b": jnp.array([0.5, -1.5, 0.3])}


STEPS = 4


def gradient(params: Any) -> Any:
    """Of sum cosh(w - 1) + 3 sum (b + w_0)^2."""
    of_b = 6 * (params["b"] + params["w"][0])
    return {"w": jnp.sinh(params["w"] - 1) + of_b * jnp.asarray([[1.0], [0.0]]), "b": of_b}


def run(optimizer: optax.GradientTransformation, steps: int = STEPS, params: Any = None) -> tuple[Any, Any]:
    params = params_tree() if params is None else params
    state = optimizer.init(params)
    # Op by op: all optimizers share the few programs of the ops.
    for _ in range(steps):
        updates, state = optimizer.update(gradient(params), state, params)
        params = optax.apply_updates(params, updates)
    return params, state


@functools.cache
def look_ahead_form(steps: int) -> tuple[Any, Any]:
    """Nesterov with the gradient at theta + mu v: the next query point and theta."""
    theta = params_tree()
    v = jax.tree.map(jnp.zeros_like, theta)
    for _ in range(steps):
        g = gradient(jax.tree.map(lambda x, v: x + MU * v, theta, v))
        v = jax.tree.map(lambda v, g: MU * v - ETA * g, v, g)
        theta = jax.tree.map(jnp.add, theta, v)
    return jax.tree.map(lambda x, v: x + MU * v, theta, v), theta


def assert_close(ours: Any, theirs: Any) -> None:
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6), ours, theirs)


def far(a: Any, b: Any) -> bool:
    return max(float(jnp.max(jnp.abs(x - y))) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)) > 1e-3


def nesterov() -> optax.GradientTransformation:
    return mj.nesterov(ETA, MU)


WRAPPERS: dict[str, Callable[[], optax.GradientTransformation]] = {
    "alone": nesterov,
    "chain of cores": lambda: optax.chain(mj.scale_by_learning_rate(ETA), mj.scale_by_nesterov(MU)),
    "chain": lambda: optax.chain(optax.clip(1e6), nesterov()),
    "chain in a chain": lambda: optax.chain(optax.identity(), optax.chain(optax.zero_nans(), nesterov())),
    "named_chain": lambda: optax.named_chain(("clip", optax.clip(1e6)), ("method", nesterov())),
    "apply_if_finite": lambda: optax.apply_if_finite(nesterov(), 3),
    "masked, all": lambda: optax.masked(nesterov(), {"w": True, "b": True}),
    "partition, one label": lambda: optax.partition({"all": nesterov()}, {"w": "all", "b": "all"}),
    "partition, two labels": lambda: optax.partition({"x": nesterov(), "y": nesterov()}, {"w": "x", "b": "y"}),
    "per_layer": lambda: mj.per_layer({"w": nesterov(), "*": nesterov()}),
    "inject_hyperparams": lambda: optax.inject_hyperparams(mj.nesterov)(learning_rate=ETA, momentum=MU),
    "inject_hyperparams, schedules": lambda: optax.inject_hyperparams(mj.nesterov)(lambda t: ETA, momentum=lambda t: MU),
    "MultiSteps of 1": lambda: optax.MultiSteps(nesterov(), 1).gradient_transformation(),
    "conditionally_transform": lambda: optax.conditionally_transform(nesterov(), lambda step: step >= 0),
    "with_extra_args_support": lambda: optax.with_extra_args_support(nesterov()),
    # At constant numbers these walk the same way, with what they look ahead along in other units.
    "sgd": lambda: mj.sgd(ETA, MU, nesterov=True),
    "sgd in a chain": lambda: optax.chain(optax.clip(1e6), mj.sgd(ETA, MU, nesterov=True)),
    "sgd, inject_hyperparams": lambda: optax.inject_hyperparams(mj.sgd)(ETA, MU, nesterov=True),
    "sgd, apply_if_finite": lambda: optax.apply_if_finite(mj.sgd(ETA, MU, nesterov=True), 3),
    "sgd, per_layer": lambda: mj.per_layer({"*": mj.sgd(ETA, MU, nesterov=True)}),
    "from_torch": lambda: conventions.from_torch({"lr": ETA, "momentum": MU, "nesterov": True}),
    "from_keras": lambda: conventions.from_keras({"learning_rate": ETA, "momentum": MU, "nesterov": True}, optimizer="SGD"),
    "build, rate inside": lambda: conventions.build(conventions.ReformulatedNesterov(ETA, MU)),
}


@pytest.mark.parametrize("make", WRAPPERS.values(), ids=WRAPPERS.keys())
def test_the_iterate_of_nesterov_is_read_through_the_wrapper(make) -> None:
    params, state = run(make())
    held, theta = look_ahead_form(STEPS)
    assert_close(params, held)
    assert_close(mj.evaluation_params(params, state), theta)
    assert far(params, theta)


def test_between_two_updates_of_multi_steps_the_readout_stays() -> None:
    optimizer = optax.MultiSteps(nesterov(), 3).gradient_transformation()
    params, state = run(optimizer, steps=6)
    reads = [mj.evaluation_params(params, state)]
    for _ in range(2):
        updates, state = optimizer.update(gradient(params), state, params)
        params = optax.apply_updates(params, updates)
        reads.append(mj.evaluation_params(params, state))
    assert_identical(reads[0], reads[1])
    assert_identical(reads[0], reads[2])
    # MultiSteps feeds the mean of three equal gradients, so two updates have been made.
    assert_close(reads[0], look_ahead_form(2)[1])


def test_after_a_step_that_apply_if_finite_refused_the_readout_stays() -> None:
    optimizer = optax.apply_if_finite(nesterov(), 3)
    params, state = run(optimizer)
    updates, after = optimizer.update(jax.tree.map(lambda x: x * jnp.nan, params), state, params)
    assert_identical(mj.evaluation_params(optax.apply_updates(params, updates), after), mj.evaluation_params(params, state))


def test_leaves_that_a_mask_keeps_from_the_method_are_unchanged() -> None:
    only_w, only_b = {"w": True, "b": False}, {"w": False, "b": True}
    masked = optax.chain(optax.masked(nesterov(), only_w), optax.masked(mj.heavy_ball(ETA, MU), only_b))
    partitioned = optax.partition({"x": nesterov(), "y": mj.heavy_ball(ETA, MU)}, {"w": "x", "b": "y"})
    for optimizer, state_of_w in (
        (masked, lambda state: state[0].inner_state),
        (partitioned, lambda state: state.inner_states["x"].inner_state),
    ):
        params, state = run(optimizer)
        read = mj.evaluation_params(params, state)
        np.testing.assert_array_equal(read["b"], params["b"])
        np.testing.assert_allclose(read["w"], params["w"] - MU * state_of_w(state)[1].velocity["w"], rtol=1e-5)
        assert np.abs(read["w"] - params["w"]).max() > 1e-3


OTHERS: dict[str, Callable[[], optax.GradientTransformation]] = {
    "heavy_ball": lambda: mj.heavy_ball(ETA, MU),
    "sgd": lambda: mj.sgd(ETA, MU),
    "rmsprop": lambda: mj.rmsprop(1e-3, momentum=MU),
    "nadam": lambda: mj.nadam(1e-2),
    "adan": lambda: mj.adan(1e-2),
    "muon with nesterov": lambda: mj.muon(fallback=mj.heavy_ball(ETA, MU)),
    "normuon with nesterov": lambda: mj.normuon(fallback=mj.heavy_ball(ETA, MU)),
    "ema_momentum": lambda: mj.ema_momentum(ETA, MU),
    "adamw": lambda: mj.adamw(1e-2),
    "adagrad": lambda: mj.adagrad(1e-2),
    "adadelta": lambda: mj.adadelta(),
    "gradient_descent": lambda: mj.gradient_descent(ETA),
    "optax.sgd, whose state does not say that it looked ahead": lambda: optax.sgd(ETA, MU, nesterov=True),
    "optax.adam": lambda: optax.adam(1e-2),
    "optax.lion": lambda: optax.lion(1e-3),
}


@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS.keys())
def test_other_optimizers_hold_their_iterate_already(make) -> None:
    params, state = run(make())
    assert mj.evaluation_params(params, state) is params


def test_before_the_first_step_the_iterate_is_what_the_user_holds() -> None:
    params = params_tree()
    assert_identical(mj.evaluation_params(params, nesterov().init(params)), params)


SCHEDULE_FREE: dict[str, Callable[[], optax.GradientTransformation]] = {
    "sgd": lambda: optax.contrib.schedule_free_sgd(0.05, b1=0.9),
    "adamw": lambda: optax.contrib.schedule_free_adamw(0.05, b1=0.8, weight_decay=0.1),
    "gradient_descent of this library": lambda: optax.contrib.schedule_free(mj.gradient_descent(0.05), 0.05, b1=0.9),
}


@pytest.mark.parametrize("make", SCHEDULE_FREE.values(), ids=SCHEDULE_FREE.keys())
def test_optax_schedule_free_reads_out_its_average(make) -> None:
    params, state = run(make(), steps=8)
    average = optax.contrib.schedule_free_eval_params(state, params)
    assert_close(mj.evaluation_params(params, state), average)
    assert far(params, average)

    params, state = run(optax.chain(optax.clip(1e6), make()), steps=8)
    assert_close(mj.evaluation_params(params, state), average)


def test_a_masked_schedule_free_moves_its_leaves_only() -> None:
    optimizer = optax.partition(
        {"free": optax.contrib.schedule_free_sgd(0.05, b1=0.9), "plain": mj.gradient_descent(0.05)}, {"w": "free", "b": "plain"}
    )
    params, state = run(optimizer, steps=8)
    inner = state.inner_states["free"].inner_state
    read = mj.evaluation_params(params, state)
    np.testing.assert_allclose(read["w"], (params["w"] - 0.1 * inner.z["w"]) / 0.9, rtol=1e-5)
    np.testing.assert_array_equal(read["b"], params["b"])


class Net(nnx.Module):
    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.hidden = nnx.Linear(3, 5, rngs=rngs)
        self.out = nnx.Linear(5, 2, rngs=rngs)
        self.calls = nnx.Variable(jnp.zeros(()))

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.out(jnp.tanh(self.hidden(x)))


def nnx_loss(model: Net) -> jax.Array:
    return jnp.sum((model(jnp.linspace(-1, 1, 12).reshape(4, 3)) - 1) ** 2)


def trained_nnx(transformation: optax.GradientTransformation) -> tuple[Net, nnx.Optimizer]:
    model = Net()
    optimizer = nnx.Optimizer(model, transformation, wrt=nnx.Param)
    for _ in range(3):
        optimizer.update(model, nnx.grad(nnx_loss)(model))
    return model, optimizer


@pytest.mark.parametrize(
    "make",
    [
        lambda: mj.nesterov(0.02, MU),
        pytest.param(lambda: optax.chain(optax.clip(1e6), mj.nesterov(0.02, MU)), marks=pytest.mark.slow),
        lambda: mj.per_layer({"hidden/*": mj.nesterov(0.02, MU), "*": mj.nesterov(0.02, MU)}),
        pytest.param(lambda: optax.inject_hyperparams(mj.nesterov)(0.02, momentum=MU), marks=pytest.mark.slow),
        pytest.param(lambda: optax.apply_if_finite(mj.nesterov(0.02, MU), 3), marks=pytest.mark.slow),
        lambda: optax.contrib.schedule_free_sgd(0.02, b1=0.9),
    ],
    ids=["alone", "chain", "per_layer", "inject_hyperparams", "apply_if_finite", "schedule_free"],
)
def test_from_an_nnx_optimizer_the_readout_is_a_state_that_goes_back_into_the_model(make) -> None:
    model, optimizer = trained_nnx(make())
    held = nnx.state(model, nnx.Param)
    read = mj.evaluation_params(held, optimizer.opt_state)
    assert type(read) is type(held)
    assert jax.tree.structure(read) == jax.tree.structure(held)

    # The same run on the pure tree, which knows nothing of Variables.
    pure = nnx.to_pure_dict(nnx.state(Net(), nnx.Param))
    transformation = make()
    state = transformation.init(pure)
    graph, _ = nnx.split(Net())
    rest = nnx.state(Net(), nnx.Not(nnx.Param))

    def loss(pure):
        params = nnx.state(Net(), nnx.Param)
        nnx.replace_by_pure_dict(params, pure)
        return nnx_loss(nnx.merge(graph, params, rest))

    for _ in range(3):
        updates, state = transformation.update(jax.grad(loss)(pure), state, pure)
        pure = optax.apply_updates(pure, updates)
    expected = mj.evaluation_params(pure, state)
    assert_close(nnx.to_pure_dict(held), pure)
    assert_close(nnx.to_pure_dict(read), expected)
    assert far(pure, expected)

    nnx.update(model, read)
    assert_close(nnx.to_pure_dict(nnx.state(model, nnx.Param)), expected)


def test_from_a_flax_train_state_the_readout_is_its_params_shifted() -> None:
    module = nn.Dense(2)
    x = jnp.linspace(-1, 1, 12).reshape(4, 3)
    variables = module.init(jax.random.key(0), x)
    state = TrainState.create(apply_fn=module.apply, params=variables["params"], tx=nesterov())
    gradients = jax.grad(lambda p: jnp.sum(module.apply({"params": p}, x) ** 2))(state.params)
    state = state.apply_gradients(grads=gradients)
    read = mj.evaluation_params(state.params, state.opt_state)
    # After one step theta = x_0 - eta g.
    assert_close(read, jax.tree.map(lambda p, g: p - ETA * g, variables["params"], gradients))


def test_the_readout_works_inside_jit_vmap_and_scan() -> None:
    params, state = run(nesterov())
    plain = mj.evaluation_params(params, state)
    assert_close(jax.jit(mj.evaluation_params)(params, state), plain)
    stacked = jax.tree.map(lambda x: jnp.stack([x, x]), (params, state))
    assert_close(jax.tree.map(lambda x: x[1], jax.vmap(mj.evaluation_params)(*stacked)), plain)

    def step(carry, _):
        params, state = carry
        updates, state = nesterov().update(gradient(params), state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), mj.evaluation_params(params, state)

    start = params_tree()
    _, reads = jax.lax.scan(step, (start, nesterov().init(start)), None, length=STEPS)
    assert_close(jax.tree.map(lambda x: x[-1], reads), plain)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.complex64])
def test_the_readout_keeps_the_dtype_of_the_parameters(dtype) -> None:
    params = jax.tree.map(lambda x: x.astype(dtype), params_tree())
    optimizer = mj.nesterov(jnp.float32(ETA), MU, accumulator_dtype=jnp.float32)
    state = optimizer.init(params)
    updates, state = optimizer.update(jax.tree.map(jnp.ones_like, params), state, params)
    params = optax.apply_updates(params, updates)
    read = mj.evaluation_params(params, state)
    assert all(x.dtype == dtype for x in jax.tree.leaves(read))
    start = jax.tree.map(lambda x: x.astype(jnp.float32), params_tree())
    error = jax.tree.map(lambda r, x: float(jnp.max(jnp.abs(r - (x - ETA)))), read, start)
    assert max(jax.tree.leaves(error)) < 2e-2


def test_leaves_that_no_optimizer_moves_come_back_as_they_are() -> None:
    params = {"w": jnp.ones(2), "steps": jnp.array(3), "none": None}
    optimizer = nesterov()
    state = optimizer.init(params)
    gradients = {"w": jnp.ones(2), "steps": np.zeros((), jax.dtypes.float0), "none": None}
    updates, state = optimizer.update(gradients, state, params)
    read = mj.evaluation_params(optax.apply_updates(params, updates), state)
    assert read["none"] is None
    assert read["steps"] == 3
    assert read["steps"].dtype == jnp.int32
    np.testing.assert_allclose(read["w"], 1 - ETA, rtol=1e-6)


def test_params_of_another_structure_are_refused_by_the_path_of_the_leaf() -> None:
    params, state = run(nesterov())
    with pytest.raises(ValueError, match=r"^nesterov: params must be .* shape \(3,\) at leaf \['b'\], got no such leaf\.$"):
        mj.evaluation_params({"w": params["w"]}, state)
    with pytest.raises(ValueError, match=r"^nesterov: params .* shape \(2, 3\) at leaf \['w'\], got shape \(3, 2\)\.$"):
        mj.evaluation_params({"w": params["w"].T, "b": params["b"]}, state)
    with pytest.raises(ValueError, match=r"^nesterov: params .* at leaf \['b'\], got no such leaf\.$"):
        mj.evaluation_params({"w": params["w"], "b": None}, state)


def test_schedule_free_params_of_another_shape_are_refused() -> None:
    params, state = run(optax.contrib.schedule_free_sgd(0.05))
    with pytest.raises(ValueError, match=r"^schedule_free: params .* at leaf \['w'\], got shape \(1, 3\)\.$"):
        mj.evaluation_params({"w": params["w"][:1], "b": params["b"]}, state)


def test_a_state_of_the_users_own_takes_part_by_its_method() -> None:
    class Shifted(optax.EmptyState):
        def evaluation_params(self, params):
            return jax.tree.map(lambda x: x + 1, params)

    read = mj.evaluation_params({"w": jnp.zeros(2)}, ({"inner": Shifted()}, optax.EmptyState()))
    np.testing.assert_array_equal(read["w"], 1)
