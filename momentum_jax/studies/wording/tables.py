"""The captions of a report's tables."""

from __future__ import annotations

from momentum_jax.studies.analysis.results import Analysis, Claim
from momentum_jax.studies.wording.sections import target

CLAIMS = (
    "Difference: typical difference, seed by seed; of steps those saved. p: exact signed-rank test. Adjusted p: for all rows "
    "of this table, claimed where it is at most 0.05. Can be found: in 4 of 5 studies with the spread seen here."
)
NAMES = "The names under which runs.jsonl and curves.npz have the runs."
NO_ARM = "No arm has a final run yet."
SEARCH = (
    "Validation score of the chosen trial on the seeds of the search, and on the study's own. Luck of the choice: by how much "
    "the first is the better, with Welch's interval. Trials have means over the runs that did not diverge."
)
APART = "As if the arms had seeds of their own: this does not see what pairing takes out."


def few(seeds: int) -> str:
    """What so few seeds cannot tell."""
    return f"From {seeds} seeds the spread is itself a guess."


def claimed(claim: Claim) -> str:
    """What the test claims."""
    evidence = claim.evidence
    if not evidence.claimed:
        return "no" if evidence.tested else "not tested"
    return "differs, no direction" if evidence.opposed else {1: "better", -1: "worse"}[evidence.direction]


def arms(analysis: Analysis) -> str:
    """What the table of arms holds."""
    where = "on the test set " if analysis.scores.tested else ""
    notes = [f"Mean ± standard error over seeds, {where}after the last step. IQM: interquartile mean."]
    notes += [f"A lower {score.name} is better." for score in analysis.scores.ranked if score.sign < 0]
    if any(arm.diverged for arm in analysis.arms):
        notes.append(f"Diverged runs {analysis.scores.primary.if_diverged}.")
    return " ".join(notes)


def steps(analysis: Analysis) -> str:
    """What the table of steps holds."""
    beyond = "below" if analysis.scores[analysis.target_score].sign < 0 else "above"
    study = analysis.study
    return (
        f"First evaluation, every {study.evaluate_every} steps, with a {target(analysis)} or {beyond}. Runs that never got "
        f"there, diverged ones too, count with {study.steps:,} steps. The limits of a median are exact."
    )


def compared(analysis: Analysis, reference: str) -> str:
    """What the table of means holds."""
    score = analysis.scores.primary
    points = ", percentage points" if score.percent else ""
    better = "" if score.sign > 0 else " Negative is better."
    return (
        f"Final {analysis.scores.where}{score.name} less that of {reference}, paired by seed{points}.{better} "
        "dz: mean difference in standard deviations of the differences."
    )


def elsewhere(name: str) -> str:
    """Where a matrix of many classes is."""
    return f"It has too many classes for this page: figures/{name}.png shows it."
