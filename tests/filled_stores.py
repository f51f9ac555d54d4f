"""Stores whose runs have the test accuracies that a test wants."""

import dataclasses

import numpy as np

from momentum_jax.studies import Arm, Study
from momentum_jax.studies.store import Store

SEEDS = tuple(range(8))
PLAIN, CONTROL, MOMENTUM = "gradient_descent(0.01)", "gradient_descent(0.1)", "heavy_ball(0.01, 0.9)"
FIXED = Study(steps=400, seeds=SEEDS, target=0.5, arms=(Arm(PLAIN), Arm(MOMENTUM)))
# Off the mean by the same for all arms, as seeds are.
SHARED = np.array([0.3, -0.2, 0.1, 0.0, -0.4, 0.2, 0.1, -0.1]) / 100
OWN = np.array([0.02, -0.01, 0.03, -0.02, 0.01, 0.0, -0.03, 0.0]) / 100


def filled(directory, study, rows, scores, *, phases=None, curves=None, tuning=(), diverged=None, optimizers=None):
    """A store whose runs have these test accuracies: label -> one a seed."""
    store = Store.create(directory, study, {"versions": {}})
    labels = [arm.label for arm in study.arms]
    made = []
    for label, values in scores.items():
        phase = (phases or {}).get(label, "report")
        name = f"arm-{labels.index(label)}" if label in labels else f"ladder/{label}"
        for seed, value in zip(study.seeds, values, strict=True):
            optimizer = (optimizers or {}).get(label, label)
            run = rows.run(
                label, seed, accuracy=float(value), diverged=(diverged or {}).get((label, seed)), optimizer=optimizer
            )
            curve = (curves or {}).get(label, [2.0, 1.0, 0.4])
            made.append((dataclasses.replace(run, name=f"{name}/seed-{seed}", phase=phase), rows.curves(curve)))
    for run in tuning:
        made.append((run, rows.curves([2.0, 1.0])))
    store.add(made)
    store.close("complete")
    return Store.read(directory)


def ladder_store(directory, rows, plain, control, momentum, **options):
    scores = {PLAIN: plain + SHARED, MOMENTUM: momentum + SHARED + OWN, CONTROL: control + SHARED - OWN}
    return filled(directory, FIXED, rows, scores, phases={CONTROL: "ladder"}, **options)


def tried(rows, scores):
    return [
        dataclasses.replace(
            rows.run("moving", 1000, accuracy=accuracy),
            name=f"tuning/arm-0/trial-{number}/seed-1000",
            phase="tuning",
            optimizer=optimizer,
            accuracy=float("nan"),
            confusion=(),
        )
        for number, (optimizer, accuracy) in enumerate(scores.items())
    ]
