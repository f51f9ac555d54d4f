"""What a report says beside its answer: the other claims, what explains them, and whether the study can be trusted."""

from __future__ import annotations

from momentum_jax.studies.analysis.claims import GAIN, LARGER_STEP, MOMENTUM_ITSELF, QUESTION
from momentum_jax.studies.analysis.results import Analysis, Claim
from momentum_jax.studies.wording.amounts import (
    MOST_WORDS,
    amount,
    called,
    effective_rate,
    interval,
    interval_in_brackets,
    is_level,
    is_mostly_level,
    level_on,
    measured,
    names,
    p_value,
    signed,
)
from momentum_jax.studies.wording.checks import trust
from momentum_jax.studies.wording.sections import ahead, before, command


def remarks(analysis: Analysis) -> list[str]:
    """All of it for a terminal and for Markdown, a sentence or two each."""
    first = [lead(analysis), why(analysis), *lines(analysis), next_step(analysis)]
    return [said for said in (*first, *state(analysis), *trust(analysis)) if said]


def state(analysis: Analysis) -> list[str]:
    """What is not as it was planned."""
    said = []
    if analysis.missing:
        planned = analysis.runs + analysis.missing
        are = "is" if analysis.missing == 1 else "are"
        said.append(
            f"This study is not finished: {analysis.missing} of {planned} planned runs {are} missing. What it says may change."
        )
    first = analysis.study.arms[0].label
    if analysis.arms and first not in {arm.label for arm in analysis.arms}:
        said.append(f"No run of {first}, the study's first arm, can be read.")
    if analysis.seeds_added and not analysis.study.looks:
        count = len(analysis.claims[0].seeds) if analysis.claims else 0
        said.append(
            f"{_seeds(len(analysis.seeds_added))} were added after a look at the results. So claims are made from the last "
            f"{count} alone, as of a second study."
        )
    if analysis.study.looks:
        looks = ", ".join(map(str, analysis.study.looks))
        said.append(f"Looks at {looks} seeds were declared before the first run. All of them together share the 5%.")
    return said


def banner(analysis: Analysis, *, is_lost: bool) -> list[str]:
    """What stands above everything: what is not as planned, and what was lost. `is_lost`: the manifest was written anew."""
    said = state(analysis)
    if is_lost:
        said.append(
            "manifest.json was lost and has been written anew: whether other seeds than those named here were added after the "
            "study had been run cannot be known."
        )
    if analysis.damage:
        said += ["Damaged files were found; what they held is not in this report.", *analysis.damage]
    return said


def lead(analysis: Analysis) -> str | None:
    """How the answer is to be taken."""
    claim = analysis.asked
    kind = analysis.answer.kind
    if claim is None or kind in ("nothing", "diverged", "noquestion"):
        return None
    evidence = claim.evidence
    if kind == "cannot":
        return "What was measured does not bear a claim yet."
    if evidence.claimed:
        _, said, _ = ahead(analysis, claim)
        return f"{said}; adjusted p is {p_value(evidence.adjusted)}."
    if evidence.detectable is None:
        return "The absence of a claim is not evidence of no effect."
    return (
        f"The absence of a claim is not evidence of no effect. With this spread {evidence.n} seeds find a true difference of "
        f"{amount(analysis, claim, evidence.detectable)} in 4 of 5 studies."
    )


def why(analysis: Analysis) -> str | None:
    """What the gain of momentum at its learning rate is made of, so far as that is shown."""
    ladder = analysis.ladder
    gain, larger, itself = (analysis.claim(role) for role in (GAIN, LARGER_STEP, MOMENTUM_ITSELF))
    if ladder is None or gain is None:
        return None
    rate = effective_rate(analysis)
    control = analysis.arm(ladder.control)
    if control.diverged or control.hardly_learned:
        fault = f"diverged in {control.diverged} of {len(control.runs)} runs" if control.diverged else "hardly learned"
        own = " So the gain is not a larger step." if gain.evidence.direction > 0 and control.hardly_learned else ""
        return f"Gradient descent at momentum's effective rate, {rate}, {fault}.{own}"
    if gain.evidence.direction < 0:
        return "At the same learning rate momentum loses against gradient descent, so there is no gain to explain."
    if not gain.evidence.direction or larger is None or itself is None:
        return "At the same learning rate momentum is not shown to gain against gradient descent, so its parts are not judged."
    return f"{_part(analysis, 'At one learning rate the larger step', larger)} {_part(analysis, 'Momentum itself', itself)}"


def _part(analysis: Analysis, name: str, claim: Claim) -> str:
    size = signed(analysis, claim, claim.evidence.estimate)
    within = "" if claim.evidence.interval is None else f" ({interval(analysis, claim)})"
    if not claim.evidence.direction:
        return f"{name} is not shown to bring anything: {size}{within}."
    return f"{name} {'brings' if claim.evidence.direction > 0 else 'does worse:'} {size}{within}."


def lines(analysis: Analysis) -> list[str]:
    """A sentence for each hypothesis beside the question that was asked, in the order of the tree."""
    return [claim_line(analysis, claim) for claim in beside(analysis)]


def beside(analysis: Analysis) -> list[Claim]:
    """What was asked beside the question: nothing where no arm learned, and not its arms again where one has no sound run."""
    answer = analysis.answer
    if answer.kind == "nothing":
        return []
    found = [claim for claim in analysis.claims if QUESTION not in claim.roles and claim.evidence.tested]
    is_lost = answer.kind == "diverged"
    return [claim for claim in found if not (is_lost and (claim.first, claim.second) == (answer.first, answer.second))]


def claim_line(analysis: Analysis, claim: Claim) -> str:
    """One hypothesis: who against whom, by how much, and whether it is shown."""
    said = f"{called(analysis, claim.first)} against {called(analysis, claim.second)}: {_found(analysis, claim)}."
    if len(said.split()) <= MOST_WORDS:
        return said
    first, second = names(analysis, claim.first, claim.second, most=4)
    return f"{first} against {second}: {_found(analysis, claim)}."


def _found(analysis: Analysis, claim: Claim) -> str:
    evidence = claim.evidence
    shown = "no direction is claimed" if evidence.opposed else {0: "not shown", 1: "better", -1: "worse"}[evidence.direction]
    if evidence.n < evidence.fewest:
        shown = f"{evidence.fewest} seeds are needed"
    size = f"{signed(analysis, claim, evidence.estimate)} {measured(analysis, claim)}"
    by = "by steps to the target" if claim.measure == "steps" else f"by {analysis.scores.primary.name}"
    if is_level(claim):
        return f"{by} {level_on(claim)}, not shown"
    if is_mostly_level(claim):
        size, shown = f"{by} level on most seeds", f"{shown} on the others"
    return f"{size}{interval_in_brackets(analysis, claim)}, {shown}"


def next_step(analysis: Analysis) -> str | None:
    """What would make the answer surer."""
    if (said := before(analysis)) is not None:
        return f"{said} {(command(analysis) or '').replace(chr(10), ' ')}".strip()
    return look(analysis)


def look(analysis: Analysis) -> str | None:
    """When the next look was declared to be, while the question has no answer."""
    claim, study = analysis.asked, analysis.study
    if claim is None or claim.evidence.claimed or not study.looks:
        return None
    further = [each for each in study.looks if each > len(study.seeds)]
    return f"The next declared look is at {further[0]} seeds." if further else "This was the last declared look."


def _seeds(count: int) -> str:
    return f"{count} seed{'s' * (count != 1)}"
