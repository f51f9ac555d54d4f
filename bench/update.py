"""One optimizer update, parameters and state donated: this library beside Optax and PyTorch.

    pip install -e ".[bench]" && python bench/update.py

Three trees: the 161 leaves of ResNet-50 (25.6 million parameters, where memory traffic decides), and 400 and 2,000 small
leaves (where the cost of a leaf decides). A fourth, by name, is for methods of matrices: `--trees transformer --methods muon`.
For every method the contestants hold the same parameters and the same gradients, are first held to the same result after 20
steps, then take turns in one process. `optax again` is Optax's program on buffers of its own: its ratio to the first says how
much of a ratio is noise, by the clock and in processor time. PyTorch runs its loop over tensors, `foreach=True` and, where
the optimizer has it, `fused=True`. Compile time (trace and XLA) is apart, never in a step. `20 steps a call` is ours in
`training.several_steps`, per step, beside Optax's one step a call; the gradients, the same in each step, travel in its carry.
By default the core methods are timed; what Optax has of the others is timed by name: `--methods ademamix muon`.
"""

import argparse
import copy
import gc
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch  # pyright: ignore[reportMissingImports]
from measure import Summary, Times, interleaved, machine, ratio, versions, write_json
from methods import CORE, METHODS, Method
from rich.console import Console
from rich.table import Table

from momentum_jax.training import several_steps

STEPS_A_CALL, ALLOWED = 20, 1.05
SEVERAL = f"{STEPS_A_CALL} steps a call"
QUICK = ("heavy_ball", "nesterov", "adam")


def resnet50() -> dict[str, tuple[int, ...]]:
    """Name -> shape of the trainable leaves of ResNet-50 (He et al., 2016), convolutions as height, width, in, out."""

    def convolution(name: str, size: int, fan_in: int, out: int) -> dict[str, tuple[int, ...]]:
        return {name: (size, size, fan_in, out), f"{name}_scale": (out,), f"{name}_bias": (out,)}

    shapes = convolution("stem", 7, 3, 64)
    fan_in = 64
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512))):
        for block in range(blocks):
            name = f"stage{stage}_block{block}"
            if block == 0:
                shapes |= convolution(f"{name}_projection", 1, fan_in, 4 * width)
            shapes |= convolution(f"{name}_reduce", 1, fan_in, width)
            shapes |= convolution(f"{name}_middle", 3, width, width)
            shapes |= convolution(f"{name}_expand", 1, width, 4 * width)
            fan_in = 4 * width
    return shapes | {"head": (2048, 1000), "head_bias": (1000,)}


def small_leaves(count: int) -> dict[str, tuple[int, ...]]:
    """Name -> shape of leaves of 8 to 512 elements."""
    kinds = ((64,), (8,), (16, 16), (3, 3, 8, 4), (32, 16))
    return {f"leaf{i:04}": kinds[i % len(kinds)] for i in range(count)}


def transformer() -> dict[str, tuple[int, ...]]:
    """Name -> shape of the 144 kernels of 12 layers of width 128: 12 in each layer, of 4 shapes."""
    kinds = {(128, 128): 6, (128, 512): 3, (512, 128): 1, (128, 256): 2}
    kernels = [shape for shape, count in kinds.items() for _ in range(count)]
    return {f"layer{layer:02}_kernel{i:02}": shape for layer in range(12) for i, shape in enumerate(kernels)}


EVERYDAY = {"resnet50": resnet50} | {f"{count}_leaves": partial(small_leaves, count) for count in (400, 2000)}
TREES = EVERYDAY | {"transformer": transformer}


def random_tree(shapes: dict[str, tuple[int, ...]], seed: int, scale: float) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {name: scale * generator.standard_normal(shape, np.float32) for name, shape in sorted(shapes.items())}


class JaxContestant:
    """One optimizer's update and `apply_updates`, compiled into one program that takes over parameters and state."""

    def __init__(self, optimizer: optax.GradientTransformation, params: Any, gradients: Any, extra: Mapping[str, Any]):
        update = optax.with_extra_args_support(optimizer).update

        # What is donated comes in the order of what is returned: JAX pairs them in order, by shape and dtype alone, and a
        # parameter paired with a moment costs a copy of both (heavy ball, 25 million parameters: 14 ms in order, 110 crossed).
        def step(params: Any, state: Any, gradients: Any) -> tuple[Any, Any]:
            updates, state = update(gradients, state, params, **extra)
            return optax.apply_updates(params, updates), state

        self.gradients = gradients
        self.params = jax.tree.map(jnp.array, params)
        self.state = jax.jit(optimizer.init)(self.params)
        clocks = [_clocks()]
        lowered = jax.jit(step, donate_argnums=(0, 1)).lower(self.params, self.state, gradients)
        clocks.append(_clocks())
        self.step = lowered.compile()
        clocks.append(_clocks())
        (self.trace, self.trace_cpu), (self.compile, self.compile_cpu) = np.diff(clocks, axis=0).tolist()

    def again(self, params: Any) -> "JaxContestant":
        """The same program on parameters and a state of its own."""
        twin = copy.copy(self)
        twin.params, twin.state = jax.tree.map(jnp.array, params), jax.tree.map(jnp.array, self.state)
        return twin

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.params, self.state = self.step(self.params, self.state, self.gradients)
        jax.block_until_ready((self.params, self.state))

    def values(self) -> list[np.ndarray]:
        return [np.asarray(p) for p in self.params.values()]


