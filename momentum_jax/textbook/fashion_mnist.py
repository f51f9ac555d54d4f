"""Fashion-MNIST at 14 x 14, 22 runs with and 22 without momentum, and at two other learning rates (T4, figure 11-8).

The net of the source: 196-100-50-10, a sigmoid after every layer, weights and biases uniform in [-0.5, 0.5], half the sum of
squares against one-hot targets; 40,000 mini-batches of 64 drawn with replacement. Without momentum η = 1, with momentum 0.9
η = 0.2, whose effective learning rate is 2: gradient descent at 2 is the control. The source
invites its reader to try η = 0.2 without momentum, which is the fourth arm. Here 10,000 of the 60,000 training images
are held out, and a seed gives all arms the same images, beginning and batches. The source's tests are for arms of their own
seeds, and are computed as it does: they describe. What is claimed is decided by the rule of studies, on pairs of runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np

from momentum_jax.studies import Arm, Network, Study, wording
from momentum_jax.studies.analysis import Analysis, analyse
from momentum_jax.studies.statistics import describe, independent, mann_whitney_pvalue
from momentum_jax.textbook.experiment import Claim, Experiment, Outcome, Surroundings, Table
from momentum_jax.textbook.trained import accuracies, correlations, mean_and_error, told, trained
from momentum_jax.training.metrics import matthews_correlation

WITHOUT, WITH, CONTROL = "gradient descent", "momentum", "gradient descent, matched"
TRIED = "gradient descent, η = 0.2"
NETWORK = Network(
    hidden=(100, 50),
    activation="sigmoid",
    output_activation="sigmoid",
    initialization="uniform",
    loss="half_squared_error",
)
CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
RUNS = 22


@dataclass(frozen=True)
class Published:
    """An arm in the source: a single run, and the mean over 22 with its standard error."""

    accuracy: float
    mcc: float
    mean: float
    error: float


PUBLISHED = {WITHOUT: Published(0.8721, 0.8584, 0.85778, 0.00056), WITH: Published(0.8773, 0.8639, 0.86413, 0.00075)}
# Rows are the true classes.
PUBLISHED_CONFUSIONS = {
    WITHOUT: (
        (866, 1, 14, 28, 8, 1, 68, 0, 14, 0),
        (5, 958, 2, 25, 5, 0, 3, 0, 2, 0),
        (20, 1, 790, 14, 126, 0, 44, 1, 3, 1),
        (29, 21, 15, 863, 46, 1, 20, 0, 5, 0),
        (0, 0, 91, 22, 849, 1, 32, 0, 5, 0),
        (0, 0, 0, 1, 0, 960, 0, 22, 2, 15),
        (161, 2, 111, 38, 115, 0, 556, 0, 17, 0),
        (0, 0, 0, 0, 0, 29, 0, 942, 0, 29),
        (1, 0, 7, 5, 6, 2, 2, 4, 973, 0),
        (0, 0, 0, 0, 0, 6, 0, 29, 1, 964),
    ),
    WITH: (
        (766, 5, 14, 61, 2, 1, 143, 0, 8, 0),
        (1, 958, 2, 30, 3, 0, 6, 0, 0, 0),
        (12, 0, 794, 16, 98, 0, 80, 0, 0, 0),
        (8, 11, 13, 917, 21, 0, 27, 0, 3, 0),
        (0, 0, 84, 44, 798, 0, 71, 0, 3, 0),
        (0, 0, 0, 1, 0, 938, 0, 31, 1, 29),
        (76, 2, 87, 56, 60, 0, 714, 0, 5, 0),
        (0, 0, 0, 0, 0, 11, 0, 963, 0, 26),
        (1, 1, 6, 8, 5, 1, 10, 4, 964, 0),
        (0, 0, 0, 0, 0, 6, 0, 33, 0, 961),
    ),
}
PUBLISHED_T, PUBLISHED_P, PUBLISHED_U, PUBLISHED_U_P, PUBLISHED_D = 6.774, 3e-8, 41, 1.26e-6, 2.042

STUDY = Study(
    dataset="fashion_mnist",
    size=14,
    network=NETWORK,
    steps=40_000,
    batch=64,
    sampling="replacement",
    seeds=tuple(range(RUNS)),
    arms=(
        Arm("gradient_descent(1.0)", WITHOUT),
        Arm("heavy_ball(0.2, 0.9)", WITH),
        Arm("gradient_descent(2.0)", CONTROL),
        Arm("gradient_descent(0.2)", TRIED),
    ),
    evaluate_every=10_000,
    question=(WITH, CONTROL),
    ladder=False,
    noise_floor=False,
)


@dataclass(frozen=True)
class Settings:
    """The study of the four arms."""

    study: Study = STUDY


@dataclass(frozen=True, eq=False)
class Data:
    """By arm: Matthews correlation coefficients (runs,), what is published, and the first run's confusion matrix (10, 10)."""

    mccs: Mapping[str, np.ndarray]
    published: Mapping[str, Published]
    confusions: Mapping[str, np.ndarray]
    classes: tuple[str, ...]


