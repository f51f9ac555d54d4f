"""Steps whose cost is their call: eager updates beside Optax's, and whole training steps of nets, one and 20 steps a call.

    pip install -e ".[bench]" && python bench/steps.py

`eager`: `update` alone, without `jax.jit` and without `apply_updates`, on 50 leaves and on 2.
`border`: a compiled update of 400 leaves, and a program that takes and returns the same buffers and computes nothing.
`whole`: loss, gradient, update and `apply_updates` of heavy ball on 50 nets 8-16-16-1 as 50 trees (300 leaves), on the same 50
nets as one tree with a leading axis, under `jax.vmap` (6 leaves), and on a transformer of 51 leaves. `20 steps a call` is
`training.several_steps`; it must end where one step a call ends.
Contestants take turns in one process. Ratios are of processor time, which other work on the machine disturbs least.
"""

import argparse
import gc
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from measure import Times, interleaved, machine, versions, write_json
from methods import METHODS, Method
from rich.console import Console
from rich.table import Table
from update import SEVERAL, STEPS_A_CALL, JaxContestant, random_tree, small_leaves, timed

import momentum_jax as mj
from momentum_jax.training import several_steps

EAGER = ("heavy_ball", "adam")
EAGER_LEAVES = (50, 2)
BORDER_LEAVES, NOTHING = 400, "nothing computed"
NETS, WIDTH, INPUTS, ROWS = 50, 16, 8, 32
LAYERS, MODEL, HEADS, TOKENS, LENGTH = 4, 64, 4, 128, 64


class Eager:
    """`update` called step by step."""

    def __init__(self, optimizer: optax.GradientTransformation, params: Any, gradients: Any):
        self.update, self.params, self.gradients = optimizer.update, params, gradients
        self.state, self.updates = optimizer.init(params), None

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.updates, self.state = self.update(self.gradients, self.state, self.params)
        jax.block_until_ready((self.updates, self.state))


def eager(method: Method, leaves: int, repeats: int, seconds: float) -> dict[str, Any]:
    """One method on one tree; its steps must be Optax's."""
    params, gradients = (jax.tree.map(jnp.asarray, random_tree(small_leaves(leaves), seed, 0.1)) for seed in (0, 1))
    contestants = {name: Eager(make(), params, gradients) for name, make in spelt(method).items()}
    for contestant in contestants.values():
        contestant.run(3)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), contestants["ours"].updates, contestants["optax"].updates)
    times = interleaved({name: each.run for name, each in contestants.items()}, repeats=repeats, seconds=seconds)
    return {"what": f"eager {method.name}", "leaves": leaves, **timed(times)}


def border(repeats: int, seconds: float) -> dict[str, Any]:
    """A compiled step of heavy ball on 400 leaves, and a program with the same buffers in and out that computes nothing."""
    params, gradients = (random_tree(small_leaves(BORDER_LEAVES), seed, 0.1) for seed in (0, 1))
    method = next(each for each in METHODS if each.name == "heavy_ball")
    step = {
        name: JaxContestant(make(), params, jax.tree.map(jnp.asarray, gradients), {}) for name, make in spelt(method).items()
    }

    def pass_on(params: Any, state: Any, gradients: Any) -> tuple[Any, Any]:
        return jax.lax.optimization_barrier((params, state))

    # Without the barrier JAX hands the arrays on without a call, and unused arguments stay outside.
    nothing = step["optax"].again(params)
    program = jax.jit(pass_on, donate_argnums=(0, 1), keep_unused=True)
    nothing.step = program.lower(nothing.params, nothing.state, nothing.gradients).compile()
    nothing.run(3)
    runs = {name: each.run for name, each in step.items()} | {NOTHING: nothing.run}
    times = interleaved(runs, repeats=repeats, seconds=seconds)
    return {"what": "compiled heavy_ball", "leaves": BORDER_LEAVES, **timed(times)}


def spelt(method: Method) -> dict[str, Callable[[], optax.GradientTransformation]]:
    return {"ours": method.ours, "optax": method.optax, "optax again": method.optax}