class SeveralSteps:
    """`STEPS_A_CALL` updates in one program; `run` counts calls."""

    def __init__(self, optimizer: optax.GradientTransformation, params: Any, gradients: Any, extra: Mapping[str, Any]):
        update = optax.with_extra_args_support(optimizer).update

        def step(carry: Any, _: Any) -> tuple[Any, None]:
            params, state, gradients = carry
            updates, state = update(gradients, state, params, **extra)
            return (optax.apply_updates(params, updates), state, gradients), None

        params = jax.tree.map(jnp.array, params)
        self.carry = (params, jax.jit(optimizer.init)(params), jax.tree.map(jnp.array, gradients))
        self.call, self.steps = several_steps(step, STEPS_A_CALL), np.arange(STEPS_A_CALL)

    def run(self, calls: int) -> None:
        for _ in range(calls):
            self.carry, _ = self.call(self.carry, self.steps)
        jax.block_until_ready(self.carry)

    def values(self) -> list[np.ndarray]:
        return [np.asarray(p) for p in self.carry[0].values()]


class TorchContestant:
    """PyTorch's optimizer over the same tensors; gradients are set once, as a backward pass would have left them."""

    def __init__(self, make: Callable[..., Any], params: Any, gradients: Any, **mode: bool):
        self.params = [torch.nn.Parameter(torch.tensor(p)) for p in params.values()]
        for parameter, gradient in zip(self.params, gradients.values(), strict=True):
            parameter.grad = torch.tensor(gradient)
        self.optimizer = make(self.params, **mode)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.optimizer.step()

    def values(self) -> list[np.ndarray]:
        return [p.detach().numpy() for p in self.params]


def contest(method: Method, tree: str, repeats: int, seconds: float) -> dict[str, Any]:
    """Time all contestants of one method on one tree; what a row of the table and an entry of the JSON file hold."""
    shapes = TREES[tree]()
    params, gradients = random_tree(shapes, 0, 0.1), random_tree(shapes, 1, 0.1)
    on_device = jax.tree.map(jnp.asarray, gradients)
    jax.clear_caches()
    contestants: dict[str, Any] = {
        "ours": JaxContestant(method.ours(), params, on_device, method.extra),
        "optax": JaxContestant(method.optax(), params, on_device, method.extra),
    }
    if method.torch:
        contestants["torch loop"] = TorchContestant(method.torch, params, gradients, foreach=False)
        contestants["torch foreach"] = TorchContestant(method.torch, params, gradients, foreach=True)
    contestants["optax again"] = contestants["optax"].again(params)
    contestants[SEVERAL] = SeveralSteps(method.ours(), params, on_device, method.extra)
    if method.torch and method.has_fused:
        contestants["torch fused"] = TorchContestant(method.torch, params, gradients, fused=True)
    for name, contestant in contestants.items():
        contestant.run(1 if name == SEVERAL else STEPS_A_CALL)
    start = list(params.values())
    differences = {
        name: largest_difference(contestants["ours"].values(), contestant.values(), start)
        for name, contestant in contestants.items()
        if name != "ours"
    }
    # PyTorch's eps stands elsewhere in RMSprop and Adagrad, so its difference is reported and not judged.
    if method.equivalent and differences["optax"] > 1e-3:
        raise ValueError(f"update: {method.name} on {tree} must do what Optax's does, got {differences['optax']:.1e} off.")
    times = interleaved({name: c.run for name, c in contestants.items()}, repeats=repeats, seconds=seconds)
    times[SEVERAL] = Times(*([second / STEPS_A_CALL for second in sample] for sample in times[SEVERAL]))
    compiled = {name: contestants[name] for name in ("ours", "optax")}
    return {
        "method": method.name,
        "tree": tree,
        "leaves": len(shapes),
        "parameters": sum(math.prod(shape) for shape in shapes.values()),
        "equivalent": method.equivalent,
        **timed(times),
        "trace_seconds": {name: {"wall": c.trace, "cpu": c.trace_cpu} for name, c in compiled.items()},
        "compile_seconds": {name: {"wall": c.compile, "cpu": c.compile_cpu} for name, c in compiled.items()},
        "largest_difference_to_ours": differences,
    }