def measure(settings: Settings, surroundings: Surroundings) -> Outcome:
    with trained(settings.study, surroundings) as store:
        runs = {arm.label: store.of(arm.label) for arm in store.study.arms}
        analysis = analyse(store, by="mcc")
    mccs = {label: correlations(each) for label, each in runs.items()}
    scores = {label: accuracies(each) for label, each in runs.items()}
    gain = independent(mccs[WITH], mccs[WITHOUT])
    below = independent(mccs[WITHOUT], mccs[WITH])
    quantities = {
        **{_accuracy(label): values.mean() for label, values in scores.items()},
        **{_mcc(label): values.mean() for label, values in mccs.items()},
        **{_error(label): _number(describe(values).standard_error) for label, values in mccs.items()},
        _T: _number(gain.student_t),
        _P: _number(gain.student_pvalue),
        _U: below.mann_whitney_u,
        _D: _number(gain.cohen_d),
        _GAIN: gain.mean_difference,
        _SMALLER: float(np.mean(mccs[TRIED] - mccs[WITHOUT])),
        _OWN: float(np.mean(mccs[WITH] - mccs[CONTROL])),
        _U_P: mann_whitney_pvalue(below.mann_whitney_u, len(mccs[WITHOUT]), len(mccs[WITH]), two_sided=False),
        "p of U, exact": below.mann_whitney_pvalue,
        **_recomputed(),
        _PUBLISHED_T: _t_of_means(PUBLISHED[WITH], PUBLISHED[WITHOUT]),
        _PUBLISHED_U_P: mann_whitney_pvalue(PUBLISHED_U, RUNS, RUNS, two_sided=False),
        _PUBLISHED_U_P2: mann_whitney_pvalue(PUBLISHED_U, RUNS, RUNS),
        _ANSWER: wording.verdict(analysis),
    }
    data = Data(
        mccs,
        PUBLISHED,
        {label: np.array(each[0].test["confusion"]) for label, each in runs.items()},
        CLASSES if settings.study.dataset == "fashion_mnist" else tuple(map(str, range(10))),
    )
    return Outcome(quantities, data, (_table(settings.study, scores, mccs), _answer(analysis)))


def _table(study: Study, scores: Mapping[str, np.ndarray], mccs: Mapping[str, np.ndarray]) -> Table:
    columns = ("", "optimizer", "accuracy", "published, one run", "MCC", "published, 22 runs")
    rows = tuple(
        (
            arm.label,
            arm.optimizer,
            mean_and_error(scores[arm.label]),
            f"{PUBLISHED[arm.label].accuracy}" if arm.label in PUBLISHED else "-",
            mean_and_error(mccs[arm.label]),
            f"{PUBLISHED[arm.label].mean} ± {PUBLISHED[arm.label].error}" if arm.label in PUBLISHED else "-",
        )
        for arm in study.arms
    )
    return Table(f"T4, figure 11-8: {len(study.seeds)} runs of each arm, mean ± standard error", columns, rows)


def _answer(analysis: Analysis) -> Table:
    return Table("What is momentum's own, seed by seed", ("MCC",), tuple((said,) for said in told(analysis)))


def _recomputed() -> dict[str, float]:
    """Accuracy and MCC of the published confusion matrices."""
    found = {}
    for label, rows in PUBLISHED_CONFUSIONS.items():
        confusion = jnp.array(rows)
        found[_printed(label, "accuracy")] = float(jnp.trace(confusion) / jnp.sum(confusion))
        found[_printed(label, "MCC")] = float(matthews_correlation(confusion))
    return found


def _t_of_means(a: Published, b: Published) -> float:
    return (a.mean - b.mean) / math.hypot(a.error, b.error)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _accuracy(label: str) -> str:
    return f"{label}: accuracy"


def _mcc(label: str) -> str:
    return f"{label}: MCC"


def _printed(label: str, score: str) -> str:
    return f"{label}: {score} of the published confusion matrix"


def _error(label: str) -> str:
    return f"{label}: standard error of MCC"


_T, _P, _U = "t of 22 against 22", "p of t", "Mann-Whitney U"
_U_P = "p of U, one-sided"
_D = "Cohen's d"
_GAIN = "MCC: with momentum less without"
_OWN = "MCC: with momentum less without at the matched rate"
_SMALLER = "MCC: without momentum, at η = 0.2 less at η = 1"
_ANSWER = "answer"
_PUBLISHED_T = "t of the published means and errors"
_PUBLISHED_U_P = "p of the published U, one-sided"
_PUBLISHED_U_P2 = "p of the published U, two-sided"
_SOURCE = "T4, figure 11-8"
# Two experiments of 22 runs, the source's and ours, differ by chance: three standard errors of their difference.
_TWICE = 3 * math.sqrt(2)
_DEVIATION = 0.00056 * math.sqrt(RUNS)
# The standard error of Cohen's d of 22 against 22 (Hedges and Olkin 1985), and of U (Hanley and McNeil 1982).
_ERROR_OF_D = math.sqrt(2 / RUNS + PUBLISHED_D**2 / (4 * RUNS))
_ERROR_OF_U = 22
# The standard error of a standard error, over it, of normal results.
_ERROR_OF_ERROR = 1 / math.sqrt(2 * (RUNS - 1))

