"""What a study will take, and what it cannot answer: known before it runs.

Time is estimated from a few steps and evaluations on one device, and a few batches of a stream, times those to come; disk
from the sizes of the arrays that are stored. Both are said as "about".
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from momentum_jax._text import quoted
from momentum_jax.studies import jobs
from momentum_jax.studies.analysis.claims import fewest_seeds
from momentum_jax.studies.material import Material
from momentum_jax.studies.study import Study
from momentum_jax.training import Stream, Table

# Operations of a study that takes seconds anywhere: not worth the measurement.
_LITTLE = 2e10
# Of a run in the store, besides its arrays: a line of numbers, names and digests of arrays.
_BYTES_OF_A_LINE = 3_000
_LOOKED_AT = 1_000
# Batches of a stream that are drawn to be timed.
_DRAWN = 3


@dataclass(frozen=True)
class Outlook:
    """What lies before a study that is about to run.

    `tuning` and `reporting` are all its runs, `stored` those that were made before. `seconds` is an estimate of the training
    and evaluation to come (None: so little that it was not measured) on `devices` devices, at most that where `is_bound`;
    `bytes` what the runs take on disk. `cautions` are sentences on what the study cannot answer.
    """

    tuning: int
    reporting: int
    stored: int
    devices: int
    seconds: float | None
    is_bound: bool
    bytes: int
    cautions: tuple[str, ...]

    @property
    def left(self) -> int:
        """Runs still to be made."""
        return self.tuning + self.reporting - self.stored


def outlook(
    study: Study,
    directory: Path,
    material: Material,
    *,
    tuning: int,
    reporting: int,
    stored: int,
    devices: Sequence[Any] | None = None,
) -> Outlook:
    """That of a study whose runs of the tuning and after it are so many, `stored` of them made before."""
    chosen = list(devices or jax.local_devices())
    left = tuning + reporting - stored
    each = 4 * study.steps + (4 + 4 * len(material.scores.ranked)) * _evaluations(study) + _BYTES_OF_A_LINE
    size = left * each
    cautions = [*_of_seeds(study), *_of_ranges(study), *_of_target(study, material), *_of_disk(directory, size)]
    used = max(1, min(len(chosen), left))
    return Outlook(
        tuning=tuning,
        reporting=reporting,
        stored=stored,
        devices=used,
        seconds=_seconds(study, material, left, used),
        # Other devices take many runs at a time.
        is_bound=chosen[0].platform != "cpu",
        bytes=size,
        cautions=tuple(cautions),
    )


def _of_seeds(study: Study) -> list[str]:
    fewest = fewest_seeds(study)
    if fewest is None or len(study.seeds) >= fewest:
        return []
    count = f"{len(study.seeds)} seed{'s' * (len(study.seeds) > 1)}"
    return [f"With {count} no difference between arms can be shown; {fewest} are needed."]


def _of_ranges(study: Study) -> list[str]:
    if study.tuned and study.search.trials == 1:
        return ["One trial of every arm is asked for, so nothing is chosen among."]
    one = [arm.label for arm in study.tuned if len(jobs.trials(study, arm)) == 1]
    return [f"The ranges of arm {quoted(label)} hold one point, so it is not tuned." for label in one]


def _of_target(study: Study, material: Material) -> list[str]:
    if study.target is None:
        return ["No target is given, so steps to a target are not reported."]
    score, problem = material.scores[study.target_on(material.scores)], material.problem
    _, measured = _batches(study, material)
    key, _, _ = jax.random.split(jax.random.key(study.seeds[0]), 3)

    def untrained(batch: Any) -> jax.Array:
        params, state = problem.init(key)
        return problem.scores[score.name](problem.measure(params, state, batch, key))

    found = float(jax.jit(untrained)(measured))
    if not score.sign * found >= score.sign * study.target:
        return []
    what = "network" if study.problem is None else "problem"
    return [f"The untrained {what}'s validation {score.name}, {found:.3g}, meets the target of {study.target:g} already."]


def _batches(study: Study, material: Material) -> tuple[Any, Any]:
    data, seed = material.problem.data, study.seeds[0]
    if isinstance(data, Table):
        train, validation, _ = data.split(material.seeds[seed])
        train = np.resize(np.asarray(train), material.batch or len(train))
        return tuple(_rows(data, np.asarray(rows)) for rows in (train, validation[:_LOOKED_AT]))  # pyright: ignore
    if isinstance(data, Stream) and data.validation is not None:
        return data.train(seed, 0), next(iter(data.validation()))
    return None, None


def _rows(table: Table, rows: np.ndarray) -> Any:
    arrays = jax.tree.map(lambda array: jnp.asarray(np.asarray(array)[rows]), table.arrays)
    return jax.jit(table.take)(arrays, jnp.arange(len(rows)))


def _of_disk(directory: Path, size: int) -> list[str]:
    free = shutil.disk_usage(directory).free
    return [] if size <= free else [f"The runs take about {in_bytes(size)}; the disk of {directory} has {in_bytes(free)}."]


def _evaluations(study: Study) -> int:
    return 1 + -(-study.steps // study.evaluate_every)


def _seconds(study: Study, material: Material, left: int, devices: int) -> float | None:
    """Of so many runs, each device busy with one at a time; None: too little to measure."""
    timed = _timing(study, material, least=_LITTLE / (left * study.steps)) if left else None
    if timed is None:
        return None
    step, evaluation, drawing = timed
    # One thread draws for all devices, while these work.
    step = max(step / devices, drawing)
    return left * (study.steps * _budgets(study) * step + _evaluations(study) * evaluation / devices)


def _budgets(study: Study) -> float:
    """The mean over arms of what they train on, in units of what the study says: of steps times batch."""
    own = (study.with_factors(arm.factors) for arm in study.arms)
    shares = [each.steps / study.steps * ((each.batch or study.batch or 1) / (study.batch or each.batch or 1)) for each in own]
    return sum(shares) / len(shares)


def _timing(study: Study, material: Material, *, least: float) -> tuple[float, float, float] | None:
    """Seconds of a step of gradient descent and of an evaluation on one device, and of a batch drawn from a stream; None where
    there is no stream and a step has fewer operations than `least`.
    """
    problem, key = material.problem, jax.random.key(0)
    batch, measured = _batches(study, material)
    params, state = jax.jit(problem.init)(key)
    gradient = jax.grad(lambda params: problem.loss(params, state, batch, key)[0])
    # Of one step as it is written, without compiling it.
    little = (jax.jit(gradient).lower(params).cost_analysis() or {}).get("flops", math.inf) < least
    if little and not isinstance(problem.data, Stream):
        return None

    @jax.jit
    def descend(params: Any, steps: int) -> Any:
        def step(_: Any, params: Any) -> Any:
            return jax.tree.map(lambda p, g: (p - 1e-6 * g).astype(p.dtype), params, gradient(params))

        return jax.lax.fori_loop(0, steps, step, params)

    measure = jax.jit(lambda params: problem.measure(params, state, measured, key))
    step = _spent(lambda count: descend(params, count))
    evaluation = _spent(lambda count: [measure(params) for _ in range(count)])
    data, drawing = problem.data, 0.0
    if isinstance(data, Table):
        rows = len(data.split(next(iter(material.seeds.values())))[1])
        evaluation *= rows / len(jax.tree.leaves(measured)[0])
    elif isinstance(data, Stream):
        evaluation, drawing = _of_stream(data, study.seeds[0], evaluation)
    return step, evaluation, drawing


def _of_stream(stream: Stream, seed: int, measuring: float) -> tuple[float, float]:
    """Seconds of an evaluation, whose every batch is read and takes `measuring`, and of a batch drawn to train on."""
    begun = time.perf_counter()
    for step in range(_DRAWN):
        stream.train(seed, step)
    drawn = time.perf_counter()
    batches = sum(1 for _ in stream.validation()) if stream.validation is not None else 0
    return time.perf_counter() - drawn + batches * measuring, (drawn - begun) / _DRAWN


def _spent(repeat: Callable[[int], Any]) -> float:
    """Seconds of one repetition, compilation apart, of as many as take a fifth of a second."""
    jax.block_until_ready(repeat(1))
    count, spent = 1, 0.0
    while spent < 0.2:
        count *= 4
        start = time.perf_counter()
        jax.block_until_ready(repeat(count))
        spent = time.perf_counter() - start
    return spent / count


def in_bytes(size: int) -> str:
    """A size as it is read: 3 kB, 2.1 MB, 40 GB."""
    power = min(4, max(1, int(math.log10(max(size, 1)) // 3)))
    value = size / 1000**power
    return f"{value:.{int(value < 10)}f} {' kMGT'[power]}B"


def in_time(seconds: float) -> str:
    """A time as it is read: 20 s, 3 min, 2.5 h."""
    for unit, length in (("s", 60.0), ("min", 60.0), ("h", math.inf)):
        if seconds < 0.99 * length:
            return f"{max(seconds, 1):.{int(unit == 'h' and seconds < 10)}f} {unit}"
        seconds /= length
    raise ValueError(f"in_time: seconds must be a number, got {seconds}.")
