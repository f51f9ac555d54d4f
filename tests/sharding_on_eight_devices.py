"""Run by test_contract_flax_and_devices.py in its own process: eight CPU devices have to be asked for before JAX starts."""

import sys

import jax
import jax.numpy as jnp
import optax
from contract_rows import ROWS
from jax.sharding import AxisType, NamedSharding, PartitionSpec

SPEC = PartitionSpec("x", None)


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
        params = {"w": jax.device_put(jnp.ones((16, 4)), placed)}
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
    print("\n".join(row.id for row in chosen))


if __name__ == "__main__":
    main(sys.argv[1:])