_SAME_RATE = (
    "η 0.2 with momentum 0.9 steps as far along a steady gradient as η 2 without; the source compares it with η 1, and the "
    "larger step alone brings the gain"
)

EXPERIMENT = Experiment(
    name="fashion-mnist",
    title="Fashion-MNIST, 22 runs with and 22 without momentum, 22 at the matched learning rate and 22 at η = 0.2",
    reproduces=(
        "T4 figure 11-8",
        "T4 equation 11.1",
        "T4 listing 11-4",
        "T4 listing 11-5",
        "T4 listing 11-6",
        "T4 listing 11-7",
        "T4 confusion matrices",
        *(f"T4 file {name}" for name in ("NN", "fmnist", "fmnist_momentum", "fmnist_analyze", "fmnist_repeat")),
    ),
    claims=(
        Claim(_accuracy(WITHOUT), 0.8721, 3 * _DEVIATION, f"{_SOURCE}: one run", full_only=True),
        Claim(_accuracy(WITH), 0.8773, 3 * _DEVIATION, f"{_SOURCE}: one run", full_only=True),
        Claim(_mcc(WITHOUT), 0.8584, 3 * _DEVIATION, f"{_SOURCE}: one run", full_only=True),
        Claim(_mcc(WITH), 0.8639, 3 * _DEVIATION, f"{_SOURCE}: one run", full_only=True),
        Claim(_mcc(WITHOUT), 0.85778, _TWICE * 0.00056, f"{_SOURCE}: 22 runs, ± 0.00056", full_only=True),
        Claim(_mcc(WITH), 0.86413, _TWICE * 0.00075, f"{_SOURCE}: 22 runs, ± 0.00075", full_only=True),
        Claim(_error(WITHOUT), 0.00056, _TWICE * _ERROR_OF_ERROR * 0.00056, f"{_SOURCE}: 22 runs", full_only=True),
        Claim(_error(WITH), 0.00075, _TWICE * _ERROR_OF_ERROR * 0.00075, f"{_SOURCE}: 22 runs", full_only=True),
        Claim(_T, PUBLISHED_T, _TWICE * _ERROR_OF_D * math.sqrt(RUNS / 2), _SOURCE, full_only=True),
        Claim(_P, PUBLISHED_P, 1e-3, f"{_SOURCE}: significant, here at 0.001", relation="at most", full_only=True),
        Claim(_U, PUBLISHED_U, _TWICE * _ERROR_OF_U, _SOURCE, full_only=True),
        Claim(_U_P, PUBLISHED_U_P, 1e-3, f"{_SOURCE}: significant, here at 0.001", relation="at most", full_only=True),
        Claim(_D, PUBLISHED_D, _TWICE * _ERROR_OF_D, _SOURCE, full_only=True),
        Claim(_GAIN, 0.00635, _TWICE * 0.00094, f"{_SOURCE}: difference of the means", full_only=True),
        Claim(
            _OWN,
            0.00635,
            _TWICE * 0.00094,
            f"{_SOURCE}, which gives momentum the credit",
            known_fault=_SAME_RATE,
            full_only=True,
        ),
        Claim(_OWN, 0.0, 3 * 0.00094, f"ours, beside {_SOURCE}: within three standard errors of a gain, none", full_only=True),
        *(
            Claim(_printed(label, score), value, 5e-5, f"{_SOURCE}: one run, printed beside its confusion matrix")
            for label, published in PUBLISHED.items()
            for score, value in (("accuracy", published.accuracy), ("MCC", published.mcc))
        ),
        Claim(_SMALLER, 0.0, 0, "ours, to T4's invitation to try η = 0.2: it ends lower", relation="at most", full_only=True),
        Claim(_PUBLISHED_T, PUBLISHED_T, 0.05, f"{_SOURCE}: agrees with the printed means and errors"),
        Claim(_PUBLISHED_U_P, PUBLISHED_U_P, 0.01e-6, f"{_SOURCE}, continuity-corrected"),
        Claim(
            _PUBLISHED_U_P2,
            PUBLISHED_U_P,
            0.01e-6,
            f"{_SOURCE}, beside a two-sided p of t",
            known_fault="the printed p of U is one-sided, that of t two-sided",
        ),
        Claim(_PUBLISHED_U_P2, 2 * PUBLISHED_U_P, 0.02e-6, f"ours, beside {_SOURCE}: two-sided it is twice that"),
    ),
    full=Settings(),
    quick=Settings(replace(STUDY, steps=300, seeds=(0, 1, 2), evaluate_every=300)),
    measure=measure,
    duration="5 min, quick 10 s",
    datasets=("fashion_mnist",),
)
