"""What the benchmarks share: interleaved timing, ratios with their spread, what machine and versions a figure belongs to."""

import importlib.metadata
import json
import os
import platform
import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Summary(NamedTuple):
    """Median, quartiles and extremes of a sample."""

    median: float
    low: float
    high: float
    least: float
    most: float

    @classmethod
    def of(cls, sample: Sequence[float]) -> "Summary":
        return cls(*(float(q) for q in np.quantile(sample, [0.5, 0.25, 0.75, 0.0, 1.0])))


class Times(NamedTuple):
    """Seconds a step, one figure a round: by the clock, and of processor time summed over threads.

    Processor time is what to compare on a machine that others use as well; waiting threads that spin count in it.
    """

    wall: list[float]
    cpu: list[float]


def interleaved(
    contestants: Mapping[str, Callable[[int], None]], *, repeats: int, seconds: float, seed: int = 0
) -> dict[str, Times]:
    """How long a step of every contestant takes.

    In every round each contestant runs once, in a new random order, so that what else the machine does falls on all alike
    and a ratio within a round is of neighbours in time.

    Args:
      contestants: name -> `run(n)`, which takes n steps and returns when they are done; warmed up, compiled.
      repeats: rounds, at least 5.
      seconds: about how long one contestant runs in one round.
      seed: of the orders.
    """
    if repeats < 5:
        raise ValueError(f"interleaved: repeats must be at least 5, got {repeats}.")
    steps = {name: max(1, round(seconds / _once(run))) for name, run in contestants.items()}
    order, shuffle = list(contestants), random.Random(seed)
    times = {name: Times([], []) for name in contestants}
    for _ in range(repeats):
        shuffle.shuffle(order)
        for name in order:
            start, cpu_start = time.perf_counter(), time.process_time()
            contestants[name](steps[name])
            times[name].wall.append((time.perf_counter() - start) / steps[name])
            times[name].cpu.append((time.process_time() - cpu_start) / steps[name])
    return times


def ratio(times: Sequence[float], to: Sequence[float]) -> Summary:
    """Times of one contestant in times of another, round by round."""
    return Summary.of([a / b for a, b in zip(times, to, strict=True)])


def machine() -> dict[str, Any]:
    """Processor, cores that this process may use, system and load when the measurement began."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "date": time.strftime("%Y-%m-%d"),
    }


def products_per_second(side: int = 1024, seconds: float = 2.0) -> float:
    """The most float32 operations a second that NumPy's BLAS reaches on all cores, in products of square matrices.

    A yardstick of the machine on that day, not a limit: another library's products may be faster.
    """
    a, b = (np.random.default_rng(seed).standard_normal((side, side), np.float32) for seed in (0, 1))
    best, until = np.inf, time.perf_counter() + seconds
    while time.perf_counter() < until:
        begun = time.perf_counter()
        np.matmul(a, b)
        best = min(best, time.perf_counter() - begun)
    return 2 * side**3 / best


def versions(*distributions: str) -> dict[str, str]:
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in distributions}


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Written whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(content, indent=1) + "\n")
    temporary.replace(path)


def _once(run: Callable[[int], None]) -> float:
    start = time.perf_counter()
    run(2)
    return (time.perf_counter() - start) / 2


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
