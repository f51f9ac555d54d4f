"""A problem looked at before it is studied: its shapes, the scores of untrained parameters, what a run takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import optax

from momentum_jax.studies.errors import StudyError
from momentum_jax.studies.material import Material, material, said_in_one_line
from momentum_jax.studies.study import Study
from momentum_jax.training import Stream, Table, train_many
from momentum_jax.training.opaque import describe

# Of the first run, and the most of one that is long enough to be timed.
_STEPS, _MOST_STEPS = 20, 10_000
# Less than this measures how a run begins, not its steps.
_LEAST_SECONDS = 0.3


@dataclass(frozen=True)
class Inspection:
    """What `inspect_problem` found.

    entries, leaves, dtypes: of the parameters. state, data, batch: in words. run_bytes: parameters, state, gradient and losses.
    scores: name, value on the validation set with untrained parameters, and which way is better, in words.
    fingerprint: digests by what they are of.
    """

    entries: int
    leaves: int
    dtypes: str
    state: str
    data: str
    batch: str
    run_bytes: int
    data_bytes: int
    compile_seconds: float
    steps_per_second: float
    scores: tuple[tuple[str, str, str], ...]
    fingerprint: dict[str, str]


def inspect_problem(study: Study) -> Inspection:
    """Trains by gradient descent at rate 0, so that nothing diverges: 20 steps, and more where these are too few to be timed.

    Raises:
      StudyError: as `run_study` does for a problem that is not what `training.Problem` says.
    """
    whole = material(study)
    seed = study.seeds[0]

    def trained(steps: int) -> Any:
        return train_many(
            jax.random.key(seed)[None],
            optax.sgd,
            {"learning_rate": 0.0},
            whole.problem,
            steps=steps,
            batch_size=whole.batch,
            sampling=study.sampling,
            splits=[whole.seeds[seed]],
            devices=jax.local_devices()[:1],
        )

    with said_in_one_line():
        result, steps = trained(_STEPS), _STEPS
        spent = result.training_seconds
        if spent < _LEAST_SECONDS:
            steps = min(_MOST_STEPS, math.ceil(_STEPS * _LEAST_SECONDS / spent))
            spent = trained(steps).training_seconds
    (found,) = result.runs
    if found.diverged >= 0:
        what = f"loss of step {found.diverged}" if found.diverged < _STEPS else "score of the last evaluation"
        raise StudyError(f"Problem: the {what} is not finite, though the parameters are the untrained ones.")
    params, state = jax.eval_shape(whole.problem.init, jax.random.key(0))
    leaves = jax.tree.leaves(params)
    beside = len(jax.tree.leaves(state))
    return Inspection(
        entries=sum(math.prod(leaf.shape) for leaf in leaves),
        leaves=len(leaves),
        dtypes=", ".join(sorted({str(leaf.dtype) for leaf in leaves})),
        state=f"{beside} lea{'f' if beside == 1 else 'ves'} beside the parameters" if beside else "none",
        data=_data(whole, seed),
        batch=_batch(whole, seed),
        run_bytes=3 * _bytes(params) + _bytes(state) + 4 * study.steps,
        data_bytes=_bytes(whole.problem.data.arrays) if isinstance(whole.problem.data, Table) else 0,
        compile_seconds=result.compile_seconds,
        steps_per_second=steps / spent,
        scores=tuple(_scores(whole, found)),
        fingerprint={**whole.digests["problem"], **({"data": whole.digests["data"]} if "data" in whole.digests else {})},
    )


def _scores(whole: Material, run: Any) -> list[tuple[str, str, str]]:
    said = []
    for name, score in whole.problem.scores.items():
        if score.better is None:
            value = run.validation_kept.get(name, np.zeros(0))
            said.append((name, describe(value) if value.ndim else f"{value:g}", "kept, not ranked"))
        else:
            said.append((name, whole.scores[name].value(float(run.validation[name][0])), f"{score.better} is better"))
    return said


def _data(whole: Material, seed: int) -> str:
    data = whole.problem.data
    if data is None:
        return "none"
    if isinstance(data, Table):
        sizes = [len(np.asarray(part)) for part in data.split(whole.seeds[seed])]
        rows = " to train, {:,} to validate and {:,} to test with".format(*sizes[1:])
        return f"a table: {', '.join(map(describe, jax.tree.leaves(data.arrays)))}; {sizes[0]:,} rows{rows}"
    return "a stream"


def _batch(whole: Material, seed: int) -> str:
    data = whole.problem.data
    if data is None:
        return "no data"
    if isinstance(data, Stream):
        return ", ".join(map(describe, jax.tree.leaves(data.train(seed, 0))))
    rows = whole.batch or len(np.asarray(data.split(whole.seeds[seed])[0]))
    shapes = jax.eval_shape(data.take, data.arrays, jax.ShapeDtypeStruct((rows,), np.int32))
    return ", ".join(map(describe, jax.tree.leaves(shapes)))


def _bytes(tree: Any) -> int:
    return sum(math.prod(np.shape(leaf)) * np.dtype(getattr(leaf, "dtype", float)).itemsize for leaf in _sized(tree))


def _sized(tree: Any) -> list[Any]:
    """Typed keys have no NumPy dtype, and are small."""
    return [leaf for leaf in jax.tree.leaves(tree) if isinstance(getattr(leaf, "dtype", None), np.dtype)]
