"""The contract in company: Flax's modules and training states, orbax, meshes of several devices."""

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
from contract_rows import FIRST, ROWS
from contract_rows.row import Row
from contract_runs import every_build
from contract_walks import gradients, optimizers_unlike, some_params, walked
from flax import nnx
from flax.training.train_state import TrainState

import momentum_jax as mj


class Net(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first = nnx.Linear(2, 3, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.tanh(self.first(x))


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
    for _ in range(3):
        trainer.update(model, nnx.grad(_loss)(model))
    chex.assert_trees_all_close(nnx.to_pure_dict(nnx.state(model)), pure, rtol=1e-4, atol=1e-6)
    read = mj.evaluation_params(nnx.state(model, nnx.Param), trainer.opt_state)
    chex.assert_trees_all_close(nnx.to_pure_dict(read), mj.evaluation_params(pure, state), rtol=1e-4, atol=1e-6)


@optimizers_unlike
def test_a_flax_train_state_takes_the_same_steps(row: Row) -> None:
    state = TrainState.create(apply_fn=None, params=some_params(), tx=row.build())
    for _ in range(3):
        state = state.apply_gradients(grads=gradients(state.params))
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


def on_eight_devices(script: str, *arguments: str) -> Any:
    """A script of this directory in a process of its own."""
    here = Path(__file__).parent
    env = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)])}
    command = [sys.executable, "-W", "error", str(here / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


@pytest.mark.parametrize(
    "names",
    [
        pytest.param([row.id for row in FIRST], id="one of each", marks=pytest.mark.slow),
        pytest.param([row.id for row in ROWS], id="all", marks=pytest.mark.exhaustive),
    ],
)
def test_states_take_the_sharding_of_their_parameters_on_eight_devices(names: list[str]) -> None:
    result = on_eight_devices("sharding_on_eight_devices.py", *names)
    assert result.returncode == 0, result.stderr[-3000:]
    assert sorted(result.stdout.split()) == sorted(names)


@pytest.mark.slow
def test_muon_deals_its_matrices_out_over_eight_devices_by_all_to_alls_alone() -> None:
    result = on_eight_devices("sharded_muon.py")
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.split() == ["met"]


@every_build
def test_a_scan_inside_shard_map_keeps_the_varying_types_where_every_device_has_its_own_numbers(row: Row) -> None:
    names = list(row.numbers)
    values = jnp.asarray([[row.numbers[name] for name in names]])
    params, gradient = {"w": jnp.ones((1, 3))}, jnp.full((1, 3), 0.5)
    mesh = jax.make_mesh((1,), ("runs",), axis_types=(jax.sharding.AxisType.Auto,))

    def one(values: jax.Array, params: Any, gradient: jax.Array, scan: Any = jax.lax.scan) -> Any:
        optimizer = row.build(**dict(zip(names, values[0], strict=True)))

        def step(carry: Any, _: Any) -> Any:
            params, state = carry
            updates, state = optimizer.update({"w": gradient}, state, params)
            return (optax.apply_updates(params, updates), state), None

        return scan(step, (params, optimizer.init(params)), jnp.arange(3))[0][0]

    def loop(step: Any, carry: Any, xs: Any) -> Any:
        for x in xs:
            carry, _ = step(carry, x)
        return carry, None

    spec = jax.P("runs")
    sharded = jax.jit(jax.shard_map(one, mesh=mesh, in_specs=(spec, spec, spec), out_specs=spec))(values, params, gradient)
    np.testing.assert_allclose(sharded["w"], one(values, params, gradient, loop)["w"], rtol=1e-6)


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


def test_a_schedule_may_give_an_nnx_variable() -> None:
    rate = nnx.Variable(jnp.asarray(0.1))
    optimizer, params = mj.sgd(lambda step: rate, 0.9), {"w": jnp.ones(2)}
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    np.testing.assert_allclose(updates["w"], -0.1 * np.ones(2), rtol=1e-6)
