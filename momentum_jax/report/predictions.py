"""The section of a report on what a quadratic model predicted, and the sharpness that was measured beside it."""

from __future__ import annotations

from momentum_jax.report.blocks import Section, Table, Text
from momentum_jax.report.given import Given
from momentum_jax.studies.wording import predictions as words


def predictions(given: Given) -> Section | None:
    """None where the study did not ask for it."""
    found = given.analysis.prediction
    if found is None:
        return None
    rows = []
    for arm in found.arms:
        _, *cells = words.row_in_training(arm, found)
        rows.append((_called(given, arm.label), *cells))
    measured, *others, last = words.sentences(found)
    blocks = (
        Table(words.headings_in_training(found), tuple(rows), measured, layout="scroll"),
        *(Text(sentence, tone="small") for sentence in others),
    )
    return Section("prediction", "Prediction", "What does the curvature predict?", Text(last), blocks)


def _called(given: Given, label: str) -> str:
    # An arm of which nothing has been run yet has no other name.
    return given.called(label) if any(arm.label == label for arm in given.analysis.arms) else label
