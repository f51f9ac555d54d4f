"""What the runs are evidence of: comparisons, steps to the target, the ladder, the noise floor."""

from collections.abc import Sequence

from momentum_jax.studies import wording
from momentum_jax.studies.analysis import Analysis, Claim, Comparison
from momentum_jax.studies.analysis.claims import GAIN, LARGER_STEP, MOMENTUM_ITSELF
from momentum_jax.studies.arm import BUDGET
from momentum_jax.studies.report import cells
from momentum_jax.studies.report.blocks import Block, Folded, Points, Table, Text, pictures
from momentum_jax.studies.scores import RankedScore
from momentum_jax.studies.statistics import PairedComparison


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
        "Wilcoxon p",
        "effect size dz",
        "correlation",
        "pairs",
    )
    rows = tuple(_comparison(primary, each, skewed) for each in analysis.comparisons)
    better = "" if primary.sign > 0 else " Negative: better."
    # Arguments of its own may give an arm other data.
    of_one_set = analysis.scores.tested and not any(arm.factors.keys() - {*BUDGET} for arm in analysis.arms)
    where = ", at one and the same test set" if of_one_set else ""
    caption = (
        f"{_final(analysis).capitalize()} less that of {reference}, paired by seed.{better} "
        "This table describes; nothing is claimed by its p-values, which are not corrected. "
        "dz: mean difference in standard deviations of the differences. Without an interval all "
        f"pairs differ by the same amount. All intervals are over seeds{where}."
    )
    blocks: list[Block] = [Table(headings, rows, caption)]
    blocks.append(Folded("As if the seeds of the arms were independent", (_apart(primary, analysis.comparisons),)))
    caveats = [f"{each.arm}: {caveat}" for each in analysis.comparisons for caveat in each.score.caveats]
    if caveats:
        blocks.append(Folded("What limits these comparisons", (Points(tuple(caveats)),)))
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
    return (
        each.arm,
        f"{factor * found.mean_difference:{form}}",
        _t_interval(found, factor, form),
        *[cells.interval(found.bca_interval, factor, form)] * skewed,
        cells.pvalue(found.t_pvalue),
        cells.pvalue(found.wilcoxon_pvalue),
        cells.number(found.cohen_dz, ".2f"),
        cells.number(found.correlation, ".2f"),
        str(found.n),
    )


def _t_interval(found: PairedComparison, factor: float, form: str) -> str:
    return cells.interval(None if found.without_spread else found.t_interval, factor, form)


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
                f"{each.steps.mean_difference:+z,.0f}",
                cells.pvalue(each.steps.sign_pvalue),
                cells.pvalue(each.steps.wilcoxon_pvalue),
                cells.pvalue(each.log_rank.pvalue),
            )
            for each in compared
            if each.steps is not None and each.log_rank is not None
        )
        headings = ("arm", "sooner", "later or never", "tied", "mean difference", "sign test p", "Wilcoxon p", "log-rank p")
        caption = (
            f"Against {reference}, paired by seed; negative: sooner. In the mean difference a run that never got there counts "
            "with the whole budget. The log-rank test (by permutation) treats the arms as if they had seeds of their own. This "
            "table describes; nothing is claimed by its p-values, which are not corrected."
        )
        blocks.append(Table(headings, rows, caption))
    return tuple(blocks)


def claims(analysis: Analysis) -> tuple[Block, ...]:
    """Every hypothesis with its test: what is claimed, and what is not."""
    if not analysis.claims:
        return ()
    headings = ("what", "difference", "interval", "confidence", "p", "adjusted p", "seeds that differ", "detectable", "claimed")
    rows = tuple(_claim(analysis, claim) for claim in analysis.claims)
    caption = (
        "Difference: the median of the Walsh averages of the paired differences (Hodges-Lehmann); of steps, those saved. "
        "p: exact two-sided signed-rank test. Adjusted p: for all rows of this table; claimed where it is at most 0.05. "
        "5% is the chance that this report claims anything at all where no arm differs. 4 of the 5 are for the question. "
        "The rest is asked with 1 until the question is answered, and with all 5 afterwards. What explains an effect is asked "
        "only where the effect is shown. Detectable: if differences keep the spread seen here, this rule finds one of that "
        "size in 80% of studies."
    )
    few = min(claim.evidence.n for claim in analysis.claims)
    if few < _FEW:
        caption += f" From {few} seeds the spread is itself a guess."
    return (Table(headings, rows, caption),)


# Below, the true power at the difference shown lies anywhere between 40 and 95%.
_FEW = 16


def _claim(analysis: Analysis, claim: Claim) -> tuple[str, ...]:
    found = claim.evidence
    claimed = "no" if found.tested else "not tested"
    if found.claimed:
        claimed = "differs, no direction" if found.opposed else {1: "better", -1: "worse"}[found.direction]
    return (
        f"{claim.first} against {claim.second}" + ", steps" * (claim.measure == "steps"),
        wording.signed(analysis, claim, found.estimate),
        cells.NONE if found.interval is None else wording.interval(analysis, claim),
        cells.NONE if found.interval is None else wording.confidence(claim),
        cells.pvalue(found.p),
        cells.pvalue(found.adjusted) if found.tested else cells.NONE,
        f"{found.differing} of {found.n}",
        cells.NONE if found.detectable is None else wording.amount(analysis, claim, found.detectable),
        claimed,
    )


def ladder(analysis: Analysis, drawn: set[str]) -> tuple[Block, ...]:
    found = analysis.ladder
    if found is None:
        return ()
    eta, effective = f"{found.learning_rate:.4g}", wording.effective_rate(analysis)
    text = (
        f"Along a steady gradient momentum {found.mu:g} moves 1/(1 - {found.mu:g}) times as far as gradient descent at the "
        f"same learning rate. So {found.momentum} at {eta} is compared with gradient descent at {eta} and at {effective}, "
        "its effective learning rate."
    )
    parts = [claim for role in (GAIN, LARGER_STEP, MOMENTUM_ITSELF) if (claim := analysis.claim(role)) is not None]
    said = tuple(wording.claim_line(analysis, claim) for claim in parts)
    alt = f"Paired differences with their intervals: {' '.join(said)}"
    return (Text(text), *pictures(drawn, ladder=alt), *([Points(said)] if said else []))


def noise(analysis: Analysis) -> tuple[Block, ...]:
    sentence = wording.noise(analysis)
    return () if sentence is None else (Text(sentence),)
