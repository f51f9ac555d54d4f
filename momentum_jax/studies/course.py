"""Sharpness in the course of training, beside what was predicted where it began.

The runs of a store keep no parameters from their midst. So each linear arm is trained once more from the first seed, up to each
share of its budget: batches and keys are functions of seed and step, and a shorter run is the beginning of a longer one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from momentum_jax.studies.arm import Arm
from momentum_jax.studies.errors import StudyError
from momentum_jax.studies.expression import Expression
from momentum_jax.studies.material import Variants, said_in_one_line
from momentum_jax.studies.predicted import PredictedArm, StudyPrediction
from momentum_jax.studies.prediction import predict_with
from momentum_jax.studies.quadratic_model import sharpness_at, start_of
from momentum_jax.studies.resolve import resolve, settle
from momentum_jax.studies.study import Study
from momentum_jax.training import train_many


def course(
    study: Study, chosen: Mapping[str, Expression], variants: Variants, devices: Sequence[Any] | None = None
) -> StudyPrediction:
    """The prediction of a study's arms as they were settled, and their sharpness at the shares that `study.prediction` has.

    Args:
      chosen: the expression of each arm by its label.
      variants: the study's material.
      devices: as in `run_study`.

    Raises:
      StudyError: as `predict_study`.
    """
    if study.prediction is None:
        raise StudyError("course: the study must say at which shares of the budget, by its prediction.")
    settled = replace(study, arms=tuple(replace(arm, optimizer=chosen[arm.label].text) for arm in study.arms))
    found = predict_with(settled, variants, study.seeds[0])
    linear = {told.label for told in found.arms if told.limit is not None}
    alike: dict[str, list[Arm]] = {}
    for arm in settled.arms:
        if arm.label in linear:
            alike.setdefault(repr(sorted(arm.factors.items())), []).append(arm)
    measured: dict[str, list[tuple[int, float | None]]] = {label: [] for label in linear}
    for arms in alike.values():
        for share in study.prediction.at:
            for arm, step, value in _measured(settled, arms, variants, share, devices):
                measured[arm.label].append((step, value))

    def beside(told: PredictedArm) -> PredictedArm:
        points = measured.get(told.label, [])
        return replace(told, steps=tuple(step for step, _ in points), sharpness=tuple(value for _, value in points))

    return replace(found, at=study.prediction.at, arms=tuple(map(beside, found.arms)))


def _measured(
    study: Study, arms: Sequence[Arm], variants: Variants, share: float, devices: Sequence[Any] | None
) -> list[tuple[Arm, int, float | None]]:
    """Of arms of one budget and one problem: the step of that share, and the largest curvature there; None: it diverged."""
    whole, own = variants.of(arms[0].factors), study.with_factors(arms[0].factors)
    seed, step = study.seeds[0], round(share * own.steps)
    if step == 0:
        value = sharpness_at(whole, seed, start_of(whole.problem, seed))
        return [(arm, 0, value) for arm in arms]
    optimizers = [settle(resolve(arm.expression, study.load, whole.problem.axes), whole.params) for arm in arms]
    with said_in_one_line():
        trained = train_many(
            jax.vmap(jax.random.key)(np.full(len(arms), seed, np.uint32)),
            [optimizer.make for optimizer in optimizers],
            [optimizer.numbers for optimizer in optimizers],
            whole.problem,
            steps=step,
            batch_size=whole.batch,
            sampling=study.sampling,
            splits=np.full(len(arms), whole.seeds[seed]),
            evaluate_at=step,
            devices=devices,
            keep_params=True,
        )
    found = []
    for arm, run in zip(arms, sorted(trained.runs, key=lambda run: run.run), strict=True):
        value = None if run.diverged >= 0 else sharpness_at(whole, seed, (run.params, run.model_state))
        found.append((arm, step, value))
    return found
