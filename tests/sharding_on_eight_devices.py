"""Run by test_contract_flax_and_devices.py in its own process: eight CPU devices have to be asked for before JAX starts."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from contract_rows import ROWS
from contract_rows.row import Row
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from momentum_jax import adam, quantized_state

SPEC = PartitionSpec("x", None)
VALUES = np.random.default_rng(0).uniform(0.5, 1.5, (16, 4)).astype(np.float32)


def check_state(state: object, expected: NamedSharding, where: str) -> None:
    for leaf in jax.tree.leaves(state):
        if leaf.ndim == 2:
            sharding = leaf.sharding if isinstance(leaf.sharding, NamedSharding) else None
            assert sharding is not None, f"{where}: {leaf.sharding}"
            assert sharding.is_equivalent_to(expected, 2), f"{where}: {leaf.sharding}"


def main(names: list[str]) -> None:
    """Checks the rows of these names."""
    chosen = [row for row in ROWS if row.id in names]
    jax.config.update("jax_num_cpu_devices", 8)
    assert jax.device_count() == 8
    for kind in (AxisType.Auto, AxisType.Explicit):
        mesh = jax.make_mesh((8,), ("x",), axis_types=(kind,))
        placed = NamedSharding(mesh, SPEC)
        params = {"w": jax.device_put(jnp.ones((16, 4)) * VALUES, placed)}
        for row in chosen:
            optimizer = row.build()
            state = optimizer.init(params)
            check_state(state, placed, f"{row.id}, eager init, {kind}")
            if kind is AxisType.Explicit:
                with jax.set_mesh(mesh):
                    check_state(optimizer.init(params), placed, f"{row.id}, init under set_mesh")
                    check_state(jax.jit(optimizer.init)(params), placed, f"{row.id}, jitted init under set_mesh")

            def step(params: dict, state: object, optimizer: optax.GradientTransformation = optimizer) -> object:
                updates, state = optimizer.update(jax.tree.map(lambda p: 0.1 * p, params), state, params)
                return optax.apply_updates(params, updates), state

            with jax.set_mesh(mesh):
                moved, after = jax.jit(step, donate_argnums=(0, 1))(jax.tree.map(jnp.copy, params), state)
            check_state(moved, placed, f"{row.id}, parameters after a step, {kind}")
            check_state(after, placed, f"{row.id}, state after a step, {kind}")
            whole = {"w": jnp.ones((16, 4)) * VALUES}
            for a, b in zip(
                jax.tree.leaves((moved, after)), jax.tree.leaves(jax.jit(step)(whole, optimizer.init(whole))), strict=True
            ):
                found, expected = np.asarray(a, float), np.asarray(b, float)
                np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6, err_msg=f"{row.id}, numbers, {kind}")
    for row in chosen:
        check_data_parallelism(row)
    check_codes()
    print("\n".join(row.id for row in chosen))


def check_data_parallelism(row: Row) -> None:
    """The batch over the devices, parameters and states where JAX puts them: nothing is committed that was not."""
    mesh = jax.make_mesh((8,), ("x",), axis_types=(AxisType.Auto,))
    batch = jax.device_put(jnp.ones((8, 128)), NamedSharding(mesh, PartitionSpec("x")))
    params, optimizer = {"w": jnp.ones((128, 64))}, row.build()
    state = optimizer.init(params)
    assert not any(leaf.committed for leaf in jax.tree.leaves(state)), f"{row.id}, eager init"

    @jax.jit
    def step(params: dict, state: object, batch: jax.Array) -> object:
        gradients = jax.grad(lambda p: jnp.mean((batch @ p["w"]) ** 2))(params)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    step(params, state, batch)


def check_codes() -> None:
    """8-bit codes lie as their parameter does, on whichever axes, and a sharded leaf rounds as a whole one."""
    for kind in (AxisType.Auto, AxisType.Explicit):
        mesh = jax.make_mesh((4, 2), ("x", "y"), axis_types=(kind, kind))
        for shape, *axes in [((64, 128), None, "x"), ((8, 2048), "y", "x"), ((64, 64), ("x", "y")), ((16, 8, 64), None, "x")]:
            placed = NamedSharding(mesh, PartitionSpec(*axes, *(None,) * (len(shape) - len(axes))))
            values = jax.random.normal(jax.random.key(0), shape)
            optimizer = quantized_state(adam(0.1))

            def walk(params: dict, optimizer: optax.GradientTransformation = optimizer) -> list:
                state, seen = optimizer.init(params), []
                for _ in range(2):
                    updates, state = jax.jit(optimizer.update)(params, state, params)
                    seen.append((updates, state))
                return seen

            with jax.set_mesh(mesh):
                ours = walk({"w": jax.device_put(values, placed)})
            codes = [leaf for leaf in jax.tree.leaves(ours) if leaf.dtype in (jnp.int8, jnp.uint8)]
            assert len(codes) == 4
            for leaf in codes:
                assert leaf.sharding.is_equivalent_to(placed, len(shape)), f"{shape}, {axes}, {kind}: {leaf.sharding}"
            whole = walk({"w": values})
            for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(whole), strict=True):
                np.testing.assert_allclose(np.asarray(a, float), np.asarray(b, float), rtol=1e-5, atol=1e-7)


if __name__ == "__main__":
    main(sys.argv[1:])
