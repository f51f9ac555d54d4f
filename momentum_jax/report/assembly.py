"""From a store to what its report says."""

from __future__ import annotations

import momentum_jax
from momentum_jax.data.sources import SOURCES
from momentum_jax.report import answer, body, tables
from momentum_jax.report.blocks import Check, Checks, Content, Section, Text
from momentum_jax.report.given import Given
from momentum_jax.report.predictions import predictions
from momentum_jax.report.reproduce import glossary, reproduce
from momentum_jax.studies import wording
from momentum_jax.studies.analysis import analyse
from momentum_jax.studies.learning_curves import both_curves, hardly_rising
from momentum_jax.studies.store import Store

# Of a curve in a figure: more than a screen resolves, less than makes it heavy.
_POINTS = 600


def given(store: Store) -> Given:
    """What the report of a store is made from."""
    analysis = analyse(store)
    source = SOURCES.get(analysis.study.dataset) if analysis.study.problem is None else None
    losses, scores = both_curves(store, ladder=True, points=_POINTS)
    off = hardly_rising(scores, analysis.scores.primary)
    return Given(
        store=store,
        analysis=analysis,
        curves=losses,
        scores=scores,
        off=frozenset(off if off != {arm.label for arm in analysis.arms} else ()),
        classes=None if source is None else source.classes,
    )


def said(given: Given) -> Content:
    """All of it."""
    analysis, mark = given.analysis, wording.mark(given.analysis)
    curves, charts = body.learning(given)
    sections = (
        body.why(given),
        body.every_arm(given),
        curves,
        body.rate(given),
        body.cost(given),
        predictions(given),
        _checks(given),
        tables.evidence(given),
        reproduce(given),
        glossary(),
    )
    return Content(
        name=analysis.study.data_name,
        banner=tuple(wording.banner(analysis, is_lost=bool(given.store.manifest.get("manifest_lost")))),
        asked=wording.question(analysis),
        about=wording.sections.about(analysis),
        mark=mark.word,
        shape=mark.shape,
        tone=answer.TONES[mark.shape],
        verdict=wording.verdict(analysis),
        lead=wording.lead(analysis) or "",
        effect=answer.effect(given),
        cards=answer.cards(given),
        lines=answer.lines(given),
        sections=tuple(section for section in sections if section is not None),
        arms=tuple(wording.brief(analysis, arm.label, 28) for arm in analysis.arms),
        footer=f"Written by momentum-jax {momentum_jax.__version__}. One file, no network.",
        data={
            "words": {name: f"{word.term}: {word.meaning}" for name, word in wording.WORDS.items()},
            **given.sources.to_dict(),
            "charts": charts,
        },
    )


def _checks(given: Given) -> Section | None:
    found = wording.checks(given.analysis, _learned(given))
    if not found:
        return None
    checks = tuple(Check(each.state, Text(each.said), each.detail) for each in found)
    take = Text(wording.trusted([each.state for each in found]))
    return Section("checks", "Checks", "Can this study be trusted?", take, (Checks(checks, wide=True),))


def _learned(given: Given) -> tuple[str, float, float] | None:
    """The arm whose validation score ended best, with its mean before and after training."""
    sign = given.analysis.scores.primary.sign
    whole = [curve for curve in given.scores if curve.mean.size]
    best = max(whole, key=lambda curve: sign * curve.mean[-1], default=None)
    return None if best is None else (best.label, float(best.mean[0]), float(best.mean[-1]))
