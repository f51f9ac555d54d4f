"""Full evidence: every claim with its test, every arm, every run, every trial, and statistics that describe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from momentum_jax.report import cells
from momentum_jax.report.blocks import Block, Cell, Code, Folded, Matrix, Picture, Section, Table, Text, runs_of
from momentum_jax.report.given import Given, runs_at, scored
from momentum_jax.studies import wording
from momentum_jax.studies.analysis import ArmResult, Claim, Comparison, Trial, Tuning
from momentum_jax.studies.scores import RankedScore
from momentum_jax.studies.wording import sections, tables as words

# Of a confusion matrix: larger ones are in the figures' files alone.
_MOST_CLASSES = 20


def evidence(given: Given) -> Section:
    """Everything that the rest of the report is read from."""
    blocks: list[Block] = [*claims(given), *arms(given)]
    if given.analysis.arms:
        blocks.append(_runs(given))
    blocks += [*_searches(given), *(_trials(given, tuning) for tuning in given.analysis.tunings)]
    blocks += [*_steps(given), *comparisons(given), *confusions(given)]
    return Section("evidence", "Evidence", "Full evidence", Text(sections.EVERYTHING), tuple(blocks))


def claims(given: Given) -> tuple[Block, ...]:
    """Every hypothesis with its test: what is claimed, and what is not."""
    analysis = given.analysis
    if not analysis.claims:
        return ()
    headings = ("what", "difference", "interval", "p", "adjusted p", "seeds that differ", "can be found", "claimed")
    rows = tuple(_claim(given, claim) for claim in analysis.claims)
    few = min(claim.evidence.n for claim in analysis.claims)
    caption = words.CLAIMS + (f" {words.few(few)}" if few < wording.FEW_SEEDS else "")
    return (Table(headings, rows, caption),)


def _claim(given: Given, claim: Claim) -> tuple[Cell, ...]:
    analysis, found = given.analysis, claim.evidence
    between = f"{wording.interval(analysis, claim)} ({wording.confidence(claim)})"
    return (
        f"{given.called(claim.first)} against {given.called(claim.second)}" + ", steps" * (claim.measure == "steps"),
        given.difference(claim),
        cells.NONE if found.interval is None else between,
        wording.p_value(found.p),
        wording.p_value(found.adjusted) if found.tested else cells.NONE,
        f"{found.differing} of {found.n}",
        cells.NONE if found.detectable is None else wording.amount(analysis, claim, found.detectable, is_short=True),
        words.claimed(claim),
    )


def arms(given: Given) -> tuple[Block, ...]:
    """Of every arm all its scores over seeds."""
    analysis, scores = given.analysis, given.analysis.scores
    if not analysis.arms:
        return (Text(words.NO_ARM),)
    differing = [*dict.fromkeys(name for arm in analysis.arms for name in arm.factors)]
    primary = scores.primary
    headings = (
        "arm",
        *(f"{scores.where}{score.heading}" for score in scores.ranked),
        f"{primary.name}: 95% t interval",
        "median",
        "IQM",
        "diverged",
        "runs",
        *differing,
    )
    tuned = {arm.label for arm in analysis.study.tuned}

    def row(arm: ArmResult) -> tuple[Cell, ...]:
        found = arm.described[primary.name]
        kind = "added" if arm.rung else "tuned" if arm.label in tuned else "as given"
        about = [cells.NONE] * 3
        if found is not None:
            values = (found.median, found.interquartile_mean)
            about = [cells.interval(found.t_interval, primary.factor, primary.form())]
            about += [f"{primary.factor * each:{primary.form()}}" for each in values]
        return (
            given.called(arm.label),
            *(_mean(given, arm, score) for score in scores.ranked),
            *about,
            str(arm.diverged),
            f"{len(arm.runs)}, {kind}",
            *(_factor(given, arm, name) for name in differing),
        )

    return (Table(headings, tuple(row(arm) for arm in analysis.arms), words.arms(analysis)),)


def _mean(given: Given, arm: ArmResult, score: RankedScore) -> Cell:
    found = arm.described[score.name]
    if found is None:
        return cells.NONE
    return given.mean(arm, score, found, cells.mean(found, score))


def _factor(given: Given, arm: ArmResult, name: str) -> str:
    """Of an arm that does not say it the study's own; nothing for an argument that its problem has by default."""
    own = {"batch": given.analysis.study.batch, "steps": given.analysis.study.steps}
    value = arm.factors.get(name, own.get(name, cells.NONE))
    return "all" if value is None else f"{value:,}" if name == "steps" and isinstance(value, int) else cells.value(value)


