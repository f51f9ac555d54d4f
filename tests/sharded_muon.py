"""Run by test_contract_flax_and_devices.py in its own process: Muon's collectives and results on eight CPU devices."""

import re
from collections import Counter
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import momentum_jax as mj

P = PartitionSpec
# By name the shape and the sharding of a kernel on the meshes ("f",) and ("f", "t").
KERNELS: dict[str, tuple[tuple[int, ...], P, P]] = {
    "wide_1": ((16, 64), P("f"), P("f", "t")),
    "wide_2": ((16, 64), P("f"), P("f", "t")),
    "query": ((16, 8, 3), P("f"), P(("f", "t"))),
    "scanned": ((3, 16, 48), P(None, "f"), P(None, "f", "t")),
    "fused": ((16, 96), P("f"), P(("f", "t"))),
}
GROUPS = (("wide_1", "wide_2"), ("query",), ("scanned",), ("fused",))
AXES = {"query": "in out out", "scanned": "batch in out", "fused": mj.Matrix("in out", blocks=2)}
OPTIONS = {"layout": "inputs_first", "axes": AXES}


def main() -> None:
    jax.config.update("jax_num_cpu_devices", 8)
    jax.config.update("jax_enable_x64", True)
    rng = np.random.default_rng(0)
    host = {name: rng.normal(size=shape) for name, (shape, *_) in KERNELS.items()}
    expected = {make: two_steps(jax.jit(make(**OPTIONS).update), make(**OPTIONS).init(host), host) for make in MAKERS}
    for shape, names in (((8,), ("f",)), ((4, 2), ("f", "t"))):
        for kind in (AxisType.Auto, AxisType.Explicit):
            mesh = jax.make_mesh(shape, names, axis_types=(kind,) * len(names))
            specs = {name: specs[len(names) - 1] for name, (_, *specs) in KERNELS.items()}
            params = {name: jax.device_put(x, NamedSharding(mesh, specs[name])) for name, x in host.items()}
            spread, where = names if kind is AxisType.Auto else None, f"{kind.name} {names}"
            for make in MAKERS[: 3 - len(names)]:
                check_numbers(make(spread=spread, **OPTIONS), params, expected[make], f"{where}, {make.__name__}")
            for group in GROUPS:
                part = {name: params[name] for name in group}
                axes = {name: AXES[name] for name in group if name in AXES} or None
                ours = mj.muon(spread=spread, layout="inputs_first", axes=axes)
                found = collectives(jax.jit(ours.update).lower(part, ours.init(part), part).compile())
                assert found.pop("all-to-all") == 2 * len(names), f"{where}, {group}: {found}"
                assert not {*found} - {"collective-permute"}, f"{where}, {group}: {found}"
    print("met")


MAKERS = (mj.muon, mj.normuon)


def two_steps(update: Any, state: Any, params: Any) -> Any:
    _, state = update(params, state, params)
    return update(params, state, params)


def check_numbers(optimizer: Any, params: Any, expected: Any, where: str) -> None:
    """Those of one device, each where its parameter is."""
    update = jax.jit(optimizer.update).lower(params, optimizer.init(params), params).compile()
    updates, state = two_steps(update, optimizer.init(params), params)
    for a, b in zip(jax.tree.leaves((updates, state)), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-12, atol=1e-12, err_msg=where)
    for name, p in params.items():
        for found in (updates[name], state.matrices[0].first_moment[name]):
            assert found.sharding.is_equivalent_to(p.sharding, p.ndim), f"{where}, {name}: {found.sharding}"
    if where.endswith(", muon"):
        found = collectives(update)
        assert not {*found} - {"all-to-all", "collective-permute"}, f"{where}: {found}"


def collectives(compiled: Any) -> Counter:
    names = "all-gather|all-reduce|all-to-all|reduce-scatter|collective-permute"
    return Counter(re.findall(rf" ({names})(?:-start)?\(", compiled.as_text()))


if __name__ == "__main__":
    main()
