"""The page of an atlas: one answer, a row for each cell to filter, and what explains them. Each row opens its study's page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import momentum_jax
from momentum_jax._files import atomic
from momentum_jax.figures import page
from momentum_jax.report.blocks import Block, Card, Command, Content, Facts, Forest, Row, Section, Table, Text
from momentum_jax.report.cells import seconds
from momentum_jax.report.reproduce import glossary
from momentum_jax.report.setting import PAGE as STUDY_PAGE, html
from momentum_jax.studies.atlas import wording
from momentum_jax.studies.atlas.findings import Beside, Cells, Finding, write_json
from momentum_jax.studies.wording import WORDS

PAGE, NUMBERS, PICTURE = "index.html", "atlas.json", "forest.png"
# The scale of the rows, in standard deviations to either side.
_WIDEST = 5.0
_AWAY = "–"


def write(cells: Cells, directory: Path, file: Path | None = None) -> list[Path]:
    """Writes index.html, atlas.json and forest.png; returns their paths. `file`: the atlas's own, None for the library's."""
    from momentum_jax import figures
    from momentum_jax.figures.atlas import forest

    directory.mkdir(parents=True, exist_ok=True)
    with atomic(directory / PAGE) as opened:
        opened.write(html(content(cells, file)).encode())
    write_json(directory / NUMBERS, cells)
    written = [directory / PAGE, directory / NUMBERS]
    if (drawn := forest(cells)) is not None:
        figures.save(drawn, directory / PICTURE)
        written.append(directory / PICTURE)
    return written


def content(cells: Cells, file: Path | None) -> Content:
    """What the page says."""
    answered = bool(cells.answered)
    labels = [*dict.fromkeys(arm.label for found in cells.findings for arm in found.arms)]
    sections = (_cells(cells, labels), _batch(cells), _step(cells), _theory(cells), _arms(cells, labels), _problems(cells))
    return Content(
        name="atlas",
        banner=tuple(wording.banner(cells)),
        asked=cells.title,
        about=f"({len(cells.entries)} problems, {len(cells.findings)} cells)",
        mark="Answered" if answered else "Not run",
        shape="equal" if answered else "question",
        tone="mid" if answered else "askc",
        verdict=wording.verdict(cells),
        lead=wording.lead(cells),
        effect=None,
        cards=_cards(cells),
        lines=(),
        sections=(*(section for section in sections if section is not None), _reproduce(cells, file), glossary()),
        arms=(),
        footer=f"Written by momentum-jax {momentum_jax.__version__}. One file, no network; rows open the pages beside it.",
        data={"words": {name: f"{word.term}: {word.meaning}" for name, word in WORDS.items()}, "sources": {}, "parts": []},
    )


def _cards(cells: Cells) -> tuple[Card, ...]:
    counts: dict[str, int] = {}
    for found in cells.findings:
        said = "No claim: a control collapsed" if found.collapsed else wording.answer(found)
        counts[said] = counts.get(said, 0) + 1
    rows = tuple((said, str(count)) for said, count in sorted(counts.items(), key=lambda each: -each[1]))
    cards = [Card("What the cells answer", (Table((), rows, layout="plain"),), ("#cells", "See them all"))]
    if batches := wording.by_batch(cells):
        rows = tuple((size, f"{better} of {count} better") for size, count, better, *_ in batches)
        cards.append(Card("By batch size", (Table((), rows, layout="plain"),), ("#batch", "See the table")))
    blocks: tuple[Block, ...] = tuple(Text(each) for each in wording.NOT_TOLD)
    cards.append(Card("What it does not tell", blocks))
    return tuple(cards)


def _cells(cells: Cells, labels: list[str]) -> Section:
    scale = page.Scale(-_WIDEST, _WIDEST)
    rows = [
        _row(found, arm, labels.index(arm.label), scale)
        for found in cells.findings
        for arm in found.arms
        if arm.estimate is not None
    ]
    texts = page.tick_text(scale.ticks(), signed=True)
    axis = page.axis(scale, texts, left="worse than gradient descent", right="better")
    forest = Forest(
        tuple(rows), axis, "Each arm of each cell beside gradient descent", filters=("problem", "batch", "arm", "answer")
    )
    take = "Each row is an arm beside tuned gradient descent in one cell, in standard deviations over seeds."
    return Section(
        "cells",
        "Cells",
        "Every cell",
        Text(take if rows else "No cell has runs yet."),
        (forest,) if rows else (),
        wording.HOW_TO_READ,
    )


def _row(found: Finding, arm: Beside, place: int, scale: page.Scale) -> Row:
    is_asked = arm is found.asked
    said = wording.answer(found) if is_asked else {1: "Better", 0: "Not shown", -1: "Worse"}[arm.direction]
    if arm.effect is None:
        drawn = page.away(place, "no spread over seeds", left=False)
    else:
        drawn = page.interval(scale, place, arm.effect, arm.effect_interval, (), alt=arm.said)
    return Row(
        place,
        found.entry,
        f"{arm.label}; {wording.setting(found)}",
        drawn,
        f"{arm.shown} {found.score}",
        said,
        href=f"{found.folder}/{STUDY_PAGE}",
        facets=(
            ("problem", found.entry),
            ("batch", wording.batch(found.batch)),
            ("arm", f"{arm.label} (the question)" if is_asked else arm.label),
            ("answer", said.partition(":")[0]),
        ),
    )


def _batch(cells: Cells) -> Section | None:
    rows = wording.by_batch(cells)
    if not rows:
        return None
    take = "Where momentum pays by the size of the batch, each problem's own smallest and largest."
    table = Table(("batch", "cells", "better", "worse", "middle effect (SD)"), tuple(rows))
    return Section("batch", "Batch", "Does the batch size matter?", Text(take), (table,))


def _step(cells: Cells) -> Section | None:
    rows = tuple(
        (
            found.entry,
            wording.setting(found),
            wording.share(found),
            f"cannot be told: {found.lost_control}" if found.lost_control else "yes" if found.only_larger_step else "no",
        )
        for found in cells.gained
    )
    if not rows:
        return None
    larger = sum(found.only_larger_step for found in cells.gained)
    take = f"In {larger} of {len(rows)} cells where momentum gains at its rate, a larger step does as well."
    headings = ("problem", "cell", "share of the gain by the larger step", "a larger step does as well")
    return Section(
        "step", "Larger step", "Is it momentum, or only a larger step?", Text(take), (Table(headings, rows, layout="prose"),)
    )


def _theory(cells: Cells) -> Section | None:
    rows = []
    for found in cells.findings:
        if not found.curvatures:
            continue
        ahead = {None: "nothing", 1: "momentum ahead", 0: "level", -1: "momentum behind"}
        is_same = {True: "yes", False: "no"}.get(found.predicted == found.measured) if found in cells.compared else _AWAY
        ratios = "; ".join(
            f"{each.label} {', '.join(_AWAY if ratio is None else f'{ratio:.2g}' for ratio in each.ratios)}"
            for each in found.curvatures
        )
        rows.append(
            (found.entry, wording.setting(found), ahead[found.predicted], ahead[found.measured or None], is_same, ratios)
        )
    if not rows:
        return None
    at = next(each.at for found in cells.findings for each in found.curvatures)
    shares = ", ".join(f"{100 * share:.0f}%" for share in at)
    take = f"Theory and measurement agree in {cells.agreeing} of {len(cells.compared)} cells where both name a winner."
    caption = f"Sharpness over the largest stable curvature, at {shares} of the training; above 1 the arm is unstable there."
    headings = ("problem", "cell", "predicted", "measured", "agree", "sharpness over the limit")
    return Section(
        "theory", "Theory", "What did theory say?", Text(take), (Table(headings, tuple(rows), caption, layout="prose"),)
    )


def _arms(cells: Cells, labels: list[str]) -> Section | None:
    rows = []
    for found in cells.findings:
        means = {arm.label: arm.mean for arm in found.arms}
        if means:
            shown = (_AWAY if (mean := means.get(label)) is None else f"{mean:.4g}" for label in labels)
            rows.append((f"{found.entry}, {wording.setting(found)}", found.score, *shown))
    if not rows:
        return None
    take = "The mean final score of every arm over its fresh seeds, on the test set where there is one."
    return Section("arms", "Arms", "All arms", Text(take), (Table(("cell", "score", *labels), tuple(rows), layout="scroll"),))


def _problems(cells: Cells) -> Section:
    headings = ("problem", "why it is there", "what theory expects", "found")
    table = Table(headings, tuple(wording.by_problem(cells)), layout="prose")
    return Section("problems", "Problems", "The problems", Text("What each is for, and what came of it."), (table,))


def _reproduce(cells: Cells, file: Path | None) -> Section:
    quick = " --quick" * cells.is_quick
    command = f"momentum-jax atlas run{'' if file is None else f' {file.name}'}{quick}"
    spent = sum(found.seconds for found in cells.findings)
    facts = [("time", f"{seconds(spent)} of compiling, training and evaluation, over all cells")]
    for name in ("versions", "machine"):
        known = dict.fromkeys(_listed(found.ran[name]) for found in cells.findings if found.ran)
        facts += [(name, "; ".join(known))] if known else []
    take = "The page of each cell has the TOML that runs that study again by itself."
    return Section("reproduce", "Reproduce", "Run it again", Text(take), (Command(command), Facts(tuple(facts))))


def _listed(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())
