"""Run by test_soap.py in its own process: methods that factorise matrices, on eight CPU devices and on one."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import momentum_jax as mj

AXES = {"stack": "batch in out", "fused": mj.Matrix("in out", blocks=3)}
OPTIMIZERS = {
    "soap": mj.soap(0.1, precondition_frequency=2, axes=AXES),
    "dion": mj.dion(0.1, rank=4, axes=AXES),
}
# The first basis of a matrix that is longer than wide is rounding in part, so nothing may be summed in another order.
SHAPES = {"kernel": (16, 24), "stack": (8, 16, 8), "fused": (16, 48), "bias": (16,)}
SPECS = {"kernel": ("x", "y"), "stack": ("x", None, "y"), "fused": (None, "x"), "bias": ("x",)}


def walk(optimizer: Any, shardings: Any = None) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)

    def tree() -> Any:
        return jax.device_put({name: jnp.asarray(rng.normal(size=shape)) for name, shape in SHAPES.items()}, shardings)

    params = tree()
    state, update = optimizer.init(params), jax.jit(optimizer.update)
    updates = None
    for _ in range(4):
        updates, state = update(tree(), state, params)
        params = optax.apply_updates(params, updates)
    return updates, (params, state)


def main() -> None:
    jax.config.update("jax_num_cpu_devices", 8)
    jax.config.update("jax_enable_x64", True)
    for name, optimizer in OPTIMIZERS.items():
        _, (expected, _) = walk(optimizer)
        for kind in (AxisType.Auto, AxisType.Explicit):
            mesh = jax.make_mesh((4, 2), ("x", "y"), axis_types=(kind, kind))
            shardings = {leaf: NamedSharding(mesh, PartitionSpec(*spec)) for leaf, spec in SPECS.items()}
            with jax.set_mesh(mesh):
                updates, (params, state) = walk(optimizer, shardings)
            for leaf, sharding in shardings.items():
                np.testing.assert_allclose(params[leaf], expected[leaf], rtol=0, atol=1e-12, err_msg=f"{name}, {kind}")
                buffers = [x for path, x in jax.tree.leaves_with_path(state) if x.shape == SHAPES[leaf] and leaf in str(path)]
                assert buffers
                for x in (updates[leaf], *buffers):
                    assert x.sharding.is_equivalent_to(sharding, x.ndim), f"{name}, {kind}, {leaf}: {x.sharding}"
        print(name)


if __name__ == "__main__":
    main()
