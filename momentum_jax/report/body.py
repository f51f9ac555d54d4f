"""The sections of a report that show runs: the ladder, every arm, learning curves, searches and costs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from momentum_jax.figures import page
from momentum_jax.report import cells
from momentum_jax.report.answer import NOTHING_TO_COMPARE, linked, parts
from momentum_jax.report.blocks import Block, Check, Checks, Chips, Figures, Forest, Row, Section, Text
from momentum_jax.report.given import Given, near
from momentum_jax.studies import wording
from momentum_jax.studies.analysis import ArmResult, Tuning
from momentum_jax.studies.analysis.claims import GAIN, LARGER_STEP, MOMENTUM_ITSELF
from momentum_jax.studies.learning_curves import LearningCurve, ScoreCurve
from momentum_jax.studies.scores import RankedScore
from momentum_jax.studies.wording import sections

_DECADES = 100.0
# Points of each curve, together and of one arm at most.
_POINTS, _MOST_POINTS, _FEWEST_POINTS = 360, 90, 30


def why(given: Given) -> Section | None:
    """Momentum's gain and its two parts."""
    analysis, found, said = given.analysis, given.analysis.ladder, wording.why(given.analysis)
    claims = parts(given)
    if found is None or said is None or analysis.answer.kind in NOTHING_TO_COMPARE:
        return None
    arms = {GAIN: found.momentum, LARGER_STEP: found.control, MOMENTUM_ITSELF: found.momentum}
    on = [claim for claim in claims if not {claim.first, claim.second} & given.off] or claims
    scale, rows = given.scale(on), []
    for role, (label, detail) in sections.rungs(analysis).items():
        if (claim := analysis.claim(role)) is None:
            continue
        arm = given.index(arms[role])
        is_left = claim.evidence.estimate < 0
        drawn = given.drawn(claim, scale) if claim in on else page.away(arm, "off the scale", left=is_left)
        note = wording.interval(analysis, claim) if claim.evidence.interval else ""
        rows.append(Row(arm, label, detail, drawn, given.difference(claim), note))
    return Section(
        "why",
        "Why",
        "Is it momentum, or only a larger step?",
        linked(given, said, *claims),
        (Forest(tuple(rows), given.axis(scale, claims[0], "worse", "better"), "What the gain is made of", "ladder"),),
        sections.parts(analysis),
    )


def every_arm(given: Given) -> Section | None:
    """The final score of every run, the best arm first."""
    analysis, score = given.analysis, given.analysis.scores.primary
    if not analysis.arms:
        return None
    shown = [arm for arm in analysis.arms if arm.label not in given.off] or list(analysis.arms)
    values = [value for arm in shown for value in _whole(given, arm, score) if value is not None]
    is_log = _spans_decades(values, score)
    scale = page.Scale.over(near(values, is_log), turned=score.sign < 0, log=is_log)
    ordered = sorted(analysis.arms, key=lambda arm: _merit(arm, score), reverse=True)
    rows = tuple(_final(given, arm, scale, arm in shown) for arm in ordered)
    texts = page.tick_text(scale.ticks(), factor=score.factor, unit="%" * score.percent)
    name = f"Final {analysis.scores.where}{score.name} of every run, a row an arm"
    return Section(
        "arms",
        "Arms",
        "All arms, run by run",
        Text(sections.every_arm(analysis)),
        (
            Chips(),
            Forest(rows, page.axis(scale, texts, left="worse", right="better"), name, "final_score"),
            Text(sections.RUN_BY_RUN, tone="small"),
        ),
    )


def _spans_decades(values: Sequence[float], score: RankedScore) -> bool:
    """Whether a score, such as a loss, is seen on a logarithmic scale alone."""
    return score.sign < 0 and bool(values) and min(values) > 0 and max(values) >= _DECADES * min(values)


def _merit(arm: ArmResult, score: RankedScore) -> float:
    found = arm.described[score.name]
    return -math.inf if found is None else score.sign * found.mean