class Net(NamedTuple):
    """loss: of parameters and a batch."""

    name: str
    params: Any
    loss: Callable[[Any, Any], jax.Array]
    batch: Mapping[str, np.ndarray]


def mlp_loss(params: Mapping[str, jax.Array], batch: Mapping[str, Any]) -> jax.Array:
    hidden = jnp.tanh(batch["x"] @ params["w0"] + params["b0"])
    hidden = jnp.tanh(hidden @ params["w1"] + params["b1"])
    return jnp.mean((hidden @ params["w2"] + params["b2"] - batch["y"]) ** 2)


def small_nets() -> list[Net]:
    """50 nets as 50 trees, and the same as one."""
    shapes: dict[str, tuple[int, ...]] = {
        "w0": (INPUTS, WIDTH),
        "b0": (WIDTH,),
        "w1": (WIDTH, WIDTH),
        "b1": (WIDTH,),
        "w2": (WIDTH, 1),
        "b2": (1,),
    }
    nets = [random_tree(shapes, seed, 0.3) for seed in range(NETS)]
    batch = random_tree({"x": (ROWS, INPUTS), "y": (ROWS, 1)}, 99, 1.0)

    def of_each(params: Any, batch: Any) -> jax.Array:
        return jnp.sum(jnp.stack([mlp_loss(each, batch) for each in params]))

    def of_all(params: Any, batch: Any) -> jax.Array:
        return jnp.sum(jax.vmap(mlp_loss, (0, None))(params, batch))

    one = jax.tree.map(lambda *leaves: np.stack(leaves), *nets)
    return [Net("50 small MLPs", nets, of_each, batch), Net("the same in one tree, vmapped", one, of_all, batch)]


def transformer() -> Net:
    """Four blocks of a decoder, pre-norm, on 8 sequences of 64 tokens."""
    block: dict[str, tuple[int, ...]] = {
        "query": (MODEL, MODEL),
        "key": (MODEL, MODEL),
        "value": (MODEL, MODEL),
        "join": (MODEL, MODEL),
    }
    block |= {"up": (MODEL, 4 * MODEL), "up_bias": (4 * MODEL,), "down": (4 * MODEL, MODEL), "down_bias": (MODEL,)}
    block |= dict.fromkeys(("scale0", "shift0", "scale1", "shift1"), (MODEL,))
    shapes = {f"{layer}_{name}": shape for layer in range(LAYERS) for name, shape in block.items()}
    shapes |= {"tokens": (TOKENS, MODEL), "places": (LENGTH, MODEL), "head": (MODEL, TOKENS)}
    tokens = np.random.default_rng(0).integers(0, TOKENS, (8, LENGTH + 1)).astype(np.int32)

    def normal(x: jax.Array, scale: jax.Array, shift: jax.Array) -> jax.Array:
        return jax.nn.standardize(x) * (1 + scale) + shift

    def loss(params: Any, batch: Any) -> jax.Array:
        x = params["tokens"][batch["tokens"][:, :-1]] + params["places"]
        for layer in range(LAYERS):
            own = {name: params[f"{layer}_{name}"] for name in block}
            seen = normal(x, own["scale0"], own["shift0"])
            heads = [(seen @ own[name]).reshape(*x.shape[:2], HEADS, -1) for name in ("query", "key", "value")]
            attended = jax.nn.dot_product_attention(*heads, is_causal=True)
            x = x + attended.reshape(x.shape) @ own["join"]
            seen = normal(x, own["scale1"], own["shift1"])
            x = x + jax.nn.gelu(seen @ own["up"] + own["up_bias"]) @ own["down"] + own["down_bias"]
        return optax.softmax_cross_entropy_with_integer_labels(x @ params["head"], batch["tokens"][:, 1:]).mean()

    return Net("transformer", random_tree(shapes, 0, 0.05), loss, {"tokens": tokens})


