"""What the runs are evidence of: comparisons, steps to the target, the ladder, the noise floor."""

from collections.abc import Mapping, Sequence

from momentum_jax.studies.analysis import Analysis, Comparison, Rungs
from momentum_jax.studies.analysis.ladder import bound
from momentum_jax.studies.arm import BUDGET
from momentum_jax.studies.conclusions.words import excludes_zero, unit_and_form, unmeasured, untuned
from momentum_jax.studies.report import cells
from momentum_jax.studies.report.blocks import Block, Folded, Points, Table, Text, Words, pictures
from momentum_jax.studies.scores import RankedScore
from momentum_jax.studies.statistics import FEWEST_PAIRS, PairedComparison

_BOUNDS: Mapping[str | None, str] = {"lower": "≥ ", "upper": "≤ "}
# The same of steps taken, where `bound` is of steps saved.
_LATER: Mapping[str | None, str] = {"lower": "≤ ", "upper": "≥ "}


def comparisons(analysis: Analysis) -> tuple[Block, ...]:
    if not analysis.comparisons:
        return ()
    reference, primary = analysis.comparisons[0].reference, analysis.scores.primary
    # From ten seeds on.
    skewed = any(each.score.bca_interval is not None for each in analysis.comparisons)
    headings = (
        "arm",
        f"difference{_in_points(primary)}",
        "95% t interval",
        *["95% BCa"] * skewed,
        "t test p",
        "Holm p",
        "Wilcoxon p",
        "effect size dz",
        "correlation",
        f"detectable{_in_points(primary)}",
        "seeds needed",
        "pairs",
    )
    rows = tuple(_comparison(primary, each, skewed) for each in analysis.comparisons)
    better = "" if primary.sign > 0 else " Negative: better."
    # Arguments of its own may give an arm other data.
    of_one_set = analysis.scores.tested and not any(arm.factors.keys() - {*BUDGET} for arm in analysis.arms)
    where = ", at one and the same test set" if of_one_set else ""
    caption = (
        f"{_final(analysis).capitalize()} less that of {reference}, paired by seed.{better} "
        "Holm: the t test's p corrected for all arms. "
        "dz: mean difference in standard deviations of the differences. Detectable: found by a t test, uncorrected, in 80% of "
        "studies with as many seeds. Seeds needed: for that test to find the observed difference in 80% of studies, were it "
        f"the true one; at least {FEWEST_PAIRS}, for with fewer the exact rank test claims nothing. Without an interval all "
        f"pairs differ by the same amount. All intervals are over seeds{where}."
    )
    blocks: list[Block] = [Table(headings, rows, caption)]
    blocks.append(Folded("As if the seeds of the arms were independent", (_apart(primary, analysis.comparisons),)))
    words = [
        each.score.sentence(
            *(each.arm, each.reference, *unit_and_form(primary)),
            scale=primary.factor,
            corrected=each.pvalue,
            comparisons=len(analysis.comparisons),
        )
        for each in analysis.comparisons
    ]
    caveats = [f"{each.arm}: {caveat}" for each in analysis.comparisons for caveat in each.score.caveats]
    blocks.append(Folded("In words, and what limits these comparisons", (Points((*words, *caveats)),)))
    return tuple(blocks)


def _apart(primary: RankedScore, comparisons: Sequence[Comparison]) -> Table:
    """The statistics of the textbook, which does not pair."""
    headings = ("arm", "95% Welch interval", "Welch t", "p", "Student t", "p", "Mann-Whitney U", "p", "Cohen's d", "Hedges' g")
    rows = []
    for each in comparisons:
        found = each.independent
        rows.append(
            (
                each.arm,
                cells.interval(found.t_interval, primary.factor, primary.form(signed=True)),
                cells.number(found.welch_t, ".2f"),
                cells.pvalue(found.welch_pvalue),
                cells.number(found.student_t, ".2f"),
                cells.pvalue(found.student_pvalue),
                cells.number(found.mann_whitney_u, "g"),
                cells.pvalue(found.mann_whitney_pvalue),
                cells.number(found.cohen_d, ".2f"),
                cells.number(found.hedges_g, ".2f"),
            )
        )
    caption = (
        "Arms share their seeds, so the paired comparison above is the one to read; these are what the textbook prints, and "
        "do not see what pairing takes out."
    )
    return Table(headings, tuple(rows), caption)


def _final(analysis: Analysis) -> str:
    return f"{analysis.scores.where}{analysis.scores.primary.name}"


def _in_points(score: RankedScore) -> str:
    return ", points" if score.percent else ""


