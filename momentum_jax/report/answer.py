"""The top of a report: the answer, the difference that it is about, how sure it is, and what else was asked."""

from __future__ import annotations

from momentum_jax.report.blocks import Block, Card, Check, Checks, Command, Effect, Table, Text
from momentum_jax.report.given import Given
from momentum_jax.studies import wording
from momentum_jax.studies.analysis import Claim
from momentum_jax.studies.analysis.claims import GAIN, LARGER_STEP, MOMENTUM_ITSELF, QUESTION
from momentum_jax.studies.analysis.needed import worth_finding
from momentum_jax.studies.wording import sections

TONES = {"tick": "good", "cross": "bad", "equal": "mid", "ring": "open", "question": "askc"}
NOTHING_TO_COMPARE = ("nothing", "diverged", "noquestion")


def effect(given: Given) -> Effect | None:
    """None where nothing is compared."""
    analysis, claim = given.analysis, given.analysis.asked
    if claim is None or analysis.answer.kind in NOTHING_TO_COMPARE:
        return None
    scale = given.scale([claim])
    left, right = sections.sides(analysis, claim)
    has_interval = claim.evidence.interval is not None
    return Effect(
        value=given.difference(claim),
        measured="saved" if claim.measure == "steps" else f"{analysis.scores.where}{analysis.scores.primary.name}",
        confidence=wording.confidence(claim) if has_interval else "",
        interval=wording.interval(analysis, claim) if has_interval else "",
        drawn=given.drawn(claim, scale, big=True) + given.axis(scale, claim, left, right),
        note=sections.effect_note(analysis, claim),
    )


def cards(given: Given) -> tuple[Card, ...]:
    return tuple(card for card in (_sure(given), _why(given), _surer(given)) if card is not None)


def _sure(given: Given) -> Card | None:
    analysis, claim = given.analysis, given.analysis.asked
    if claim is None or analysis.answer.kind in NOTHING_TO_COMPARE:
        return None
    found = [sections.test(analysis, claim), sections.ahead(analysis, claim)]
    checks = tuple(Check("yes" if holds else "no", Text(said), detail) for holds, said, detail in found)
    return Card("How sure?", (Checks(checks), Text(sections.RULE, tone="small")))


def _why(given: Given) -> Card | None:
    said = wording.why(given.analysis)
    if said is None or given.analysis.answer.kind in NOTHING_TO_COMPARE:
        return None
    rows = []
    for role, name in ((GAIN, "same learning rate"), (LARGER_STEP, "larger step"), (MOMENTUM_ITSELF, "momentum itself")):
        if (claim := given.analysis.claim(role)) is not None:
            rows.append((name, given.difference(claim)))
    table = Table((), tuple(rows), layout="plain")
    return Card("Why?", (linked(given, said, *parts(given)), table), ("#why", "See the parts drawn"))


def parts(given: Given) -> list[Claim]:
    found = (given.analysis.claim(role) for role in (GAIN, LARGER_STEP, MOMENTUM_ITSELF))
    return [claim for claim in found if claim is not None]


def _surer(given: Given) -> Card | None:
    analysis, claim = given.analysis, given.analysis.asked
    heading, said = sections.surer(analysis), sections.before(analysis)
    if said is not None:
        typed = sections.command(analysis)
        return Card(heading, (Text(said), *([Command(typed)] if typed else [])))
    if claim is None or analysis.answer.kind in NOTHING_TO_COMPARE:
        return None
    blocks: list[Block] = []
    if (look := wording.look(analysis)) is not None:
        added = sections.add(analysis, given.store.directory.name)
        blocks += [Text(look), *([Command(added)] if added else [])]
    if found := worth_finding(analysis, claim):
        rows = tuple((sections.needed(analysis, claim, each), f"{each.seeds:,}") for each in found)
        blocks += [Table(("true difference", "seeds to find it in 4 of 5 studies"), rows, layout="plain")]
    blocks.append(Text(sections.fewest(claim, is_told=bool(found)), tone="small"))
    if not analysis.study.looks and not claim.evidence.claimed:
        blocks.append(Text(sections.ADDED, tone="small"))
    return Card(heading, tuple(blocks))


def lines(given: Given) -> tuple[Text, ...]:
    """A sentence for each other arm and for the other measure."""
    analysis = given.analysis
    heads = [
        claim
        for claim in wording.beside(analysis)
        if any(role.startswith("arm ") for role in claim.roles) or claim.roles[0] in (f"{QUESTION}_steps", f"{QUESTION}_score")
    ]
    return tuple(linked(given, wording.claim_line(analysis, claim), claim) for claim in heads)


def linked(given: Given, said: str, *claims: Claim) -> Text:
    """A sentence whose estimates have their sources."""
    values = tuple(given.difference(claim) for claim in claims)
    return Text(said, tuple(value for value in values if value.text in said))