def _runs(given: Given) -> Folded:
    """Every run's final score, and the names of all runs."""
    analysis, primary = given.analysis, given.analysis.scores.primary
    seeds = list(dict.fromkeys(seed for arm in analysis.arms for seed in arm.seeds))
    lost = {run.name: run.diverged for run in given.store.runs if run.diverged is not None}
    rows = tuple((given.called(arm.label), *(_run(arm, primary, seed, lost) for seed in seeds)) for arm in analysis.arms)
    heading = f"Final {analysis.scores.where}{primary.heading}."
    scores = Table(("arm", *(f"seed {seed}" for seed in seeds)), rows, heading, layout="scroll")
    names: list[tuple[Cell, ...]] = [
        (given.called(arm.label), "report", Code(runs_of(arm.runs)), Code(arm.optimizer)) for arm in analysis.arms
    ]
    if analysis.control_runs:
        first = analysis.study.arms[0].label
        again = next(run.optimizer for run in given.store.runs if run.name == analysis.control_runs[0])
        names.append((given.called(first), "the same arm twice", Code(runs_of(analysis.control_runs)), Code(again)))
    table = Table(("arm", "for", "runs", "optimizer as run"), tuple(names), words.NAMES)
    many = f"{cells.counted(len(seeds), 'seed')}, {cells.counted(len(analysis.arms), 'arm')}"
    return Folded("Every run", many, (scores, table), "runs")


def _run(arm: ArmResult, primary: RankedScore, seed: int, lost: Mapping[str, int]) -> str:
    if seed not in arm.seeds:
        return cells.NONE
    index = arm.seeds.index(seed)
    name, value = arm.runs[index], arm.values[primary.name][index]
    return f"diverged at {lost[name]:,}" if name in lost or value is None else f"{primary.factor * value:{primary.form()}}"


def _trials(given: Given, tuning: Tuning) -> Folded:
    scores = given.analysis.scores
    measured = [scores[name] for name in tuning.trials[0].means]

    def row(index: int, trial: Trial) -> tuple[Cell, ...]:
        return (
            f"{index}{' · chosen' * (index == tuning.chosen)}",
            *(sections.short(value) for value in trial.values.values()),
            *(cells.number(_written(trial.means[each.name], each), each.form(), "diverged") for each in measured),
            f"{trial.diverged} of {len(trial.runs)}",
            Code(runs_of([name.removeprefix(head) for name in trial.runs])),
        )

    # All in one place, which is said once.
    heads = {name.rpartition("trial-")[0] for trial in tuning.trials for name in trial.runs}
    head = heads.pop() if len(heads) == 1 else ""
    measures = (f"validation {each.heading}" for each in measured)
    headings = (
        "trial",
        *tuning.trials[0].values,
        *measures,
        "diverged",
        f"runs in {head}".removesuffix("/") if head else "runs",
    )
    rows = tuple(row(index, trial) for index, trial in enumerate(tuning.trials))
    table = Table(headings, rows, layout="scroll")
    note = f"{len(tuning.trials)}, chosen by validation {tuning.score}"
    return Folded(f"All trials of {given.called(tuning.arm)}", note, (table,))


def _searches(given: Given) -> tuple[Block, ...]:
    """What each arm's search was of, what it chose, and what choosing cost."""
    tunings = given.analysis.tunings
    if not tunings:
        return ()
    score = given.analysis.scores[tunings[0].score]

    def row(tuning: Tuning) -> tuple[Cell, ...]:
        return (
            given.called(tuning.arm),
            *(cells.number(_written(each, score), score.form(), "diverged") for each in (tuning.tuned, tuning.fresh)),
            cells.number(_written(tuning.optimism, score), score.form(signed=True)),
            cells.interval(tuning.optimism_interval, score.factor, score.form(signed=True)),
            Code(tuning.written),
        )

    headings = ("arm", f"{score.heading} when chosen", "on fresh seeds", "luck of the choice", "95% interval", "searched")
    table = Table(headings, tuple(map(row, tunings)), words.SEARCH)
    return (Folded("Searches", "what each chose, and the luck of the choice", (table,)),)


def _written(value: float | None, score: RankedScore) -> float | None:
    return None if value is None else score.factor * value


