"""What per-seed values allow to say: estimates, comparisons, power, and steps to a target as censored data.

    describe, normality                       one arm
    paired                                    two arms on the same seeds: the primary comparison
    independent, mann_whitney_pvalue          two arms on seeds of their own (the textbook)
    ratio_of_means                            how much of one paired difference another makes up
    noise_floor                               one arm against itself, on other seeds (A/A)
    holm, lost_to_holm                        the p-values of several arms, and what they take away
    detectable_difference, seeds_needed       what these seeds can show, and how many would show it
    kaplan_meier, log_rank, paired_steps      steps to a target, where some runs never reach it

A seed fixes split, initialisation and batches of every arm, so arms of one study are compared in pairs. Every function takes
finite numbers, one a seed, and refuses others: what a diverged run counts as is the caller's decision. Every result is a
frozen dataclass of plain numbers (`dataclasses.asdict` gives JSON), None where the data allow no number, with `caveats`
that say so, and puts itself in words by `sentence`.
"""

from momentum_jax.studies.statistics.comparison import (
    IndependentComparison as IndependentComparison,
    NoiseFloor as NoiseFloor,
    PairedComparison as PairedComparison,
    independent as independent,
    noise_floor as noise_floor,
    paired as paired,
)
from momentum_jax.studies.statistics.description import (
    Description as Description,
    Normality as Normality,
    describe as describe,
    normality as normality,
)
from momentum_jax.studies.statistics.holm import holm as holm, lost_to_holm as lost_to_holm
from momentum_jax.studies.statistics.power import (
    detectable_difference as detectable_difference,
    seeds_needed as seeds_needed,
)
from momentum_jax.studies.statistics.ranks import (
    FEWEST_PAIRS as FEWEST_PAIRS,
    mann_whitney_pvalue as mann_whitney_pvalue,
)
from momentum_jax.studies.statistics.ratio import Ratio as Ratio, ratio_of_means as ratio_of_means
from momentum_jax.studies.statistics.steps import (
    KaplanMeier as KaplanMeier,
    LogRank as LogRank,
    PairedSteps as PairedSteps,
    kaplan_meier as kaplan_meier,
    log_rank as log_rank,
    paired_steps as paired_steps,
)
