"""How differences, intervals and arms are written: of the score itself as it is measured, of steps those saved."""

from __future__ import annotations

import itertools
import math

from momentum_jax._text import cut, cut_path
from momentum_jax.studies.analysis.results import Analysis, ArmResult, Claim
from momentum_jax.studies.evidence import LEVEL
from momentum_jax.studies.expression import Expression
from momentum_jax.studies.jobs import rate_and_momentum

# Of a sentence.
MOST_WORDS = 25
_LONGEST_NAME = 40
# How an arm's label ends that has ranges and was given none.
_TUNED = ", tuned"
# A larger number is written with its power of ten.
_MOST_WRITTEN_OUT = 1e7


def effective_rate(analysis: Analysis) -> str:
    """The learning rate of gradient descent that takes momentum's steps."""
    assert analysis.ladder is not None
    return f"{analysis.ladder.learning_rate / (1 - analysis.ladder.mu):.4g}"


def names(analysis: Analysis, *labels: str, most: int = 8) -> tuple[str, ...]:
    """Short names, of at most so many words, that differ: an optimizer's own, in words, where nobody gave its arm a label.

    Else the labels, by their beginnings or their ends, or their numbers in the names of their runs.
    """
    own = [_own_name(analysis.arm(label)) for label in labels]
    numbers = {arm.label: number for number, arm in enumerate(analysis.arms)}
    found = (
        tuple(_beginning(name, most) for name in own),
        tuple(_beginning(label, most) for label in labels),
        tuple(_end(label, most) for label in labels),
        tuple(f"arm {numbers[label]}" for label in labels),
    )
    return next(each for each in found if len({*each}) == len({*labels}))


def _own_name(arm: ArmResult) -> str:
    name = Expression.read(arm.written).name
    is_unlabelled = arm.label.startswith(f"{name}(") or arm.label == f"{name}{_TUNED}"
    return name.removeprefix("optax.").replace("_", " ") if is_unlabelled else arm.label


def _beginning(label: str, most: int) -> str:
    words = label.split()
    return cut(label if len(words) <= most else f"{' '.join(words[:most])}...", _LONGEST_NAME)


def _end(label: str, most: int) -> str:
    words = label.split()
    return cut_path(label if len(words) <= most else f"...{' '.join(words[-most:])}", _LONGEST_NAME)


def called(analysis: Analysis, label: str) -> str:
    """How sentences and figures call an arm: as somebody labelled it, and what nobody did in words."""
    return _called(analysis).get(label, label)


def _called(analysis: Analysis) -> dict[str, str]:
    found = {arm.label: _in_words(arm) for arm in analysis.arms}
    names = [*found.values()]
    return {label: name if names.count(name) == 1 else label for label, name in found.items()}


def brief(analysis: Analysis, label: str, most: int = 18) -> str:
    """An arm in few characters, to stand at the end of its curve: if others begin as it does, by its beginning and its end."""
    full = _called(analysis)
    short = {each: name.removesuffix(" (tuned)").replace("gradient descent at", "descent at") for each, name in full.items()}
    begun = [cut(name, most) for name in short.values()]
    found = {each: cut(name, most) if begun.count(cut(name, most)) == 1 else _ends(name, most) for each, name in short.items()}
    return (found if len({*found.values()}) == len(found) else full).get(label, label)


def _ends(name: str, most: int) -> str:
    half = (most - 3) // 2
    return name if len(name) <= most else f"{name[:half]}...{name[half + 3 - most :]}"


def _in_words(arm: ArmResult) -> str:
    if arm.rung and (found := rate_and_momentum(arm.expression)) is not None:
        return f"gradient descent at {found[0]:.4g}"
    name = Expression.read(arm.written).name
    if not arm.label.startswith(f"{name}, "):
        return arm.label
    said = arm.label.replace(name, name.removeprefix("optax.").replace("_", " "), 1)
    return f"{said.removesuffix(_TUNED)} (tuned)" if said.endswith(_TUNED) else said


def ended(analysis: Analysis, claim: Claim, *, of_second: bool = False) -> str:
    """What became of the first arm beside the second, as a predicate; `of_second`: of the second beside the first."""
    sign, is_steps = -1 if of_second else 1, claim.measure == "steps"
    size = amount(analysis, claim, abs(claim.evidence.estimate))
    if is_mostly_level(claim):
        leader = word(analysis, claim, sign * claim.evidence.direction)
        return f"{'was' if is_steps else 'ended'} level on most seeds, {leader} on the others"
    if _is_zero(size):
        return "reached the target in as many steps" if is_steps else "ended level"
    gain = word(analysis, claim, sign * claim.evidence.estimate)
    return f"reached the target {size} {gain}" if is_steps else f"ended {size} {gain}"


def is_level(claim: Claim) -> bool:
    """Whether so many seeds are level that the interval is 0 alone, or all of too few are."""
    return not claim.evidence.claimed and (claim.evidence.interval == (0.0, 0.0) or not claim.evidence.differing)


