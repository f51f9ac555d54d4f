"""Do small batches generalise better, and does noise escape minima? Batch size as the factor of a study (T4).

T4 says that small mini-batches have noisier gradients, that the noise carries training out of poor minima, and that so the net
generalises better. Batches of 512 are set against batches of 32 twice, for a larger batch can be had in two ways: for as many
examples it makes a sixteenth of the updates, for as many updates it sees sixteen times the examples. Every arm tunes its own
learning rate by as many trials; what it chose is run on fresh seeds. The rule of studies decides, by accuracy on the test set.
Beside it stands how far the loss on the test set is above that on the training examples.

Noise alone is tried on the surface of figure 11-5. Gradient descent starts at the bottom of the shallower minimum. The noise of
its gradients is normal, as of a mean over a batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from momentum_jax import landscapes
from momentum_jax.studies import Arm, Network, Search, Study
from momentum_jax.studies.analysis import Analysis, analyse
from momentum_jax.studies.store import Store
from momentum_jax.textbook.experiment import Claim, Experiment, Outcome, Surroundings, Table
from momentum_jax.textbook.trained import accuracies, mean_and_error, told, trained

SMALL, SAME_EXAMPLES, SAME_UPDATES = "batch 32", "equal-examples batch 512", "equal-updates batch 512"
BATCH, TIMES = 32, 16
_RANGE = "gradient_descent(log_uniform(0.02, 2))"


def _arms(steps: int) -> tuple[Arm, ...]:
    return (
        Arm(_RANGE, SMALL),
        Arm(_RANGE, SAME_EXAMPLES, {"batch": BATCH * TIMES, "steps": steps // TIMES}),
        Arm(_RANGE, SAME_UPDATES, {"batch": BATCH * TIMES}),
    )


STUDY = Study(
    dataset="fashion_mnist",
    size=14,
    examples=4096,
    network=Network(hidden=(64,)),
    steps=3200,
    batch=BATCH,
    seeds=tuple(range(12)),
    arms=_arms(3200),
    evaluate_every=200,
    search=Search(trials=8, seeds=(1000, 1001)),
    ladder=False,
    noise_floor=False,
    question=(SAME_UPDATES, SMALL),
)


@dataclass(frozen=True)
class Noise:
    """Gradient descent with noisy gradients: `runs` descents of so many `updates`; `spread` is of one example's gradient."""

    batches: tuple[int, ...] = (1, 4, 16, 64)
    learning_rate: float = 0.1
    spread: float = 1.0
    updates: int = 1000
    runs: int = 1000
    key: int = 0


@dataclass(frozen=True)
class Settings:
    """The study of the tuned arms, and the noise on the surface."""

    study: Study = STUDY
    noise: Noise = Noise()


@dataclass(frozen=True, eq=False)
class Data:
    """By arm: `accuracies` on the test set and `gaps`, test less training loss, (runs,) of fresh seeds; `trials` (n, 2),
    learning rate and held-out accuracy; what each chose. `escaped` by batch is the share of descents that left the shallower
    minimum.
    """

    accuracies: Mapping[str, np.ndarray]
    gaps: Mapping[str, np.ndarray]
    trials: Mapping[str, np.ndarray]
    chosen: Mapping[str, str]
    escaped: Mapping[int, float]


def measure(settings: Settings, surroundings: Surroundings) -> Outcome:
    study = settings.study
    with trained(study, surroundings) as store:
        analysis = analyse(store)
        scores = {arm.label: accuracies(store.of(arm.label)) for arm in study.arms}
        losses = {arm.label: _losses(store, arm) for arm in study.arms}
    chosen = {arm.label: arm.optimizer for arm in analysis.arms}
    gaps = {label: test - training for label, (training, test) in losses.items()}
    trials = {
        tuning.arm: np.array([(trial.values["learning_rate"], trial.means["accuracy"] or 0.0) for trial in tuning.trials])
        for tuning in analysis.tunings
    }
    escaped = _escaped(settings.noise)
    few, many = min(escaped), max(escaped)
    quantities: dict[str, object] = {
        **{_better(label): _direction(analysis, label) for label in (SAME_EXAMPLES, SAME_UPDATES)},
        **{_gain(label): float(np.mean(scores[SMALL] - scores[label])) for label in (SAME_EXAMPLES, SAME_UPDATES)},
        _WIDER: float(np.mean(gaps[SAME_UPDATES] - gaps[SMALL])),
        _ESCAPES: escaped[few] - escaped[many],
        **{f"{label}: accuracy": values.mean() for label, values in scores.items()},
        **{f"{label}: test less training loss": values.mean() for label, values in gaps.items()},
        **{f"{label}: chosen": optimizer for label, optimizer in chosen.items()},
    }
    rows = tuple(
        (
            label,
            chosen[label],
            *(mean_and_error(each, ".4f") for each in (scores[label], *losses[label], gaps[label])),
        )
        for label in scores
    )
    tables = (
        Table("Every arm tuned at equal budget, then run on fresh seeds", _COLUMNS, rows),
        Table("Seed by seed", ("accuracy",), tuple((said,) for said in told(analysis))),
        Table(
            f"Gradient descent from the shallower minimum of figure 11-5, {settings.noise.updates:,} updates with noise",
            ("batch", "share that ends nearer the deeper minimum"),
            tuple((str(batch), share) for batch, share in escaped.items()),
        ),
    )
    return Outcome(quantities, Data(scores, gaps, trials, chosen, escaped), tables)


