"""All figures of a study's report, by the names of their files."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from momentum_jax.figures import style
from momentum_jax.figures.compare import compare
from momentum_jax.figures.confusion import confusion
from momentum_jax.figures.final_score import final_score
from momentum_jax.figures.ladder import ladder
from momentum_jax.figures.sensitivity import sensitivity
from momentum_jax.figures.steps_to_target import steps_to_target
from momentum_jax.figures.validation_score import validation_score
from momentum_jax.studies.analysis import Analysis
from momentum_jax.studies.learning_curves import LearningCurve, ScoreCurve
from momentum_jax.studies.scores import RankedScore
from momentum_jax.studies.study import Study


def report(
    analysis: Analysis,
    curves: Sequence[LearningCurve],
    scores: Sequence[ScoreCurve],
    classes: Sequence[str] | None = None,
) -> dict[str, Figure]:
    """What can be drawn of this study: a figure is left out where the study has nothing for it.

    Args:
      analysis: of `studies.analysis.analyse`.
      curves, scores: of `studies.learning_curves`, with the ladder's, in the order of `analysis.arms`.
      classes: the names of the classes; None: their numbers.
    """
    study, arms = analysis.study, analysis.arms
    if not arms:
        return {}
    title, where, primary = _title(study, analysis.batches), analysis.scores.where, analysis.scores.primary
    target = analysis.scores[analysis.target_score]
    figures = {
        "learning_curves": of_study(study, analysis.batches, target, curves),
        "validation_score": validation_score(scores, primary, title=title),
        "final_score": final_score(arms, primary, where, title=title),
    }
    if study.target is not None:
        figures["steps_to_target"] = steps_to_target(arms, target, title=title, target=study.target)
    if (parts := ladder(analysis, title=title)) is not None:
        figures["ladder"] = parts
    if any(tuning.learning_rate is not None for tuning in analysis.tunings):
        selected = analysis.scores[study.selected_by(analysis.scores)]
        figures["sensitivity"] = sensitivity(analysis.tunings, selected, title=title)
    drawn = ((index, arm) for index, arm in enumerate(arms) if arm.confusion)
    figures |= {f"confusion_{index}": confusion(arm, classes) for index, arm in drawn}
    for figure in figures.values():
        style.lay_out(figure)
    return figures


def of_study(study: Study, batches: str, score: RankedScore, curves: Sequence[LearningCurve]) -> Figure:
    """The learning curves of a study under its name, with its loss on the axis, and its target where that is on the loss.

    Args:
      batches: what a step sees, in words that follow it. score: the one that the target is on.
    """
    is_of_loss = study.problem is None and score.name == "loss"
    unit = f" ({_unit(study)})" if study.problem is None else ""
    title = _title(study, batches)
    return compare(curves, title=title, loss=f"training loss{unit}", target=study.target if is_of_loss else None)


def _title(study: Study, batches: str) -> str:
    if study.problem is not None:
        return f"{study.data_name}: {study.steps:,} steps{batches}"
    hidden = "-".join(map(str, study.network.hidden)) or "none"
    channels = f"channels {'-'.join(map(str, study.network.channels))}, " if study.network.channels else ""
    batch = "all examples" if study.batch is None else study.batch
    return f"{study.data_name}: {channels}hidden layers {hidden}, {study.network.activation}, batch {batch}"


def _unit(study: Study) -> str:
    return "cross-entropy, nats" if study.network.loss == "cross_entropy" else "half squared error"
