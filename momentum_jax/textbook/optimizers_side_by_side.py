"""Gradient descent, RMSprop, Adagrad and Adam on a small convolutional net: accuracy and time (T4, figure 11-11).

MNIST, 16,384 training images drawn at random, mini-batches of 128, 12 epochs, five runs of each. The source gives neither its
net nor its learning rates. Here: two 3 x 3 convolutions of 8 and 16 channels with ReLU and 2 x 2 max pooling, 64 hidden units,
softmax cross-entropy, He-normal weights; and the learning rates with which Keras came at the time: 0.01, 0.001, 0.01, 0.001.
Momentum 0.9 at the rate of SGD is ours. It moves ten times as far along a steady gradient, and comes near the others. So SGD at
0.01 lies far below because its steps are too small for 12 epochs, not because an optimizer of its kind ends lower.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from momentum_jax.studies import Arm, Network, Study
from momentum_jax.textbook.experiment import Claim, Experiment, Outcome, Surroundings, Table
from momentum_jax.textbook.trained import accuracies, mean_and_error, trained

SGD, RMSPROP, ADAGRAD, ADAM = SOURCE = "SGD", "RMSprop", "Adagrad", "Adam"
MOMENTUM = "momentum"
BATCH, EPOCHS = 128, 12
# From so many waves on a standard error is given.
ENOUGH_WAVES = 3

STUDY = Study(
    dataset="mnist",
    examples=16_384,
    network=Network(hidden=(64,), channels=(8, 16)),
    steps=EPOCHS * 16_384 // BATCH,
    batch=BATCH,
    seeds=(0, 1, 2, 3, 4),
    arms=(
        Arm("gradient_descent(0.01)", SGD),
        Arm("heavy_ball(0.01, 0.9)", MOMENTUM),
        Arm("rmsprop(0.001, momentum=None)", RMSPROP),
        Arm("adagrad(0.01)", ADAGRAD),
        Arm("adam(0.001)", ADAM),
    ),
    evaluate_every=16_384 // BATCH,
    ladder=False,
    noise_floor=False,
)


@dataclass(frozen=True)
class Settings:
    """The study: `examples` training images for `EPOCHS` epochs."""

    study: Study = STUDY


@dataclass(frozen=True, eq=False)
class Data:
    """By arm: accuracies (runs,) on the test set, training seconds of a run (full waves,), held-out accuracy (epochs + 1,).

    A run's seconds are its share of the training time of its wave, the runs that are trained together, one on each core.
    """

    accuracies: Mapping[str, np.ndarray]
    seconds: Mapping[str, np.ndarray]
    by_epoch: Mapping[str, np.ndarray]


def measure(settings: Settings, surroundings: Surroundings) -> Outcome:
    study = settings.study
    with trained(study, surroundings) as store:
        runs = {arm.label: store.of(arm.label) for arm in study.arms}
        by_epoch = {
            label: np.mean([curves.validation["accuracy"] for curves in store.curves_of(each)], axis=0)
            for label, each in runs.items()
        }
    scores = {label: accuracies(each) for label, each in runs.items()}
    seconds = {label: _by_wave([run.seconds for run in each]) for label, each in runs.items()}
    mean = {label: float(values.mean()) for label, values in scores.items()}
    time = {label: float(np.median(values)) for label, values in seconds.items()}
    spread = {label: float(values.std(ddof=1)) if len(values) > 1 else np.nan for label, values in scores.items()}
    # The source has no momentum here: the order is that of its four.
    others = {label: [other for other in SOURCE if other != label] for label in SOURCE}
    better = (mean[ADAGRAD] + mean[ADAM]) / 2
    quantities = {
        **{f"{label}: accuracy": value for label, value in mean.items()},
        **{f"{label}: training seconds of a run, median of waves": value for label, value in time.items()},
        _BELOW[SGD]: better - mean[SGD],
        _BELOW[RMSPROP]: better - mean[RMSPROP],
        _BELOW[MOMENTUM]: better - mean[MOMENTUM],
        _LARGER: mean[MOMENTUM] - mean[SGD],
        _ORDER[SGD]: min(mean[ADAGRAD], mean[ADAM]) - mean[SGD],
        _ORDER[RMSPROP]: min(mean[ADAGRAD], mean[ADAM]) - mean[RMSPROP],
        _BEST: mean[ADAM] - max(mean[label] for label in others[ADAM]),
        _WIDEST: spread[RMSPROP] / max(spread[label] for label in others[RMSPROP]),
        _FASTEST: min(time[label] for label in others[SGD]) / time[SGD],
        _SLOWEST: time[ADAM] / max(time[label] for label in others[ADAM]),
    }
    rows = tuple(
        (arm.label, arm.optimizer, mean_and_error(scores[arm.label]), _median_and_error(seconds[arm.label]))
        for arm in study.arms
    )
    images = "all images" if study.examples is None else f"{study.examples:,} images"
    title = f"T4, figure 11-11: {len(study.seeds)} runs of each, {images}, {study.steps:,} mini-batches of {BATCH}"
    return Outcome(
        quantities,
        Data(scores, seconds, by_epoch),
        (Table(title, ("", "optimizer", "accuracy", _SECONDS), rows),),
    )


def _by_wave(seconds: Sequence[float]) -> np.ndarray:
    """One time for each of the largest waves, in ascending order.

    Runs of a wave have one and the same time, so that equal times are one measurement; a smaller wave, the odd run at the end,
    had the cores to itself.
    """
    times, runs = np.unique(seconds, return_counts=True)
    return times[runs == runs.max()]


def _median_and_error(seconds: np.ndarray) -> str:
    error = f" ± {seconds.std(ddof=1) / np.sqrt(len(seconds)):.2g}" if len(seconds) >= ENOUGH_WAVES else ""
    return f"{np.median(seconds):.4g}{error}"


_BELOW = {label: f"accuracy: mean of Adagrad and Adam less {label}" for label in (SGD, RMSPROP, MOMENTUM)}
_LARGER = "accuracy: momentum less SGD, at one learning rate"
_ORDER = {label: f"accuracy: the lower of Adagrad and Adam less {label}" for label in (SGD, RMSPROP)}
_BEST = "accuracy: Adam less the best of the others"
_WIDEST = "spread of accuracies: RMSprop over the widest of the others"
_FASTEST = "time: the fastest of the others over SGD"
_SLOWEST = "time: Adam over the slowest of the others"
_SECONDS = "training seconds of a run among as many as there are cores, median of waves"
_SOURCE = "T4, figure 11-11"
_NOT_GIVEN = "the source gives neither its net nor its learning rates, on which the order of the optimizers depends"
_OF_THE_NET = "the source does not give its net, on which it depends what share of a step's time is the optimizer's"


def _below(label: str) -> Claim:
    return Claim(_BELOW[label], 0.005, 0.002, f"{_SOURCE}: about 0.5% below", full_only=True, finding=True, remark=_NOT_GIVEN)


def _order(quantity: str, least: float, what: str, remark: str | None = None) -> Claim:
    """Without a remark a check of ours: it must hold."""
    source, finding = f"{_SOURCE}: {what}", remark is not None
    return Claim(quantity, least, 0, source, "at least", full_only=True, finding=finding, remark=remark)


EXPERIMENT = Experiment(
    name="optimizers-side-by-side",
    title="SGD, RMSprop, Adagrad and Adam on a small convolutional net: accuracy and time",
    reproduces=("T4 figure 11-11",),
    claims=(
        _below(SGD),
        _below(RMSPROP),
        # By so much at these learning rates that the net cannot turn it.
        _order(_ORDER[SGD], 0, "SGD is below"),
        _order(_ORDER[RMSPROP], 0, "RMSprop is below", _NOT_GIVEN),
        _order(_BEST, 0, "Adam is best", _NOT_GIVEN),
        _order(_WIDEST, 1, "RMSprop scatters most", _NOT_GIVEN),
        _order(_FASTEST, 1, "SGD is fastest", _OF_THE_NET),
        _order(_SLOWEST, 1, "Adam is slowest", _OF_THE_NET),
        Claim(
            _BELOW[MOMENTUM], 0.005, 0, f"ours, beside {_SOURCE}: momentum 0.9 at SGD's rate is near", "at most", full_only=True
        ),
        Claim(_LARGER, 0.01, 0, f"ours, beside {_SOURCE}: so SGD at 0.01 is short of steps", "at least", full_only=True),
    ),
    full=Settings(),
    quick=Settings(
        replace(
            STUDY,
            size=14,
            examples=256,
            network=Network(hidden=(16,), channels=(4,)),
            steps=EPOCHS * 256 // BATCH,
            seeds=(0, 1),
            evaluate_every=256 // BATCH,
        )
    ),
    measure=measure,
    duration="12 min, quick 20 s",
    datasets=("mnist",),
)
