"""Stores of whole studies, made without training: every phase is there, the numbers are drawn from the run's name."""

import zlib

import numpy as np

from momentum_jax.studies import Arm, Search, Study, jobs
from momentum_jax.studies.scores import IMAGES
from momentum_jax.studies.store import Curves, Run, Store

ENVIRONMENT = {"versions": {"jax": "0"}, "backend": {"platform": "cpu", "device": "cpu"}, "data": "abc"}

# Gradient descent and momentum, each tuned.
TUNED = Study(
    steps=200,
    seeds=tuple(range(8)),
    evaluate_every=20,
    arms=(
        Arm("gradient_descent(log_uniform(0.001, 1))", "plain"),
        Arm("heavy_ball(log_uniform(0.001, 1), 0.9)", "moving"),
    ),
    search=Search(trials=2),
)


def made(directory, study, *, scores=IMAGES, diverged=lambda job: False, left_out=lambda job: False, **notes):
    """A store of the study's jobs; `diverged` and `left_out` choose among them. `scores` are those of its problem."""
    store = Store.create(directory, study, environment(study), scores=scores)
    store.note(machine={"system": "made by hand", "python": "3", "cores": 2})
    tuning = jobs.tuning(study)
    store.add([_row(study, scores, job, diverged(job)) for job in tuning if not left_out(job)])
    chosen = jobs.choose(study, scores, store.runs)
    reporting = jobs.reporting(study, chosen) if len(chosen) == len(study.arms) else []
    store.add([_row(study, scores, job, diverged(job)) for job in reporting if not left_out(job)])
    planned = len(tuning) + len(reporting)
    store.close("complete", planned=planned, seconds={"training": 3.0, "evaluation": 1.0, "compile": 2.0}, **notes)
    return store


def environment(study):
    if study.problem is None:
        return ENVIRONMENT
    return {**{name: ENVIRONMENT[name] for name in ("versions", "backend")}, "problem": {"loss": "abc"}}


def _row(study, scores, job, diverged):
    draw = np.random.default_rng(zlib.crc32(f"{job.optimizer}/{job.seed}".encode()))
    skill = np.random.default_rng(zlib.crc32(job.optimizer.encode())).uniform(0.7, 0.97)
    accuracy = float(np.clip(skill + 0.01 * draw.standard_normal(), 0.0, 1.0))
    right = round(100 * accuracy)
    confusion = {"confusion": ((right, 100 - right), (100 - right, right))} if study.problem is None else {}
    is_tested = scores.tested and job.phase != jobs.TUNING
    lost = {name: float("nan") for name in scores.names}
    run = Run(
        name=job.name,
        phase=job.phase,
        arm=job.arm,
        optimizer=job.optimizer,
        seed=job.seed,
        test={**_values(scores, accuracy), **confusion} if is_tested else {},
        validation=lost if diverged else _values(scores, accuracy - 0.01),
        diverged=7 if diverged else None,
        seconds=0.25,
        key=job.key(study, environment(study)),
        factors=dict(job.factors),
    )
    steps = np.arange(0, study.steps + 1, study.evaluate_every, dtype=np.int32)
    falling = np.exp(-5 * accuracy * steps / study.steps).astype(np.float32)
    train = np.exp(-5 * accuracy * np.arange(study.steps) / study.steps).astype(np.float32) + 0.01
    if diverged:
        train[7:] = np.nan
    curve = (accuracy * (1 - falling)).astype(np.float32)
    rising = {"mcc": 2 * curve - 1}
    curves = {score.name: rising.get(score.name, curve) if score.sign > 0 else falling for score in scores.ranked}
    return run, Curves(train, steps, curves)


def _values(scores, accuracy):
    known = {"mcc": 2 * accuracy - 1}
    return {score.name: known.get(score.name, accuracy) if score.sign > 0 else 1 - accuracy for score in scores.ranked}
