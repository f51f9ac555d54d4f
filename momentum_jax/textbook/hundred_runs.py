"""The momentum model of figure 11-8 a hundred times, with 10,000 mini-batches each: how results are distributed (T4, 11-9).

The source sees a long left tail, perhaps with modes near 0.83 and 0.75. A net whose sigmoid outputs have not yet taken up one
of the ten classes gives none of its examples right: it loses a tenth of its accuracy at a stroke, which makes a second mode
a tenth below the first. So the tail is looked at run by run: how many classes are all but never given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from momentum_jax.studies import Study
from momentum_jax.studies.statistics import describe, normality
from momentum_jax.studies.store import Run
from momentum_jax.textbook import fashion_mnist
from momentum_jax.textbook.experiment import Claim, Experiment, Outcome, Surroundings, Table
from momentum_jax.textbook.trained import correlations, trained

# A class of which less than this share is recognised has not been learned.
RECOGNISED = 0.1
MODES = (0.83, 0.75)
# The width of the bins that the source's histogram can be read to.
READ = 0.01
# That of an exponential distribution is -2 or 2; of a hundred normal results it is within 0.5 of 0 in 96 of 100 cases.
LONG_TAILED = -1.0

STUDY = replace(
    fashion_mnist.STUDY,
    steps=10_000,
    seeds=tuple(range(100)),
    arms=fashion_mnist.STUDY.arms[1:2],
    question=None,
)


@dataclass(frozen=True)
class Settings:
    """The study: one arm."""

    study: Study = STUDY


@dataclass(frozen=True, eq=False)
class Data:
    """Matthews correlation coefficients (runs,), how many classes each run has not learned, and the published modes."""

    mccs: np.ndarray
    unlearned: np.ndarray
    modes: tuple[float, ...]


def measure(settings: Settings, surroundings: Surroundings) -> Outcome:
    with trained(settings.study, surroundings) as store:
        runs = store.of(settings.study.arms[0].label)
    mccs, unlearned = correlations(runs), _unlearned(runs)
    found, shape = describe(mccs), normality(mccs)
    low = mccs < np.mean(MODES)
    quantities = {
        _P: np.nan if shape.pvalue is None else shape.pvalue,
        _SKEWNESS: float(stats.skew(mccs)) if len(mccs) > 2 else np.nan,
        _MODE: _mode(mccs[~low]) if (~low).any() else np.nan,
        _LOW: int(low.sum()),
        _LOW_MODE: float(np.median(mccs[low])) if low.any() else np.nan,
        "runs with a class not learned": int((unlearned > 0).sum()),
        "runs with a class not learned, of those in the tail": int((unlearned[low] > 0).sum()),
        "mean MCC": found.mean,
        "median MCC": found.median,
        "lowest MCC": found.minimum,
        "highest MCC": found.maximum,
        "normality": shape.caveats[0] if shape.statistic is None else f"K² = {shape.statistic:.3g}, p = {shape.pvalue:.2g}",
    }
    rows = tuple(
        (
            f"{int(count)}",
            int((unlearned == count).sum()),
            float(mccs[unlearned == count].mean()),
            float(mccs[unlearned == count].min()),
            float(mccs[unlearned == count].max()),
        )
        for count in np.unique(unlearned)
    )
    title = f"T4, figure 11-9: {len(runs)} runs by how many classes they have not learned (under {RECOGNISED:.0%} recognised)"
    tables = (
        Table(title, ("classes not learned", "runs", "mean MCC", "lowest", "highest"), rows),
        Table("Whether the results are normally distributed", ("D'Agostino and Pearson",), ((quantities["normality"],),)),
    )
    return Outcome(quantities, Data(mccs, unlearned, MODES), tables)


def _unlearned(runs: Sequence[Run]) -> np.ndarray:
    """How many classes of each run have a recall below `RECOGNISED`, (runs,)."""
    counts = np.array([run.test["confusion"] for run in runs])
    recall = np.einsum("rcc->rc", counts) / counts.sum(axis=2)
    return (recall < RECOGNISED).sum(axis=1)


def _mode(values: np.ndarray) -> float:
    """The middle of the fullest bin of a histogram with bins as wide as the source's can be read, at its multiples."""
    edges = READ * np.arange(np.floor(values.min() / READ), np.floor(values.max() / READ) + 2)
    counts, edges = np.histogram(values, edges)
    return float(edges[np.argmax(counts)] + READ / 2)


_P = "p of normality, D'Agostino and Pearson"
_SKEWNESS = "skewness"
_MODE = "upper mode of MCC"
_LOW = "runs in the tail, nearer to 0.75 than to 0.83"
_LOW_MODE = "median MCC of the tail"
_SOURCE = "T4, figure 11-9"

EXPERIMENT = Experiment(
    name="hundred-runs",
    title="A hundred runs of one model: how far results scatter, and what is in the tail",
    reproduces=("T4 figure 11-9",),
    claims=(
        Claim(_P, 0.0, 0.01, f"{_SOURCE}: p near 0", relation="at most", full_only=True),
        Claim(_SKEWNESS, LONG_TAILED, 0.0, f"{_SOURCE}: a long left tail", relation="at most", full_only=True),
        Claim(_MODE, MODES[0], READ, f"{_SOURCE}, read off the histogram", full_only=True),
        Claim(_LOW, 1, 0, f"{_SOURCE}: perhaps a second mode", relation="at least", full_only=True),
        Claim(_LOW_MODE, MODES[1], 2 * READ, f"{_SOURCE}: perhaps a second mode, read off the histogram", full_only=True),
    ),
    full=Settings(),
    quick=Settings(replace(STUDY, steps=300, seeds=tuple(range(4)), evaluate_every=300)),
    measure=measure,
    duration="2 min, quick 10 s",
    datasets=("fashion_mnist",),
)