def _whole(given: Given, arm: ArmResult, score: RankedScore) -> list[float | None]:
    """The scores of an arm's runs; None for one that diverged, also where it counts with the worst score."""
    lost = {run.name for run in given.store.runs if run.diverged is not None}
    return [None if name in lost else value for name, value in zip(arm.runs, arm.values[score.name], strict=True)]


def _final(given: Given, arm: ArmResult, scale: page.Scale, is_on: bool) -> Row:
    score, index = given.analysis.scores.primary, given.index(arm.label)
    described = arm.described[score.name]
    lost = "diverged"
    seeds = [
        (value, f"seed {seed}: {lost if value is None else score.value(value)}")
        for seed, value in zip(arm.seeds, _whole(given, arm, score), strict=True)
    ]
    who = given.called(arm.label)
    if is_on:
        drawn = page.strip(scale, index, seeds, described and described.mean, alt=f"{who}:", lost=0)
    else:
        drawn = page.away(index, f"off the scale: {wording.is_off(arm)}", left=True)
    note = ""
    if described is None:
        value = "no score"
    else:
        value = given.mean(arm, score, described, score.value(described.mean))
        if described.standard_error is not None:
            note = f"± {cells.two_digits(score.factor * described.standard_error)} (standard error)"
    if arm.rung:
        return Row(index, who, "added to explain the gain", drawn, value, note, has_key=True)
    detail = arm.optimizer if arm.optimizer != who else ""
    return Row(index, who, detail, drawn, value, note, is_code=bool(detail), has_key=True)


def learning(given: Given) -> tuple[Section | None, dict[str, object]]:
    """The curves, and what the page's script reads of them."""
    if not given.analysis.arms or not given.curves:
        return None, {}
    charts = [chart for chart in (_validation(given), _training(given)) if chart is not None]
    charts = [chart for chart in charts if any(value is not None for line in chart.lines for value in line.mean)]
    drawn, pictures = [], []
    for chart in charts:
        ends = "; ".join(
            f"{line.name} from {_end(chart, line.mean)} to {_end(chart, line.mean[::-1])}"
            for line in chart.lines
            if any(value is not None for value in line.mean)
        )
        alt = f"{chart.title}, {chart.note}. {ends}."
        drawn.append(page.curves(chart, alt=f"{alt} Arrow keys read values, plus zooms, 0 resets.", zoom=sections.ZOOM))
        pictures.append((chart.name, alt))
    lost = [
        Text(check.detail, tone="small")
        for check in wording.checks(given.analysis)
        if check.state == "look" and check.said.endswith(" diverged")
    ]
    blocks: tuple[Block, ...] = (Chips(), Figures(tuple(drawn), tuple(pictures)), *lost)
    section = Section("curves", "Curves", "Learning curves", Text(sections.CURVES), blocks)
    return section, {chart.name: chart.data() for chart in charts}


def _end(chart: page.Chart, values: Sequence[float | None]) -> str:
    first = next(value for value in values if value is not None)
    return f"{chart.factor * first:.4g}{chart.unit}"


def _validation(given: Given) -> page.Chart | None:
    score, study = given.analysis.scores.primary, given.analysis.study
    grid = _grid([curve.steps for curve in given.scores])
    if grid is None:
        return None
    is_log = score.sign < 0 and not score.percent
    lines = [_line(given, curve, grid) for curve in given.scores]
    is_log = is_log and all(value > 0 for line in lines for value in (*line.low, *line.mean) if value is not None)
    return page.Chart(
        name="validation_score",
        title=f"{'Validation ' if given.analysis.scores.tested else ''}{score.name}",
        note=f"{score.better} is better{', logarithmic' * is_log}",
        steps=[int(step) for step in grid],
        lines=lines,
        better=score.better,
        log=is_log,
        factor=score.factor,
        unit="%" * score.percent,
        target=study.target if given.analysis.target_score == score.name else None,
    )


