"""Flat against sharp minima: the curvature of the loss where momentum ends and where Adam does (T5).

T5 says that stochastic gradient descent with momentum ends in flatter minima than Adam. Measured: the largest eigenvalue of the
Hessian and its trace, on training examples, after both have been tuned at equal budget on held-out accuracy and trained for the
same number of mini-batches from the same beginnings. Whether one ends lower is decided by the rule of studies. The curvature of
the cross-entropy falls with the loss itself, so the loss on the same examples stands beside it. Curvature is that of the
parameters as they are: rescaling layers changes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from momentum_jax import data
from momentum_jax.curvature import extreme_eigenvalues, trace
from momentum_jax.studies import Arm, Network, Search, Study
from momentum_jax.studies.evidence import Differences, Evidence, Questions, decide
from momentum_jax.studies.store import Store
from momentum_jax.textbook.experiment import Claim, Experiment, Outcome, Surroundings, Table
from momentum_jax.textbook.trained import accuracies, mean_and_error, trained

MOMENTUM, ADAM = "SGD with momentum 0.9", "Adam"
MEASURES = ("largest eigenvalue", "trace", "training loss")

STUDY = Study(
    dataset="mnist",
    network=Network(hidden=(32,)),
    steps=6000,
    batch=100,
    seeds=tuple(range(10)),
    arms=(Arm("heavy_ball(log_uniform(0.001, 0.3), 0.9)", MOMENTUM), Arm("adam(log_uniform(0.0001, 0.03))", ADAM)),
    evaluate_every=1000,
    search=Search(trials=8, seeds=(1000,)),
    ladder=False,
    noise_floor=False,
)


@dataclass(frozen=True)
class Settings:
    """The study, and how the curvature is measured: on how many training examples, with how many products."""

    study: Study = STUDY
    examples: int = 5000
    iterations: int = 40
    probes: int = 60
    key: int = 0


@dataclass(frozen=True, eq=False)
class Data:
    """By arm and measure (`MEASURES`) the values over seeds (runs,); what each arm chose; accuracies (runs,) by arm."""

    values: Mapping[str, Mapping[str, np.ndarray]]
    chosen: Mapping[str, str]
    accuracies: Mapping[str, np.ndarray]


def measure(settings: Settings, surroundings: Surroundings) -> Outcome:
    study = settings.study
    with trained(study, surroundings, checkpoints=True) as store:
        values, residual, error = _curvatures(settings, store, surroundings)
        runs = {arm.label: store.of(arm.label) for arm in study.arms}
    scores = {label: accuracies(each) for label, each in runs.items()}
    chosen = {label: each[0].optimizer for label, each in runs.items()}
    found = _evidence(values)
    quantities: dict[str, object] = {
        **{_over(name): math.exp(-each.estimate) for name, each in found.items()},
        **{_claimed(name): -each.direction for name, each in found.items()},
        **{f"{_over(name)}, interval": _interval(each) for name, each in found.items()},
        **{f"{label}: {name}": each[name].mean() for label, each in values.items() for name in MEASURES},
        **{f"{label}: chosen": optimizer for label, optimizer in chosen.items()},
        _RESIDUAL: residual,
        "largest standard error of a trace, over the trace": error,
    }
    return Outcome(quantities, Data(values, chosen, scores), (_table(values, chosen, scores), _ratios(found)))


def _curvatures(
    settings: Settings, store: Store, surroundings: Surroundings
) -> tuple[dict[str, dict[str, np.ndarray]], float, float]:
    """By arm and measure the values over seeds; the worst relative residual of an eigenvalue and error of a trace."""
    from momentum_jax.studies.material import build_model
    from momentum_jax.studies.run import CHECKPOINTS
    from momentum_jax.training.checkpoint import restore_params

    study = settings.study
    dataset = data.load(study.dataset, directory=surroundings.data_directory, size=study.size)
    model = build_model(study, dataset)
    key = jax.random.key(settings.key)
    _, model_state = model.init(key)

    def loss(params, batch):
        images, labels = batch
        outputs, _ = model.apply(params, model_state, images, key=key, train=False)
        return jnp.mean(model.loss(outputs, labels))

    value = jax.jit(loss)
    values: dict[str, dict[str, np.ndarray]] = {}
    residuals, errors = [], []
    for arm in study.arms:
        rows: list[Sequence[float]] = []
        for run in store.of(arm.label):
            params = restore_params(store.directory / CHECKPOINTS / run.name)
            chosen = dataset.split(run.seed).train[: settings.examples]
            batch = (jnp.asarray(dataset.images[chosen] / dataset.scale, jnp.float32), jnp.asarray(dataset.labels[chosen], int))
            ends = extreme_eigenvalues(loss, params, batch, iterations=settings.iterations, key=key)
            total = trace(loss, params, batch, probes=settings.probes, key=key)
            rows.append((float(ends.largest[0]), float(total.trace), float(value(params, batch))))
            residuals.append(float(ends.largest_residuals[0] / ends.largest[0]))
            errors.append(float(total.standard_error / total.trace))
        values[arm.label] = dict(zip(MEASURES, np.array(rows).T, strict=True))
    return values, max(residuals), max(errors)


def _evidence(values: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, Evidence]:
    """By measure: whether momentum ends with less of it than Adam, seed by seed, in logarithms."""
    logs = {label: {name: np.log(each[name]) for name in MEASURES} for label, each in values.items()}
    differences = {name: Differences.of(-logs[MOMENTUM][name], -logs[ADAM][name]) for name in MEASURES}
    return decide(differences, Questions(None, MEASURES))


def _interval(found: Evidence) -> tuple[float, float]:
    """Of the ratio; NaN where so few seeds have none."""
    low, high = found.interval or (math.nan, math.nan)
    return math.exp(-high), math.exp(-low)


def _table(values: Mapping, chosen: Mapping[str, str], scores: Mapping[str, np.ndarray]) -> Table:
    rows = tuple(
        (label, chosen[label], *(mean_and_error(each[name], ".4g") for name in MEASURES), mean_and_error(scores[label], ".4f"))
        for label, each in values.items()
    )
    return Table("Curvature of the training loss after training, mean ± standard error over seeds", _COLUMNS, rows)


def _ratios(found: Mapping[str, Evidence]) -> Table:
    rows = tuple(
        (
            name,
            math.exp(-each.estimate),
            _interval(each) if each.interval else "too few seeds",
            f"{each.confidence:.1%}",
            each.adjusted,
            _CLAIMED[each.direction],
        )
        for name, each in found.items()
    )
    return Table("Momentum over Adam, typical ratio over seeds", _RATIO_COLUMNS, rows)


_COLUMNS = ("", "chosen", *MEASURES, "test accuracy")
_RATIO_COLUMNS = ("", "ratio", "interval", "confidence", "adjusted p", "claimed")
_CLAIMED = {1: "lower", -1: "higher", 0: "no difference is shown"}


def _over(name: str) -> str:
    return f"{name}: momentum over Adam"


def _claimed(name: str) -> str:
    return f"{name}: what the rule says of momentum against Adam (-1 lower, 0 not shown, 1 higher)"


_RESIDUAL = "largest residual of an eigenvalue, over the eigenvalue"
# T5 names no measure of flatness, so each claim is shown as it comes out.
_SOURCE = "T5: SGD with momentum ends in flatter minima than Adam"
_NOT_SHOWN = "the ratio and its interval are in the table below"

EXPERIMENT = Experiment(
    name="flat-minima",
    title="Largest Hessian eigenvalue and trace after SGD with momentum and after Adam",
    reproduces=("T5 flat and sharp minima",),
    claims=(
        *(
            Claim(_claimed(name), -1, 0, _SOURCE, "at most", full_only=True, finding=True, remark=_NOT_SHOWN)
            for name in ("largest eigenvalue", "trace")
        ),
        Claim(_RESIDUAL, 0, 0.01, "|H y - λ y| / λ of the measurement itself", relation="at most"),
    ),
    full=Settings(),
    quick=Settings(
        replace(
            STUDY,
            network=Network(hidden=(8,)),
            steps=200,
            seeds=(0, 1, 2),
            evaluate_every=200,
            search=Search(trials=2, seeds=(1000,)),
        ),
        examples=500,
        probes=20,
    ),
    measure=measure,
    duration="1 min, quick 20 s",
    datasets=("mnist",),
)
