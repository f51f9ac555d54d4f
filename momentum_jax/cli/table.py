"""The table at the end of a comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from momentum_jax.studies import Study
from momentum_jax.studies.scores import RankedScore
from momentum_jax.studies.store import Store
from momentum_jax.studies.summary import ArmSummary, estimate

# Columns; the report has all.
_MOST_SCORES = 3


def print_table(console: Console, store: Store, summaries: Sequence[ArmSummary]) -> None:
    """The table in the widest form that fits; in a terminal too narrow for any it runs over the edge, and loses nothing."""
    labels = max(len(row.label) for row in summaries)
    fold = min(labels, 24)
    forms = [
        table(store, summaries, labels=labels),
        table(store, summaries, labels=fold),
        table(store, summaries, labels=fold, time=False),
        table(store, summaries, labels=fold, time=False, narrow=True),
        table(store, summaries, labels=min(labels, 8), time=False, narrow=True),
    ]
    room = console.options.update(max_width=1000)
    widths = [Measurement.get(console, room, form).maximum for form in forms]
    fitting = next((form for form, width in zip(forms, widths, strict=True) if width <= console.width), None)
    if fitting is not None:
        console.print(fitting)
        return
    before, console.width = console.width, widths[-1]
    console.print(forms[-1], soft_wrap=True)
    console.width = before


def table(store: Store, summaries: Sequence[ArmSummary], *, labels: int, time: bool = True, narrow: bool = False) -> Table:
    """One row an arm: scores, steps to the target, divergences, time; its number of runs where an unfinished study has rows of
    several.

    Labels are folded to the width `labels`; `narrow` breaks a heading before its unit and a cell before its standard error.
    """
    study, scores = store.study, store.scores
    counts = {len(row.seeds) for row in summaries}
    caption = [_averaged(counts, len(study.seeds))] if max(counts) > 1 else []
    if study.target is not None:
        caption.append(f"validation {store.target_score.name} measured every {study.evaluate_every} steps")
        if any({None} < {*row.steps_to_target} for row in summaries):
            caption.append("> : a run that never got there counts with all its steps")
    if any(row.diverged for row in summaries):
        caption += [f"diverged runs {score.if_diverged}" for score in scores.ranked[:_MOST_SCORES]]
    if narrow:
        caption.append("lost: runs that diverged")
    made = Table(
        title=f"{study.data_name}, {study.steps:,} steps{store.batches}",
        caption="; ".join(caption),
        title_justify="left",
        caption_justify="left",
        padding=(0, 0) if narrow else (0, 1),
        show_lines=narrow,
    )
    made.add_column("arm", overflow="fold", width=labels)
    for heading in (
        *(f"{scores.where.strip()}\n{_broken(score.heading, narrow)}" for score in scores.ranked[:_MOST_SCORES]),
        *_target_headings(study, store.target_score.name),
        "\nlost" if narrow else "\ndiverged",
        *["\nruns"] * (len(counts) > 1),
        *["\ntime"] * time,
    ):
        made.add_column(heading, justify="right", no_wrap=True)
    for row in summaries:
        target = [_steps(row.steps_to_target, row.budget), _count(row.never, row)]
        cells = [
            *(_score(row, score) for score in scores.ranked[:_MOST_SCORES]),
            *(target if study.target is not None else []),
            _count(row.diverged, row),
            *[str(len(row.seeds))] * (len(counts) > 1),
            *[f"{row.seconds:.1f} s"] * time,
        ]
        made.add_row(row.label, *(cell.replace(" ±", "\n±") if narrow else cell for cell in cells))
    return made


def _broken(heading: str, narrow: bool) -> str:
    return heading.replace(", ", ",\n") if narrow else heading


def _averaged(counts: set[int], planned: int) -> str:
    """What the rows are means over, each of so many runs."""
    if len(counts) > 1:
        return "mean ± standard error over the runs of the row"
    count = min(counts)
    return f"mean ± standard error over {count} {f'of {planned} ' * (count != planned)}seeds"


def _target_headings(study: Study, score: str) -> list[str]:
    if study.target is None:
        return []
    return [f"steps to\n{score} {study.target:g}", "\nnever"]


def _score(row: ArmSummary, score: RankedScore) -> str:
    if row.diverged == len(row.seeds):
        return "diverged"
    found = row.score(score)
    error = "" if math.isnan(found.error) else f" ± {score.factor * found.error:{score.form(error=True)}}"
    return f"{score.factor * found.mean:{score.form()}}{error}"


def _steps(reached: Sequence[int | None], budget: int) -> str:
    if all(steps is None for steps in reached):
        return "-"
    steps = estimate([budget if steps is None else steps for steps in reached])
    if None in reached:
        return f"> {steps.mean:,.0f}"
    return f"{steps.mean:,.0f}" + ("" if math.isnan(steps.error) else f" ± {steps.error:,.0f}")


def _count(count: int, row: ArmSummary) -> str:
    return f"{count} of {len(row.seeds)}" if count else "0"
