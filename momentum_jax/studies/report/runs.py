"""What was run and what came out, run by run."""

from collections.abc import Mapping

from momentum_jax._text import joined
from momentum_jax.data import NAMES
from momentum_jax.studies.analysis import Analysis, ArmResult
from momentum_jax.studies.arm import BUDGET
from momentum_jax.studies.jobs import CONTROL, LADDER, PHASES, REPORT, TUNING
from momentum_jax.studies.report import cells
from momentum_jax.studies.report.blocks import Block, Code, Folded, Table, Text, pictures
from momentum_jax.studies.report.setting import NUMBERS
from momentum_jax.studies.scores import RankedScore
from momentum_jax.studies.statistics import Description
from momentum_jax.studies.store import CURVES, MANIFEST, RUNS, Store
from momentum_jax.studies.study import Study


def state(store: Store, analysis: Analysis) -> tuple[Block, ...]:
    """What is not as it was planned."""
    said = []
    if analysis.missing:
        planned = analysis.runs + analysis.missing
        said.append(f"The study is not finished: {analysis.missing} of {planned} planned runs are missing ({analysis.status}).")
    if store.manifest.get("manifest_lost"):
        said.append(
            f"{MANIFEST} was lost and has been written anew: whether other seeds than those named here were added after the "
            "study had been run cannot be known."
        )
    if analysis.damage:
        said.append(f"Damaged files were found; what they held is not in this report: {' '.join(analysis.damage)}")
    return tuple(Text(text, warning=True) for text in said)


def what_was_run(store: Store, analysis: Analysis) -> tuple[Block, ...]:
    study = analysis.study
    environment, machine = analysis.environment, store.manifest.get("machine", {})
    order = "each epoch in a new order" if study.sampling == "shuffle" else "drawn with replacement"
    sampling = f", {order}" if study.batch is not None and analysis.batches.endswith("examples") else ""
    target = "none" if study.target is None else f"validation {analysis.target_score} {study.target:g}"
    rows = [
        *(_images(study) if study.problem is None else _problem(analysis)),
        ("steps", f"{study.steps:,} steps{analysis.batches}{sampling}; evaluated every {study.evaluate_every}"),
        ("target", target),
        ("seeds", cells.numbers(study.seeds)),
    ]
    if study.tuned:
        search = study.search
        rows.append(
            (
                "tuning",
                f"{_trials(analysis)} an arm ({search.sampler.capitalize()} points, scrambled by "
                f"{search.scramble}), each on seeds {cells.numbers(search.seeds)}; "
                f"chosen by validation {study.selected_by(analysis.scores)}",
            )
        )
    phases = {phase: [run for run in store.runs if run.phase == phase] for phase in PHASES}
    counts = [
        f"{_PHASES[phase]} {len(runs)} ({cells.seconds(sum(r.seconds for r in runs))})"
        for phase, runs in phases.items()
        if runs
    ]
    rows.append(("runs (training time)", f"{analysis.runs}: {'; '.join(counts)}" if counts else "0"))
    if analysis.seconds:
        rows.append(("time spent", ", ".join(f"{name} {cells.seconds(spent)}" for name, spent in analysis.seconds.items())))
    backend = environment.get("backend", {})
    where = [" ".join(dict.fromkeys(map(str, backend.values())))] if backend else []
    where += [str(machine["system"])] if "system" in machine else []
    where += [cells.counted(machine["cores"], "core")] if machine.get("cores") else []
    if where:
        rows.append(("device", ", ".join(where)))
    versions = {**environment.get("versions", {}), **({"python": machine["python"]} if "python" in machine else {})}
    rows.append(("versions", ", ".join(f"{name} {version}" for name, version in versions.items()) or cells.NONE))
    if "problem" in environment:
        rows.append(("SHA-256 of the problem's loss", str(environment["problem"].get("loss", cells.NONE))))
    if "data" in environment:
        rows.append(("SHA-256 of the data", environment["data"]))
    return (Table(("", ""), tuple(rows)),)