def _losses(store: Store, arm: Arm) -> tuple[np.ndarray, np.ndarray]:
    """Of every run the mean loss of its last mini-batches, which make up a pass over the examples, and that on the test set."""
    study = store.study.with_factors(arm.factors)
    runs = store.of(arm.label)
    last = math.ceil((study.examples or study.batch or 1) / (study.batch or 1))
    training = [curves.train_loss[-last:].mean() for curves in store.curves_of(runs)]
    return np.array(training, np.float64), np.array([run.test["loss"] for run in runs])


def _direction(analysis: Analysis, label: str) -> int:
    """What the rule says of batch 32 against that arm: 1 better, -1 worse, 0 not shown."""
    (found,) = [claim for claim in analysis.claims if (claim.first, claim.second) == (label, SMALL)]
    return -found.evidence.direction


def _escaped(noise: Noise) -> dict[int, float]:
    """By batch the share of descents that end nearer the deeper minimum, from the bottom of the shallower."""
    deep, shallow = (jnp.asarray(minimum, jnp.float32) for minimum in landscapes.two_gaussians.minima)
    starts = jnp.tile(shallow, (noise.runs, 1))
    gradient = jax.vmap(landscapes.two_gaussians.gradient)

    @jax.jit
    def ends(spread: jax.Array, key: jax.Array) -> jax.Array:
        def step(points: jax.Array, key: jax.Array) -> tuple[jax.Array, None]:
            noisy = gradient(points) + spread * jax.random.normal(key, points.shape)
            return points - noise.learning_rate * noisy, None

        return jax.lax.scan(step, starts, jax.random.split(key, noise.updates))[0]

    shares = {}
    for batch in noise.batches:
        points = ends(jnp.float32(noise.spread / math.sqrt(batch)), jax.random.key(noise.key))
        nearer = jnp.linalg.norm(points - deep, axis=1) < jnp.linalg.norm(points - shallow, axis=1)
        shares[batch] = float(nearer.mean())
    return shares


_COLUMNS = ("", "chosen", "test accuracy", "training loss, last pass", "test loss", "test less training loss")


def _better(label: str) -> str:
    return f"batch 32 against {label}: what the rule says of accuracy (1 better, 0 not shown, -1 worse)"


def _gain(label: str) -> str:
    return f"accuracy: batch 32 less {label}"


_WIDER = f"test less training loss: {SAME_UPDATES}, less batch 32"
_ESCAPES = "surface of figure 11-5: share that leaves the shallower minimum, batch 1 less the largest"
_SOURCE = "T4: small batches generalise better"

EXPERIMENT = Experiment(
    name="batch-size",
    title="Batches of 32 and of 512, each at its own tuned rate: for as many examples, and for as many updates",
    reproduces=("T4 batch size",),
    claims=(
        Claim(_better(SAME_EXAMPLES), 1, 0, f"{_SOURCE}: for as many examples", "at least", full_only=True, finding=True),
        Claim(
            _better(SAME_UPDATES),
            1,
            0,
            f"{_SOURCE}: for as many updates",
            "at least",
            known_fault=(
                "where each batch size has its own rate and as many updates, C. Shallue et al. (2019, J. Mach. Learn. Res. "
                "20(112)) find no evidence that larger ones end worse"
            ),
            full_only=True,
        ),
        Claim(
            _better(SAME_UPDATES), 0, 0, f"ours, beside {_SOURCE}: not for as many updates", relation="at most", full_only=True
        ),
        Claim(
            _WIDER,
            0.0,
            0,
            f"ours, beside {_SOURCE}: though its test loss is farther from its training loss",
            "at least",
            full_only=True,
        ),
        Claim(
            _ESCAPES, 0.5, 0, "T4: the noise of small batches escapes minima, here of half the runs", "at least", finding=True
        ),
    ),
    full=Settings(),
    quick=Settings(
        replace(STUDY, steps=160, seeds=(0, 1), arms=_arms(160), evaluate_every=80, search=Search(trials=2, seeds=(1000,))),
    ),
    measure=measure,
    duration="1 min, quick 15 s",
    datasets=("fashion_mnist",),
)
