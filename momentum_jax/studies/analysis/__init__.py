"""What a study's stored runs say: all numbers of its report, as plain data that name the runs they come from.

The score of a run is the primary one of its problem, on the test set after the last step. A diverged run has the worst value,
or none where the score has no worst. Arms share seeds, so they are compared in pairs. What may be claimed is decided once, by
`studies.evidence`; all other statistics are description.
"""

from pathlib import Path

from momentum_jax._files import atomic
from momentum_jax.studies.analysis.answer import answer
from momentum_jax.studies.analysis.arms import arm_results, known
from momentum_jax.studies.analysis.claims import claims
from momentum_jax.studies.analysis.comparisons import comparisons
from momentum_jax.studies.analysis.results import (
    Analysis as Analysis,
    Answer as Answer,
    ArmResult as ArmResult,
    Claim as Claim,
    Comparison as Comparison,
    Trial as Trial,
    Tuning as Tuning,
)
from momentum_jax.studies.analysis.tuning import tuning
from momentum_jax.studies.jobs import CONTROL, TUNING, ladder
from momentum_jax.studies.statistics import independent
from momentum_jax.studies.store import Store


def analyse(store: Store, *, by: str | None = None) -> Analysis:
    """Reads a store, finished or not; arms that have no runs yet are left out.

    by: the score that is judged, declared before the first run; None: the primary one. Raises KeyError where there is none.
    """
    study, scores = store.study, store.scores if by is None else store.scores.led_by(by)
    arms = arm_results(store)
    own = [arm for arm in arms if not arm.rung]
    again = store.of(study.arms[0].label, CONTROL)
    searches = (tuning(store, arm) for arm in study.tuned if store.of(arm.label, TUNING))
    tunings = tuple(search for search in searches if search is not None)
    is_whole = {arm.label for arm in study.arms} <= {arm.label for arm in own}
    rungs = ladder(study, {arm.label: arm.expression for arm in own}) if is_whole else None
    if rungs is not None and not {rungs.plain, rungs.control} <= {arm.label for arm in arms}:
        rungs = None
    asked = claims(study, scores, arms, rungs, store.additions)
    # Without runs it is not among `own`, and the control is of no other arm.
    first = next((arm for arm in own if arm.label == study.arms[0].label), None)
    planned = store.manifest.get("planned")
    twice = (known(first.values[scores.primary.name]), known(run.score(scores.primary) for run in again)) if first else ((), ())
    return Analysis(
        study=study,
        scores=scores,
        target_score=store.target_score.name,
        batches=store.batches,
        # Also while its pages are written, when that it is complete is not yet recorded.
        status="complete" if planned == len(store.runs) else store.manifest["status"],
        environment=store.manifest["environment"],
        seconds=store.manifest.get("seconds", {}),
        runs=len(store.runs),
        missing=0 if planned is None else planned - len(store.runs),
        seeds_added=tuple(store.manifest.get("seeds_added", ())),
        damage=tuple(store.damage),
        arms=tuple(arms),
        comparisons=comparisons(study, scores, own),
        tunings=tunings,
        ladder=rungs,
        claims=asked,
        answer=answer(study, scores, arms, tunings, asked),
        noise=independent(*twice) if all(twice) else None,
        control_runs=tuple(run.name for run in again),
        control_diverged=sum(run.diverged is not None for run in again),
        prediction=store.prediction,
    )


def write_analysis(path: Path, analysis: Analysis, sentence: str) -> None:
    """All numbers of the report, as JSON, with the sentence of the answer."""
    with atomic(path) as file:
        file.write(analysis.to_json(sentence).encode())
