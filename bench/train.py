"""Training speed: this library beside a PyTorch loop, torch.func.vmap, Flax NNX's documented loop and Keras on JAX.

    pip install -e ".[bench]" && python bench/train.py

Two nets (784-256-256-10 ReLU, cross-entropy, batch 100; 196-100-50-10 sigmoid, squared error, batch 64), one run and 44 runs.
All train on the same images, 50,000 with a picture per class and noise, and must learn them: the loss at the end is shown.
They take turns in one process; a ratio is of neighbours in time. Compile time is apart, and nothing is evaluated meanwhile.
"""

import argparse
import gc
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from momentum_jax.training import use_all_cpu_cores

use_all_cpu_cores()

from measure import Summary, interleaved, machine, ratio, versions, write_json  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from train_nets import NETS, Data, Net  # noqa: E402
from train_peers import Ours, contestants, device_kind  # noqa: E402

OURS = "momentum_jax"
# Which peers each target is about, by the beginning of their names: (net, runs) -> (target, aim, peers).
TARGETS = {
    (0, 1): (("best peer", 1.2, 1.5, ("torch", "Flax", "Keras")),),
    (1, 1): (("PyTorch", 2.7, 4.5, ("torch loop", "torch fused")),),
    (1, 44): (
        ("PyTorch, one after the other", 7.0, 9.0, ("torch loop", "torch fused")),
        ("torch.func.vmap", 1.9, 2.3, ("torch.func.vmap",)),
    ),
}


def contest(net: Net, runs: int, repeats: int, seconds: float) -> dict[str, Any]:
    """Times all contestants; what the table and the JSON file hold of it."""
    data = Data.of(net)
    entered = contestants(net, data, runs)
    # In blocks: a single step says nothing about how many fit into a second.
    block = 100 if runs == 1 else 10
    blocks = {name: (lambda n, run=each.run: run(n * block)) for name, each in entered.items()}
    times = interleaved(blocks, repeats=repeats, seconds=seconds)
    ours = entered[OURS]
    assert isinstance(ours, Ours)
    rates = {name: [runs * block / second for second in found.wall] for name, found in times.items()}
    return {
        "net": net.name,
        "runs": runs,
        "steps_per_second": {name: Summary.of(found)._asdict() for name, found in rates.items()},
        "times_as_fast_as": {name: ratio(found.wall, times[OURS].wall)._asdict() for name, found in times.items()},
        "cpu_seconds_per_model_step": {
            name: Summary.of([second / (runs * block) for second in found.cpu])._asdict() for name, found in times.items()
        },
        "compile_seconds": {name: each.compile_seconds for name, each in entered.items()},
        "loss_at_the_end": {name: each.loss for name, each in entered.items()},
        "evaluation_milliseconds": ours.evaluation_milliseconds(),
        "steps_in_a_unit_of_rounds": runs * block,
        "rounds": {name: found._asdict() for name, found in times.items()},
    }


def verdicts(row: dict[str, Any], net: int) -> list[dict[str, Any]]:
    """Each target beside what was measured: the ratio to the fastest of the peers that it names."""
    found = []
    for label, target, aim, peers in TARGETS.get((net, row["runs"]), ()):
        named = {name: each for name, each in row["times_as_fast_as"].items() if name.startswith(peers)}
        fastest = min(named, key=lambda name: named[name]["median"])
        found.append({"target": label, "at_least": target, "aim": aim, "peer": fastest, **named[fastest]})
    return found


def table(row: dict[str, Any]) -> Table:
    """One net and number of runs."""
    runs = row["runs"]
    shown = Table(
        title=f"{row['net']}: {runs} run{'s' * (runs > 1)}",
        caption="Ratio of times, ours being 1: median over the rounds, quartiles in brackets. "
        f"Evaluating 10,000 examples takes momentum_jax {row['evaluation_milliseconds']:.0f} ms.",
    )
    for name in ("contestant", "model-steps/s", "quartiles", "momentum_jax is faster", "compile", "loss"):
        shown.add_column(name, justify="left" if name == "contestant" else "right")
    for name, rate in sorted(row["steps_per_second"].items(), key=lambda item: -item[1]["median"]):
        times = row["times_as_fast_as"][name]
        shown.add_row(
            name,
            f"{rate['median']:,.0f}",
            f"{rate['low']:,.0f} - {rate['high']:,.0f}",
            "" if name == OURS else f"{times['median']:.2f} x \\[{times['low']:.2f}, {times['high']:.2f}]",
            f"{row['compile_seconds'][name]:.1f} s",
            f"{row['loss_at_the_end'][name]:.3f}",
        )
    return shown


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="5 rounds of 0.3 s instead of 9 of 2 s")
    parser.add_argument("--runs", nargs="+", type=int, default=[1, 44], help="how many runs at once (default: 1 44)")
    parser.add_argument("--nets", nargs="+", type=int, choices=[1, 2], default=[1, 2], help="which nets (default: both)")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "train.json")
    options = parser.parse_args(arguments)
    if min(options.runs) < 1:
        parser.error(f"--runs must be at least 1, got {min(options.runs)}.")
    repeats, seconds = (5, 0.3) if options.quick else (9, 2.0)
    console = Console(width=None if sys.stdout.isatty() else 140)
    report = {
        "machine": machine() | {"device": device_kind()},
        "versions": versions("momentum_jax", "jax", "jaxlib", "optax", "flax", "torch", "keras", "numpy"),
        "repeats": repeats,
        "seconds_a_repeat": seconds,
    }
    rows: list[dict[str, Any]] = []
    for number in options.nets:
        for runs in options.runs:
            row = contest(NETS[number - 1], runs, repeats, seconds)
            row["targets"] = verdicts(row, number - 1)
            rows.append(row)
            console.print(table(row))
            for found in row["targets"]:
                console.print(
                    f"{found['target']}: {found['median']:.2f} x \\[{found['low']:.2f}, {found['high']:.2f}] against "
                    f"{found['peer']}; at least {found['at_least']}, aim {found['aim']}"
                )
            gc.collect()
    write_json(options.output, report | {"rows": rows})
    console.print(f"Written to {options.output}.")


if __name__ == "__main__":
    main()