def _training(given: Given) -> page.Chart | None:
    grid = _grid([curve.steps for curve in given.curves])
    if grid is None:
        return None
    lines = [_line(given, curve, grid) for curve in given.curves]
    is_log = all(value > 0 for line in lines for value in (*line.low, *line.mean) if value is not None)
    return page.Chart(
        name="learning_curves",
        title="Training loss",
        note=f"lower is better{', logarithmic' * is_log}",
        steps=[int(step) for step in grid],
        lines=lines,
        better="lower",
        log=is_log,
    )


def _grid(steps: Sequence[np.ndarray]) -> np.ndarray | None:
    """The steps at which curves are shown: of the longest arm, so many that the page stays light."""
    longest = max(steps, key=lambda each: each[-1] if each.size else -1)
    if longest.size < 2:
        return None
    points = min(_MOST_POINTS, max(_FEWEST_POINTS, _POINTS // len(steps)))
    return longest[np.unique(np.linspace(0, longest.size - 1, points).astype(int))]


def _line(given: Given, curve: LearningCurve | ScoreCurve, grid: np.ndarray) -> page.Line:
    """A curve at the steps of its chart: there, or at its own step nearest to that."""
    name = wording.brief(given.analysis, curve.label)
    empty: list[float | None] = [None] * len(grid)
    if not curve.steps.size:
        return page.Line(given.index(curve.label), name, empty, empty, empty, True)
    near = np.abs(curve.steps[:, None] - grid[None, :]).argmin(axis=0)
    is_there = (grid >= curve.steps[0]) & (grid <= curve.steps[-1])

    def at(values: np.ndarray) -> list[float | None]:
        found = values[near].tolist()
        return [each if ok and math.isfinite(each) else None for each, ok in zip(found, is_there, strict=True)]

    off = curve.label in given.off
    return page.Line(given.index(curve.label), name, at(curve.mean), at(curve.low), at(curve.high), off)


def rate(given: Given) -> Section | None:
    """Every trial against its learning rate, and whether the range was wide enough."""
    analysis = given.analysis
    if not analysis.tunings:
        return None
    found = [(_trials(given, tuning), _verdict(given, tuning)) for tuning in analysis.tunings]
    drawn = tuple(figure for figure, _ in found if figure is not None)
    checks = tuple(check for figure, check in found if figure is not None)
    bare = tuple(check.items[0] for figure, check in found if figure is None)
    labels = ", ".join(given.called(tuning.arm) for tuning in analysis.tunings)
    blocks: list[Block] = []
    if drawn:
        blocks.append(
            Figures(drawn, (("sensitivity", f"Validation score of every trial against learning rate, of {labels}"),), checks)
        )
        blocks.append(Text(f"{sections.TRIALS} {sections.UP}", tone="small"))
    if bare:
        blocks.append(Checks(bare, wide=True))
    return Section(
        "rate", "Learning rate", "Was the learning rate tuned well enough?", Text(sections.rate(analysis)), tuple(blocks)
    )


def _verdict(given: Given, tuning: Tuning) -> Checks:
    holds, said, detail = sections.searched(given.analysis, tuning)
    return Checks(
        (Check("yes" if holds else "look", Text(f"{given.called(tuning.arm)}: {said[:1].lower()}{said[1:]}"), detail),)
    )


def _trials(given: Given, tuning: Tuning) -> page.Markup | None:
    """None where no learning rate was searched, or its values are no positive numbers."""
    name, score = tuning.learning_rate, given.analysis.scores[tuning.score]
    arm = next((arm for arm in given.analysis.study.tuned if arm.label == tuning.arm), None)
    if name is None or arm is None or score.name not in tuning.trials[0].means:
        return None
    rates = [trial.values[name] for trial in tuning.trials]
    if not all(isinstance(each, int | float) and not isinstance(each, bool) and each > 0 for each in rates):
        return None
    means = [mean for trial in tuning.trials if (mean := trial.means[score.name]) is not None and not trial.diverged]
    ends = _ends(arm.ranges[name], rates)
    across = page.Scale.over([*rates, *ends], log=True)
    merits = sorted(score.sign * mean for mean in means)
    worst = merits[len(merits) // 4] if merits else 0.0
    kept = [score.sign * each for each in merits if each >= worst]
    # The lower edge is the worst of those that are kept.
    up = page.Scale.over(kept, turned=score.sign < 0, log=_spans_decades(kept, score), margin=0.06)
    dots = [
        page.Dot(
            x=value,
            mean=None if trial.diverged else trial.means[score.name],
            seeds=trial.scores[score.name],
            text=_said(given, trial.values, trial.means[score.name], trial.diverged, score, index == tuning.chosen),
            chosen=index == tuning.chosen,
        )
        for index, (value, trial) in enumerate(zip(rates, tuning.trials, strict=True))
    ]
    texts = (
        [page.short(tick) for tick in across.ticks(4)],
        page.tick_text(up.ticks(3), factor=score.factor, unit="%" * score.percent),
    )
    who = given.called(tuning.arm)
    alt = f"Validation {score.name} of {len(dots)} trials against learning rate; {dots[tuning.chosen].text}"
    index = given.index(tuning.arm)
    body = page.scatter(index, dots, across, up, texts, field=ends, name="learning rate", alt=alt)
    return page.Markup(
        '<figure class="chart {}"><figcaption>{} <bdi>{}</bdi> <small>{} trial{}</small></figcaption>{}</figure>'
    ).format(page.style_of(index), page.key(index), who, len(dots), "s" * (len(dots) != 1), body)


def _ends(searched: object, rates: Sequence[float]) -> tuple[float, float]:
    """Of a range its ends, of a choice the least and the greatest that were tried."""
    low, high = getattr(searched, "low", min(rates)), getattr(searched, "high", max(rates))
    return (low if low > 0 else min(rates)), high


def _said(
    given: Given, values: dict[str, object], mean: float | None, diverged: int, score: RankedScore, is_chosen: bool
) -> str:
    named = {name: sections.short(value) for name, value in values.items()}
    # The axis has the name of the only one.
    where = ", ".join([*named.values()] if len(named) == 1 else (f"{name} {value}" for name, value in named.items()))
    found = "diverged" if mean is None or diverged else score.value(mean)
    return f"{where}: {found}{' (chosen)' * is_chosen}"


def cost(given: Given) -> Section | None:
    """Steps to the target, a ring a seed."""
    analysis, study = given.analysis, given.analysis.study
    if not analysis.arms:
        return None
    said = Text(sections.cost(analysis))
    if study.target is None:
        return Section("cost", "Cost", "What did it cost?", said, ())
    most = max(arm.budget for arm in analysis.arms)
    known = [steps for arm in analysis.arms for steps in arm.steps_to_target if steps is not None]
    scale = page.Scale.over([0.0, float(most if len(known) < sum(len(arm.runs) for arm in analysis.arms) else max(known))])
    rows = tuple(_steps(given, arm, scale) for arm in analysis.arms)
    axis = page.axis(scale, page.tick_text(scale.ticks()), left="sooner", right="later; ✕ never")
    blocks = (Forest(rows, axis, "Steps to the target of every run", "steps_to_target"), Text(sections.TIMES, tone="small"))
    return Section("cost", "Cost", "What did it cost?", said, blocks)


def _steps(given: Given, arm: ArmResult, scale: page.Scale) -> Row:
    index, who = given.index(arm.label), given.called(arm.label)
    seeds = [
        (None if steps is None else float(steps), f"seed {seed}: {'never' if steps is None else f'step {steps:,}'}")
        for seed, steps in zip(arm.seeds, arm.steps_to_target, strict=True)
    ]
    median = None if arm.reached is None else arm.reached.median
    value = "not by half"
    if median is not None:
        what = f"median of {len(arm.runs)} runs: first evaluation at the target of ", who
        value = given.sources.value(f"{median:,.0f} steps", what, median, arm.runs)
    drawn = page.strip(scale, index, seeds, median, alt=f"{who}:", lost=100)
    detail = sections.reached(given.analysis, arm.label)
    return Row(index, who, detail, drawn, value, "median" * (median is not None), has_key=True)