def _images(study: Study) -> list[tuple[str, str]]:
    network = study.network
    hidden = ", ".join(map(str, network.hidden)) or "none"
    output = f", {network.output_activation} on the output" if network.output_activation else ""
    dropout = f", dropout {network.dropout:g}" if network.dropout else ""
    own = "images of one's own"
    size = f", reduced to {study.size} x {study.size}" if study.size else ""
    sample = f", {study.examples:,} examples to train on" if study.examples else ""
    channels = ", ".join(map(str, network.channels))
    kind = f"convolutional net of {channels} channels" if network.channels else "perceptron"
    return [
        ("data set", f"{study.dataset}{size} ({NAMES.get(study.dataset, own)}){sample}"),
        ("model", f"{kind}, hidden layers {hidden}, {network.activation}{output}{dropout}, weights {network.initialization}"),
        ("loss", network.loss.replace("_", " ")),
    ]


def _problem(analysis: Analysis) -> list[tuple[str, str]]:
    scores = (f"{score.name} ({score.better} is better)" for score in analysis.scores.ranked)
    return [("problem", str(analysis.study.problem)), ("scores", ", ".join(scores))]


def _trials(analysis: Analysis) -> str:
    """A range of few choices has no more trials than those."""
    counts = sorted({len(tuning.trials) for tuning in analysis.tunings} or {analysis.study.search.trials})
    return cells.counted(counts[0], "trial") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} trials"


_PHASES = {TUNING: "tuning", REPORT: "report", LADDER: "ladder", CONTROL: "A/A control"}


def arms(analysis: Analysis) -> tuple[Block, ...]:
    if not analysis.arms:
        return (Text("No arm has a stored run yet."),)
    target = analysis.study.target is not None
    # A label that is the optimizer's own says it.
    named = any(arm.label != arm.optimizer for arm in analysis.arms)
    primary, *others = analysis.scores.ranked
    differing = [*dict.fromkeys(name for arm in analysis.arms for name in arm.factors)]
    headings = (
        "arm",
        f"{analysis.scores.where}{primary.heading}",
        "95% t interval",
        "median",
        "IQM",
        *(score.heading for score in others),
        *["steps to target"] * target,
        "diverged",
        "runs",
        *differing,
        *["optimizer as run"] * named,
    )
    tuned = {arm.label for arm in analysis.study.tuned}
    rows = tuple(
        (
            arm.label,
            *_described(arm.described[primary.name], primary),
            *(cells.mean(arm.described[score.name], score) for score in others),
            *([_steps_cell(arm)] if target else []),
            str(arm.diverged),
            f"{len(arm.runs)}, {'ladder' if arm.rung else 'tuned' if arm.label in tuned else 'fixed'}",
            *(_factor(analysis, arm, name) for name in differing),
            *[Code(arm.optimizer)] * named,
        )
        for arm in analysis.arms
    )
    where = "on the test set " if analysis.scores.tested else ""
    notes = [f"Mean ± standard error over seeds, {where}after the last step; IQM: interquartile mean."]
    notes += [f"A lower {score.name} is better." for score in analysis.scores.ranked if score.sign < 0]
    if target:
        notes.append("Steps to target: mean, ≥ where a run never got there and counts with the whole budget.")
    if any(arm.diverged for arm in analysis.arms):
        notes += [f"Diverged runs {score.if_diverged}." for score in analysis.scores.ranked]
    if differing:
        notes.append(f"Arms differ in {joined(differing)} besides the optimizer.")
    if any(arm.rung for arm in analysis.arms):
        notes.append("Arms marked ladder were added to explain momentum's gain.")
    return (Table(headings, rows, " ".join(notes)),)


def _factor(analysis: Analysis, arm: ArmResult, name: str) -> str:
    """An arm's factor; without one it has the study's."""
    default = getattr(analysis.study, name) if name in BUDGET else "as the problem has it"
    value = arm.factors.get(name, default)
    return "all" if value is None else str(value)