def _comparison(primary: RankedScore, each: Comparison, skewed: bool) -> tuple[str, ...]:
    found, factor, form = each.score, primary.factor, primary.form(signed=True)
    # Shares differ by 100 points at most.
    detectable = found.detectable_difference
    is_known = detectable is not None and not (primary.percent and detectable >= 1)
    return (
        each.arm,
        f"{factor * found.mean_difference:{form}}",
        _t_interval(found, factor, form),
        *[cells.interval(found.bca_interval, factor, form)] * skewed,
        cells.pvalue(found.t_pvalue),
        cells.pvalue(each.pvalue),
        cells.pvalue(found.wilcoxon_pvalue),
        cells.number(found.cohen_dz, ".2f"),
        cells.number(found.correlation, ".2f"),
        cells.number(factor * detectable if is_known and detectable is not None else None, primary.form()),
        cells.number(None if found.seeds_needed is None else max(FEWEST_PAIRS, found.seeds_needed), ",d"),
        str(found.n),
    )


def _t_interval(found: PairedComparison, factor: float, form: str, known: str | None = None) -> str:
    """Of a bound the end that it has."""
    if found.without_spread or found.t_interval is None or known not in _BOUNDS:
        return cells.interval(None if found.without_spread else found.t_interval, factor, form)
    return f"{_BOUNDS[known]}{factor * found.t_interval[known == 'upper']:{form}}"


def steps(analysis: Analysis, drawn: set[str]) -> tuple[Block, ...]:
    arms = [(arm, arm.reached) for arm in analysis.arms if arm.reached is not None]
    if not arms:
        return ()
    words = "; ".join(f"{arm.label}: {reached.n - reached.never} of {reached.n} runs" for arm, reached in arms)
    rows = tuple(
        (
            arm.label,
            f"{reached.n - reached.never} of {reached.n}",
            cells.number(reached.median, ",.0f", "not by half"),
            cells.NONE if reached.never == reached.n else cells.limits(reached.median_interval),
            f"{'≥ ' if reached.never else ''}{reached.restricted_mean:,.0f}",
            cells.NONE if reached.never == reached.n else cells.interval(reached.restricted_mean_interval, 1, ",.0f"),
        )
        for arm, reached in arms
    )
    headings = ("arm", "reached", "median step", "95% limits", "mean step", "95% t interval")
    target = f"{analysis.study.target:g}"
    beyond = "below" if analysis.scores[analysis.target_score].sign < 0 else "above"
    caption = (
        f"First evaluation, every {analysis.study.evaluate_every} steps, with a validation {analysis.target_score} of {target} "
        f"or {beyond}. Runs "
        f"that never got there, diverged ones too, are censored at {analysis.study.steps:,} steps. "
        "The limits of a median are exact and need six runs or more."
    )
    alt = (
        f"Kaplan-Meier curves: share of runs that have reached validation {analysis.target_score} {target} by each step. "
        f"Reached: {words}."
    )
    blocks: list[Block] = [*pictures(drawn, steps_to_target=alt), Table(headings, rows, caption)]
    compared = [each for each in analysis.comparisons if each.steps is not None and each.log_rank is not None]
    if compared:
        reference = compared[0].reference
        rows = tuple(
            (
                each.arm,
                f"{each.steps.a_sooner}",
                f"{each.steps.b_sooner}",
                f"{each.steps.tied}",
                f"{_LATER.get(bound(analysis.arm(each.arm), analysis.arm(reference)), '')}{each.steps.mean_difference:+z,.0f}",
                cells.pvalue(each.steps.sign_pvalue),
                cells.pvalue(each.steps.wilcoxon_pvalue),
                cells.pvalue(each.log_rank.pvalue),
            )
            for each in compared
            if each.steps is not None and each.log_rank is not None
        )
        headings = ("arm", "sooner", "later or never", "tied", "mean difference", "sign test p", "Wilcoxon p", "log-rank p")
        caption = (
            f"Against {reference}, paired by seed, p-values not corrected; negative: sooner. In the mean difference a run that "
            "never got there counts with the whole budget: where only one of the two arms has such runs, it is a bound "
            "(≤ or ≥). The log-rank test (by permutation) treats the arms as if they had seeds of their own."
        )
        blocks.append(Table(headings, rows, caption))
    return tuple(blocks)