def timed(times: Mapping[str, Times]) -> dict[str, Any]:
    """Seconds a step of each contestant and their ratios to Optax's, with every round."""
    return {
        "seconds_per_step": {name: Summary.of(t.wall)._asdict() for name, t in times.items()},
        "time_relative_to_optax": {name: ratio(t.wall, times["optax"].wall)._asdict() for name, t in times.items()},
        "cpu_seconds_per_step": {name: Summary.of(t.cpu)._asdict() for name, t in times.items()},
        "cpu_time_relative_to_optax": {name: ratio(t.cpu, times["optax"].cpu)._asdict() for name, t in times.items()},
        "rounds": {name: t._asdict() for name, t in times.items()},
    }


def largest_difference(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray], start: Sequence[np.ndarray]) -> float:
    """Largest difference of two results, in units of the largest way that a parameter went."""
    way = max(float(np.max(np.abs(a - s))) for a, s in zip(ours, start, strict=True))
    return max(float(np.max(np.abs(a - b))) for a, b in zip(ours, theirs, strict=True)) / way


def table(rows: Sequence[dict[str, Any]], tree: str) -> Table:
    rows = [row for row in rows if row["tree"] == tree]
    title = f"One update, {rows[0]['leaves']:,} leaves, {rows[0]['parameters'] / 1e6:.1f} M parameters, in ms"
    result = Table(
        title=title,
        caption="Ratios to Optax: median over the rounds, quartiles in brackets; cpu: in processor time, summed over threads. "
        f"Red: slower than its equivalent by more than {ALLOWED - 1:.0%}, in 3 of 4 rounds or in processor time.",
    )
    columns = ("ours", "optax", "ours / optax", "cpu", "optax again", "cpu", SEVERAL, "optax / it, cpu")
    for name in ("method", *columns, "torch loop", "foreach", "fused", "compile ours", "optax"):
        result.add_column(name, justify="left" if name == "method" else "right")
    for row in rows:
        ratios, seconds = row["time_relative_to_optax"], row["seconds_per_step"]
        cpu, trace, compiled = row["cpu_time_relative_to_optax"], row["trace_seconds"], row["compile_seconds"]
        slow = row["equivalent"] and max(ratios["ours"]["low"], cpu["ours"]["median"]) > ALLOWED
        cells = [
            row["method"] if row["equivalent"] else f"{row['method']} (not the same)",
            _ms(seconds["ours"]),
            _ms(seconds["optax"]),
            f"[red]{_ratio(ratios['ours'])}[/red]" if slow else _ratio(ratios["ours"]),
            f"{cpu['ours']['median']:.3f}",
            _ratio(ratios["optax again"]),
            f"{cpu['optax again']['median']:.3f}",
            _ms(seconds[SEVERAL]),
            f"{1 / cpu[SEVERAL]['median']:.1f}",
        ]
        for name in ("torch loop", "torch foreach", "torch fused"):
            cells.append(f"{_ms(seconds[name])} ({ratios[name]['median']:.2f})" if name in ratios else "")
        result.add_row(*cells, *(f"{trace[name]['wall'] + compiled[name]['wall']:.1f} s" for name in ("ours", "optax")))
    return result


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _ms(summary: dict[str, float]) -> str:
    return f"{1e3 * summary['median']:.2f}"


def _ratio(summary: dict[str, float]) -> str:
    return f"{summary['median']:.3f} \\[{summary['low']:.3f}, {summary['high']:.3f}]"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"5 rounds of 0.05 s, of {', '.join(QUICK)} only")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "update.json")
    parser.add_argument("--methods", nargs="+", choices=[m.name for m in METHODS], default=None)
    parser.add_argument("--trees", nargs="+", choices=list(TREES), default=list(EVERYDAY))
    options = parser.parse_args(arguments)
    repeats, seconds = (5, 0.05) if options.quick else (15, 0.2)
    chosen = options.methods or (QUICK if options.quick else [method.name for method in CORE])
    console = Console(width=None if sys.stdout.isatty() else 190)
    report = {
        "machine": machine() | {"device": jax.devices()[0].device_kind, "torch_threads": torch.get_num_threads()},
        "versions": versions("momentum_jax", "jax", "jaxlib", "optax", "torch", "numpy"),
        "repeats": repeats,
        "seconds_a_repeat": seconds,
    }
    rows: list[dict[str, Any]] = []
    for tree in options.trees:
        for method in METHODS:
            if method.name in chosen:
                rows.append(contest(method, tree, repeats, seconds))
                gc.collect()
                console.print(f"{tree}: {method.name} done", style="dim")
        console.print(table(rows, tree))
    write_json(options.output, report | {"rows": rows})
    console.print(f"Written to {options.output}.")


if __name__ == "__main__":
    main()