class Steps:
    """Heavy ball on a net: one step a call, or `STEPS_A_CALL`; `run` counts calls."""

    def __init__(self, optimizer: optax.GradientTransformation, net: Net, steps: int):
        self.params = jax.tree.map(jnp.array, net.params)
        self.state = jax.jit(optimizer.init)(self.params)

        def step(params: Any, state: Any, batch: Any) -> tuple[Any, Any, jax.Array]:
            loss, gradients = jax.value_and_grad(net.loss)(params, batch)
            updates, state = optimizer.update(gradients, state, params)
            return optax.apply_updates(params, updates), state, loss

        if steps == 1:
            self.call, self.batch = jax.jit(step, donate_argnums=(0, 1)), net.batch
        else:
            self.call = several_steps(step, steps, unpacked=True)
            self.batch = jax.tree.map(lambda leaf: np.stack([leaf] * steps), net.batch)

    def run(self, calls: int) -> None:
        for _ in range(calls):
            self.params, self.state, _ = self.call(self.params, self.state, self.batch)
        jax.block_until_ready((self.params, self.state))


def whole(net: Net, repeats: int, seconds: float) -> dict[str, Any]:
    """One net; all contestants must come to the same parameters."""
    optax_own = optax.chain(optax.scale_by_learning_rate(1e-2), optax.trace(0.9))
    contestants = {
        "ours": Steps(mj.heavy_ball(1e-2, 0.9), net, 1),
        "optax": Steps(optax_own, net, 1),
        SEVERAL: Steps(mj.heavy_ball(1e-2, 0.9), net, STEPS_A_CALL),
    }
    for name, contestant in contestants.items():
        contestant.run(1 if name == SEVERAL else STEPS_A_CALL)
        same = partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5)
        jax.tree.map(same, contestant.params, contestants["ours"].params)
    times = interleaved({name: each.run for name, each in contestants.items()}, repeats=repeats, seconds=seconds)
    times[SEVERAL] = Times(*([second / STEPS_A_CALL for second in sample] for sample in times[SEVERAL]))
    return {"what": f"a whole step: {net.name}", "leaves": len(jax.tree.leaves(net.params)), **timed(times)}


def table(rows: Sequence[dict[str, Any]]) -> Table:
    result = Table(title="Processor time of a step, in ms", caption="Ratios: median over the rounds, quartiles in brackets.")
    compared = ("ours", SEVERAL, NOTHING)
    for name in ("", "leaves", "optax", *(column for each in compared for column in (each, "/ optax"))):
        result.add_column(name, justify="right" if name else "left")
    for row in rows:
        times, ratios = row["cpu_seconds_per_step"], row["cpu_time_relative_to_optax"]
        cells = [f"{1e3 * times['optax']['median']:.3f}"]
        for name in compared:
            shown = ratios.get(name)
            cells += [f"{1e3 * times[name]['median']:.3f}" if shown else ""]
            cells += ["{median:.3f} \\[{low:.3f}, {high:.3f}]".format(**shown) if shown else ""]
        result.add_row(row["what"], str(row["leaves"]), *cells)
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["eager", "border", "whole"], default=None)
    parser.add_argument("--quick", action="store_true", help="5 rounds of 0.05 s")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "steps.json")
    options = parser.parse_args(arguments)
    repeats, seconds = (5, 0.05) if options.quick else (15, 0.2)
    contests: list[Callable[[int, float], dict[str, Any]]] = []
    if options.only in (None, "eager"):
        contests += [partial(eager, each, leaves) for leaves in EAGER_LEAVES for each in METHODS if each.name in EAGER]
    if options.only in (None, "border"):
        contests += [border]
    if options.only in (None, "whole"):
        contests += [partial(whole, net) for net in (*small_nets(), transformer())]
    rows = []
    for contest in contests:
        rows.append(contest(repeats, seconds))
        gc.collect()
    Console(width=None if sys.stdout.isatty() else 150).print(table(rows))
    report = {"machine": machine(), "versions": versions("momentum_jax", "jax", "jaxlib", "optax", "numpy")}
    write_json(options.output, report | {"repeats": repeats, "seconds_a_repeat": seconds, "rows": rows})


if __name__ == "__main__":
    main()
