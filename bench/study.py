"""A whole study by the clock: the textbook's 44 runs, where the time goes, and how much memory more runs take.

    python bench/study.py [--quick] [--seeds 22]
    python bench/study.py --workers 2

The study is the textbook's (Fashion-MNIST at 14 x 14, 196-100-50-10 sigmoid, half squared error, 40,000 mini-batches of 64,
with and without momentum), run by `run_study` into a store, with all loss curves. Each measurement is a process of its own, so
that start-up and the peak of memory are its own. `--quick` takes 4,000 mini-batches.

Outside training is what is left of the process's time less training, start-up (imports and data) and compilation:
evaluation, storing, the report's numbers. Memory is the peak of the resident set; what a run needs by itself, its curves,
is printed beside the growth that more runs bring.

`--workers N` asks another question: what the study takes in N workers of one device each, beside one process of N devices. Both
have compiled before, and take turns in one process. Processor time is of all processes together.

Seconds of one machine say little of another, so beside them stands what the products of matrices of the training alone would
take at the speed of NumPy's products of 1,024 x 1,024 matrices on all cores there.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

# What the growth of memory is measured from has few seeds.
STEPS, BATCH, SEEDS, FEW = 40_000, 64, 22, 2
EVERY = 2_000
WIDTHS = (196, 100, 50, 10)


def operations_per_step() -> int:
    """Of the products of one step: each layer's forwards, for its weights' gradient and, but for the first, for its inputs'."""
    layers = [2 * BATCH * fan_in * fan_out for fan_in, fan_out in pairwise(WIDTHS)]
    return 3 * sum(layers) - layers[0]


def textbook_study(seeds: int, steps: int) -> Any:
    from momentum_jax.studies import Arm, Network, Study

    sigmoid = Network(WIDTHS[1:-1], "sigmoid", output_activation="sigmoid", initialization="uniform", loss="half_squared_error")
    return Study(
        dataset="fashion_mnist",
        size=14,
        network=sigmoid,
        steps=steps,
        batch=BATCH,
        sampling="replacement",
        seeds=tuple(range(seeds)),
        arms=(Arm("gradient_descent(1.0)"), Arm("heavy_ball(0.2, 0.9)")),
        evaluate_every=EVERY,
        ladder=False,
        noise_floor=False,
    )


def work(seeds: int, steps: int, directory: str) -> dict[str, Any]:
    """One study in this process: seconds by the part, and the peak of memory in MB."""
    begun = time.perf_counter()
    from momentum_jax.studies.analysis import analyse
    from momentum_jax.studies.run import run_study
    from momentum_jax.training import Progress, use_all_cpu_cores

    use_all_cpu_cores()
    study = textbook_study(seeds, steps)
    first: list[float] = []

    def note(progress: Progress) -> None:
        if not first:
            first.append(time.perf_counter() - begun)

    store = run_study(study, directory, on_progress=note)
    analyse(store)
    wall = time.perf_counter() - begun
    spent = store.manifest["seconds"]
    outside = wall - first[0] - spent["training"] - spent["compile"]
    return {
        "runs": len(store.runs),
        "wall": wall,
        "start": first[0],
        **spent,
        "outside": outside,
        "outside_share": outside / wall,
        "model_steps_per_second": len(store.runs) * steps / spent["training"],
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "curves_megabytes_per_run": steps * 4 / 2**20,
    }


