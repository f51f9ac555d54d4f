"""The contract in company: Optax's wrappers, Flax's training states, orbax, meshes of several devices."""

import functools
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from contract_rows import ROWS, Row, rows
from flax import nnx
from flax.training.train_state import TrainState

import momentum_jax as mj

every_row = pytest.mark.parametrize("row", rows())
every_build = pytest.mark.parametrize("row", rows(unlike=True))
optimizers_unlike = pytest.mark.parametrize("row", rows(lambda row: row.descends, unlike=True))


def some_params() -> dict[str, Any]:
    return {"a": jnp.asarray([1.0, -2.0, 0.5]), "b": {"c": jnp.full((2, 2), 0.3)}}


def gradients(params: Any) -> Any:
    return jax.tree.map(lambda p: 0.7 * p - 0.1, params)


def walk(optimizer: Any, steps: int = 3, params: Any = None) -> tuple[Any, Any]:
    """Parameters and state after some jitted steps down a quadratic."""
    params = some_params() if params is None else params
    state = optimizer.init(params)

    @jax.jit
    def step(params: Any, state: Any) -> Any:
        updates, state = optimizer.update(gradients(params), state, params)
        return optax.apply_updates(params, updates), state

    for _ in range(steps):
        params, state = step(params, state)
    return params, state


@functools.cache
def walked(row: Row) -> tuple[Any, Any]:
    """`walk` of the row as it stands."""
    return walk(row.build())


@functools.cache
def alone(row: Row) -> Any:
    """Parameters after some steps without the other leaf."""
    return walk(row.build(), params={"a": some_params()["a"]})[0]


@pytest.mark.parametrize("row", rows(unlike=True))
def test_chain_passes_what_each_link_makes(row: Row) -> None:
    alone, _ = walked(row)
    chained, _ = walk(optax.chain(optax.identity(), row.build(), optax.scale(1.0)))
    chex.assert_trees_all_close(chained, alone, rtol=1e-6)


@every_build
def test_unexpected_extra_arguments_are_left_alone(row: Row) -> None:
    optimizer, params = row.build(), some_params()
    state = optimizer.init(params)
    plain, _ = optimizer.update(gradients(params), state, params)
    extra, _ = optimizer.update(gradients(params), state, params, value=jnp.asarray(1.0), grad_fn=gradients, unknown=1)
    chex.assert_trees_all_equal(extra, plain)


@optimizers_unlike
def test_multisteps_of_two_equal_gradients_is_one_step(row: Row) -> None:
    optimizer, params = optax.MultiSteps(row.build(), every_k_schedule=2), some_params()
    state = optimizer.init(params)
    g = gradients(params)
    first, state = jax.jit(optimizer.update)(g, state, params)
    second, state = jax.jit(optimizer.update)(g, state, params)
    alone, _ = row.build().update(g, row.build().init(params), params)
    chex.assert_trees_all_close(first, jax.tree.map(jnp.zeros_like, params))
    chex.assert_trees_all_close(second, alone, rtol=1e-6)


@optimizers_unlike
def test_partition_gives_each_leaf_to_its_own(row: Row) -> None:
    parts = optax.partition({"x": row.build(), "y": optax.sgd(0.1)}, {"a": "x", "b": {"c": "y"}})
    params, _ = walk(parts)
    chex.assert_trees_all_close(params["a"], alone(row)["a"], rtol=1e-6)
    chex.assert_trees_all_close(params["b"], walk(optax.sgd(0.1))[0]["b"], rtol=1e-6)


@optimizers_unlike
def test_masked_leaves_are_not_touched(row: Row) -> None:
    masked = optax.chain(
        optax.masked(row.build(), {"a": True, "b": False}), optax.masked(optax.set_to_zero(), {"a": False, "b": True})
    )
    params, _ = walk(masked)
    chex.assert_trees_all_close(params["a"], alone(row)["a"], rtol=1e-6)
    chex.assert_trees_all_equal(params["b"], some_params()["b"])


@optimizers_unlike
def test_apply_if_finite_skips_a_bad_gradient_and_keeps_the_state(row: Row) -> None:
    optimizer, params = optax.apply_if_finite(row.build(), 5), some_params()
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    _, state = update(gradients(params), state, params)
    bad = jax.tree.map(lambda p: jnp.full_like(p, jnp.nan), params)
    updates, after = update(bad, state, params)
    chex.assert_trees_all_equal(updates, jax.tree.map(jnp.zeros_like, params))
    chex.assert_trees_all_equal(after.inner_state, state.inner_state)