def _described(found: Description | None, score: RankedScore) -> tuple[str, str, str, str]:
    if found is None:
        return cells.NONE, cells.NONE, cells.NONE, cells.NONE
    median, middle = (f"{score.factor * each:{score.form()}}" for each in (found.median, found.interquartile_mean))
    return cells.mean(found, score), cells.interval(found.t_interval, score.factor, score.form()), median, middle


def _steps_cell(arm: ArmResult) -> str:
    reached = arm.reached
    if reached is None or reached.never == reached.n:
        return "never"
    text = f"{'≥ ' if reached.never else ''}{reached.restricted_mean:,.0f}"
    return text + (f" ({reached.never} never)" if reached.never else "")


def learning(analysis: Analysis, drawn: set[str]) -> tuple[Block, ...]:
    labels = cells.listed([arm.label for arm in analysis.arms], 8)
    return pictures(
        drawn,
        learning_curves=f"Training loss against steps on a logarithmic axis, mean and range over seeds, of {labels}.",
        validation_score=f"Validation {analysis.scores.primary.name} against steps, mean and range over seeds, of {labels}.",
    )


def distribution(store: Store, analysis: Analysis, drawn: set[str]) -> tuple[Block, ...]:
    primary = analysis.scores.primary
    name = f"{analysis.scores.where}{primary.name}"
    percent = " %" * primary.percent
    means = "; ".join(f"{arm.label} {cells.mean(arm.described[primary.name], primary)}{percent}" for arm in analysis.arms)
    picture = pictures(drawn, final_score=f"Final {name} of every run, a row an arm, with means: {means}.")
    if not analysis.arms:
        return ()
    seeds = list(dict.fromkeys(seed for arm in analysis.arms for seed in arm.seeds))
    lost = {run.name: run.diverged for run in store.runs if run.diverged is not None}
    rows = tuple((arm.label, *(_run_score(arm, primary, seed, lost) for seed in seeds)) for arm in analysis.arms)
    table = Table(("arm", *(f"seed {seed}" for seed in seeds)), rows, f"{analysis.scores.where}{primary.heading}.".capitalize())
    return (*picture, Folded("Every run", (table,)))


def _run_score(arm: ArmResult, primary: RankedScore, seed: int, lost: Mapping[str, int]) -> str:
    if seed not in arm.seeds:
        return cells.NONE
    index = arm.seeds.index(seed)
    name = arm.runs[index]
    value = arm.values[primary.name][index]
    return f"diverged at {lost[name]:,}" if name in lost or value is None else f"{primary.factor * value:{primary.form()}}"


def confusions(analysis: Analysis, drawn: set[str]) -> tuple[Block, ...]:
    blocks: list[Block] = []
    for index, arm in enumerate(analysis.arms):
        if arm.confusion:
            right = [f"{number}: {100 * row[number]:.1f}" for number, row in enumerate(arm.confusion)]
            alt = f"Mean confusion matrix of {arm.label}. Per cent of each class recognised, {'; '.join(right)}."
            if found := pictures(drawn, **{f"confusion_{index}": alt}):
                blocks.append(Folded(arm.label, found))
    return tuple(blocks)


def sources(store: Store, analysis: Analysis) -> tuple[Block, ...]:
    text = (
        f"Every number above is computed from the stored runs in this directory: {RUNS} has a line for each run with its "
        f"scores, {CURVES} the losses of every mini-batch and evaluation under the same names, "
        f"{MANIFEST} the study and the versions. {NUMBERS} holds the numbers of this report's statistics unrounded, "
        "with the names of the runs of each arm, trial and control."
    )
    rows = [(arm.label, "ladder" if arm.rung else "report", cells.run_names(arm.runs)) for arm in analysis.arms]
    again = [run.name for run in store.runs if run.phase == CONTROL]
    if again:
        rows.append((analysis.study.arms[0].label, "A/A control", cells.run_names(again)))
    rows += [
        (tuning.arm, "tuning", cells.run_names([name for trial in tuning.trials for name in trial.runs]))
        for tuning in analysis.tunings
    ]
    return (Text(text), Folded("Runs behind each arm", (Table(("arm", "phase", "runs"), tuple(rows)),)))