def ladder(analysis: Analysis, drawn: set[str]) -> tuple[Block, ...]:
    found = analysis.ladder
    if found is None:
        return ()
    eta, effective = f"{found.learning_rate:.4g}", f"{found.learning_rate / (1 - found.mu):.4g}"
    text = (
        f"Along a steady gradient momentum {found.mu:g} moves 1/(1 - {found.mu:g}) times as far as gradient descent at the "
        f"same learning rate. So {found.momentum} at {eta} is compared with gradient descent at {eta} and at {effective}, "
        "its effective learning rate: what the second gains over the first, a larger step alone would have brought."
    )
    if not found.rungs:
        return (Text(text), Text(unmeasured(analysis, found)))
    primary, first = analysis.scores.primary, found.rungs[0]
    parts = {"the whole gain": first.gain, "the larger step": first.larger_step, "momentum itself": first.momentum_itself}
    by_score = first.measure == "score"
    said = ", ".join(
        f"{name} {primary.difference(each.mean_difference) if by_score else f'{each.mean_difference:+z,.0f}'}"
        for name, each in parts.items()
    )
    alt = f"Paired differences with 95% intervals, {_gained(analysis) if by_score else 'steps saved'}: {said}."
    blocks: list[Block] = [Text(text), *pictures(drawn, ladder=alt)]
    names = {
        "gain": ("the whole gain", found.momentum, found.plain),
        "larger_step": ("the larger step", found.control, found.plain),
        "momentum_itself": ("momentum itself", found.momentum, found.control),
        "tuned": ("both tuned", found.tuned_momentum, found.tuned_plain),
    }
    rows = tuple(row for rungs in found.rungs for row in _rung_rows(analysis, rungs, names))
    headings = (
        *("what", "measured in", "mean", "95% t interval"),
        *("t test p", "Wilcoxon p", "share of the gain", "95% of the share", "difference"),
    )
    caption = (
        "Positive: better (for steps, fewer). P-values are not corrected here; what the conclusions claim of the two parts of "
        "the gain is held to Holm's correction for both. The share is the larger step's difference in units of the whole gain, "
        "with Fieller's interval, which is missing where the share is the same on every seed; none is given where these seeds "
        "leave any share possible, or where there is no gain."
    )
    if found.diverged:
        caption += f" Runs of these arms that diverged ({found.diverged}) {primary.if_diverged}."
    if found.untuned is not None:
        caption += f" {untuned(found.untuned)}"
    if any(rungs.bounds for rungs in found.rungs):
        caption += (
            " Runs that never reached the target count with the whole budget: where only one of the two arms has such runs, "
            "the steps saved are a bound, at least (≥) or at most (≤) as many."
        )
    blocks.append(Table(headings, rows, caption))
    return tuple(blocks)


def _gained(analysis: Analysis) -> str:
    """What a gain by the primary score is measured in; signs are turned so that positive is better."""
    primary = analysis.scores.primary
    if primary.percent:
        return f"points of {primary.name}"
    return f"{primary.name} gained" if primary.sign > 0 else f"{primary.name} saved"


def _rung_rows(
    analysis: Analysis, rungs: Rungs, names: Mapping[str, tuple[str, str | None, str | None]]
) -> list[tuple[str, ...]]:
    primary, by_score = analysis.scores.primary, rungs.measure == "score"
    factor, form, unit = (
        (primary.factor, primary.form(signed=True), _gained(analysis)) if by_score else (1, "+z,.0f", "steps saved")
    )
    rows = []
    for name, (what, arm, other) in names.items():
        found: PairedComparison | None = getattr(rungs, name)
        if found is None or arm is None or other is None:
            continue
        known = rungs.bounds.get(name)
        share, limits = cells.NONE, cells.NONE
        # The same share on every seed may be nothing of a gain that is not shown.
        is_gain = rungs.gain.without_spread or excludes_zero(rungs.gain)
        known_share = rungs.share.interval is not None or (rungs.share.without_spread and is_gain)
        if name == "larger_step" and rungs.gain.mean_difference > 0 and known_share:
            share = cells.number(rungs.share.value, ".0%")
            limits = cells.interval(rungs.share.interval, 1, ".0%")
        rows.append(
            (
                what,
                unit,
                f"{_BOUNDS.get(known, '')}{factor * found.mean_difference:{form}}",
                _t_interval(found, factor, form, known),
                cells.pvalue(found.t_pvalue),
                cells.pvalue(found.wilcoxon_pvalue),
                share,
                limits,
                Words(f"{arm} over {other}"),
            )
        )
    return rows


def noise(analysis: Analysis) -> tuple[Block, ...]:
    if analysis.noise is None:
        return ()
    primary = analysis.scores.primary
    sentence = analysis.noise.sentence(analysis.study.arms[0].label, *unit_and_form(primary), scale=primary.factor)
    text = f"An A/A control: the first arm's {_final(analysis)} once more, on independent seeds. {sentence}"
    if analysis.control_diverged:
        text += f" Runs of the control that diverged ({analysis.control_diverged}) {primary.if_diverged}."
    return (Text(text),)
