"""The answer in a mark and in one sentence of at most 25 words."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from momentum_jax.studies.analysis.answer import is_of_momentum, is_tuned, margin
from momentum_jax.studies.analysis.claims import MOMENTUM_ITSELF
from momentum_jax.studies.analysis.results import Analysis, ArmResult, Claim
from momentum_jax.studies.wording.amounts import (
    MOST_WORDS,
    capital,
    effective_rate,
    ended,
    interval,
    interval_in_brackets,
    is_level,
    is_mostly_level,
    level_on,
    measured,
    names,
    unit,
    word,
)

# Names of arms are cut until the sentence is short enough.
_WORDS_OF_A_NAME = (8, 4, 3, 2, 1)


class Mark(NamedTuple):
    """The answer in a word or two, and the shape that stands beside it: no mark is told by its colour alone."""

    word: str
    shape: str


_MARKS = {
    "cannot": Mark("Cannot say yet", "question"),
    "nothing": Mark("Nothing learned", "question"),
    "diverged": Mark("Diverged", "question"),
    "unstable": Mark("Unstable", "question"),
    "noquestion": Mark("No single question", "equal"),
    "edge": Mark("Cannot say yet", "question"),
    "opposed": Mark("No direction", "ring"),
    "helps": Mark("Helps", "tick"),
    "same": Mark("No more than a larger step", "equal"),
    "rates": Mark("Better at these rates", "equal"),
    "beyond": Mark("Helps", "tick"),
    "unsplit": Mark("Better at this rate", "equal"),
    "hurts": Mark("Hurts", "cross"),
    "nothelp": Mark("Does not help", "equal"),
    "larger": Mark("No more than a larger step", "equal"),
    "notshown": Mark("Not shown", "ring"),
}


def mark(analysis: Analysis) -> Mark:
    """The mark of the answer."""
    kind = analysis.answer.kind
    if kind == "noquestion" and not analysis.arms:
        return Mark("No runs yet", "question")
    if kind == "noquestion" and len(analysis.study.arms) == 1:
        return Mark("One arm", "equal")
    if kind not in ("sooner", "other"):
        return _MARKS[kind]
    claim = _claim(analysis)
    if kind == "sooner":
        return Mark("Sooner", "tick") if claim.evidence.direction > 0 else Mark("Later", "cross")
    if claim.evidence.direction:
        return Mark("Differs", "tick")
    return Mark("Level", "equal") if _is_level(analysis, claim) else Mark("Not shown", "ring")


def question(analysis: Analysis) -> str:
    """What the study asks, or its own title."""
    study, answer = analysis.study, analysis.answer
    if study.title:
        return study.title
    if answer.first is None or answer.second is None:
        if len(study.arms) == 1:
            return f"How does {study.arms[0].label} do on {study.data_name}?"
        return f"Which optimizer is best on {study.data_name}?"
    if not is_of_momentum((analysis.arm(answer.first), analysis.arm(answer.second))):
        first, second = names(analysis, answer.first, answer.second)
        return f"Do {first} and {second} differ on {study.data_name}?"
    return f"Does momentum help on {study.data_name}?"


def verdict(analysis: Analysis) -> str:
    """The answer in one sentence."""
    kind = analysis.answer.kind
    if kind == "noquestion" and not analysis.arms:
        return "No final run is stored yet, so there is nothing to say."
    if kind == "noquestion" and len(analysis.study.arms) == 1:
        return "There is one arm, so nothing is compared; its runs are below."
    if kind == "noquestion":
        return "No single question is declared; see the arms below."
    if kind == "nothing":
        name = analysis.scores.primary.name
        return f"No arm learned anything: {name} ended no better than before training. Check data, loss and learning rates."
    if kind == "cannot":
        claim = _claim(analysis)
        seeds = f"{claim.evidence.n} seed{'s' * (claim.evidence.n != 1)}"
        return f"{seeds} can show no difference of any size, so nothing is claimed: run at least {claim.evidence.fewest}."
    said = [_SENTENCES[kind](analysis, _Pair.of(analysis, most)) for most in _WORDS_OF_A_NAME]
    return next((each for each in said if len(each.split()) <= MOST_WORDS), said[-1])


class _Pair(NamedTuple):
    """Short names of the two arms that the sentence is about, and how they were set against each other."""

    first: str
    second: str
    setting: str

    @classmethod
    def of(cls, analysis: Analysis, most: int) -> _Pair:
        claim = _claim(analysis)
        itself = MOMENTUM_ITSELF in claim.roles
        setting = "both tuned" if is_tuned(analysis.study, claim) else "at equal effective rate" if itself else "as given"
        first, second = names(analysis, claim.first, claim.second, most=most)
        return cls(first, second, setting)


def _arms(analysis: Analysis, pair: _Pair) -> list[tuple[str, ArmResult]]:
    """Both arms with their short names."""
    claim = _claim(analysis)
    return [(pair.first, analysis.arm(claim.first)), (pair.second, analysis.arm(claim.second))]


def _diverged(analysis: Analysis, pair: _Pair) -> str:
    lost = [name for name, arm in _arms(analysis, pair) if arm.diverged == len(arm.runs)]
    return f"{capital(' and '.join(lost))} diverged in every run, so there is nothing to compare. Try smaller learning rates."


def _unstable(analysis: Analysis, pair: _Pair) -> str:
    counts = [f"{name} in {arm.diverged} of {len(arm.runs)} runs" for name, arm in _arms(analysis, pair) if arm.diverged]
    ahead = {1: pair.first, -1: pair.second}.get(_claim(analysis).evidence.direction)
    said = f"by ranks, {ahead} is ahead" if ahead else "no difference is shown"
    return f"Runs diverged, {' and '.join(counts)}; {said}."


def _other(analysis: Analysis, pair: _Pair) -> str:
    claim = _claim(analysis)
    if claim.evidence.opposed:
        return _opposed(analysis, pair)
    if claim.evidence.direction:
        return f"{capital(_than(analysis, claim, pair))}."
    subject = _subject(analysis, claim, pair.first, begins=True)
    within = f": {level_on(claim)}" if is_level(claim) else interval_in_brackets(analysis, claim)
    if _is_level(analysis, claim):
        return f"{subject} differs from {_whose(claim, pair)} by less than {_margin(analysis, claim)}{within}."
    return f"{subject} is not shown to differ from {_whose(claim, pair)}{within}."


def _edge(analysis: Analysis, pair: _Pair) -> str:
    claim = _claim(analysis)
    loser, winner = (pair.second, pair.first) if claim.evidence.direction > 0 else (pair.first, pair.second)
    label = claim.second if claim.evidence.direction > 0 else claim.first
    search = next((each for each in analysis.tunings if each.arm == label), None)
    if search is None or search.wide_enough:
        why = f"the search for {loser} missed a better rate: try more trials"
    elif search.edges:
        why = f"the search for {loser} stopped at the edge of its range: widen it first"
    else:
        why = f"{loser}'s search has no trial beyond its best on one side: widen it first"
    ahead = ended(analysis, claim, of_second=claim.evidence.direction < 0)
    return f"{_subject(analysis, claim, winner, begins=True)} {ahead}, but {why}."


def _opposed(analysis: Analysis, pair: _Pair) -> str:
    claim = _claim(analysis)
    typical, mean = (word(analysis, claim, value) for value in (claim.evidence.estimate, claim.evidence.mean or 0.0))
    lost = len([each for each in claim.differences if each * claim.evidence.estimate < 0])
    runs = f"{lost} run{'s' * (lost != 1)}"
    said = f"{capital(pair.first)}'s {measured(analysis, claim)} is typically {typical}, but its mean is {mean}"
    return f"{said}, because of {runs}; no direction is claimed."


def _helps(analysis: Analysis, pair: _Pair) -> str:
    claim = _claim(analysis)
    return f"Momentum helps: both tuned, {_than(analysis, claim, pair)}."


def _same(analysis: Analysis, pair: _Pair) -> str:
    ladder = analysis.ladder
    assert ladder is not None
    return (
        f"A larger step does as well: gradient descent at {effective_rate(analysis)} reaches what {pair.first} gains at "
        f"{ladder.learning_rate:.4g}."
    )


def _rates(analysis: Analysis, pair: _Pair) -> str:
    claim = _claim(analysis)
    within = "" if is_mostly_level(claim) else interval_in_brackets(analysis, claim)
    said = f"{_subject(analysis, claim, pair.first)} {ended(analysis, claim)}{within}"
    return f"At the rates given, {said}; tune both to know whether momentum helps."


def _beyond(analysis: Analysis, pair: _Pair) -> str:
    claim = _claim(analysis)
    said = f"{_subject(analysis, claim, pair.first)} {ended(analysis, claim)} ({interval(analysis, claim)})"
    return f"Momentum helps beyond its larger step: at equal effective rate, {said}."


def _unsplit(analysis: Analysis, pair: _Pair) -> str:
    claim = _claim(analysis)
    said = f"{_subject(analysis, claim, pair.first)} {ended(analysis, claim)}"
    return f"At the same learning rate, {said}; how much is only a larger step is not known."


def _hurts(analysis: Analysis, pair: _Pair) -> str:
    return f"Momentum hurts: {pair.setting}, {_than(analysis, _claim(analysis), pair)}."


def _nothelp(analysis: Analysis, pair: _Pair) -> str:
    claim = _claim(analysis)
    return (
        f"Momentum does not help: {pair.setting}, any difference is smaller than {_margin(analysis, claim)}"
        f"{interval_in_brackets(analysis, claim)}."
    )


def _sooner(analysis: Analysis, pair: _Pair) -> str:
    claim = _claim(analysis)
    first, second = (pair.first, pair.second) if claim.evidence.direction > 0 else (pair.second, pair.first)
    said = ended(analysis, claim, of_second=claim.evidence.direction < 0)
    than = "" if is_mostly_level(claim) else f" than {second}"
    return f"{capital(first)} {said}{than}; no difference in final {analysis.scores.primary.name} is shown."


def _larger(analysis: Analysis, pair: _Pair) -> str:
    return (
        f"Momentum helps only as a larger step: gradient descent at {effective_rate(analysis)} gains as much, and tuned no "
        "difference is shown."
    )


def _notshown(analysis: Analysis, pair: _Pair) -> str:
    claim = _claim(analysis)
    said = f"{_subject(analysis, claim, pair.first)} {ended(analysis, claim)}"
    truth = f"it is {level_on(claim)}" if is_level(claim) else f"the truth may be {interval(analysis, claim)}"
    return f"Momentum is not shown to help: {pair.setting}, {said}; {truth}."


_SENTENCES: dict[str, Callable[[Analysis, _Pair], str]] = {
    "diverged": _diverged,
    "unstable": _unstable,
    "other": _other,
    "edge": _edge,
    "opposed": _opposed,
    "helps": _helps,
    "same": _same,
    "rates": _rates,
    "beyond": _beyond,
    "unsplit": _unsplit,
    "hurts": _hurts,
    "nothelp": _nothelp,
    "sooner": _sooner,
    "larger": _larger,
    "notshown": _notshown,
}


def _claim(analysis: Analysis) -> Claim:
    """The one that the answer's sentence is about; where there is no question, the first of those that there are."""
    return analysis.asked or analysis.claims[0]


def _subject(analysis: Analysis, claim: Claim, name: str, *, begins: bool = False) -> str:
    who = capital(name) if begins else name
    return who if claim.measure == "steps" else f"{who}'s {analysis.scores.primary.name}"


def _whose(claim: Claim, pair: _Pair) -> str:
    return pair.second if claim.measure == "steps" else f"{pair.second}'s"


def _than(analysis: Analysis, claim: Claim, pair: _Pair) -> str:
    than = "" if is_mostly_level(claim) else f" than {_whose(claim, pair)}"
    return f"{_subject(analysis, claim, pair.first)} {ended(analysis, claim)}{than}{interval_in_brackets(analysis, claim)}"


def _margin(analysis: Analysis, claim: Claim) -> str:
    return f"{analysis.study.matters:g} {unit(analysis, claim)}".strip()


def _is_level(analysis: Analysis, claim: Claim) -> bool:
    declared = margin(analysis.study, analysis.scores, claim)
    return declared is not None and claim.evidence.is_within(declared)
