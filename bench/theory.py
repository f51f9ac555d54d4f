"""What the theory costs, in processor seconds, and how near its searches and certificates come to closed forms.

    pip install -e ".[experiments]" && python bench/theory.py [--quick]

Each figure is the median of several runs in one process, processor time summed over threads. The first `linearize`, the first
reading of a family and the first `tune` hold the compiler's time; no compiled program is kept from an earlier run. Errors are
the largest over condition numbers from 4 to 1,000, beside `theory.tunings` and the rates of the methods' papers.

Exits with 1 where a bound is broken. Writes results/theory.json.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from measure import machine, versions, write_json
from rich.console import Console
from rich.table import Table

import momentum_jax as mj
from momentum_jax import theory
from momentum_jax.theory import tunings

RESULTS = Path(__file__).parent / "results" / "theory.json"
CURVATURES, PAIRS = 10_000, 100
KAPPAS = (4.0, 25.0, 100.0, 1000.0)
RATES, MOMENTA = (1e-4, 10.0), (0.0, 0.9999)


class Row(NamedTuple):
    """One figure and the most that is allowed: seconds of processor time, or an error."""

    what: str
    unit: str
    value: float
    allowed: float

    @property
    def is_kept(self) -> bool:
        return self.value <= self.allowed


def seconds(run: Callable[[], Any], repeats: int) -> float:
    """The median of processor seconds."""
    found = []
    for _ in range(repeats):
        begin = time.process_time()
        run()
        found.append(time.process_time() - begin)
    return float(np.median(found))


def first_times() -> list[Row]:
    """What the compiler's time is in: nothing of the kind was compiled before."""
    return [
        Row("linearize, heavy ball", "s", seconds(lambda: theory.linearize(mj.heavy_ball(0.1, 0.9)), 1), 1.0),
        Row("linearize, another method", "s", seconds(lambda: theory.linearize(mj.nesterov(0.1, 0.9)), 1), 1.0),
        Row("tune, heavy ball, first time", "s", seconds(lambda: tuned(mj.heavy_ball, 100.0), 1), 3.0),
    ]


def grids(repeats: int) -> list[Row]:
    """Rate and variance on all curvatures, for all pairs."""
    curvatures = np.geomspace(1e-3, 30, CURVATURES)
    one = theory.linearize_all(mj.heavy_ball, learning_rate=0.01, momentum=np.linspace(0, 0.99, PAIRS))

    def three_memories(learning_rate: Any, a: Any, b: Any) -> Any:
        return mj.aggregated_momentum(learning_rate, (0.5, a, b))

    three = theory.linearize_all(three_memories, learning_rate=0.01, a=0.9, b=np.linspace(0.91, 0.999, PAIRS))

    def on_all(function: Callable[..., Any], methods: Sequence[theory.Dynamics]) -> Callable[[], Any]:
        return lambda: [function(each, curvatures) for each in methods]

    what = f"{CURVATURES:,} curvatures x {PAIRS} methods"
    return [
        Row(f"rate, one memory, {what}", "s", seconds(on_all(theory.rate, one), repeats), 0.5),
        Row(f"rate, three memories, {what}", "s", seconds(on_all(theory.rate, three), repeats), 5.0),
        Row(f"variance, one memory, {what}", "s", seconds(on_all(theory.steady_state_variance, one), repeats), 2.0),
    ]


def one_method(repeats: int) -> list[Row]:
    read = theory.linearize(mj.heavy_ball(0.1, 0.9))

    def hundred(function: Callable[[], Any]) -> float:
        return seconds(lambda: [function() for _ in range(100)], repeats) / 100

    return [
        Row("rate of a Dynamics", "s", hundred(lambda: theory.rate(read, 1.0)), 1e-3),
        Row("stability limit of a Dynamics", "s", hundred(lambda: theory.stability_limit(read)), 1e-3),
    ]


