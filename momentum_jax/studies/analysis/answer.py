"""The answer to a study's question: which of a few kinds its evidence is of. `studies.wording` puts it into a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from momentum_jax.studies import jobs
from momentum_jax.studies.analysis.claims import GAIN, LARGER_STEP, MOMENTUM_ITSELF, QUESTION, merits
from momentum_jax.studies.analysis.results import Answer, ArmResult, Claim, Tuning
from momentum_jax.studies.evidence import LEVEL, Differences, Questions, decide
from momentum_jax.studies.scores import Scores
from momentum_jax.studies.study import Study

# In the order in which they are looked for; the first that fits is the answer.
KINDS = (
    "cannot",
    "nothing",
    "diverged",
    "unstable",
    "noquestion",
    "other",
    "edge",
    "opposed",
    "helps",
    "same",
    "rates",
    "beyond",
    "unsplit",
    "hurts",
    "nothelp",
    "sooner",
    "larger",
    "notshown",
)
# What momentum itself may still be worth, as a share of what the larger step surely brings, to call the two level.
_AS_WELL = 0.5


def answer(
    study: Study, scores: Scores, arms: Sequence[ArmResult], tunings: Sequence[Tuning], claims: Sequence[Claim]
) -> Answer:
    by_role = {role: claim for claim in claims for role in claim.roles}
    known = {arm.label: arm for arm in arms}
    question = by_role.get(QUESTION)
    own = [arm for arm in arms if not arm.rung]
    asked = question or (claims[0] if claims else None)
    found: dict[str, Any] = {"first": question.first, "second": question.second} if question else {}
    if asked is not None and asked.evidence.n < asked.evidence.fewest:
        return Answer("cannot", asked.roles[:1], **found)
    whole = [arm for arm in own if arm.diverged < len(arm.runs)]
    if whole and all(arm.hardly_learned for arm in whole):
        return Answer("nothing", **found)
    if question is None:
        return Answer("noquestion")
    pair = known[question.first], known[question.second]
    if any(arm.diverged == len(arm.runs) for arm in pair):
        return Answer("diverged", (QUESTION,), **found)
    is_withheld = _is_withheld(study, scores, known, tunings, by_role, question)
    if any(arm.diverged for arm in pair):
        return Answer("edge" if is_withheld else "unstable", (QUESTION,), **found)
    if not is_of_momentum(pair):
        return Answer("other", (QUESTION,), **found)
    if is_withheld:
        return Answer("edge", (QUESTION,), **found)
    if question.evidence.opposed:
        return Answer("opposed", (QUESTION,), **found)
    kind, roles = _of_momentum(study, scores, known, by_role, question)
    return Answer(kind, roles, **found)


def _of_momentum(
    study: Study, scores: Scores, arms: Mapping[str, ArmResult], by_role: Mapping[str, Claim], question: Claim
) -> tuple[str, tuple[str, ...]]:
    """The kind of an answer that is about momentum and gradient descent, with the roles of what it is read from."""
    direction = question.evidence.direction
    declared = margin(study, scores, question)
    if is_tuned(study, question):
        if direction > 0:
            return "helps", (QUESTION,)
        larger = _direction(by_role, GAIN) > 0 >= _direction(by_role, MOMENTUM_ITSELF) and is_as_well(by_role)
        later = ("larger", (GAIN, LARGER_STEP, MOMENTUM_ITSELF)) if larger else ("notshown", (QUESTION,))
    elif GAIN in by_role and MOMENTUM_ITSELF in question.roles:
        gain = _direction(by_role, GAIN)
        hardly = arms[question.second].hardly_learned
        if gain > 0 and not hardly and not question.evidence.claimed and is_as_well(by_role):
            return "same", (GAIN, LARGER_STEP, MOMENTUM_ITSELF)
        if hardly:
            # A control that learned nothing cannot show what momentum adds to the larger step.
            return ("rates" if gain > 0 else "hurts" if gain < 0 else "notshown"), (GAIN,)
        if direction > 0:
            return "beyond", (QUESTION,)
        if gain > 0 and not question.evidence.claimed:
            return "unsplit", (GAIN, LARGER_STEP, MOMENTUM_ITSELF)
        later = "notshown", (QUESTION,)
    else:
        if direction > 0:
            return "rates", (QUESTION,)
        later = "notshown", (QUESTION,)
    if direction < 0:
        return "hurts", (QUESTION,)
    if declared is not None and question.evidence.is_within(declared):
        return "nothelp", (QUESTION,)
    sooner = by_role.get(f"{QUESTION}_steps")
    if sooner is not None and sooner.evidence.direction:
        return "sooner", (sooner.roles[0], QUESTION)
    return later


def is_tuned(study: Study, question: Claim) -> bool:
    """Whether both arms of the question were tuned."""
    return {question.first, question.second} <= {arm.label for arm in study.tuned}


def is_as_well(by_role: Mapping[str, Claim]) -> bool:
    """Whether a larger step alone does as well as momentum: it surely brings twice what momentum itself may still be worth."""
    if _direction(by_role, LARGER_STEP) <= 0 or MOMENTUM_ITSELF not in by_role:
        return False
    larger, itself = (by_role[role].evidence.interval for role in (LARGER_STEP, MOMENTUM_ITSELF))
    return bool(larger and itself and max(map(abs, itself)) < _AS_WELL * min(map(abs, larger)))


def margin(study: Study, scores: Scores, claim: Claim) -> float | None:
    """The margin that the study declared, in the units of the claim's differences; None: it declared none."""
    if study.matters is None:
        return None
    return study.matters / (scores.primary.factor if claim.measure == "score" else 1)


def _direction(by_role: Mapping[str, Claim], role: str) -> int:
    return by_role[role].evidence.direction if role in by_role else 0


def is_of_momentum(pair: tuple[ArmResult, ArmResult]) -> bool:
    """Whether the first is plain momentum and the second gradient descent."""
    first, second = (jobs.rate_and_momentum(arm.expression) for arm in pair)
    return first is not None and second is not None and first[1] > 0 == second[1]


def _is_withheld(
    study: Study,
    scores: Scores,
    arms: Mapping[str, ArmResult],
    tunings: Sequence[Tuning],
    by_role: Mapping[str, Claim],
    question: Claim,
) -> bool:
    """Whether the loser of a claim was not tuned well enough: its range was too narrow, or its search missed a better rate."""
    direction = question.evidence.direction
    if not direction:
        return False
    loser = question.second if direction > 0 else question.first
    if any(search.arm == loser and not search.wide_enough for search in tunings):
        return True
    return direction > 0 and loser in {arm.label for arm in study.tuned} and _is_missed(scores, arms, question, by_role)


def _is_missed(scores: Scores, arms: Mapping[str, ArmResult], question: Claim, by_role: Mapping[str, Claim]) -> bool:
    """Whether a gradient descent of the ladder beats the tuned one, by a test that makes no claim."""
    rungs = {by_role[role].second for role in (GAIN, MOMENTUM_ITSELF) if role in by_role} - {question.second}
    for label in rungs:
        seeds = [seed for seed in question.seeds if seed in {*arms[label].seeds}]
        if not seeds:
            continue
        both = (merits(scores, arms[each], question.measure, seeds) for each in (label, question.second))
        found = decide({label: Differences.of(*both)}, Questions(label))[label]
        if found.p <= LEVEL and found.direction > 0:
            return True
    return False