def level_on(claim: Claim) -> str:
    """On how many seeds the arms are level."""
    evidence = claim.evidence
    return f"level on {evidence.n - evidence.differing} of {evidence.n} seeds"


def is_mostly_level(claim: Claim) -> bool:
    """Whether a difference is claimed that most seeds do not show: its estimate is 0, and the other seeds point one way."""
    return bool(claim.evidence.direction) and claim.evidence.estimate == 0


def amount(analysis: Analysis, claim: Claim, value: float, *, is_short: bool = False) -> str:
    """A difference without its sign, with its unit: as many digits as the interval's half width has two of."""
    text, whole = _number(analysis, claim, value), unit(analysis, claim)
    if is_short:
        whole = whole.replace("percentage points", "pp")
    return f"{text} step" if whole == "steps" and text == "1" else f"{text} {whole}".strip()


def signed(analysis: Analysis, claim: Claim, value: float) -> str:
    """A difference of the score itself, or the steps saved, with its sign and its unit."""
    short = unit(analysis, claim).replace("percentage points", "pp")
    return f"{_signed(analysis, claim, value)} {short}".strip()


def interval(analysis: Analysis, claim: Claim) -> str:
    """The interval of a difference of the score itself, or of the steps saved."""
    ends = claim.evidence.interval
    if ends is None:
        return "anything"
    low, high = ends if claim.measure == "steps" or analysis.scores.primary.sign > 0 else (-ends[1], -ends[0])
    is_claimed = bool(claim.evidence.direction)
    if math.isinf(low) and math.isinf(high):
        return "unbounded"
    one, other = (_raw(analysis, claim, end) for end in (low, high))
    if math.isinf(high):
        return f"{'above 0' if low == 0 and is_claimed else one} to unbounded"
    if math.isinf(low):
        return f"unbounded to {'below 0' if high == 0 and is_claimed else other}"
    if is_claimed and low == 0:
        return f"above 0 to {other}"
    return f"{one} to {'below 0' if is_claimed and high == 0 else other}"


def confidence(claim: Claim) -> str:
    """The confidence of an interval, in percent."""
    return f"{100 * claim.evidence.confidence:.3g}%"


def p_value(p: float) -> str:
    """A p-value as it is written: 0.02, or "below 0.0001"; one above the level is never written as the level."""
    if p < 1e-4:
        return "below 0.0001"
    digits = next(digits for digits in itertools.count(2) if (float(f"{p:.{digits}g}") > LEVEL) == (p > LEVEL))
    return f"{p:.{digits}g}"


def measured(analysis: Analysis, claim: Claim) -> str:
    return "saved" if claim.measure == "steps" else analysis.scores.primary.name


def unit(analysis: Analysis, claim: Claim) -> str:
    if claim.measure == "steps":
        return "steps"
    return "percentage points" if analysis.scores.primary.percent else ""


def word(analysis: Analysis, claim: Claim, gain: float) -> str:
    if claim.measure == "steps":
        return "sooner" if gain > 0 else "later"
    if analysis.scores.primary.sign > 0:
        return "higher" if gain > 0 else "lower"
    return "lower (better)" if gain > 0 else "higher (worse)"


def interval_in_brackets(analysis: Analysis, claim: Claim) -> str:
    if claim.evidence.interval is None:
        return ""
    return f" ({confidence(claim)} interval {interval(analysis, claim)})"


def capital(text: str) -> str:
    """The text as a sentence begins with it."""
    return text[:1].upper() + text[1:]


def _signed(analysis: Analysis, claim: Claim, gain: float) -> str:
    """Of a gain the difference of the score itself."""
    return _raw(analysis, claim, gain if claim.measure == "steps" else analysis.scores.primary.sign * gain)


def _raw(analysis: Analysis, claim: Claim, value: float) -> str:
    if math.isinf(value):
        return "unbounded"
    text = _number(analysis, claim, value)
    return text if text.startswith("-") or _is_zero(text) else f"+{text}"


def _is_zero(text: str) -> bool:
    return not {*text.split(" ")[0]} - {*"-0."}


def _number(analysis: Analysis, claim: Claim, value: float) -> str:
    if math.isinf(value):
        return "unbounded"
    factor = analysis.scores.primary.factor if claim.measure == "score" else 1
    ends = claim.evidence.interval
    half = (ends[1] - ends[0]) / 2 if ends is not None else math.nan
    if not (math.isfinite(half) and half > 0):
        half = abs(value) / 10 or 1.0
    if claim.measure == "steps":
        return f"{value:z,.0f}"
    digits = 1 - math.floor(math.log10(factor * half))
    if digits > 12:
        return f"{factor * value:.2g}"
    scaled = round(factor * value, digits)
    if abs(scaled) >= _MOST_WRITTEN_OUT:
        return f"{factor * value:.3g}"
    return f"{scaled:z,.{max(0, digits)}f}"
