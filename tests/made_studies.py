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


def made(directory, study, *, diverged=lambda job: False, left_out=lambda job: False, **notes):
    """A store of the study's jobs; `diverged` and `left_out` choose among them."""
    store = Store.create(directory, study, ENVIRONMENT)
    store.note(machine={"system": "made by hand", "python": "3", "cores": 2})
    tuning = jobs.tuning(study)
    store.add([_row(study, job, diverged(job)) for job in tuning if not left_out(job)])
    chosen = jobs.choose(study, IMAGES, store.runs)
    reporting = jobs.reporting(study, chosen) if len(chosen) == len(study.arms) else []
    store.add([_row(study, job, diverged(job)) for job in reporting if not left_out(job)])
    planned = len(tuning) + len(reporting)
    store.close("complete", planned=planned, seconds={"training": 3.0, "evaluation": 1.0, "compile": 2.0}, **notes)
    return store


def _row(study, job, diverged):
    draw = np.random.default_rng(zlib.crc32(f"{job.optimizer}/{job.seed}".encode()))
    skill = np.random.default_rng(zlib.crc32(job.optimizer.encode())).uniform(0.7, 0.97)
    accuracy = float(np.clip(skill + 0.01 * draw.standard_normal(), 0.0, 1.0))
    right = round(100 * accuracy)
    tuning = job.phase == jobs.TUNING
    run = Run(
        name=job.name,
        phase=job.phase,
        arm=job.arm,
        optimizer=job.optimizer,
        seed=job.seed,
        test={} if tuning else {**_scores(accuracy), "confusion": ((right, 100 - right), (100 - right, right))},
        validation={name: float("nan") if diverged else value for name, value in _scores(accuracy - 0.01).items()},
        diverged=7 if diverged else None,
        seconds=0.25,
        key=job.key(study, ENVIRONMENT),
    )
    steps = np.arange(0, study.steps + 1, study.evaluate_every, dtype=np.int32)
    falling = np.exp(-5 * accuracy * steps / study.steps).astype(np.float32)
    train = np.exp(-5 * accuracy * np.arange(study.steps) / study.steps).astype(np.float32) + 0.01
    if diverged:
        train[7:] = np.nan
    curve = (accuracy * (1 - falling)).astype(np.float32)
    return run, Curves(train, steps, {"accuracy": curve, "loss": falling, "mcc": 2 * curve - 1})


def _scores(accuracy):
    return {"accuracy": accuracy, "loss": 1 - accuracy, "mcc": 2 * accuracy - 1}
