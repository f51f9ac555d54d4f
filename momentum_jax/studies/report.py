"""The report of a study: one page that opens offline, and the same in Markdown, from the analysis of stored runs.

`content` says everything once, as sections of paragraphs, tables and pictures; the page and the Markdown only set it.
Nothing is computed here but sums of stored seconds and counts of stored runs, so every number can be traced to the store.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import ClassVar

from momentum_jax.data import NAMES
from momentum_jax.studies.analysis import Analysis, ArmResult, Comparison, Rungs, Trial, Tuning
from momentum_jax.studies.jobs import CONTROL, LADDER, PHASES, REPORT, TUNING
from momentum_jax.studies.statistics import Description, PairedComparison
from momentum_jax.studies.store import CURVES, MANIFEST, RUNS, Store

PAGE, MARKDOWN, NUMBERS, FIGURES = "report.html", "report.md", "report.json", "figures"

NONE = "–"


class Code(str):
    """Text that is set as it would be typed."""

    __slots__ = ()


class Words(str):
    """Text that may take several lines of its cell."""

    __slots__ = ()


@dataclass(frozen=True)
class Table:
    """Rows of cells under their headings; the first column names the row. Headings may all be empty."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Picture:
    """A figure by its name, and what it shows in words for those who cannot see it."""

    name: str
    alt: str
    kind: ClassVar[str] = "picture"


@dataclass(frozen=True)
class Text:
    """A paragraph; one that warns stands out."""

    text: str
    warning: bool = False
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Points:
    """A list of sentences."""

    items: tuple[str, ...]
    kind: ClassVar[str] = "points"


@dataclass(frozen=True)
class Folded:
    """Blocks that show when asked for."""

    summary: str
    blocks: tuple[Block, ...]
    kind: ClassVar[str] = "folded"


