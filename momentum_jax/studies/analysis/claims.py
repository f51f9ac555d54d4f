"""What a study asks, as hypotheses on pairs of its arms, and the evidence on each.

question          momentum against gradient descent: both tuned, else at equal effective learning rate, else as given
arm LABEL         every other arm against the first
gain              momentum against gradient descent at its learning rate eta
larger_step       gradient descent at eta/(1 - mu) against that at eta        } asked where the gain is claimed
momentum_itself   momentum against gradient descent at eta/(1 - mu)           }

Each is asked by the study's primary measure. By the other one, as `question_steps`, `gain_steps` or `steps of arm LABEL`, it is
asked only where the question is claimed by that measure. Two names of one pair are one hypothesis.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from momentum_jax.studies import jobs
from momentum_jax.studies.analysis.results import ArmResult, Claim, Measure, by_other
from momentum_jax.studies.evidence import LEVEL_OF_LOOKS, Differences, Evidence, Questions, decide, fewest_pairs
from momentum_jax.studies.expression import Expression
from momentum_jax.studies.scores import Scores
from momentum_jax.studies.study import Study

QUESTION, GAIN, LARGER_STEP, MOMENTUM_ITSELF = "question", "gain", "larger_step", "momentum_itself"
_PARTS = (LARGER_STEP, MOMENTUM_ITSELF)
# An arm and what it is compared with.
_Pair = tuple[str, str]


class _Planned(NamedTuple):
    """What is known of an arm before it runs."""

    expression: Expression
    factors: Mapping[str, Any]
    budget: int
    seeds: Sequence[int]


_Arms = Mapping[str, ArmResult | _Planned]


class _Hypothesis(NamedTuple):
    roles: tuple[str, ...]
    first: str
    second: str
    measure: Measure


def claims(
    study: Study, scores: Scores, arms: Sequence[ArmResult], ladder: jobs.Ladder | None, added: Sequence[Sequence[int]] = ()
) -> tuple[Claim, ...]:
    """All hypotheses that stored runs can be asked, the question first.

    added: the seeds that were added to the study, addition by addition. Undeclared, only the last addition's seeds are asked:
    the looks before have spent their own level.
    """
    known = {arm.label: arm for arm in arms}
    by_name, tree = _asked(study, known, ladder)
    own = [study.seeds] if study.looks or not added else [added[-1]]
    looks = [study.seeds[:count] for count in study.looks if count <= len(study.seeds)] if study.looks else own
    evidence = _at_looks(study, scores, known, by_name, tree, looks)
    return tuple(
        Claim(*by_name[name], tuple(seeds), each.values, each.resolution, found)
        for name, (seeds, each, found) in evidence.items()
    )


def fewest_seeds(study: Study) -> int | None:
    """The fewest seeds with which the study can claim a difference, as it is planned; None: it asks for none."""
    # Which trial a search chooses does not matter to what is asked.
    chosen = {arm.label: jobs.trials(study, arm)[0] if arm.ranges else arm.expression for arm in study.arms}
    ladder = jobs.ladder(study, chosen) if study.ladder else None
    own = {arm.label: arm.factors for arm in study.arms}
    rungs = [] if ladder is None else [label for label in (ladder.plain, ladder.control) if label not in own]
    planned = {
        label: _Planned(expression, factors, study.with_factors(factors).steps, study.seeds)
        for label, expression, factors in (
            *((label, chosen[label], factors) for label, factors in own.items()),
            *((label, Expression.read(label), own[ladder.momentum]) for label in rungs if ladder is not None),
        )
    }
    _, tree = _asked(study, planned, ladder)
    level = LEVEL_OF_LOOKS[len(study.looks) or 1]
    return min((fewest_pairs(level * weight) for weight in tree.weights().values() if weight > 0), default=None)


def _asked(study: Study, known: _Arms, ladder: jobs.Ladder | None) -> tuple[dict[str, _Hypothesis], Questions]:
    """All hypotheses by their names, and the tree in which they share the level."""
    pairs = _pairs(study, known, ladder)
    first: Measure = "steps" if study.measure == "steps" else "score"
    other: Measure = "score" if first == "steps" else "steps"
    measures: list[Measure] = [first, other] if study.target is not None else ["score"]
    asked: dict[tuple[_Pair, Measure], list[str]] = {}
    for measure in measures:
        for role, pair in pairs.items():
            name = role if measure == first else by_other(role, measure)
            if _seeds(known, pair) and not (measure == "steps" and known[pair[0]].budget != known[pair[1]].budget):
                asked.setdefault((pair, measure), []).append(name)
    made = [_Hypothesis(tuple(roles), *pair, measure) for (pair, measure), roles in asked.items()]
    tree = _tree(made, pairs, other if len(measures) > 1 else None)
    return {claim.roles[0]: claim for claim in made if claim.roles[0] in tree.names}, tree


def _at_looks(
    study: Study,
    scores: Scores,
    arms: Mapping[str, ArmResult],
    by_name: Mapping[str, _Hypothesis],
    tree: Questions,
    looks: Sequence[Sequence[int]],
) -> dict[str, tuple[list[int], Differences, Evidence]]:
    """The evidence of the last look; where an earlier one has made a claim, of that: a claim once made stays."""
    found: dict[str, tuple[list[int], Differences, Evidence]] = {}
    for look in looks:
        seeds = {
            name: [seed for seed in _seeds(arms, (claim.first, claim.second)) if seed in {*look}]
            for name, claim in by_name.items()
        }
        there = _without(tree, {name for name, own in seeds.items() if not own})
        differences = {
            name: Differences.of(
                merits(scores, arms[by_name[name].first], by_name[name].measure, seeds[name]),
                merits(scores, arms[by_name[name].second], by_name[name].measure, seeds[name]),
            )
            for name in there.names
        }
        for name, each in decide(differences, there, looks=len(study.looks) or 1).items():
            if name not in found or not found[name][2].claimed:
                found[name] = seeds[name], differences[name], each
    return found


def _without(tree: Questions, absent: set[str]) -> Questions:
    """The tree without hypotheses on which no seed speaks; what an absent parent explains goes with it."""

    def below(name: str) -> tuple[str, ...]:
        return tuple(each for each in (tree.children or {}).get(name, ()) if each not in absent)

    children = {parent: below(parent) for parent in (tree.children or {}) if parent not in absent and below(parent)}
    question = None if tree.question in absent else tree.question
    return Questions(question, tuple(head for head in tree.heads if head not in absent), children)


def _pairs(study: Study, arms: _Arms, ladder: jobs.Ladder | None) -> dict[str, _Pair]:
    """By role the arm and what it is compared with; the question comes first."""
    own = [arm.label for arm in study.arms if arm.label in arms]
    pairs: dict[str, _Pair] = {}
    if ladder is not None and {ladder.plain, ladder.control} <= arms.keys():
        pairs[GAIN] = ladder.momentum, ladder.plain
        pairs[LARGER_STEP] = ladder.control, ladder.plain
        pairs[MOMENTUM_ITSELF] = ladder.momentum, ladder.control
    others: dict[str, _Pair] = {f"arm {label}": (label, own[0]) for label in own[1:]}
    asked = study.question or _tuned_pair(study, arms, ladder) or pairs.get(MOMENTUM_ITSELF) or _as_given(own, arms)
    question = {QUESTION: asked} if asked is not None and {*asked} <= arms.keys() else {}
    return {**question, **others, **pairs}


def _tuned_pair(study: Study, arms: _Arms, ladder: jobs.Ladder | None) -> _Pair | None:
    """The tuned momentum arm, that of the ladder or else the first, and the tuned gradient descent."""
    found = {arm.label: jobs.rate_and_momentum(arms[arm.label].expression) for arm in study.tuned if arm.label in arms}
    plain = [label for label, each in found.items() if each is not None and each[1] == 0]
    moving = [label for label, each in found.items() if each is not None and each[1] > 0]
    if not plain or not moving:
        return None
    return (ladder.momentum if ladder is not None and ladder.momentum in moving else moving[0]), plain[0]


def _as_given(own: Sequence[str], arms: _Arms) -> _Pair | None:
    """Without a ladder: momentum against gradient descent, at one rate if there is such a pair; else the one other arm."""
    found = {label: jobs.rate_and_momentum(arms[label].expression) for label in own}
    moving = [(label, each) for label, each in found.items() if each is not None and each[1] > 0]
    plain = [(label, each) for label, each in found.items() if each is not None and each[1] == 0]
    alike = [
        (one, other, math.isclose(rate[0], same[0], rel_tol=1e-5))
        for one, rate in moving
        for other, same in plain
        if arms[one].factors == arms[other].factors
    ]
    if alike:
        return max(alike, key=lambda pair: pair[2])[:2]
    return (own[1], own[0]) if len(own) == 2 else None


def _tree(made: Sequence[_Hypothesis], pairs: Mapping[str, _Pair], other: Measure | None) -> Questions:
    """Which hypotheses share the level, by the first name of each."""
    name_of = {role: claim.roles[0] for claim in made for role in claim.roles}
    placed: set[str] = set()
    children: dict[str, tuple[str, ...]] = {}

    def place(*roles: str) -> tuple[str, ...]:
        found = dict.fromkeys(name_of[role] for role in roles if role in name_of and name_of[role] not in placed)
        placed.update(found)
        return tuple(found)

    def explain(parent: str, *roles: str) -> None:
        if parent in name_of and (own := place(*roles)):
            children[name_of[parent]] = (*children.get(name_of[parent], ()), *own)

    others = [role for role in pairs if role not in (QUESTION, GAIN, *_PARTS)]
    question = next(iter(place(QUESTION)), None)
    heads = place(*others, GAIN, *([by_other(QUESTION, other)] if other else []))
    explain(GAIN, *_PARTS)
    if other and question is not None:
        explain(by_other(QUESTION, other), *(by_other(role, other) for role in (*others, GAIN)))
        explain(by_other(GAIN, other), *(by_other(part, other) for part in _PARTS))
    elif other:
        for role in others:
            explain(role, by_other(role, other))
    return Questions(question, heads, children)


def _seeds(arms: _Arms, pair: _Pair) -> list[int]:
    """The seeds that both arms have run."""
    return [seed for seed in arms[pair[0]].seeds if seed in {*arms[pair[1]].seeds}]


def merits(scores: Scores, arm: ArmResult, measure: Measure, seeds: Sequence[int]) -> list[float]:
    """What is the better the larger it is: the score with its sign turned, or steps that count down.

    A diverged run has the worst score, or minus infinity without one. A run that never got to the target has half a step more
    than the budget.
    """
    if measure == "steps":
        found = [-(arm.budget + 0.5 if steps is None else float(min(steps, arm.budget))) for steps in arm.steps_to_target]
    else:
        sign = scores.primary.sign
        found = [-math.inf if value is None else sign * value for value in arm.values[scores.primary.name]]
    by_seed = dict(zip(arm.seeds, found, strict=True))
    return [by_seed[seed] for seed in seeds]