@optimizers_unlike
def test_inject_hyperparams_gives_the_same_numbers_and_state(row: Row) -> None:
    injected = optax.inject_hyperparams(row.supplied(row.make), (*row.static, *row.structure))(**row.numbers, **row.structure)
    plain, plain_state = walked(row)
    params, state = walk(injected)
    chex.assert_trees_all_close(params, plain, rtol=1e-4)
    chex.assert_trees_all_close(state.inner_state, plain_state, rtol=1e-3, atol=1e-8)


@every_row
def test_optax_can_map_over_the_parameters_in_a_state(row: Row) -> None:
    if row.file == "per_layer":
        return  # map_params hands init a placeholder without paths; optax.partition by a function of paths fares alike
    optimizer = row.build()
    state = optimizer.init(some_params())
    doubled = optax.tree.map_params(optimizer, lambda v: v + 1, state)
    for before, after in zip(jax.tree.leaves(state), jax.tree.leaves(doubled), strict=True):
        if before.shape not in row.other_shapes:
            np.testing.assert_allclose(after - before, 1.0 if before.shape else 0.0)


class Net(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first = nnx.Linear(2, 3, rngs=rngs)
        self.second = nnx.Linear(3, 1, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.second(nnx.tanh(self.first(x)))


def _loss(model: Net) -> jax.Array:
    x = jnp.linspace(-1, 1, 8).reshape(4, 2)
    return jnp.mean((model(x) - x[:, :1]) ** 2)


@optimizers_unlike
def test_an_nnx_optimizer_takes_the_same_steps_as_plain_arrays(row: Row) -> None:
    model = Net(nnx.Rngs(0))
    graph, start = nnx.split(model)
    pure = nnx.to_pure_dict(start)

    def loss_of(params: Any) -> jax.Array:
        state = nnx.state(model)
        nnx.replace_by_pure_dict(state, params)
        return _loss(nnx.merge(graph, state))

    optimizer = row.build()
    state = optimizer.init(pure)
    for _ in range(3):
        updates, state = optimizer.update(jax.grad(loss_of)(pure), state, pure)
        pure = optax.apply_updates(pure, updates)

    trainer = nnx.Optimizer(model, row.build(), wrt=nnx.Param)

    @nnx.jit
    def step(model: Net, trainer: nnx.Optimizer) -> None:
        trainer.update(model, nnx.grad(_loss)(model))

    for _ in range(3):
        step(model, trainer)
    chex.assert_trees_all_close(nnx.to_pure_dict(nnx.state(model)), pure, rtol=1e-4, atol=1e-6)
    read = mj.evaluation_params(nnx.state(model, nnx.Param), trainer.opt_state)
    chex.assert_trees_all_close(nnx.to_pure_dict(read), mj.evaluation_params(pure, state), rtol=1e-4, atol=1e-6)


@optimizers_unlike
def test_a_flax_train_state_takes_the_same_steps(row: Row) -> None:
    state = TrainState.create(apply_fn=None, params=some_params(), tx=row.build())
    step = jax.jit(lambda state: state.apply_gradients(grads=gradients(state.params)))
    for _ in range(3):
        state = step(state)
    chex.assert_trees_all_close(state.params, walked(row)[0], rtol=1e-6)


@optimizers_unlike
def test_a_state_survives_an_orbax_save_and_restore(row: Row, tmp_path: Path) -> None:
    params = some_params() | {"steps": jnp.arange(2)}
    optimizer = row.build()
    state = optimizer.init(params)
    _, state = optimizer.update(gradients(some_params()) | {"steps": jnp.arange(2)}, state, params)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "state", jax.eval_shape(optimizer.init, params))
    chex.assert_trees_all_equal(restored, state)
    assert jax.tree.structure(restored) == jax.tree.structure(state)


@pytest.mark.slow
def test_states_take_the_sharding_of_their_parameters_on_eight_devices() -> None:
    script = Path(__file__).with_name("sharding_on_eight_devices.py")
    env = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join([str(script.parent), str(script.parent.parent)])}
    names = [row.id for row in ROWS]
    result = subprocess.run(
        [sys.executable, "-W", "error", str(script), *names], capture_output=True, text=True, env=env, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.split() == names


@pytest.mark.parametrize("row", rows(unlike=True))
def test_a_scan_inside_shard_map_keeps_the_varying_types_where_every_device_has_its_own_numbers(row: Row) -> None:
    names = list(row.numbers)
    values = jnp.asarray([[row.numbers[name] for name in names]])
    params, gradient = {"w": jnp.ones((1, 3))}, jnp.full((1, 3), 0.5)
    mesh = jax.make_mesh((1,), ("runs",), axis_types=(jax.sharding.AxisType.Auto,))

    def one(values: jax.Array, params: Any, gradient: jax.Array) -> Any:
        optimizer = row.build(**dict(zip(names, values[0], strict=True)))

        def step(carry: Any, _: None) -> Any:
            params, state = carry
            updates, state = optimizer.update({"w": gradient}, state, params)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, optimizer.init(params)), None, length=3)[0][0]

    spec = jax.P("runs")
    sharded = jax.jit(jax.shard_map(one, mesh=mesh, in_specs=(spec, spec, spec), out_specs=spec))(values, params, gradient)
    np.testing.assert_allclose(sharded["w"], one(values, params, gradient)["w"], rtol=1e-6)