def _steps(given: Given) -> tuple[Block, ...]:
    """Steps to the target as survival has them."""
    found = [(arm, arm.reached) for arm in given.analysis.arms if arm.reached is not None]
    if not found:
        return ()
    rows = tuple(
        (
            given.called(arm.label),
            f"{reached.n - reached.never} of {reached.n}",
            cells.number(reached.median, ",.0f", "not by half"),
            cells.NONE if reached.never == reached.n else cells.limits(reached.median_interval),
            f"{'≥ ' * bool(reached.never)}{reached.restricted_mean:,.0f}",
            cells.NONE if reached.never == reached.n else cells.interval(reached.restricted_mean_interval, 1, ",.0f"),
        )
        for arm, reached in found
    )
    headings = ("arm", "reached", "median step", "95% limits", "mean step", "95% t interval")
    table = Table(headings, rows, words.steps(given.analysis))
    return (Folded("Steps to the target", f"of every arm, {sections.target(given.analysis)}", (table,)),)


def comparisons(given: Given) -> tuple[Block, ...]:
    """Every arm against the first by the usual statistics: description."""
    analysis, primary = given.analysis, given.analysis.scores.primary
    if not analysis.comparisons:
        return ()
    reference = given.called(analysis.comparisons[0].reference)
    headings = ("arm", "mean difference", "95% t interval", "95% BCa", "effect size dz", "correlation", "pairs")
    rows = tuple(_comparison(given, primary, each) for each in analysis.comparisons)
    apart = ("arm", "95% Welch interval", "Cohen's d", "Hedges' g")
    independent = tuple(
        (
            given.called(each.arm),
            cells.interval(each.independent.t_interval, primary.factor, primary.form(signed=True)),
            cells.number(each.independent.cohen_d, ".2f"),
            cells.number(each.independent.hedges_g, ".2f"),
        )
        for each in analysis.comparisons
    )
    blocks = (
        Table(headings, rows, words.compared(analysis, reference)),
        Table(apart, independent, words.APART),
        *_caveats(given, analysis.comparisons),
    )
    return (Folded(f"Means against {reference}", "description: nothing is claimed by these", blocks),)


def _caveats(given: Given, compared: Sequence[Comparison]) -> list[Block]:
    return [Text(f"{given.called(each.arm)}: {caveat}", tone="small") for each in compared for caveat in each.score.caveats]


def _comparison(given: Given, primary: RankedScore, each: Comparison) -> tuple[Cell, ...]:
    found, factor, form = each.score, primary.factor, primary.form(signed=True)
    what = f"mean of {found.n} differences: {primary.name} of ", given.called(each.arm), " less ", given.called(each.reference)
    one, other = given.analysis.arm(each.arm), given.analysis.arm(each.reference)
    seeds = [seed for seed in scored(one, primary) if seed in scored(other, primary)]
    return (
        given.called(each.arm),
        given.sources.value(
            f"{factor * found.mean_difference:{form}}",
            what,
            factor * found.mean_difference,
            runs_at(one, seeds),
            runs_at(other, seeds),
        ),
        cells.interval(None if found.without_spread else found.t_interval, factor, form),
        cells.interval(found.bca_interval, factor, form),
        cells.number(found.cohen_dz, ".2f"),
        cells.number(found.correlation, ".2f"),
        str(found.n),
    )


def confusions(given: Given) -> tuple[Block, ...]:
    """The mean confusion matrix of every arm that has one."""
    blocks: list[Block] = []
    for index, arm in enumerate(given.analysis.arms):
        if not arm.confusion:
            continue
        count = len(arm.confusion)
        known = given.classes if given.classes is not None and len(given.classes) == count else None
        labels = tuple(known or map(str, range(count)))
        diagonal = (100 * row[n] for n, row in enumerate(arm.confusion))
        right = "; ".join(f"{label}: {share:.1f}" for label, share in zip(labels, diagonal, strict=True))
        who = given.called(arm.label)
        picture = Picture(f"confusion_{index}", f"Mean confusion matrix of {who}. Per cent of each class recognised, {right}.")
        rows = tuple(tuple(100 * each for each in row) for row in arm.confusion)
        block = Matrix(labels, rows, picture) if count <= _MOST_CLASSES else Text(words.elsewhere(picture.name))
        blocks.append(Folded(f"Confusion matrix of {who}", "row: true class, column: given class, % of the row", (block,)))
    return tuple(blocks)
