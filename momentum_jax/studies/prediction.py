"""What a quadratic model says of a study's arms before they run: their stability, and for a short budget their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from momentum_jax._text import quoted
from momentum_jax.studies import jobs
from momentum_jax.studies.arm import BUDGET, Arm
from momentum_jax.studies.errors import StudyError, fail
from momentum_jax.studies.expression import Expression
from momentum_jax.studies.material import Material, Variants, given_in_python, material
from momentum_jax.studies.predicted import PredictedArm, StudyPrediction
from momentum_jax.studies.quadratic_model import QuadraticModel, batch_of, quadratic_model
from momentum_jax.studies.resolve import resolve, settle
from momentum_jax.studies.study import Study
from momentum_jax.theory.dynamics import Dynamics, NotLinear
from momentum_jax.theory.prediction import ArmPrediction, Prediction, predict, read_for
from momentum_jax.training import Problem

# Trials of an arm with ranges that are looked at: each is read, which takes half a second.
MOST_TRIALS = 32


def predict_study(
    study: Study,
    *,
    problem: Problem | None = None,
    data_directory: str | Path | None = None,
    seed: int | None = None,
) -> StudyPrediction:
    """Predict what a study's arms do, from the loss at the parameters where a run begins.

    Nothing is trained. 40 products with the Hessian (80 beyond 500 steps) see the gradient, 20 residuals of mini-batches the
    noise. Of an arm with ranges its trials are read, and the best by prediction stands for it.

    Args:
      study: whose arms, problem, budget and mini-batches are meant.
      problem: what the study is of, where it is at hand in Python and `study` names none.
      data_directory: where the data sets lie, as in `data.load`.
      seed: one of the study's seeds; None: the first.

    Raises:
      StudyError: as `run_study` does for what cannot be run; a seed that the study does not have; a loss that cannot be
        differentiated twice.

    Example: `predict_study(Study(arms=(Arm("sgd(0.1)"), Arm("heavy_ball(0.1, 0.9)")), steps=200)).arms[0].is_stable`.
    """
    if problem is not None:
        study = given_in_python(study, problem)
    seed = study.seeds[0] if seed is None else seed
    if seed not in study.seeds:
        raise fail("predict", "seed", f"one of the study's, such as {study.seeds[0]}", seed)
    for arm in study.arms:
        # Before data are read, or downloaded.
        resolve(arm.expression.middle, study.load)
    variants = Variants(study, material(study, data_directory=data_directory), data_directory)
    return predict_with(study, variants, seed)


def predict_with(study: Study, variants: Variants, seed: int) -> StudyPrediction:
    """As `predict_study`, of material that is at hand."""
    groups: dict[str, list[Arm]] = {}
    for arm in study.arms:
        groups.setdefault(repr(sorted(_of_problem(arm).items())), []).append(arm)
    steps = max(study.with_factors(arm.factors).steps for arm in study.arms)
    found = [_Group(study, arms, variants, seed, steps) for arms in groups.values()]
    first = found[0]
    told = {each.label: each for group in found for each in group.arms}
    refusal = first.prediction.refusal
    if len(found) > 1:
        told = {label: replace(each, place=None) for label, each in told.items()}
        refusal = "arms of different problems are not compared"
    return StudyPrediction(
        steps=steps,
        seed=seed,
        rows=first.model.rows,
        training_rows=first.model.training_rows,
        sharpness=first.model.spectrum.sharpness,
        noise=first.model.noise,
        noise_error=first.model.noise_error,
        arms=tuple(told[arm.label] for arm in study.arms),
        ties=first.prediction.ties,
        refusal=refusal,
    )


class _Group:
    """Arms of one problem: its model, and what is said of each."""

    def __init__(self, study: Study, arms: Sequence[Arm], variants: Variants, seed: int, steps: int) -> None:
        self.study, self.variants, self.seed = study, variants, seed
        self.budgets = {arm.label: study.with_factors(arm.factors).steps for arm in arms}
        whole = {arm.label: variants.of(arm.factors) for arm in arms}
        self.batches = {label: batch_of(each, seed, study.sampling) for label, each in whole.items()}
        # Of an arm with mini-batches, where there is one: the noise is that of one example.
        noisy = next((label for label, batch in self.batches.items() if batch is not None), arms[0].label)
        self.model: QuadraticModel = quadratic_model(whole[noisy], seed, steps)
        chosen = {arm.label: self._chosen(arm, whole[arm.label]) for arm in arms}
        self.prediction: Prediction = predict(
            {label: each.optimizer for label, each in chosen.items()},
            self.model.spectrum,
            self.budgets,
            batch_size=self.batches,
        )
        self.arms = [chosen[told.label].said(told, self.prediction.place(told.label)) for told in self.prediction.arms]

    def _chosen(self, arm: Arm, whole: Material) -> _Chosen:
        steps = self.budgets[arm.label]
        if not arm.ranges:
            return _Chosen(arm.optimizer, _read(arm.expression, self.study, whole, steps))
        tried = jobs.trials(self.study, arm)[:MOST_TRIALS]
        read: dict[str, Dynamics | ValueError] = {}
        is_alike = False
        for trial in tried:
            found = read[trial.text] = _read(trial, self.study, whole, steps, alone=is_alike)
            if isinstance(found, NotLinear):
                return _Chosen(None, found)
            if not is_alike and isinstance(found, Dynamics):
                # Where all leaves are treated as one alone, the other trials are read of one, which is quicker.
                is_alike = _are_equal(found, _read(trial, self.study, whole, steps, alone=True))
        told = predict(read, self.model.spectrum, steps, batch_size=self.batches[arm.label])
        stable = [each.label for each in told.arms if each.is_stable]
        rates = [value for text in stable if (value := _learning_rate(arm, text)) is not None]
        among = (len(stable), len(tried))
        range_of_rates = (min(rates), max(rates)) if rates else None
        compared = {each.label: each.decrease for each in told.arms if each.decrease is not None}
        if not compared:
            why = ValueError(f"{told.refusal}; no trial can be compared") if stable else ValueError("no trial is stable")
            return _Chosen(None, why, among, range_of_rates)
        best = max(compared, key=compared.__getitem__)
        return _Chosen(best, read[best], among, range_of_rates)


@dataclass(frozen=True)
class _Chosen:
    optimizer_text: str | None
    optimizer: Any
    stable_trials: tuple[int, int] | None = None
    stable_rates: tuple[float, float] | None = None

    def said(self, told: ArmPrediction, place: int | None) -> PredictedArm:
        fields = {name: value for name, value in told._asdict().items() if name != "decrease"}
        trials = {"stable_trials": self.stable_trials, "stable_rates": self.stable_rates}
        return PredictedArm(**fields, **trials, optimizer=self.optimizer_text, place=place)


def _read(expression: Expression, study: Study, whole: Material, steps: int, *, alone: bool = False) -> Any:
    """The dynamics of an optimizer on the problem's parameters, or on one leaf `alone`; or why there are none."""
    optimizer = settle(resolve(expression, study.load, whole.problem.axes), whole.params)
    try:
        return read_for(optimizer.make(**optimizer.numbers), steps, None if alone else whole.params)
    except ValueError as error:
        return error
    except TypeError as error:
        raise StudyError(f"arm {quoted(expression.text)}: {error}") from error


def _are_equal(one: Dynamics, other: Any) -> bool:
    if not isinstance(other, Dynamics) or one.F.shape != other.F.shape:
        return False
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("F", "b", "readout", "start"))


def _learning_rate(arm: Arm, text: str) -> float | None:
    value = arm.expression.read_back(Expression.read(text)).get("learning_rate")
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _of_problem(arm: Arm) -> Mapping[str, Any]:
    return {name: value for name, value in arm.factors.items() if name not in BUDGET}