Block = Table | Picture | Text | Points | Folded


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    heading: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Content:
    """A whole report."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]


def write_report(
    store: Store, analysis: Analysis, conclusions: Sequence[str], pictures: Mapping[str, str], *, directory: Path | None = None
) -> list[Path]:
    """Writes report.html and report.md, and returns their paths.

    Args:
      store: where the runs lie.
      analysis: of that store.
      conclusions: what the evidence supports, a sentence each.
      pictures: SVG elements by the names of `figures.report`, each with ids of its own; they become part of the page. The
        Markdown links to `figures/<name>.png` instead.
      directory: where to write; None: the store's.
    """
    directory = directory or store.directory
    said = content(store, analysis, conclusions, pictures.keys())
    (directory / PAGE).write_text(html(said, pictures), encoding="utf-8")
    (directory / MARKDOWN).write_text(markdown(said), encoding="utf-8")
    return [directory / PAGE, directory / MARKDOWN]


def content(store: Store, analysis: Analysis, conclusions: Sequence[str], pictures: Iterable[str]) -> Content:
    """What the report says; of `pictures` the names."""
    study, drawn = analysis.study, set(pictures)
    hidden = "-".join(map(str, study.network.hidden)) or "none"
    sections = [
        Section("What the evidence supports", (Points(tuple(conclusions)),)),
        Section("What was run", (*_state(analysis), *_what_was_run(store, analysis))),
        Section("Arms", _arms(analysis)),
        Section("Compared with the first arm", _comparisons(analysis)),
        Section("Learning curves", _learning(analysis, drawn)),
        Section("Final test accuracy, run by run", _distribution(store, analysis, drawn)),
        Section("Steps to the target", _steps(analysis, drawn)),
        Section("Where momentum's gain comes from", _ladder(analysis, drawn)),
        Section("Tuning and sensitivity", _tunings(analysis, drawn)),
        Section("Noise floor", _noise(analysis)),
        Section("Confusion matrices", _confusions(analysis, drawn)),
        Section("Where the numbers come from", _sources(store, analysis)),
    ]
    return Content(
        title=f"{study.dataset}: {_listed([arm.label for arm in study.arms], 4, ' · ')}",
        subtitle=f"hidden layers {hidden}, {study.network.activation}; {study.steps:,} steps of {study.batch} examples; "
        f"{_counted(len(study.seeds), 'seed')}",
        sections=tuple(section for section in sections if section.blocks),
    )


def _state(analysis: Analysis) -> tuple[Block, ...]:
    """What is not as it was planned."""
    said = []
    if analysis.missing:
        planned = analysis.runs + analysis.missing
        said.append(f"The study is not finished: {analysis.missing} of {planned} planned runs are missing ({analysis.status}).")
    if analysis.seeds_added:
        added = ", ".join(map(str, analysis.seeds_added))
        said.append(
            f"Seeds {added} were added after the study had been run. If that was decided after a look at the results, "
            "p-values and intervals claim more than they should."
        )
    if analysis.damage:
        said.append(f"Damaged files were found; what they held is not in this report: {' '.join(analysis.damage)}")
    return tuple(Text(text, warning=True) for text in said)


def _what_was_run(store: Store, analysis: Analysis) -> tuple[Block, ...]:
    study, network = analysis.study, analysis.study.network
    environment, machine = analysis.environment, store.manifest.get("machine", {})
    hidden = ", ".join(map(str, network.hidden)) or "none"
    output = f", {network.output_activation} on the output" if network.output_activation else ""
    dropout = f", dropout {network.dropout:g}" if network.dropout else ""
    size = f", reduced to {study.size} x {study.size}" if study.size else ""
    own = "images of one's own"
    own = "images of one's own"
    sample = f", {study.examples:,} examples to train on" if study.examples else ""
    channels = ", ".join(map(str, network.channels))
    kind = f"convolutional net of {channels} channels" if network.channels else "perceptron"
    sampling = "each epoch in a new order" if study.sampling == "shuffle" else "drawn with replacement"
    rows = [
        ("data set", f"{study.dataset}{size} ({NAMES.get(study.dataset, own)}){sample}"),
        ("model", f"{kind}, hidden layers {hidden}, {network.activation}{output}{dropout}, weights {network.initialization}"),
        ("loss", network.loss.replace("_", " ")),
        (
            "steps",
            f"{study.steps:,} mini-batches of {study.batch} examples, {sampling}; evaluated every {study.evaluate_every}",
        ),
        ("target", "none" if study.target is None else f"validation loss {study.target:g}"),
        ("seeds", _numbers(study.seeds)),
    ]
    if study.tuned:
        search = study.search
        rows.append(
            (
                "tuning",
                f"{_counted(search.trials, 'trial')} an arm ({search.sampler.capitalize()} points, scrambled by "
                f"{search.scramble}), each on seeds {_numbers(search.seeds)}; chosen by validation {search.score}",
            )
        )
    phases = {phase: [run for run in store.runs if run.phase == phase] for phase in PHASES}
    counts = [
        f"{_PHASES[phase]} {len(runs)} ({_seconds(sum(r.seconds for r in runs))})" for phase, runs in phases.items() if runs
    ]
    rows.append(("runs (training time)", f"{analysis.runs}: {'; '.join(counts)}" if counts else "0"))
    if analysis.seconds:
        rows.append(("time spent", ", ".join(f"{name} {_seconds(spent)}" for name, spent in analysis.seconds.items())))
    backend = environment.get("backend", {})
    where = [" ".join(dict.fromkeys(map(str, backend.values())))] if backend else []
    where += [str(machine["system"])] if "system" in machine else []
    where += [_counted(machine["cores"], "core")] if machine.get("cores") else []
    if where:
        rows.append(("device", ", ".join(where)))
    versions = {**environment.get("versions", {}), **({"python": machine["python"]} if "python" in machine else {})}
    rows.append(("versions", ", ".join(f"{name} {version}" for name, version in versions.items()) or NONE))
    if "data" in environment:
        rows.append(("SHA-256 of the data", environment["data"]))
    return (Table(("", ""), tuple(rows)),)


_PHASES = {TUNING: "tuning", REPORT: "report", LADDER: "ladder", CONTROL: "A/A control"}


def _arms(analysis: Analysis) -> tuple[Block, ...]:
    if not analysis.arms:
        return (Text("No arm has a stored run yet."),)
    target = analysis.study.target is not None
    headings = (
        "arm",
        "optimizer as run",
        "test accuracy, %",
        "95% t interval",
        "median",
        "IQM",
        "MCC",
        *["steps to target"] * target,
        "diverged",
        "runs",
    )
    tuned = {arm.label for arm in analysis.study.tuned}
    rows = tuple(
        (
            arm.label,
            Code(arm.optimizer),
            _mean(arm.accuracy, 100, 2),
            _interval(arm.accuracy.t_interval, 100, ".2f"),
            f"{100 * arm.accuracy.median:.2f}",
            f"{100 * arm.accuracy.interquartile_mean:.2f}",
            _mean(arm.mcc, 1, 4),
            *([_steps_cell(arm)] if target else []),
            str(arm.diverged),
            f"{len(arm.runs)}, {'ladder' if arm.rung else 'tuned' if arm.label in tuned else 'fixed'}",
        )
        for arm in analysis.arms
    )
    notes = ["Mean ± standard error over seeds, on the test split after the last step; IQM: interquartile mean."]
    if target:
        notes.append("Steps to target: mean, ≥ where a run never got there and counts with the whole budget.")
    if any(arm.diverged for arm in analysis.arms):
        notes.append("A diverged run counts with accuracy 0 and MCC -1.")
    if any(arm.rung for arm in analysis.arms):
        notes.append("Arms marked ladder were added to explain momentum's gain.")
    return (Table(headings, rows, " ".join(notes)),)


def _steps_cell(arm: ArmResult) -> str:
    reached = arm.reached
    if reached is None or reached.never == reached.n:
        return "never"
    text = f"{'≥ ' if reached.never else ''}{reached.restricted_mean:,.0f}"
    return text + (f" ({reached.never} never)" if reached.never else "")


def _comparisons(analysis: Analysis) -> tuple[Block, ...]:
    if not analysis.comparisons:
        return ()
    reference = analysis.comparisons[0].reference
    # From ten seeds on.
    skewed = any(each.accuracy.bca_interval is not None for each in analysis.comparisons)
    headings = (
        "arm",
        "difference, points",
        "95% t interval",
        *["95% BCa"] * skewed,
        "t test p",
        "Holm p",
        "Wilcoxon p",
        "effect size dz",
        "correlation",
        "detectable, points",
        "seeds needed",
        "pairs",
    )
    rows = tuple(_comparison(each, skewed) for each in analysis.comparisons)
    caption = (
        f"Test accuracy less that of {reference}, paired by seed. Holm: the t test's p corrected for all arms. "
        "dz: mean difference in standard deviations of the differences. Detectable: found in 80% of studies with as many "
        "seeds. Seeds needed: to find the observed difference in 80% of studies, were it the true one. All intervals are over "
        "seeds, at one and the same test set."
    )
    blocks: list[Block] = [Table(headings, rows, caption)]
    blocks.append(Folded("As if the seeds of the arms were independent", (_apart(analysis.comparisons),)))
    words = [each.accuracy.sentence(each.arm, each.reference, form=".2%") for each in analysis.comparisons]
    caveats = [f"{each.arm}: {caveat}" for each in analysis.comparisons for caveat in each.accuracy.caveats]
    blocks.append(Folded("In words, and what limits these comparisons", (Points((*words, *caveats)),)))
    return tuple(blocks)


def _apart(comparisons: Sequence[Comparison]) -> Table:
    """The statistics of the textbook, which does not pair."""
    headings = ("arm", "95% Welch interval", "Welch t", "p", "Student t", "p", "Mann-Whitney U", "p", "Cohen's d", "Hedges' g")
    rows = []
    for each in comparisons:
        found = each.independent
        rows.append(
            (
                each.arm,
                _interval(found.t_interval, 100, "+z.2f"),
                _number(found.welch_t, ".2f"),
                _p(found.welch_pvalue),
                _number(found.student_t, ".2f"),
                _p(found.student_pvalue),
                _number(found.mann_whitney_u, "g"),
                _p(found.mann_whitney_pvalue),
                _number(found.cohen_d, ".2f"),
                _number(found.hedges_g, ".2f"),
            )
        )
    caption = (
        "Arms share their seeds, so the paired comparison above is the one to read; these are what the textbook prints, and "
        "do not see what pairing takes out."
    )
    return Table(headings, tuple(rows), caption)


def _comparison(each: Comparison, skewed: bool) -> tuple[str, ...]:
    found = each.accuracy
    return (
        each.arm,
        f"{100 * found.mean_difference:+z.2f}",
        _interval(found.t_interval, 100, "+z.2f"),
        *[_interval(found.bca_interval, 100, "+z.2f")] * skewed,
        _p(found.t_pvalue),
        _p(each.pvalue),
        _p(found.wilcoxon_pvalue),
        _number(found.cohen_dz, ".2f"),
        _number(found.correlation, ".2f"),
        _number(None if found.detectable_difference is None else 100 * found.detectable_difference, ".2f"),
        _number(found.seeds_needed, ",d"),
        str(found.n),
    )


def _learning(analysis: Analysis, drawn: set[str]) -> tuple[Block, ...]:
    labels = _listed([arm.label for arm in analysis.arms], 8)
    return _pictures(
        drawn,
        learning_curves=f"Training loss against mini-batches on a logarithmic axis, mean and range over seeds, of {labels}.",
        validation_accuracy=f"Validation accuracy against mini-batches, mean and range over seeds, of {labels}.",
    )


def _distribution(store: Store, analysis: Analysis, drawn: set[str]) -> tuple[Block, ...]:
    means = "; ".join(f"{arm.label} {_mean(arm.accuracy, 100, 2)} %" for arm in analysis.arms)
    picture = _pictures(drawn, test_accuracy=f"Final test accuracy of every run, a row an arm, with means: {means}.")
    if not analysis.arms:
        return ()
    seeds = list(dict.fromkeys(seed for arm in analysis.arms for seed in arm.seeds))
    lost = {run.name: run.diverged for run in store.runs if run.diverged is not None}
    rows = tuple((arm.label, *(_run_score(arm, seed, lost) for seed in seeds)) for arm in analysis.arms)
    table = Table(("arm", *(f"seed {seed}" for seed in seeds)), rows, "Test accuracy, %.")
    return (*picture, Folded("Every run", (table,)))


def _run_score(arm: ArmResult, seed: int, lost: Mapping[str, int]) -> str:
    if seed not in arm.seeds:
        return NONE
    index = arm.seeds.index(seed)
    name = arm.runs[index]
    return f"diverged at {lost[name]:,}" if name in lost else f"{100 * arm.accuracies[index]:.2f}"


def _steps(analysis: Analysis, drawn: set[str]) -> tuple[Block, ...]:
    arms = [(arm, arm.reached) for arm in analysis.arms if arm.reached is not None]
    if not arms:
        return ()
    words = "; ".join(f"{arm.label}: {reached.n - reached.never} of {reached.n} runs" for arm, reached in arms)
    rows = tuple(
        (
            arm.label,
            f"{reached.n - reached.never} of {reached.n}",
            _number(reached.median, ",.0f", "not by half"),
            NONE if reached.never == reached.n else _limits(reached.median_interval),
            f"{'≥ ' if reached.never else ''}{reached.restricted_mean:,.0f}",
            NONE if reached.never == reached.n else _interval(reached.restricted_mean_interval, 1, ",.0f"),
        )
        for arm, reached in arms
    )
    headings = ("arm", "reached", "median step", "95% limits", "mean step", "95% t interval")
    target = f"{analysis.study.target:g}"
    caption = (
        f"First evaluation, every {analysis.study.evaluate_every} steps, with a validation loss of {target} or below. Runs "
        f"that never got there, diverged ones too, are censored at {analysis.study.steps:,} steps. "
        "The limits of a median are exact and need six runs or more."
    )
    alt = f"Kaplan-Meier curves: share of runs that have reached validation loss {target} by each step. Reached: {words}."
    blocks: list[Block] = [*_pictures(drawn, steps_to_target=alt), Table(headings, rows, caption)]
    compared = [each for each in analysis.comparisons if each.steps is not None and each.log_rank is not None]
    if compared:
        rows = tuple(
            (
                each.arm,
                f"{each.steps.a_sooner}",
                f"{each.steps.b_sooner}",
                f"{each.steps.tied}",
                f"{each.steps.mean_difference:+z,.0f}",
                _p(each.steps.sign_pvalue),
                _p(each.steps.wilcoxon_pvalue),
                _p(each.log_rank.pvalue),
            )
            for each in compared
            if each.steps is not None and each.log_rank is not None
        )
        reference = compared[0].reference
        headings = ("arm", "sooner", "later", "tied", "mean difference", "sign test p", "Wilcoxon p", "log-rank p")
        caption = (
            f"Against {reference}, paired by seed; negative: sooner. The log-rank test (by permutation) treats the arms as "
            "if they had seeds of their own."
        )
        blocks.append(Table(headings, rows, caption))
    return tuple(blocks)


def _ladder(analysis: Analysis, drawn: set[str]) -> tuple[Block, ...]:
    found = analysis.ladder
    if found is None:
        return ()
    eta, effective = f"{found.learning_rate:.4g}", f"{found.learning_rate / (1 - found.mu):.4g}"
    text = (
        f"Along a steady gradient momentum {found.mu:g} moves 1/(1 - {found.mu:g}) times as far as gradient descent at the "
        f"same learning rate. So {found.momentum} at {eta} is compared with gradient descent at {eta} and at {effective}, "
        "its effective learning rate: what the second gains over the first, a larger step alone would have brought."
    )
    accuracy = found.rungs[0]
    alt = (
        "Paired differences with 95% intervals. Points of test accuracy: the whole gain "
        f"{100 * accuracy.gain.mean_difference:+z.2f}, the larger step {100 * accuracy.larger_step.mean_difference:+z.2f}, "
        f"momentum itself {100 * accuracy.momentum_itself.mean_difference:+z.2f}."
    )
    blocks: list[Block] = [Text(text), *_pictures(drawn, ladder=alt)]
    names = {
        "gain": ("the whole gain", f"{found.momentum} over {found.plain}"),
        "larger_step": ("the larger step", f"{found.control} over {found.plain}"),
        "momentum_itself": ("momentum itself", f"{found.momentum} over {found.control}"),
        "tuned": ("both tuned", f"{found.tuned_momentum} over {found.tuned_plain}"),
    }
    rows = tuple(row for rungs in found.rungs for row in _rung_rows(rungs, names))
    headings = (
        *("what", "difference", "measured in", "mean", "95% t interval"),
        *("t test p", "Wilcoxon p", "share of the gain", "95% of the share"),
    )
    caption = (
        "Positive: better (for steps, fewer). The share is the larger step's difference in units of the whole gain, with "
        "Fieller's interval; none is given where these seeds leave any share possible, or where the larger step does harm."
    )
    if any(rungs.lower_bound for rungs in found.rungs):
        caption += " Runs that never reached the target count with the whole budget."
    blocks.append(Table(headings, rows, caption))
    return tuple(blocks)


def _rung_rows(rungs: Rungs, names: Mapping[str, tuple[str, str]]) -> list[tuple[str, ...]]:
    factor, form, unit = (100, ".2f", "points of accuracy") if rungs.measure == "accuracy" else (1, ",.0f", "steps saved")
    rows = []
    for name, (what, arms) in names.items():
        found: PairedComparison | None = getattr(rungs, name)
        if found is None:
            continue
        share, limits = NONE, NONE
        if name == "larger_step" and found.mean_difference > 0 and rungs.share.interval is not None:
            share = _number(rungs.share.value, ".0%")
            limits = _interval(rungs.share.interval, 1, ".0%")
        rows.append(
            (
                what,
                Words(arms),
                unit,
                f"{factor * found.mean_difference:+z{form}}",
                _interval(found.t_interval, factor, f"+z{form}"),
                _p(found.t_pvalue),
                _p(found.wilcoxon_pvalue),
                share,
                limits,
            )
        )
    return rows


def _tunings(analysis: Analysis, drawn: set[str]) -> tuple[Block, ...]:
    if not analysis.tunings:
        return ()
    labels = _listed([tuning.arm for tuning in analysis.tunings], 8)
    blocks: list[Block] = [
        *_pictures(drawn, sensitivity=f"Validation score of every trial against learning rate, of {labels}.")
    ]
    by_accuracy = analysis.tunings[0].score == "accuracy"
    factor, form = (100, ".2f") if by_accuracy else (1, ".4f")
    rows = tuple(
        (
            tuning.arm,
            Code(tuning.written),
            Words(", ".join(f"{name} {_value(value)}" for name, value in tuning.trials[tuning.chosen].values.items())),
            *(_number(None if score is None else factor * score, form, "diverged") for score in (tuning.tuned, tuning.fresh)),
            _number(None if tuning.optimism is None else factor * tuning.optimism, f"+z{form}"),
            _interval(tuning.optimism_interval, factor, f"+z{form}"),
            str(len(tuning.trials)),
        )
        for tuning in analysis.tunings
    )
    units = (
        ("tuned score, %", "fresh score, %", "optimism, points") if by_accuracy else ("tuned loss", "fresh loss", "optimism")
    )
    headings = ("arm", "searched", "chosen", *units, "95% interval", "trials")
    caption = (
        f"Validation {analysis.tunings[0].score} of the chosen trial on the seeds of the search, and again on the study's own "
        "seeds. Optimism: by how much the first is the better, what selection flatters itself with; Welch's interval."
    )
    blocks.append(Table(headings, rows, caption))
    blocks += [
        Text(
            f"{tuning.arm}: the chosen {' and '.join(tuning.edges)} lies in the outer tenth of its range; "
            "better values may lie outside.",
            warning=True,
        )
        for tuning in analysis.tunings
        if tuning.edges
    ]
    blocks += [Folded(f"All trials of {tuning.arm}", (_trials(tuning),)) for tuning in analysis.tunings]
    return tuple(blocks)


def _trials(tuning: Tuning) -> Table:
    def row(index: int, trial: Trial) -> tuple[str, ...]:
        score = _percent(trial.accuracy)
        return (
            f"{index}{', chosen' if index == tuning.chosen else ''}",
            *(_value(value) for value in trial.values.values()),
            score,
            _number(trial.loss, ".4g"),
            f"{trial.diverged} of {len(trial.runs)}",
            _run_names(trial.runs),
        )

    headings = ("trial", *tuning.trials[0].values, "validation accuracy, %", "validation loss", "diverged", "runs")
    rows = tuple(row(index, trial) for index, trial in enumerate(tuning.trials))
    return Table(headings, rows, "Means over the runs that did not diverge.")


def _noise(analysis: Analysis) -> tuple[Block, ...]:
    if analysis.noise is None:
        return ()
    sentence = analysis.noise.sentence(analysis.arms[0].label, form=".2%")
    return (Text(f"An A/A control: the first arm's test accuracy once more, on independent seeds. {sentence}"),)


def _confusions(analysis: Analysis, drawn: set[str]) -> tuple[Block, ...]:
    blocks: list[Block] = []
    for index, arm in enumerate(analysis.arms):
        if arm.confusion:
            right = [f"{number}: {100 * row[number]:.1f}" for number, row in enumerate(arm.confusion)]
            alt = f"Mean confusion matrix of {arm.label}. Per cent of each class recognised, {'; '.join(right)}."
            if found := _pictures(drawn, **{f"confusion_{index}": alt}):
                blocks.append(Folded(arm.label, found))
    return tuple(blocks)


def _sources(store: Store, analysis: Analysis) -> tuple[Block, ...]:
    text = (
        f"Every number above is computed from the stored runs in this directory: {RUNS} has a line for each run with its "
        f"scores and confusion matrix, {CURVES} the losses of every mini-batch and evaluation under the same names, "
        f"{MANIFEST} the study and the versions. {NUMBERS} holds all numbers of this report unrounded, each with the names "
        "of its runs."
    )
    rows = [(arm.label, "ladder" if arm.rung else "report", _run_names(arm.runs)) for arm in analysis.arms]
    again = [run.name for run in store.runs if run.phase == CONTROL]
    if again:
        rows.append((analysis.study.arms[0].label, "A/A control", _run_names(again)))
    rows += [
        (tuning.arm, "tuning", _run_names([name for trial in tuning.trials for name in trial.runs]))
        for tuning in analysis.tunings
    ]
    return (Text(text), Folded("Runs behind each arm", (Table(("arm", "phase", "runs"), tuple(rows)),)))


def _pictures(drawn: set[str], **alts: str) -> tuple[Picture, ...]:
    return tuple(Picture(name, alt) for name, alt in alts.items() if name in drawn)


def _run_names(names: Sequence[str]) -> Code:
    return Code(", ".join(names))


def _numbers(values: Sequence[int]) -> str:
    """Of a run of neighbours its ends."""
    if len(values) > 3 and list(values) == list(range(values[0], values[0] + len(values))):
        return f"{values[0]} to {values[-1]}"
    return ", ".join(map(str, values))


def _listed(labels: Sequence[str], most: int, between: str = "; ") -> str:
    """Labels may have commas of their own."""
    shown = list(labels[:most])
    rest = len(labels) - len(shown)
    return between.join(shown) + (f" and {rest} more" if rest else "")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _seconds(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 120 else f"{seconds:.1f} s"


def _mean(found: Description, factor: float, digits: int) -> str:
    text = f"{factor * found.mean:z.{digits}f}"
    return text if found.standard_error is None else f"{text} ± {factor * found.standard_error:.{digits}f}"


def _interval(interval: tuple[float, float] | None, factor: float, form: str) -> str:
    return NONE if interval is None else f"[{factor * interval[0]:{form}}, {factor * interval[1]:{form}}]"


def _limits(limits: tuple[float | None, float | None] | None) -> str:
    if limits is None:
        return NONE
    low, high = (_number(limit, ",.0f", "never") for limit in limits)
    return f"[{low}, {high}]"


def _number(value: float | int | None, form: str, none: str = NONE) -> str:
    return none if value is None else f"{value:{form}}"


def _percent(share: float | None) -> str:
    return _number(None if share is None else 100 * share, ".2f", "diverged")


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _p(pvalue: float | None) -> str:
    if pvalue is None:
        return NONE
    return "< 0.0001" if pvalue < 1e-4 else f"{pvalue:.2g}"


def html(said: Content, pictures: Mapping[str, str]) -> str:
    """The page; text is escaped, pictures are not."""
    # Not an import for those who only train.
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    loader = PackageLoader("momentum_jax.studies", package_path="")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.tests["code"] = lambda cell: isinstance(cell, Code)
    environment.tests["words"] = lambda cell: isinstance(cell, Words)
    template = environment.get_template("report.html.jinja")
    return template.render(report=said, pictures={name: Markup(svg) for name, svg in pictures.items()}) + "\n"


def markdown(said: Content) -> str:
    """The same for GitHub; pictures are links."""
    lines = [f"# {_escaped(said.title)}", "", _escaped(said.subtitle), ""]
    for section in said.sections:
        lines += [f"## {section.heading}", ""]
        for block in section.blocks:
            lines += _block(block)
    return "\n".join(lines).rstrip() + "\n"


def _block(block: Block) -> list[str]:
    match block:
        case Text(text, warning):
            return [("> **Note:** " if warning else "") + _escaped(text), ""]
        case Points(items):
            return [*(f"- {_escaped(item)}" for item in items), ""]
        case Picture(name, alt):
            return [f"![{_escaped(alt)}]({FIGURES}/{name}.png)", ""]
        case Folded(summary, blocks):
            inner = [line for each in blocks for line in _block(each)]
            return ["<details>", f"<summary>{escape(summary)}</summary>", "", *inner, "</details>", ""]
        case Table(headings, rows, caption):
            lines = [_row(headings), _row(["---"] * len(headings), raw=True), *map(_row, rows), ""]
            return [*lines, _escaped(caption), ""] if caption else lines


def _row(cells: Sequence[str], *, raw: bool = False) -> str:
    return f"| {' | '.join(cell if raw else _cell(cell) for cell in cells)} |"


def _cell(cell: str) -> str:
    if not isinstance(cell, Code):
        return _escaped(cell)
    # A fence longer than any run of backticks inside; a bar would end the cell even in code.
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", cell)), default=0))
    space = " " * (len(fence) > 1)
    return f"{fence}{space}{cell}{space}{fence}".replace("|", "\\|")


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|~$&])", r"\\\1", text)
