"""A prediction as a table and in sentences: what a quadratic model says, and why it says no more."""

from __future__ import annotations

import math
from collections.abc import Iterator

from momentum_jax.studies.prediction import PredictedArm, StudyPrediction
from momentum_jax.theory.prediction import LEVEL

HEADINGS = ("arm", "sharpness / limit", "stable", "place", "noise floor, step")
_NOTHING = "-"


def row(arm: PredictedArm) -> tuple[str, ...]:
    """The cells of an arm under `HEADINGS`."""
    stable = _NOTHING if arm.is_stable is None else "yes" if arm.is_stable else "no"
    floor = _NOTHING if arm.noise_floor is None else f"{arm.noise_floor:,}"
    return arm.label, _ratio(arm.ratio), stable, _NOTHING if arm.place is None else str(arm.place), floor


def sentences(found: StudyPrediction) -> list[str]:
    """What was measured, what stands for arms with ranges, what is not said of which arm, and what the places mean."""
    return [_measured(found), *(sentence for arm in found.arms for sentence in _of_arm(arm)), *_order(found)]


def _measured(found: StudyPrediction) -> str:
    where = f"The largest curvature where seed {found.seed} begins is {found.sharpness:.3g}"
    if not found.rows:
        return f"{where}."
    rows = f"{found.rows:,} of {found.training_rows:,}" if found.rows < found.training_rows else f"{found.rows:,}"
    noise = "" if found.noise is None else f"; the gradient of one of them has variance {found.noise:.3g}"
    error = "" if found.noise_error is None else f" ± {found.noise_error:.1g}"
    return f"{where}, measured on {rows} training rows{noise}{error}."


def _of_arm(arm: PredictedArm) -> Iterator[str]:
    if arm.stable_trials is not None:
        stable, tried = arm.stable_trials
        rates = "" if arm.stable_rates is None else " (learning rates {:.3g} to {:.3g})".format(*arm.stable_rates)
        best = "" if arm.optimizer is None else f"; best by prediction is {arm.optimizer}"
        yield f"{arm.label}: {stable} of {tried} trials are stable{rates}{best}."
    if arm.refusal is not None:
        yield f"{arm.label}: {arm.refusal.rstrip('.')}."


def _order(found: StudyPrediction) -> Iterator[str]:
    places = [arm.place for arm in found.arms if arm.place is not None]
    if found.refusal is not None:
        yield f"No order: {found.refusal.rstrip('.')}."
    elif len({*places}) < len(places):
        if found.ties == LEVEL:
            yield "Arms that share a place: no difference above 1% of the best arm's decrease and the error of the noise."
        else:
            yield "Arms that share a place are undecided: most of the decrease lies along directions without curvature."
    yield "This is a prediction of a quadratic model; nothing was trained."


def _ratio(ratio: float | None) -> str:
    if ratio is None:
        return _NOTHING
    return f"{ratio:.3g}" if math.isfinite(ratio) else "above any"
