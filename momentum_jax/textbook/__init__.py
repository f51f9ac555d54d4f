"""The textbook, reproduced and corrected: every experiment, figure and table of five documents, one declaration each.

    from momentum_jax import textbook

    result = textbook.run(textbook.find("11-7"), "out/rolling-ball")        result.ok        result.verdicts

`DOCUMENTS` has the five documents by the labels T1 to T5, which stand in every declaration and in `result.json`. Where a
document numbers its figures, tables, equations, listings, notes or files, `find` takes the number.

An `Experiment` is data: what it reproduces, its `Claim`s, its settings at full and at quick size, and what measures it.
`run` checks every claim; `momentum_jax.figures.textbook` draws; `momentum-jax reproduce` does both.
"""

from momentum_jax._text import joined, quoted
from momentum_jax.textbook import (
    adaptive_methods,
    batch_size,
    edge_of_stability,
    fair_comparison,
    fashion_mnist,
    flat_minima,
    hundred_runs,
    mnist,
    moving_averages,
    nesterov_batches,
    one_dimension,
    optimizers_side_by_side,
    poor_minima,
    random_walk,
    ravine,
    rolling_ball,
    smoother_losses,
    toy_regressions,
    two_dimensions,
)
from momentum_jax.textbook.experiment import (
    Claim,
    Experiment,
    Outcome,
    Surroundings,
    Table,
)
from momentum_jax.textbook.run import Result, Verdict, check, run

__all__ = [
    "DOCUMENTS",
    "EXPERIMENTS",
    "Claim",
    "Experiment",
    "Outcome",
    "Result",
    "Surroundings",
    "Table",
    "Verdict",
    "check",
    "find",
    "run",
]

DOCUMENTS = {
    "T1": "N. Buduma, Fundamentals of Deep Learning, O'Reilly 2017, chapter 4, section on momentum-based optimization "
    "(read in a Chinese translation)",
    "T2": "tutorial article on the momentum method, signed 禅与计算机程序设计艺术",
    "T3": '"Momentum: a simple yet efficient optimizing technique", Medium, Analytics Vidhya (read in translation)',
    "T4": "R. T. Kneusel, Math for Deep Learning, No Starch Press 2021, chapter 11, Gradient Descent (read in translation)",
    "T5": '"Intro to optimization in deep learning: Momentum, RMSProp and Adam", Paperspace blog (read in translation)',
}
# A number that is that of several things is that of the first of these.
_KINDS = ("figure", "table", "equation", "listing", "note", "file")

EXPERIMENTS: tuple[Experiment, ...] = (
    random_walk.EXPERIMENT,
    moving_averages.EXPERIMENT,
    one_dimension.EXPERIMENT,
    two_dimensions.EXPERIMENT,
    rolling_ball.EXPERIMENT,
    poor_minima.EXPERIMENT,
    mnist.EXPERIMENT,
    fashion_mnist.EXPERIMENT,
    fair_comparison.EXPERIMENT,
    hundred_runs.EXPERIMENT,
    batch_size.EXPERIMENT,
    optimizers_side_by_side.EXPERIMENT,
    ravine.EXPERIMENT,
    nesterov_batches.EXPERIMENT,
    adaptive_methods.EXPERIMENT,
    flat_minima.EXPERIMENT,
    smoother_losses.EXPERIMENT,
    toy_regressions.EXPERIMENT,
    edge_of_stability.EXPERIMENT,
)


def find(wanted: str) -> Experiment:
    """The experiment of that name, or the one that has what a source numbers so.

    Numbers are those of figures, tables, equations, listings, notes and files: "11-7", "table 11-2", "11.10", "listing
    11-6", "gd_nesterov". A bare number is that of a figure, where a figure has it, else of a table, a listing, a note.
    The label of a document is enough where it has one experiment: "T2".
    Capitals and commas do not count, so that the labels of the printed tables find theirs: "T4, figure 11-7".

    Raises:
      ValueError: there is none, or several experiments have it.
    """
    asked = " ".join(wanted.replace(",", " ").split()).casefold()
    document = f"{asked} " if asked in map(str.casefold, DOCUMENTS) else None
    found = [
        (number, experiment)
        for experiment in EXPERIMENTS
        for number in (experiment.name, *experiment.reproduces)
        for label in (number.replace(",", "").casefold(),)
        if asked == label or label.endswith(f" {asked}") or (document is not None and label.startswith(document))
    ]
    for kind in _KINDS if document is None else ():
        found = [each for each in found if kind in each[0].split()] or found
    if len({experiment.name for _, experiment in found}) == 1:
        return found[0][1]
    if found:
        labels = [f"{number} of {experiment.name}" for number, experiment in found]
        raise ValueError(f"find: {quoted(wanted)} is {joined(labels)}; say which.")
    names = ", ".join(experiment.name for experiment in EXPERIMENTS)
    raise ValueError(f"find: there is no experiment, figure or table {quoted(wanted)}; the experiments are {names}.")


def __dir__() -> list[str]:
    return sorted(__all__)
