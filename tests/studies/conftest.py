import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from momentum_jax.studies import Arm, Study, jobs
from momentum_jax.studies.expression import Expression
from momentum_jax.studies.store import Curves, Run, Store

ENVIRONMENT = {"versions": {"jax": "0"}}


def key_of(run, study, environment):
    """Of a run that was made for the study."""
    return jobs.Job(run.name, run.phase, run.arm, Expression.read(run.optimizer), run.seed).key(study, environment)


def make_run(arm, seed, *, accuracy=0.9, mcc=0.8, diverged=None, index=0, optimizer=""):
    confusion = ((8, 2), (1, 9))
    return Run(
        name=f"arm-{index}/seed-{seed}",
        phase="report",
        arm=arm,
        optimizer=optimizer or arm,
        seed=seed,
        test={"accuracy": accuracy, "loss": 0.3, "mcc": mcc, "confusion": confusion},
        validation={"accuracy": accuracy, "loss": 0.2, "mcc": mcc},
        diverged=diverged,
        seconds=1.5,
    )


# One a step of the studies that these are runs of.
FALLING = np.repeat(np.array((2.0, 1.0, 0.5, 0.25), np.float32), 100)


def make_curves(validation_loss, train_loss=FALLING):
    count = len(validation_loss)
    return Curves(
        np.asarray(train_loss, np.float32),
        100 * np.arange(count, dtype=np.int32),
        {"accuracy": np.linspace(0, 1, count, dtype=np.float32), "loss": np.asarray(validation_loss, np.float32)},
    )


@pytest.fixture
def rows():
    """Makes runs and curves by hand: `rows.run(arm, seed, ...)`, `rows.curves(validation_loss, train_loss)`."""
    return SimpleNamespace(run=make_run, curves=make_curves)


@pytest.fixture
def study():
    return Study(steps=400, seeds=(0, 1, 2), target=0.5, arms=(Arm("gradient_descent(0.1)"), Arm("sgd(0.1, 0.9)", "m")))


@pytest.fixture
def waves(study):
    """Two waves of two runs and one of one: an arm is not finished in the middle of the second."""
    rows = [
        (make_run(arm.label, seed, index=index, optimizer=arm.optimizer), make_curves([1.0, 0.6 - 0.1 * seed, 0.4]))
        for index, arm in enumerate(study.arms)
        for seed in study.seeds
    ]
    rows = [(dataclasses.replace(run, key=key_of(run, study, ENVIRONMENT)), curves) for run, curves in rows]
    return [rows[:2], rows[2:4], rows[4:]]


@pytest.fixture
def store(study, waves, tmp_path):
    made = Store.create(tmp_path / "store", study, ENVIRONMENT)
    for wave in waves:
        made.add(wave)
    made.close("complete")
    return made
