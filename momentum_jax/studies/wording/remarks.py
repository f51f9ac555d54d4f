"""What a report says beside its answer: the other claims, what explains them, and whether the study can be trusted."""

from __future__ import annotations

from momentum_jax.studies.analysis.claims import GAIN, LARGER_STEP, MOMENTUM_ITSELF, QUESTION
from momentum_jax.studies.analysis.results import Analysis, Claim, Tuning
from momentum_jax.studies.wording.amounts import amount, effective_rate, interval, interval_in_brackets, measured, names, signed

# From fewer seeds the spread of the differences is itself a guess.
FEW_SEEDS = 16
# Seeds of the search below which nothing is said of the luck of the choice.
_FEWEST_OF_THE_SEARCH = 3


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


def lead(analysis: Analysis) -> str | None:
    """How the answer is to be taken."""
    claim = _asked(analysis)
    kind = analysis.answer.kind
    if claim is None or kind in ("nothing", "diverged", "noquestion"):
        return None
    evidence = claim.evidence
    if kind == "cannot":
        return "What was measured does not bear a claim yet."
    if evidence.claimed:
        ahead = sum(each * evidence.estimate > 0 for each in claim.differences)
        first, second = names(analysis, claim.first, claim.second)
        leader = first if evidence.estimate > 0 else second
        return f"{leader} is ahead on {ahead} of {evidence.n} seeds; adjusted p is {p_shown(evidence.adjusted)}."
    if evidence.detectable is None:
        return "The absence of a claim is not evidence of no effect."
    return (
        f"The absence of a claim is not evidence of no effect: with this spread {evidence.n} seeds find a true difference of "
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
    if gain.evidence.direction <= 0 or larger is None or itself is None:
        lost = "loses" if gain.evidence.direction < 0 else "is not shown to gain"
        return f"At the same learning rate momentum {lost} against gradient descent, so there is no gain to explain."
    parts = [
        f"the larger step alone {_shown(larger)} {signed(analysis, larger, larger.evidence.estimate)}",
        f"momentum itself {_shown(itself)} {signed(analysis, itself, itself.evidence.estimate)} ({interval(analysis, itself)})",
    ]
    return f"Of the gain at one learning rate: {' and '.join(parts)}."


def _shown(claim: Claim) -> str:
    if not claim.evidence.direction:
        return "is not shown to bring"
    return "brings" if claim.evidence.direction > 0 else "costs"


def lines(analysis: Analysis) -> list[str]:
    """A sentence for each hypothesis beside the question that was asked, in the order of the tree."""
    return [claim_line(analysis, claim) for claim in analysis.claims if QUESTION not in claim.roles and claim.evidence.tested]


def claim_line(analysis: Analysis, claim: Claim) -> str:
    """One hypothesis: who against whom, by how much, and whether it is shown."""
    first, second = (analysis.arm(label) for label in (claim.first, claim.second))
    evidence = claim.evidence
    shown = "no direction is claimed" if evidence.opposed else {0: "not shown", 1: "better", -1: "worse"}[evidence.direction]
    if evidence.n < evidence.fewest:
        shown = f"{evidence.fewest} seeds are needed"
    size = f"{signed(analysis, claim, evidence.estimate)} {measured(analysis, claim)}"
    return f"{first.label} against {second.label}: {size}{interval_in_brackets(analysis, claim)}, {shown}."


def next_step(analysis: Analysis) -> str | None:
    """What would make the answer surer."""
    kind, claim = analysis.answer.kind, _asked(analysis)
    if kind == "edge":
        return None
    if kind in ("same", "rates", "beyond", "unsplit"):
        return (
            "To ask whether momentum helps when both are tuned, give ranges: gradient_descent(log_uniform(0.001, 1)) and "
            "heavy_ball(log_uniform(0.001, 1), 0.9)."
        )
    if claim is None or claim.evidence.claimed or claim.evidence.detectable is None:
        return None
    study = analysis.study
    if study.looks:
        further = [each for each in study.looks if each > len(study.seeds)]
        return f"The next declared look is at {further[0]} seeds." if further else "This was the last declared look."
    return None


def trust(analysis: Analysis) -> list[str]:
    """Whether the study can be trusted: budget, factors, the same arm twice, luck of the choice, divergence."""
    said = []
    own = [arm for arm in analysis.arms if not arm.rung]
    if factors := [*dict.fromkeys(name for arm in own for name in arm.factors)]:
        said.append(f"Arms differ in {' and '.join(factors)} besides the optimizer: a difference may be due to either.")
    if (first := _reached_at_once(analysis)) is not None:
        harder = "lower" if analysis.scores[analysis.target_score].sign < 0 else "higher"
        said.append(
            f"Every run reached the target by the first evaluation, step {first:,}. A {harder} target could tell their steps "
            "apart."
        )
    said += [_tuning(analysis, tuning) for tuning in analysis.tunings]
    known = {tuning.arm for tuning in analysis.tunings}
    said += [
        f"{arm.label}: the trial that was chosen is not among the runs of its search that can be read."
        for arm in analysis.study.tuned
        if arm.label not in known and arm.label in {each.label for each in own}
    ]
    if (again := noise(analysis)) is not None:
        said.append(again)
    primary = analysis.scores.primary
    return said + [
        f"{arm.label} diverged in {arm.diverged} of {len(arm.runs)} runs, which {_counted(primary.worst, primary.name)}."
        for arm in analysis.arms
        if arm.diverged
    ]


def _counted(worst: float | None, name: str) -> str:
    return "rank below all others" if worst is None else f"count with {name} {worst:g}"


def noise(analysis: Analysis) -> str | None:
    """The same arm twice, on seeds that have nothing in common: description."""
    found = analysis.noise
    if found is None or found.t_interval is None:
        return None
    primary = analysis.scores.primary
    low, high = (primary.difference(end) for end in found.t_interval)
    text = (
        f"The same arm twice: {analysis.study.arms[0].label} on {found.n_a} seeds less itself on {found.n_b} others, "
        f"{primary.difference(found.mean_difference)}{primary.unit} (95% t interval {low} to {high})."
    )
    if analysis.control_diverged:
        text += f" There it diverged in {analysis.control_diverged} of {len(analysis.control_runs)} runs."
    return text


def _tuning(analysis: Analysis, tuning: Tuning) -> str:
    trial = tuning.trials[tuning.chosen]
    which = f"the best of {len(tuning.trials)} trials" if len(tuning.trials) > 1 else "the only trial"
    said = f"{tuning.arm}: {which} is {trial.optimizer}"
    score = analysis.scores[tuning.score]
    if trial.diverged:
        said += f"; it diverged on {trial.diverged} of {len(trial.runs)} seeds of the search"
    elif tuning.tuned is not None and tuning.fresh is not None:
        tuned, fresh = score.value(tuning.tuned), score.value(tuning.fresh)
        said += f"; its validation {tuning.score} was {tuned} when chosen, {fresh} on fresh seeds"
    if tuning.edges:
        lie = "lies" if len(tuning.edges) == 1 else "lie"
        return f"{said}. Its {' and '.join(tuning.edges)} {lie} at the edge of what was searched: widen the range."
    if not tuning.wide_enough:
        return f"{said}. No trial lies beyond its learning rate on one side: widen the range."
    return f"{said}."


def _asked(analysis: Analysis) -> Claim | None:
    """The claim that the answer's sentence is about, else the question."""
    return analysis.claim((*analysis.answer.roles, QUESTION)[0])


def _reached_at_once(analysis: Analysis) -> int | None:
    """The first evaluation after the start, if every run had reached the target there."""
    first = min(analysis.study.evaluate_every, analysis.study.steps)
    reached = [steps for arm in analysis.arms for steps in arm.steps_to_target]
    return first if reached and all(steps is not None and steps <= first for steps in reached) else None


def _seeds(count: int) -> str:
    return f"{count} seed{'s' * (count != 1)}"


def p_shown(p: float) -> str:
    """A p-value as it is written."""
    return "below 0.0001" if p < 1e-4 else f"{p:.2g}"
