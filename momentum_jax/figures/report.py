"""All figures of a study's report, by the names of their files."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from momentum_jax.figures.compare import compare
from momentum_jax.figures.confusion import confusion
from momentum_jax.figures.ladder import ladder
from momentum_jax.figures.sensitivity import sensitivity
from momentum_jax.figures.steps_to_target import steps_to_target
from momentum_jax.figures.test_accuracy import test_accuracy
from momentum_jax.figures.validation_accuracy import validation_accuracy
from momentum_jax.studies.analysis import Analysis
from momentum_jax.studies.learning_curves import AccuracyCurve, LearningCurve
from momentum_jax.studies.spec import Study


def report(
    analysis: Analysis,
    curves: Sequence[LearningCurve],
    accuracies: Sequence[AccuracyCurve],
    classes: Sequence[str] | None = None,
) -> dict[str, Figure]:
    """What can be drawn of this study: a figure is left out where the study has nothing for it.

    Args:
      analysis: of `studies.analysis.analyse`.
      curves, accuracies: of `studies.learning_curves`, with the ladder's, in the order of `analysis.arms`.
      classes: the names of the classes; None: their numbers.
    """
    study, arms = analysis.study, analysis.arms
    if not arms:
        return {}
    title = _title(study)
    figures = {
        "learning_curves": of_study(study, curves),
        "validation_accuracy": validation_accuracy(accuracies, title=title),
        "test_accuracy": test_accuracy(arms, title=title),
    }
    if study.target is not None:
        figures["steps_to_target"] = steps_to_target(arms, title=title, target=study.target)
    if analysis.ladder is not None:
        figures["ladder"] = ladder(analysis.ladder, title=title)
    if any(tuning.learning_rate is not None for tuning in analysis.tunings):
        score = "accuracy" if study.search.score == "accuracy" else "loss"
        figures["sensitivity"] = sensitivity(analysis.tunings, title=title, score=score, loss=_unit(study))
    drawn = ((index, arm) for index, arm in enumerate(arms) if arm.confusion)
    figures |= {f"confusion_{index}": confusion(arm, classes) for index, arm in drawn}
    for figure in figures.values():
        # Laid out once: every drawing would move things a little further.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return figures


def of_study(study: Study, curves: Sequence[LearningCurve]) -> Figure:
    """The learning curves of a study under its name, with its loss and target on the axis."""
    return compare(curves, title=_title(study), loss=f"training loss ({_unit(study)})", target=study.target)


def _title(study: Study) -> str:
    hidden = "-".join(map(str, study.network.hidden)) or "none"
    channels = f"channels {'-'.join(map(str, study.network.channels))}, " if study.network.channels else ""
    return f"{study.data_name}: {channels}hidden layers {hidden}, {study.network.activation}, batch {study.batch}"


def _unit(study: Study) -> str:
    return "cross-entropy, nats" if study.network.loss == "cross_entropy" else "half squared error"
