"""A prediction as a table and in sentences: what a quadratic model says, and why it says no more."""

from __future__ import annotations

import math
from collections.abc import Iterator

from momentum_jax.studies.predicted import PredictedArm, StudyPrediction

HEADINGS = ("arm", "sharpness / limit", "stable", "place", "noise floor, step")
NOT_TRAINED = "This is a prediction of a quadratic model; nothing was trained."
NO_VERDICT = (
    "Limit, rate (along the largest curvature), place and noise floor are predictions of a quadratic model at the start. "
    "No claim and no verdict depends on them."
)
_NOTHING = "-"
# As `theory.Prediction` calls arms that share a place.
_LEVEL = "no difference"


def row(arm: PredictedArm) -> tuple[str, ...]:
    """The cells of an arm under `HEADINGS`."""
    stable = _NOTHING if arm.is_stable is None else "yes" if arm.is_stable else "no"
    floor = _NOTHING if arm.noise_floor is None else f"{arm.noise_floor:,}"
    return arm.label, _ratio(arm.ratio), stable, _NOTHING if arm.place is None else str(arm.place), floor


def headings_in_training(found: StudyPrediction) -> tuple[str, ...]:
    """Those of `row_in_training`."""
    shares = ("at the start" if share == 0 else f"after {100 * share:.3g}% of the steps" for share in found.at)
    return "arm", "stability limit", *(f"sharpness / limit {share}" for share in shares), "predicted rate", *HEADINGS[3:]


def row_in_training(arm: PredictedArm, found: StudyPrediction) -> tuple[str, ...]:
    """An arm's cells: its limit, its measured sharpness over that, and what is predicted of it."""
    limit = _NOTHING if arm.limit is None else "none" if math.isinf(arm.limit) else f"{arm.limit:.4g}"
    measured = [_over(value, arm.limit) for value in arm.sharpness] or [_NOTHING] * len(found.at)
    rate = _NOTHING if arm.rate is None else f"{arm.rate:.4f}"
    return arm.label, limit, *measured, rate, *row(arm)[3:]


def _over(sharpness: float | None, limit: float | None) -> str:
    if sharpness is None or limit is None:
        return "diverged"
    return _ratio(max(sharpness, 0.0) / limit if limit else math.inf)


def sentences(found: StudyPrediction) -> list[str]:
    """What was measured, what stands for arms with ranges, what is not said of which arm, and what the places mean."""
    return [_measured(found), *(sentence for arm in found.arms for sentence in _of_arm(arm)), *_order(found)]


def _measured(found: StudyPrediction) -> str:
    where = f"The largest curvature where seed {found.seed} begins is {found.sharpness:.3g}"
    if not found.rows:
        return f"{where}."
    rows = f"{found.rows:,} of {found.training_rows:,}" if found.rows < found.training_rows else f"{found.rows:,}"
    noise = "" if found.noise is None else f"; the gradient of one of them has variance {found.noise:.3g}"
    error = "" if found.noise_error is None else f" ± {found.noise_error:.2g}"
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
        if found.ties == _LEVEL:
            yield "Arms that share a place: no difference above 1% of the best arm's decrease and the error of the noise."
        else:
            yield "Arms that share a place are undecided: most of the decrease lies along directions without curvature."
    yield NOT_TRAINED if not found.at else NO_VERDICT


def _ratio(ratio: float | None) -> str:
    if ratio is None:
        return _NOTHING
    return f"{ratio:.3g}" if math.isfinite(ratio) else "above any"
