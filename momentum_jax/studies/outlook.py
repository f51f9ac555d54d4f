"""What a study will take, and what it cannot answer: known before it runs.

Time is estimated from a few gradients of the network on one device, times the steps to come; disk from the sizes of the arrays
that are stored. Both are said as "about".
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from momentum_jax._text import quoted
from momentum_jax.studies import jobs
from momentum_jax.studies.spec import Study
from momentum_jax.studies.statistics import FEWEST_PAIRS
from momentum_jax.training import Examples, Model
from momentum_jax.training.classification import classification

# Multiplications of a study that takes seconds anywhere: not worth the measurement.
_LITTLE = 1e10
# Of a run in the store, besides its arrays: a line of numbers, names and digests of arrays.
_BYTES_OF_A_LINE = 3_000
_LOOKED_AT = 1_000


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
    model: Model,
    examples: Examples,
    *,
    tuning: int,
    reporting: int,
    stored: int,
    devices: Sequence[Any] | None = None,
) -> Outlook:
    """That of a study whose runs of the tuning and after it are so many, `stored` of them made before."""
    chosen = list(devices or jax.local_devices())
    left = tuning + reporting - stored
    size = left * (4 * study.steps + 12 * _evaluations(study) + _BYTES_OF_A_LINE)
    cautions = [*_of_seeds(study), *_of_ranges(study), *_of_target(study, model, examples), *_of_disk(directory, size)]
    used = max(1, min(len(chosen), left))
    return Outlook(
        tuning=tuning,
        reporting=reporting,
        stored=stored,
        devices=used,
        seconds=_seconds(study, model, examples, left, used),
        # Other devices take many runs at a time.
        is_bound=chosen[0].platform != "cpu",
        bytes=size,
        cautions=tuple(cautions),
    )


def _of_seeds(study: Study) -> list[str]:
    if len(study.seeds) >= FEWEST_PAIRS or (len(study.arms) == 1 and not study.ladder):
        return []
    count = f"{len(study.seeds)} seed{'s' * (len(study.seeds) > 1)}"
    return [f"With {count} no difference between arms can be shown; {FEWEST_PAIRS} are needed."]


def _of_ranges(study: Study) -> list[str]:
    if study.tuned and study.search.trials == 1:
        return ["One trial of every arm is asked for, so nothing is chosen among."]
    one = [arm.label for arm in study.tuned if len(jobs.trials(study, arm)) == 1]
    return [f"The ranges of arm {quoted(label)} hold one point, so it is not tuned." for label in one]


def _of_target(study: Study, model: Model, examples: Examples) -> list[str]:
    if study.target is None:
        return ["No target is given, so steps to a target are not reported."]
    key, _, _ = jax.random.split(jax.random.key(study.seeds[0]), 3)
    x, y = _batch(model, examples, np.asarray(examples.validation)[0][:_LOOKED_AT])

    def loss(key: jax.Array) -> jax.Array:
        params, state = model.init(key)
        outputs, _ = model.apply(params, state, x, key=key, train=False)
        return jnp.mean(model.loss(outputs, y))

    found = float(jax.jit(loss)(key))
    if not found <= study.target:
        return []
    return [f"The untrained network's validation loss, {found:.3g}, meets the target of {study.target:g} already."]


def _of_disk(directory: Path, size: int) -> list[str]:
    free = shutil.disk_usage(directory).free
    return [] if size <= free else [f"The runs take about {in_bytes(size)}; the disk of {directory} has {in_bytes(free)}."]


def _evaluations(study: Study) -> int:
    return 1 + -(-study.steps // study.evaluate_every)


def _seconds(study: Study, model: Model, examples: Examples, left: int, devices: int) -> float | None:
    """Of the steps and the evaluations of so many runs, each device busy with one run at a time."""
    key = jax.random.key(0)
    params, state = jax.eval_shape(model.init, key)
    pixels = math.prod(np.shape(examples.images)[1:])
    weights = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)) * (pixels if study.network.channels else 1)
    # A step costs three passes, an evaluation one.
    passes = 3 * study.steps * study.batch + _evaluations(study) * np.shape(examples.validation)[1]
    if left == 0 or left * passes * weights < _LITTLE:
        return None
    params, state = jax.jit(model.init)(key)
    x, y = _batch(model, examples, np.resize(np.asarray(examples.train)[0], study.batch))

    def objective(params: Any) -> jax.Array:
        outputs, _ = model.apply(params, state, x, key=key, train=True)
        return jnp.mean(model.loss(outputs, y))

    @jax.jit
    def descend(params: Any, steps: int) -> Any:
        def step(_: Any, params: Any) -> Any:
            return jax.tree.map(lambda p, g: p - 1e-6 * g, params, jax.grad(objective)(params))

        return jax.lax.fori_loop(0, steps, step, params)

    jax.block_until_ready(descend(params, 1))
    steps, spent = 1, 0.0
    while spent < 0.2:
        steps *= 4
        start = time.perf_counter()
        jax.block_until_ready(descend(params, steps))
        spent = time.perf_counter() - start
    return left * spent / steps * passes / (3 * study.batch) / devices


def _batch(model: Model, examples: Examples, rows: np.ndarray) -> tuple[jax.Array, jax.Array]:
    arrays = tuple(jnp.asarray(np.asarray(array)[rows]) for array in (examples.images, examples.labels))
    table: Any = classification(model, examples).data
    return table.take(arrays, jnp.arange(len(rows)))


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
