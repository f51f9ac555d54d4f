"""The sentences of a report's page beside its answer: what each section found, and how to read its figures."""

from __future__ import annotations

import json

import numpy as np

from momentum_jax.studies.analysis.answer import is_tuned
from momentum_jax.studies.analysis.claims import QUESTION
from momentum_jax.studies.analysis.needed import Needed
from momentum_jax.studies.analysis.results import Analysis, Claim, Tuning
from momentum_jax.studies.analysis.tuning import wider
from momentum_jax.studies.wording.amounts import called, capital, effective_rate, names, p_value, unit

RULE = "The rule of this report: 5% is the chance that it claims anything at all where no arm differs."
RUN_BY_RUN = "Ring: a run. Filled mark: their mean. Off the scale: named at the edge."
CURVES = "Mean over seeds of the runs that did not diverge; the band reaches from the lowest to the highest."
TRIALS = "Large dot: a trial, the mean of its seeds (small dots). Ring: chosen. Grey field: the range searched."
UP = "Up is better; the worst quarter of the trials sits on the lower edge."
TIMES = "Times of a step are shares of runs that were trained together: compare them with care."
EVERYTHING = "Every claim with its test, every run, every trial."
ADDED = "Added seeds count as a second study: only they are asked, and at least 6 of them."
TUNE = ("gradient_descent(log_uniform(0.001, 1))", "heavy_ball(log_uniform(0.001, 1), 0.9)")
ZOOM = ("drag to zoom, or + and 0", "second half", "all steps")


def about(analysis: Analysis) -> str:
    """How large the study is, how its arms were set, and by what they are compared."""
    study, asked = analysis.study, analysis.claim(QUESTION)
    said = [f"{len(study.seeds)} seed{'s' * (len(study.seeds) != 1)}", f"{study.steps:,} steps"]
    counts = sorted({len(tuning.trials) for tuning in analysis.tunings})
    if asked is not None and is_tuned(study, asked) and counts:
        many = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        said.append(f"both tuned, {many} trial{'s' * (counts[-1] != 1)} each")
    elif not study.tuned:
        said.append("settings as given")
    if study.measure == "steps":
        return " · ".join([*said, f"measured by steps to {target(analysis)}"])
    primary = analysis.scores.primary
    return " · ".join([*said, f"primary score: {primary.name}, {primary.better} is better"])


def target(analysis: Analysis) -> str:
    """The target as a phrase."""
    return f"validation {analysis.target_score} {analysis.study.target:g}"


def effect_note(analysis: Analysis, claim: Claim) -> str:
    """What the marks of a difference are."""
    n = claim.evidence.n
    said = f"Filled mark: typical difference of {n} seed{'s' * (n != 1)}. Rings: the seeds, one by one."
    if claim.evidence.interval is not None:
        said += " Bar: its interval."
    if claim.measure == "score" and analysis.scores.primary.sign < 0:
        said += " Lower is better, so the axis is turned: right is better."
    return said


def sides(analysis: Analysis, claim: Claim) -> tuple[str, str]:
    """What lies left and right of no difference."""
    first, second = names(analysis, claim.first, claim.second)
    words = ("sooner", "sooner") if claim.measure == "steps" else ("better", "better")
    return f"{second} {words[0]}", f"{first} {words[1]}"


def test(analysis: Analysis, claim: Claim) -> tuple[bool, str, str]:
    """Whether the test makes the claim, with its p-values."""
    evidence = claim.evidence
    adjusted = f"Exact signed-rank test: adjusted p is {p_value(evidence.adjusted)}"
    if evidence.n < evidence.fewest:
        seeds = f"{evidence.n} seed{'s' * (evidence.n != 1)}"
        return False, adjusted, f"With {seeds} it cannot fall to 0.05; {evidence.fewest} are needed."
    alone = f"p alone is {p_value(evidence.p)}; a claim is made where the adjusted one is at most 0.05."
    return evidence.claimed, adjusted, alone


def ahead(analysis: Analysis, claim: Claim) -> tuple[bool, str, str]:
    """Whether it is claimed, on how many seeds the arm that is ahead by ranks is ahead, and on how many it is not."""
    evidence = claim.evidence
    first, second = names(analysis, claim.first, claim.second)
    sign = evidence.direction or (-1 if evidence.estimate < 0 else 1)
    count = sum(sign * each > claim.resolution for each in claim.differences)
    level = sum(abs(each) <= claim.resolution for each in claim.differences)
    behind = evidence.n - count - level
    if level == evidence.n:
        return evidence.claimed, f"The arms are level on all {level} seeds", ""
    leader = first if sign > 0 else second
    said = f"{capital(leader)} is ahead on {count} of {evidence.n} seeds"
    return evidence.claimed, said, f"Behind on {behind}, level on {level}."


def needed(analysis: Analysis, claim: Claim, found: Needed) -> str:
    """A difference that may be worth finding."""
    factor = analysis.scores.primary.factor if claim.measure == "score" else 1
    whole = unit(analysis, claim).replace("percentage points", "pp")
    return f"{np.format_float_positional(factor * found.difference, precision=6, fractional=False, trim='-')} {whole}".strip()


def fewest(claim: Claim, *, is_told: bool) -> str:
    """From what the numbers of seeds are told, if any are."""
    simulated = "Simulated for this rule with the spread seen here. " if is_told else ""
    return f"{simulated}At least {claim.evidence.fewest} seeds are needed for any claim."


