"""Stores whose runs have the test accuracies that a test wants."""

import dataclasses

import numpy as np

from momentum_jax.studies import Arm, Search, Study, jobs
from momentum_jax.studies.analysis import analyse
from momentum_jax.studies.store import Store

ENVIRONMENT = {"versions": {}}
SEEDS = tuple(range(8))
PLAIN, CONTROL, MOMENTUM = "gradient_descent(0.01)", "gradient_descent(0.1)", "heavy_ball(0.01, 0.9)"
FIXED = Study(steps=400, seeds=SEEDS, target=0.5, arms=(Arm(PLAIN), Arm(MOMENTUM)))
# Off the mean by the same for all arms, as seeds are.
SHARED = np.array([0.3, -0.2, 0.1, 0.0, -0.4, 0.2, 0.1, -0.1]) / 100
OWN = np.array([0.02, -0.01, 0.03, -0.02, 0.01, 0.0, -0.03, 0.0]) / 100

# Steps to the target, one a seed of a budget of 400.
SPREAD = (200, 210, 190, 205, 195, 200, 215, 185)
ONCE = (390, *[None] * 7)
NEVER = (None,) * 8


def filled(directory, study, rows, scores, *, phases=None, curves=None, tuning=(), diverged=None, optimizers=None, flat=()):
    """A store of runs with these test accuracies: label -> one a seed. `flat`: arms whose validation accuracy never rises."""
    store = Store.create(directory, study, ENVIRONMENT)
    labels = [arm.label for arm in study.arms]
    falling = np.linspace(2, 0.25, study.steps, dtype=np.float32)
    made = []
    for label, values in scores.items():
        phase = (phases or {}).get(label, "report")
        rungs = [each for each in scores if each not in labels]
        name = f"arm-{labels.index(label)}" if label in labels else f"ladder/{rungs.index(label)}"
        for seed, value in zip(study.seeds, values, strict=True):
            optimizer = (optimizers or {}).get(label, label)
            run = rows.run(
                label, seed, accuracy=float(value), diverged=(diverged or {}).get((label, seed)), optimizer=optimizer
            )
            curve = (curves or {}).get(label, [2.0, 1.0, 0.4])
            # One curve for all seeds, or one a seed.
            curve = curve[list(study.seeds).index(seed)] if isinstance(curve[0], list) else curve
            arrays = rows.curves(curve, falling)
            if label in flat:
                arrays.validation["accuracy"][:] = 0.1
            made.append((dataclasses.replace(run, name=f"{name}/seed-{seed}", phase=phase), arrays))
    for run in tuning:
        made.append((run, rows.curves([2.0, 1.0], falling)))
    store.add([(dataclasses.replace(run, key=_key(study, run)), curves) for run, curves in made])
    store.close("complete")
    return Store.read(directory)


def _key(study, run):
    return jobs.Job(run.name, run.phase, run.arm, run.optimizer, run.seed).key(study, ENVIRONMENT)


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
            test={},
        )
        for number, (optimizer, accuracy) in enumerate(scores.items())
    ]


def tuned_pair(directory, rows, plain, moving, control=0.9, plain_range="log_uniform(0.001, 0.05)"):
    """Gradient descent and momentum, each tuned, and the ladder's two rungs, which are neither."""
    study = Study(
        steps=400,
        seeds=SEEDS,
        target=0.5,
        noise_floor=False,
        arms=(
            Arm(f"gradient_descent({plain_range})", "plain"),
            Arm("heavy_ball(log_uniform(0.001, 0.1), 0.9)", "moving"),
        ),
        search=Search(trials=1, seeds=(1000,)),
    )
    at = {"plain": "gradient_descent(0.03)", "moving": MOMENTUM}
    trials = [
        dataclasses.replace(
            rows.run(label, 1000, optimizer=at[label]), phase="tuning", name=f"tuning/arm-{n}/trial-0/seed-1000"
        )
        for n, label in enumerate(at)
    ]
    scores = {"plain": plain + SHARED, "moving": moving + SHARED + OWN, PLAIN: 0.8 + SHARED, CONTROL: control + SHARED - OWN}
    phases = {PLAIN: "ladder", CONTROL: "ladder"}
    return analyse(filled(directory, study, rows, scores, phases=phases, tuning=trials, optimizers=at))