@every_row
def test_fields_named_value_are_leaves_of_their_own(row: Row) -> None:
    @jax.tree_util.register_dataclass
    @dataclass
    class Pair:
        value: jax.Array
        raw_value: jax.Array

    optimizer = row.build()
    params = Pair(jnp.ones(2), jnp.zeros(3))
    updates, _ = optimizer.update(Pair(jnp.ones(2), jnp.ones(3)), optimizer.init(params), params)
    assert (updates.value.shape, updates.raw_value.shape) == ((2,), (3,))
    with pytest.raises(
        ValueError, match=r"leaf \.raw_value of the gradient is float32 of shape \(2,\), but in .* shape \(3,\)"
    ):
        optimizer.update(Pair(jnp.ones(2), jnp.ones(2)), optimizer.init(params), params)


@every_row
def test_a_complex_gradient_of_a_real_parameter_is_refused_by_name(row: Row) -> None:
    optimizer = row.build()
    params = {"w": jnp.ones(2)}
    with pytest.raises(ValueError, match=r": leaf \['w'\] of the gradient must be real as its parameter is, got complex64"):
        optimizer.update({"w": jnp.ones(2, jnp.complex64)}, optimizer.init(params), params)


def test_errors_of_an_update_name_the_optimizer_that_the_user_called() -> None:
    for who in ("heavy_ball", "nesterov", "sgd", "adam", "rmsprop", "scale_by_adam"):
        optimizer = getattr(mj, who)(0.1)
        state = optimizer.init({"w": jnp.ones(2)})
        for gradient in ({"w": jnp.ones(3)}, {"v": jnp.ones(2)}, {"w": jnp.ones(2, jnp.complex64)}):
            with pytest.raises(ValueError, match=f"^{who}: leaf "):
                optimizer.update(gradient, state)


def test_an_int_that_inject_hyperparams_made_an_array_of_is_refused_with_the_remedy() -> None:
    with pytest.raises(
        TypeError, match=r"^demon: total_steps must be an int, got an array; .* needs static_args='total_steps'"
    ):
        optax.inject_hyperparams(mj.demon)(0.1, total_steps=10).init({"w": jnp.ones(2)})


def test_a_dtype_that_inject_hyperparams_made_an_array_of_is_refused_with_the_remedy() -> None:
    with pytest.raises(TypeError, match=r"optax\.inject_hyperparams needs static_args='accumulator_dtype'"):
        optax.inject_hyperparams(mj.heavy_ball)(0.1, accumulator_dtype=jnp.bfloat16).init({"w": jnp.ones(2)})


def test_a_variable_that_holds_a_tree_is_one_path_in_init_and_in_update() -> None:
    class Net(nnx.Module):
        def __init__(self) -> None:
            self.d = nnx.Param({"x": jnp.ones(2), "y": jnp.ones(3)})

    state = nnx.state(Net(), nnx.Param)
    pure = nnx.to_pure_dict(state)
    optimizer = mj.per_layer({"d/x": mj.nesterov(0.1), "*": mj.gradient_descent(1.0)})
    opt_state = optimizer.init(state)
    updates, opt_state = optimizer.update(jax.tree.map(jnp.ones_like, pure), opt_state, pure)
    np.testing.assert_allclose(updates["d"]["x"], -0.19, rtol=1e-6)
    np.testing.assert_allclose(updates["d"]["y"], -1.0)
    read = mj.evaluation_params(optax.apply_updates(pure, updates), opt_state)
    np.testing.assert_allclose(read["d"]["x"], 0.9, rtol=1e-6)


@jax.tree_util.register_dataclass
@dataclass
class ValueAndBias:
    value: Any
    bias: Any


@pytest.mark.parametrize(
    "around",
    [
        lambda optimizer: optax.masked(optimizer, {"a": ValueAndBias(True, False)}),
        lambda optimizer: mj.per_layer({"*/value": optimizer, "*": mj.sgd(0.1)}),
    ],
)
def test_a_field_named_value_is_read_out_where_its_sibling_belongs_to_another(around: Any) -> None:
    optimizer = around(mj.nesterov(0.1))
    params = {"a": ValueAndBias(jnp.ones(2), jnp.ones(3))}
    updates, state = optimizer.update(params, optimizer.init(params), params)
    read = mj.evaluation_params(optax.apply_updates(params, updates), state)
    np.testing.assert_allclose(read["a"].value, 0.9, rtol=1e-6)
