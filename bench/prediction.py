"""Predictions beside trainings: of heavy ball's pairs on digits, how often the predicted order of two is that of their runs.

    python bench/prediction.py softmax tanh relu

For each net and budget: pairs of arms that the prediction orders, and how many of them training orders so; pairs that it calls
no different or undecided, and how many differ by less than 1% of the best decrease; arms of which it speaks. One seed.
"""

import itertools
import sys

import jax
import jax.numpy as jnp
import numpy as np

import momentum_jax as mj
from momentum_jax import theory
from momentum_jax.studies import Arm, Network, Study
from momentum_jax.studies.material import material
from momentum_jax.studies.quadratic_model import batch_of, quadratic_model, start_of
from momentum_jax.training import train_many

NETS = {
    "softmax": Network(hidden=()),
    "tanh": Network(hidden=(32,), activation="tanh"),
    "relu": Network(hidden=(64, 64)),
}
ARMS = [(rate / (3 if mu > 0.8 else 1), mu) for rate in (0.01, 0.03, 0.1, 0.3, 1.0) for mu in (0.0, 0.5, 0.9)]
# Batch (None: all rows) and steps.
BUDGETS = ((100, 50), (100, 500), (100, 2000), (None, 500))
SEED = 0


def decreases(whole, start, batch, steps):
    """Of the loss over the training rows, an arm each."""
    rates, momenta = map(np.array, zip(*ARMS, strict=True))
    trained = train_many(
        jax.vmap(jax.random.key)(np.full(len(ARMS), SEED, np.uint32)),
        mj.heavy_ball,
        {"learning_rate": rates, "momentum": momenta},
        whole.problem,
        steps=steps,
        batch_size=batch,
        splits=np.zeros(len(ARMS), int),
        evaluate_at=steps,
        keep_params=True,
    )
    data, key = whole.problem.data, jax.random.key(0)
    rows = data.take(jax.tree.map(jnp.asarray, data.arrays), jnp.asarray(data.split(whole.seeds[SEED])[0]))
    state = start_of(whole.problem, SEED)[1]
    losses = [float(whole.problem.loss(run.params, state, rows, key)[0]) for run in sorted(trained.runs, key=lambda r: r.run)]
    return {str(arm): start - loss for arm, loss in zip(ARMS, losses, strict=True)}


def main(names):
    for name in names:
        whole = material(Study(network=NETS[name], arms=(Arm("sgd(0.1)"),), seeds=(SEED,), noise_floor=False))
        model = quadratic_model(whole, SEED, 500)
        for batch, steps in BUDGETS:
            measured = decreases(whole, model.loss, batch, steps)
            draws = None if batch is None else batch_of(whole, SEED, "shuffle")
            arms = {str(arm): mj.heavy_ball(*arm) for arm in ARMS}
            found = theory.predict(arms, model.spectrum, steps, batch_size=draws)
            stable = [arm.label for arm in found.arms if arm.is_stable]
            best = max(measured[label] for label in stable)
            ordered, right, level, near = 0, 0, 0, 0
            places = {label: found.place(label) or 0 for label in arms}
            spoken = [arm.label for arm in found.arms if arm.decrease is not None]
            for one, other in itertools.combinations(spoken, 2):
                gap = measured[one] - measured[other]
                if places[one] == places[other]:
                    level, near = level + 1, near + (abs(gap) < 0.01 * best)
                else:
                    ordered, right = ordered + 1, right + ((places[one] < places[other]) == (gap > 0))
            said = f"{right} of {ordered} pairs in order, {found.ties}: {near} of {level} within 1%"
            print(
                f"{name}, batch {batch}, {steps} steps: {said}; speaks of {len(spoken)} of {len(stable)} stable arms",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:] or NETS)
