"""The answer of a study in words. Nothing is decided here: every sentence says what the analysis holds.

verdict, mark, question        the answer: one sentence of at most 25 words, a mark, and what was asked
lead, why, lines, next_step    how to take it, what explains it, the other claims, what would make it surer
state, trust, noise, remarks   what is not as planned, whether the study can be trusted, and all of it in a list
checks, sections, WORDS        the sentences of the page's own sections, and the words that it explains
amount, signed, interval, ...  how differences, intervals and arms are written
"""

from momentum_jax.studies.wording import sections as sections
from momentum_jax.studies.wording.amounts import (
    amount as amount,
    brief as brief,
    called as called,
    confidence as confidence,
    effective_rate as effective_rate,
    interval as interval,
    names as names,
    p_value as p_value,
    signed as signed,
)
from momentum_jax.studies.wording.checks import (
    FEW_SEEDS as FEW_SEEDS,
    Check as Check,
    checks as checks,
    is_off as is_off,
    noise as noise,
    trust as trust,
    trusted as trusted,
)
from momentum_jax.studies.wording.remarks import (
    banner as banner,
    beside as beside,
    claim_line as claim_line,
    lead as lead,
    lines as lines,
    look as look,
    next_step as next_step,
    remarks as remarks,
    state as state,
    why as why,
)
from momentum_jax.studies.wording.verdict import Mark as Mark, mark as mark, question as question, verdict as verdict
from momentum_jax.studies.wording.words import WORDS as WORDS, Word as Word
