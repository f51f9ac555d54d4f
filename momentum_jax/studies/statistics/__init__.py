"""Per-seed values described, for the tables of a report and for the textbook. Nothing is claimed here: `studies.evidence` does.

    describe, normality                       one arm
    paired                                    two arms on the same seeds
    independent, mann_whitney_pvalue          two arms on seeds of their own
    kaplan_meier, log_rank, paired_steps      steps to a target, where some runs never reach it

The p-values are those of the tests that sources publish. None is corrected for the others, so none supports a claim.

A seed fixes split, initialisation and batches of every arm, so arms of one study are described in pairs. Every function takes
finite numbers, one a seed, and refuses others: what a diverged run counts as is the caller's decision. Every result is a
frozen dataclass of plain numbers (`dataclasses.asdict` gives JSON), None where the data allow no number, with `caveats`
that say so.
"""

from momentum_jax.studies.statistics.comparison import (
    IndependentComparison as IndependentComparison,
    PairedComparison as PairedComparison,
    independent as independent,
    paired as paired,
)
from momentum_jax.studies.statistics.description import (
    Description as Description,
    Normality as Normality,
    describe as describe,
    normality as normality,
)
from momentum_jax.studies.statistics.ranks import mann_whitney_pvalue as mann_whitney_pvalue
from momentum_jax.studies.statistics.steps import (
    KaplanMeier as KaplanMeier,
    LogRank as LogRank,
    PairedSteps as PairedSteps,
    kaplan_meier as kaplan_meier,
    log_rank as log_rank,
    paired_steps as paired_steps,
)