def in_a_process(seeds: int, steps: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, __file__, "--work", str(seeds), str(steps), f"{directory}/study"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def beside_workers(count: int, seeds: int, steps: int, rounds: int = 5) -> dict[str, Any]:
    """The study in `count` workers and in one process of as many devices, in turns: processor seconds, and by the clock."""
    import psutil

    from momentum_jax.studies.executors.local_dask import local_workers
    from momentum_jax.studies.run import run_study
    from momentum_jax.training import use_all_cpu_cores

    use_all_cpu_cores(count)
    study, this = textbook_study(seeds, steps), psutil.Process()

    def processors() -> float:
        each = [this, *this.children(recursive=True)]
        return sum(times.user + times.system for times in (process.cpu_times() for process in each))

    def spent(**options: Any) -> tuple[float, float]:
        with tempfile.TemporaryDirectory() as directory:
            begun, before = time.perf_counter(), processors()
            run_study(study, f"{directory}/study", **options)
            return time.perf_counter() - begun, processors() - before

    taken: dict[str, list[tuple[float, float]]] = {"one_process": [], "workers": []}
    with local_workers(count) as executor:
        # Each worker meets both programs: so many chunks are handed out that none is left without one.
        spent()
        spent(executor=executor)
        for _ in range(rounds):
            taken["one_process"].append(spent())
            taken["workers"].append(spent(executor=executor))
    ratios = [[one / other for one, other in zip(*pair, strict=True)] for pair in zip(*taken.values(), strict=True)]
    clock, processor = ([ratio[which] for ratio in ratios] for which in range(2))
    return {
        "workers": count,
        "runs": 2 * seeds,
        "steps": steps,
        "seconds": {name: {"clock": [a for a, _ in each], "processor": [b for _, b in each]} for name, each in taken.items()},
        "efficiency_by_the_clock": sorted(clock),
        "efficiency_by_processor_time": sorted(processor),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="4,000 mini-batches instead of 40,000; of workers 1,000 instead of 4,000"
    )
    parser.add_argument(
        "--seeds", type=int, default=SEEDS, help=f"seeds of each of the two arms, above {FEW} (default: %(default)s)"
    )
    parser.add_argument("--workers", type=int, help="compare so many workers with one process of as many devices")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "study.json")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.work:
        seeds, steps, directory = options.work
        print(json.dumps(work(int(seeds), int(steps), directory)))
        return
    if options.workers:
        from measure import machine, versions, write_json

        found = beside_workers(
            options.workers, options.seeds, STEPS // (40 if options.quick else 10), 3 if options.quick else 5
        )
        for how in ("by_the_clock", "by_processor_time"):
            ratios = found[f"efficiency_{how}"]
            said = f"{ratios[len(ratios) // 2]:.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
            print(f"efficiency {how.replace('_', ' ')}: {said}")
        output = options.output.with_name("study_workers.json")
        write_json(
            output, {"machine": machine(), "versions": versions("momentum_jax", "jax", "jaxlib", "distributed"), **found}
        )
        print(f"Written to {output}.")
        return
    if options.seeds <= FEW:
        parser.error(f"--seeds must be above {FEW}, from which the growth of memory is measured, got {options.seeds}.")
    from measure import machine, products_per_second, versions, write_json

    steps = STEPS // 10 if options.quick else STEPS
    # Before and after: other work on the machine slows it for minutes.
    speeds = [products_per_second()]
    rows = []
    for seeds in (FEW, options.seeds):
        row = in_a_process(seeds, steps)
        rows.append(row)
        speeds.append(products_per_second())
        print(
            f"{row['runs']} runs of {steps:,}: "
            f"training {row['training']:.1f} s ({row['model_steps_per_second']:,.0f} steps/s), "
            f"start {row['start']:.1f} s, compilation {row['compile']:.1f} s, evaluation {row['evaluation']:.1f} s, "
            f"all outside training {row['outside']:.1f} s ({row['outside_share']:.1%} of {row['wall']:.1f} s), "
            f"peak {row['peak_megabytes']:,.0f} MB"
        )
    few, many = rows
    growth = (many["peak_megabytes"] - few["peak_megabytes"]) / (many["runs"] - few["runs"])
    print(f"memory grows by {growth:.2f} MB a run; its loss curve is {many['curves_megabytes_per_run']:.2f} MB")
    speed = max(speeds)
    limit = many["runs"] * steps * operations_per_step() / speed
    print(
        f"products of matrices alone, at NumPy's {speed / 1e9:,.0f} GFLOP/s: {limit:.1f} s; "
        f"training took {many['training'] / limit:.2f} times as long"
    )
    report = {"machine": machine(), "versions": versions("momentum_jax", "jax", "jaxlib", "optax", "flax", "numpy")}
    measured = {"steps": steps, "rows": rows, "megabytes_per_run": growth}
    yardstick = {"products_per_second": speeds, "operations_per_step": operations_per_step(), "products_alone_seconds": limit}
    write_json(options.output, report | measured | yardstick)
    print(f"Written to {options.output}.")


if __name__ == "__main__":
    main()
