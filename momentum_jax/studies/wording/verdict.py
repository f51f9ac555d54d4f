"""The answer in a mark and in one sentence of at most 25 words."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from momentum_jax.studies.analysis.answer import is_tuned
from momentum_jax.studies.analysis.claims import MOMENTUM_ITSELF, QUESTION
from momentum_jax.studies.analysis.results import Analysis, Claim
from momentum_jax.studies.wording.amounts import (
    amount,
    effective_rate,
    ended,
    interval,
    interval_in_brackets,
    measured,
    names,
    unit,
    word,
)


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
    if kind == "sooner":
        return Mark("Sooner", "tick") if _claim(analysis).evidence.direction > 0 else Mark("Later", "cross")
    if kind == "other":
        claim = _claim(analysis)
        if claim.evidence.direction:
            return Mark("Differs", "tick")
        return Mark("Level", "equal") if _is_level(analysis, claim) else Mark("Not shown", "ring")
    return _MARKS[kind]


def question(analysis: Analysis) -> str:
    """What the study asks, or its own title."""
    study, answer = analysis.study, analysis.answer
    if study.title:
        return study.title
    if answer.first is None or answer.second is None:
        return f"Which optimizer is best on {study.data_name}?"
    if answer.kind == "other":
        first, second = names(analysis, answer.first, answer.second)
        return f"Do {first} and {second} differ on {study.data_name}?"
    return f"Does momentum help on {study.data_name}?"


def verdict(analysis: Analysis) -> str:
    """The answer in one sentence."""
    kind, first, second = analysis.answer.kind, analysis.answer.first, analysis.answer.second
    if kind == "noquestion":
        return "No single question is declared; see the arms below."
    if kind == "nothing":
        name = analysis.scores.primary.name
        return f"No arm learned anything: {name} ended no better than before training. Check data, loss and learning rates."
    if kind == "cannot":
        claim = _claim(analysis)
        seeds = f"{claim.evidence.n} seed{'s' * (claim.evidence.n != 1)}"
        return f"{seeds} can show no difference of any size, so nothing is claimed: run at least {claim.evidence.fewest}."
    assert first is not None
    assert second is not None
    return _SENTENCES[kind](analysis, _Pair.of(analysis, first, second))


class _Pair(NamedTuple):
    """Short names of the two arms, and how they were set against each other."""

    first: str
    second: str
    setting: str

    @classmethod
    def of(cls, analysis: Analysis, first: str, second: str) -> _Pair:
        asked = analysis.claim(QUESTION)
        assert asked is not None
        itself = MOMENTUM_ITSELF in asked.roles and analysis.answer.roles[:1] == (QUESTION,)
        setting = "both tuned" if is_tuned(analysis.study, asked) else "at equal effective rate" if itself else "as given"
        short, other = names(analysis, first, second)
        return cls(short, other, setting)


def _diverged(analysis: Analysis, pair: _Pair) -> str:
    answer = analysis.answer
    lost = [
        name
        for name, label in zip(pair, (answer.first, answer.second), strict=False)
        if label is not None and (arm := analysis.arm(label)).diverged == len(arm.runs)
    ]
    who = " and ".join(dict.fromkeys(lost))
    return f"{_upper(who)} diverged in every run, so there is nothing to compare. Try smaller learning rates."


def _unstable(analysis: Analysis, pair: _Pair) -> str:
    answer, claim = analysis.answer, _claim(analysis)
    counts = [
        f"{name} in {arm.diverged} of {len(arm.runs)} runs"
        for name, label in zip(pair, (answer.first, answer.second), strict=False)
        if label is not None and (arm := analysis.arm(label)).diverged
    ]
    ahead = {1: pair.first, -1: pair.second}.get(claim.evidence.direction)
    said = f"by ranks, {ahead} is ahead" if ahead else "no difference is shown"
    return f"Runs diverged, {' and '.join(counts)}; {said}."


def _other(analysis: Analysis, pair: _Pair) -> str:
    claim = _claim(analysis)
    if claim.evidence.opposed:
        return _opposed(analysis, pair)
    subject, within = _subject(analysis, claim, pair.first), interval_in_brackets(analysis, claim)
    whose = pair.second if claim.measure == "steps" else f"{pair.second}'s"
    if claim.evidence.direction:
        return f"{subject} {ended(analysis, claim)} than {whose}{within}."
    if _is_level(analysis, claim):
        return f"{subject} differs from {whose} by less than {_margin(analysis, claim)}{within}."
    return f"{subject} is not shown to differ from {whose}{within}."


def _edge(analysis: Analysis, pair: _Pair) -> str:
    claim = _claim(analysis)
    loser, winner = (pair.second, pair.first) if claim.evidence.direction > 0 else (pair.first, pair.second)
    label = claim.second if claim.evidence.direction > 0 else claim.first
    search = next((each for each in analysis.tunings if each.arm == label), None)
    missed = search is None or search.wide_enough
    why = "missed a better rate" if missed else "stopped at the edge of its range"
    last = "try more trials" if missed else "widen it first"
    ahead = ended(analysis, claim, of_second=winner == pair.second and loser == pair.first)
    return f"{_subject(analysis, claim, winner)} {ahead}, but the search for {loser} {why}: {last}."


def _opposed(analysis: Analysis, pair: _Pair) -> str:
    claim = _claim(analysis)
    typical, mean = (word(analysis, claim, value) for value in (claim.evidence.estimate, claim.evidence.mean or 0.0))
    lost = len([each for each in claim.differences if each * claim.evidence.estimate < 0])
    runs = f"{lost} run{'s' * (lost != 1)}"
    said = f"{_upper(pair.first)}'s {measured(analysis, claim)} is typically {typical}, but its mean is {mean}"
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
    said = (
        f"{_subject(analysis, claim, pair.first, begins=False)} {ended(analysis, claim)}{interval_in_brackets(analysis, claim)}"
    )
    return f"At the rates given, {said}; tune both to know whether momentum helps."


def _beyond(analysis: Analysis, pair: _Pair) -> str:
    claim = _claim(analysis)
    said = f"{_subject(analysis, claim, pair.first, begins=False)} {ended(analysis, claim)} ({interval(analysis, claim)})"
    return f"Momentum helps beyond its larger step: at equal effective rate, {said}."


def _unsplit(analysis: Analysis, pair: _Pair) -> str:
    claim = _claim(analysis)
    said = f"{_subject(analysis, claim, pair.first, begins=False)} {ended(analysis, claim)}"
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
    steps = amount(analysis, claim, abs(claim.evidence.estimate))
    name = analysis.scores.primary.name
    return f"{_upper(first)} reached the target {steps} sooner than {second}; no difference in final {name} is shown."


def _larger(analysis: Analysis, pair: _Pair) -> str:
    return (
        f"Momentum helps only as a larger step: gradient descent at {effective_rate(analysis)} gains as much, and tuned no "
        "difference is shown."
    )


def _notshown(analysis: Analysis, pair: _Pair) -> str:
    claim = _claim(analysis)
    said = f"{_subject(analysis, claim, pair.first, begins=False)} {ended(analysis, claim)}"
    return f"Momentum is not shown to help: {pair.setting}, {said}; the truth may be {interval(analysis, claim)}."


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
    """The one that the answer's sentence is about."""
    roles = analysis.answer.roles
    found = analysis.claim(roles[0]) if roles else None
    if found is None:
        found = analysis.claims[0]
    return found


def _subject(analysis: Analysis, claim: Claim, name: str, *, begins: bool = True) -> str:
    who = _upper(name) if begins else name
    return who if claim.measure == "steps" else f"{who}'s {analysis.scores.primary.name}"


def _than(analysis: Analysis, claim: Claim, pair: _Pair) -> str:
    whose = pair.second if claim.measure == "steps" else f"{pair.second}'s"
    said = f"{_subject(analysis, claim, pair.first, begins=False)} {ended(analysis, claim)} than {whose}"
    return f"{said}{interval_in_brackets(analysis, claim)}"


def _margin(analysis: Analysis, claim: Claim) -> str:
    return f"{analysis.study.matters:g} {unit(analysis, claim)}".strip()


def _is_level(analysis: Analysis, claim: Claim) -> bool:
    matters = analysis.study.matters
    factor = analysis.scores.primary.factor if claim.measure == "score" else 1
    return matters is not None and claim.evidence.is_within(matters / factor)


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
