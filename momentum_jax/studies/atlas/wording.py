"""What an atlas says, in sentences."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from momentum_jax.studies.atlas.findings import Cells, Finding, entries_of
from momentum_jax.studies.atlas.plan import QUICK_SEEDS, QUICK_TRIALS

SIZES = ("smallest batch", "between", "largest batch", "one batch size")
NOT_TOLD = (
    "Other problems, larger models and longer training: a cell speaks for itself alone.",
    "Schedules: every learning rate and momentum is constant.",
    "A cell without a claim: the absence of a claim is not evidence of no effect.",
)
HOW_TO_READ = (
    "Each row is one study. Its mark is how much better the arm ended than gradient descent, both tuned at equal budget.",
    "The unit is the standard deviation of gradient descent over seeds, so that problems can stand side by side.",
    "An arrow at the edge means that the mark lies beyond the scale. The name of a row opens the page of its study.",
)


def verdict(cells: Cells) -> str:
    """The answer in one sentence."""
    answered = len(cells.answered)
    if not answered:
        return "No cell is answered yet."
    said = f"Momentum beats tuned gradient descent in {cells.count(1)} of {_counted(answered, 'cell')}"
    return f"{said} and loses in {cells.count(-1)}."


def lead(cells: Cells) -> str:
    """What explains the gain, and how well theory foresaw it."""
    parts = []
    if cells.gained:
        larger = sum(each.only_larger_step for each in cells.gained)
        at_rate = f"At equal learning rates momentum gains in {_counted(len(cells.gained), 'cell')}"
        parts.append(f"{at_rate}; in {larger} of these a larger step alone does as well.")
    if cells.compared:
        parts.append(f"Theory names the winner in {cells.agreeing} of {len(cells.compared)} cells where both name one.")
    return " ".join(parts)


def banner(cells: Cells) -> list[str]:
    """What is not as it was planned."""
    said = []
    if cells.is_quick:
        said.append(
            f"This is a first look: {QUICK_SEEDS} seeds and {QUICK_TRIALS} trials. "
            "A difference is claimed only if it shows on every seed, and hardly ever over the whole atlas. "
            "It tells nothing of longer budgets, of batches between, or of what better tuning would change: "
            "no range is made wider where its search stopped at an edge."
        )
    missing = sum(not each.is_complete for each in cells.findings)
    if missing:
        said.append(f"{missing} of {_counted(len(cells.findings), 'cell')} are not finished.")
    return said


def batch(size: int | None) -> str:
    return "all examples" if size is None else f"batch {size}"


def setting(found: Finding) -> str:
    """Where a cell lies on the axes."""
    return f"{batch(found.batch)}, {found.steps:,} steps"


def answer(found: Finding) -> str:
    """The mark of a cell among all: no claim is made from a control that has collapsed, or beyond the false discovery rate."""
    if found.collapsed:
        return f"No claim: {found.collapsed}"
    if found.measured and not found.claimed:
        return "Not shown among so many"
    return found.mark


def by_batch(cells: Cells) -> list[tuple[str, ...]]:
    """For each place on the axis of batch sizes: cells, better, worse, and the middle effect."""
    groups: dict[str, list[Finding]] = {size: [] for size in SIZES}
    for _, found in entries_of(cells):
        ordered = sorted({each.batch or 2**62 for each in found})
        for each in found:
            place = ordered.index(each.batch or 2**62)
            size = SIZES[3] if len(ordered) == 1 else SIZES[0] if place == 0 else SIZES[2 if place == len(ordered) - 1 else 1]
            groups[size].append(each)
    rows = []
    for size, group in groups.items():
        answered = [each for each in group if each.p is not None]
        if not answered:
            continue
        effects = [arm.effect for each in answered if (arm := each.asked) is not None and arm.effect is not None]
        middle = f"{statistics.median(effects):+.2g}" if effects else "–"
        counts = (sum(each.claimed == sign for each in answered) for sign in (1, -1))
        rows.append((size, str(len(answered)), *map(str, counts), middle))
    return rows


def by_problem(cells: Cells) -> list[tuple[str, ...]]:
    """For each problem why it is there, what theory expects, and what was found."""
    return [(entry.name, entry.why or "–", entry.expects or "–", _found(found)) for entry, found in entries_of(cells)]


def _found(found: Sequence[Finding]) -> str:
    answered = [each for each in found if each.p is not None]
    if not answered:
        return "not run"
    better, worse = (sum(each.claimed == sign for each in answered) for sign in (1, -1))
    return f"better in {better}, worse in {worse} of {_counted(len(answered), 'cell')}"


def share(found: Finding) -> str:
    return "–" if found.share is None else f"{100 * found.share:.0f}%"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"