def tuned(constructor: Callable[..., Any], kappa: float, **more: Any) -> tunings.Tuning:
    ranges = {"learning_rate": RATES, "momentum": MOMENTA, **more}
    return theory.tune(constructor, ranges, 1.0, kappa)


def searches(repeats: int) -> list[Row]:
    known = [
        (mj.heavy_ball, tunings.heavy_ball, {}),
        (mj.nesterov, tunings.nesterov_quadratic, {}),
        (mj.quasi_hyperbolic_momentum, tunings.quasi_hyperbolic_momentum, {"nu": (0.0, 2.0)}),
    ]
    rows = []
    for constructor, closed_form, more in known:
        rate_error = parameter_error = cost = 0.0
        for kappa in KAPPAS:
            found, best = tuned(constructor, kappa, **more), closed_form(1.0, kappa)
            rate_error = max(rate_error, abs(found.rate - best.rate))
            errors = [abs(found.hyperparameters[name] - value) for name, value in best.hyperparameters.items()]
            parameter_error = max(parameter_error, *errors)
            cost = max(cost, seconds(lambda each=(constructor, kappa, more): tuned(each[0], each[1], **each[2]), repeats))
        name = constructor.__name__
        rows += [
            Row(f"tune, {name}, compiled", "s", cost, 1.0),
            Row(f"tune, {name}, error of the rate", "", rate_error, 1e-9),
            Row(f"tune, {name}, error of the parameters", "", parameter_error, 1e-8),
        ]
    return rows


def certificates(repeats: int) -> list[Row]:
    cost = error = 0.0
    for kappa in KAPPAS:
        root = kappa**0.5
        middle = 1 - 0.5 / root - 0.5 / kappa
        methods = [
            (mj.gradient_descent(2 / (1 + kappa)), (kappa - 1) / (kappa + 1)),
            (mj.gradient_descent(1 / kappa), 1 - 1 / kappa),
            (mj.triple_momentum(strong_convexity=1.0, smoothness=kappa), 1 - 1 / root),
            (mj.robust_momentum(strong_convexity=1.0, smoothness=kappa, rate=middle), middle),
            (mj.nesterov(1 / kappa, (root - 1) / (root + 1)), None),
            (mj.heavy_ball(1 / kappa, 0.5), None),
        ]
        for optimizer, known in methods:
            read = theory.linearize(optimizer)
            found = theory.certified_rate(read, 1.0, kappa)
            error = max(error, abs(found.rate - known)) if known is not None else error
            cost = max(cost, seconds(lambda read=read, kappa=kappa: theory.certified_rate(read, 1.0, kappa), repeats))
    return [
        Row("certified rate, the slowest of 24", "s", cost, 0.2),
        Row("certified rate, error beside closed forms", "", error, 1e-7),
    ]


def measure(repeats: int) -> list[Row]:
    return [*first_times(), *grids(repeats), *one_method(repeats), *searches(repeats), *certificates(repeats)]


def table(rows: Sequence[Row]) -> Table:
    made = Table("what", "measured", "allowed", "of what is allowed", "kept")
    for row in rows:
        values = (f"{row.value:.3g} {row.unit}", f"{row.allowed:g} {row.unit}", f"{100 * row.value / row.allowed:.0f}%")
        made.add_row(row.what, *values, "yes" if row.is_kept else "NO")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one run of each: nothing is written")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    jax.config.update("jax_enable_compilation_cache", False)
    described = machine()
    rows = measure(1 if options.quick else 5)
    Console(width=None if sys.stdout.isatty() else 120).print(table(rows))
    if not options.quick:
        about = {"command": "python bench/theory.py", "machine": described}
        about |= {"versions": versions("momentum_jax", "numpy", "jax", "jaxlib")}
        write_json(options.output, about | {"rows": [{**row._asdict(), "kept": row.is_kept} for row in rows]})
        print(f"Written to {options.output.name}.")
    return 0 if all(row.is_kept for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