def parts(analysis: Analysis) -> tuple[str, ...]:
    """How the ladder is read."""
    found = analysis.ladder
    assert found is not None
    eta, effective = f"{found.learning_rate:.4g}", effective_rate(analysis)
    far = 1 / (1 - found.mu)
    return (
        f"Along a steady slope momentum {found.mu:.4g} moves 1/(1 - {found.mu:.4g}) = {far:.2g} times as far as gradient "
        "descent at the same learning rate.",
        f"So it is compared twice: with gradient descent at {eta}, and at {effective}, its effective learning rate.",
        "The first row is about the sum of the other two.",
    )


def rungs(analysis: Analysis) -> dict[str, tuple[str, str]]:
    """What each part of the gain is called, and what it compares."""
    found = analysis.ladder
    assert found is not None
    eta, effective = f"{found.learning_rate:.4g}", effective_rate(analysis)
    return {
        "gain": (f"Momentum {found.mu:.4g} against none", f"both at learning rate {eta}"),
        "larger_step": ("The larger step", f"gradient descent, {eta} to {effective}"),
        "momentum_itself": ("Momentum itself", f"both at effective rate {effective}"),
    }


def every_arm(analysis: Analysis) -> str:
    """What the figure of final scores shows."""
    score = analysis.scores.primary
    return f"Final {analysis.scores.where}{score.name} of every run, {score.better} is better; the best mean comes first."


def rate(analysis: Analysis) -> str:
    """Whether every search was wide enough."""
    short = [called(analysis, tuning.arm) for tuning in analysis.tunings if not tuning.wide_enough]
    if not short:
        own = "its" if len(analysis.tunings) == 1 else "each"
        who = "the arm's" if len(analysis.tunings) == 1 else "every arm's"
        return f"Yes: {who} best trial lies inside of what was searched, with worse learning rates on both sides of {own}."
    if len(short) > 2:
        return f"Not for {len(short)} of {len(analysis.tunings)} arms: their best trials lie at the edge of what was searched."
    return f"Not for {' and '.join(short)}: the best trial lies at the edge of what was searched."


def searched(analysis: Analysis, tuning: Tuning) -> tuple[bool, str, str]:
    """Whether one search was wide enough, and its best trial."""
    from momentum_jax.studies.wording.checks import narrow

    best = tuning.trials[tuning.chosen].values
    shown = ", ".join(f"{name} {short(value)}" for name, value in best.items())
    if tuning.wide_enough:
        return True, "Wide enough", f"The best is {shown}."
    return False, "Too narrow", f"The best is {shown}. {narrow(tuning)}"


def cost(analysis: Analysis) -> str:
    """What the figure of steps shows."""
    if analysis.study.target is None:
        return "No target was given, so steps to it are not counted. Give --target in the next study."
    return f"Steps until the {target(analysis)} was first reached, seed by seed."


def reached(analysis: Analysis, label: str) -> str:
    """How many runs of an arm got to the target."""
    arm = analysis.arm(label)
    there = sum(steps is not None for steps in arm.steps_to_target)
    each = f" · {1000 * arm.seconds / (len(arm.runs) * arm.budget):.2g} ms a step" if arm.seconds and arm.budget else ""
    return f"{there} of {len(arm.runs)} runs got there{each}"


def before(analysis: Analysis) -> str | None:
    """What to do next, before that which is to be typed; None: the seeds decide."""
    kind = analysis.answer.kind
    if kind == "edge":
        return "Search wider, then ask again." if _edge(analysis) else "Give both searches more trials, then ask again."
    if kind in ("same", "rates", "beyond", "unsplit"):
        return "Does momentum help when both are tuned? Give ranges in the place of numbers."
    if kind == "noquestion" and len(analysis.arms) > 1:
        return "Declare the question in the study's TOML: the labels of two arms, the one asked about first."
    return None


def command(analysis: Analysis) -> str | None:
    """What is to be typed next; None: nothing but more seeds would help."""
    kind = analysis.answer.kind
    if kind == "edge":
        return _edge(analysis) or f"--trials {4 * analysis.study.search.trials}"
    if kind in ("same", "rates", "beyond", "unsplit"):
        return "\n".join(f'--arm "{arm}"' for arm in TUNE)
    if kind == "noquestion" and len(analysis.arms) > 1:
        second, first = (arm.label for arm in analysis.study.arms[:2])
        return f"question = [{toml(first)}, {toml(second)}]"
    return None


def add(analysis: Analysis, directory: str) -> str:
    """What goes to the next declared look; empty after the last."""
    study = analysis.study
    return f"momentum-jax study add-seeds {directory}" if study.looks and len(study.seeds) < study.looks[-1] else ""


def _edge(analysis: Analysis) -> str:
    """The arms whose searches stopped short, with wider ranges."""
    arms = {arm.label: arm for arm in analysis.study.tuned}
    found = [
        made
        for tuning in analysis.tunings
        if tuning.arm in arms and not tuning.wide_enough and (made := wider(arms[tuning.arm], tuning)) is not None
    ]
    return "\n".join(f'--arm "{made}"' for made in found)


def surer(analysis: Analysis) -> str:
    """The heading over what to do next."""
    if before(analysis) is not None:
        return "What to do next"
    is_shown = analysis.asked is not None and analysis.asked.evidence.claimed
    return "How small an effect could be found?" if is_shown else "What would make it surer?"


def source_of(analysis: Analysis, claim: Claim) -> tuple[str, ...]:
    """What an estimated difference is, in parts."""
    first, second = called(analysis, claim.first), called(analysis, claim.second)
    scores = analysis.scores
    what = "steps to the target saved" if claim.measure == "steps" else f"final {scores.where}{scores.primary.name}"
    return f"typical difference over {claim.evidence.n} seeds (Hodges-Lehmann), {what}: ", first, " less ", second


def short(value: object) -> str:
    """A value of a hyperparameter as it is read."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def toml(text: str) -> str:
    """A text as a basic string of TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
