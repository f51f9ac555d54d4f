"""The textbook, reproduced and corrected: every experiment, figure and table of five documents, one declaration each.

    from momentum_jax import textbook

    result = textbook.run(textbook.find("11-7"), "out/rolling-ball")        result.ok        result.verdicts

The documents, by the labels that stand in every declaration and in `result.json`:

    T1  a deep-learning textbook's section on momentum               figures 4-8 and 4-9
    T2  a tutorial on the momentum method                            listings and printed costs, without numbers
    T3  an article on momentum as an exponential moving average      figures without numbers
    T4  a book chapter on gradient descent: stochastic, momentum,    figures 11-1 to 11-11, table 11-2
        Nesterov, adaptive
    T5  an article on Momentum, RMSProp and Adam                     without numbers

An `Experiment` is data: what it reproduces, its `Claim`s, its settings at full and at quick size, and what measures it.
`run` checks every claim; `momentum_jax.figures.textbook` draws; `momentum-jax reproduce` does both.
"""

from momentum_jax._text import joined, quoted
from momentum_jax.textbook import (
    edge_of_stability,
    fair_comparison,
    fashion_mnist,
    flat_minima,
    hundred_runs,
    mnist,
    moving_averages,
    one_dimension,
    optimizers_side_by_side,
    random_walk,
    ravine,
    rolling_ball,
    toy_regressions,
    two_dimensions,
)
from momentum_jax.textbook.experiment import (
    Claim as Claim,
    Experiment as Experiment,
    Outcome as Outcome,
    Surroundings as Surroundings,
    Table as Table,
)
from momentum_jax.textbook.run import Result as Result, Verdict as Verdict, check as check, run as run

DOCUMENTS = {
    "T1": "a deep-learning textbook's section on momentum",
    "T2": "a tutorial on the momentum method",
    "T3": "an article on momentum as an exponential moving average",
    "T4": "a book chapter on gradient descent: stochastic, momentum, Nesterov, adaptive",
    "T5": "an article on Momentum, RMSProp and Adam",
}

EXPERIMENTS: tuple[Experiment, ...] = (
    random_walk.EXPERIMENT,
    moving_averages.EXPERIMENT,
    one_dimension.EXPERIMENT,
    two_dimensions.EXPERIMENT,
    rolling_ball.EXPERIMENT,
    mnist.EXPERIMENT,
    fashion_mnist.EXPERIMENT,
    fair_comparison.EXPERIMENT,
    hundred_runs.EXPERIMENT,
    optimizers_side_by_side.EXPERIMENT,
    ravine.EXPERIMENT,
    flat_minima.EXPERIMENT,
    toy_regressions.EXPERIMENT,
    edge_of_stability.EXPERIMENT,
)


def find(wanted: str) -> Experiment:
    """The experiment of that name, or the one that reproduces that figure or table: "rolling-ball", "11-7", "table 11-2".

    Capitals and commas do not count, so that the labels of the printed tables find theirs: "T4, figure 11-7".

    Raises:
      ValueError: there is none, or a bare number is that of a figure and of a table.
    """
    asked = " ".join(wanted.replace(",", " ").split()).casefold()
    found = {
        f"{number} of {experiment.name}": experiment
        for experiment in EXPERIMENTS
        for number in (experiment.name, *experiment.reproduces)
        for label in (number.replace(",", "").casefold(),)
        if asked == label or label.endswith(f" {asked}")
    }
    if len({experiment.name for experiment in found.values()}) == 1:
        return next(iter(found.values()))
    if found:
        raise ValueError(f"find: {quoted(wanted)} is {joined([*found])}; say which, as in 'table 11-2'.")
    names = ", ".join(experiment.name for experiment in EXPERIMENTS)
    raise ValueError(f"find: there is no experiment, figure or table {quoted(wanted)}; the experiments are {names}.")
