"""What was run and what came out, run by run."""

from collections.abc import Mapping

from momentum_jax.data import NAMES
from momentum_jax.studies.analysis import Analysis, ArmResult
from momentum_jax.studies.jobs import CONTROL, LADDER, PHASES, REPORT, TUNING
from momentum_jax.studies.report import cells
from momentum_jax.studies.report.blocks import Block, Code, Folded, Table, Text, pictures
from momentum_jax.studies.report.setting import NUMBERS
from momentum_jax.studies.store import CURVES, MANIFEST, RUNS, Store


def state(store: Store, analysis: Analysis) -> tuple[Block, ...]:
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
    if store.manifest.get("manifest_lost"):
        said.append(
            f"{MANIFEST} was lost and has been written anew: whether other seeds than those named here were added after the "
            "study had been run cannot be known."
        )
    if analysis.damage:
        said.append(f"Damaged files were found; what they held is not in this report: {' '.join(analysis.damage)}")
    return tuple(Text(text, warning=True) for text in said)


def what_was_run(store: Store, analysis: Analysis) -> tuple[Block, ...]:
    study, network = analysis.study, analysis.study.network
    environment, machine = analysis.environment, store.manifest.get("machine", {})
    hidden = ", ".join(map(str, network.hidden)) or "none"
    output = f", {network.output_activation} on the output" if network.output_activation else ""
    dropout = f", dropout {network.dropout:g}" if network.dropout else ""
    size = f", reduced to {study.size} x {study.size}" if study.size else ""
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
        ("seeds", cells.numbers(study.seeds)),
    ]
    if study.tuned:
        search = study.search
        rows.append(
            (
                "tuning",
                f"{_trials(analysis)} an arm ({search.sampler.capitalize()} points, scrambled by "
                f"{search.scramble}), each on seeds {cells.numbers(search.seeds)}; chosen by validation {search.score}",
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
    if "data" in environment:
        rows.append(("SHA-256 of the data", environment["data"]))
    return (Table(("", ""), tuple(rows)),)


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
    headings = (
        "arm",
        "test accuracy, %",
        "95% t interval",
        "median",
        "IQM",
        "MCC",
        *["steps to target"] * target,
        "diverged",
        "runs",
        *["optimizer as run"] * named,
    )
    tuned = {arm.label for arm in analysis.study.tuned}
    rows = tuple(
        (
            arm.label,
            cells.mean(arm.accuracy, 100, 2),
            cells.interval(arm.accuracy.t_interval, 100, ".2f"),
            f"{100 * arm.accuracy.median:.2f}",
            f"{100 * arm.accuracy.interquartile_mean:.2f}",
            cells.mean(arm.mcc, 1, 4),
            *([_steps_cell(arm)] if target else []),
            str(arm.diverged),
            f"{len(arm.runs)}, {'ladder' if arm.rung else 'tuned' if arm.label in tuned else 'fixed'}",
            *[Code(arm.optimizer)] * named,
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


def learning(analysis: Analysis, drawn: set[str]) -> tuple[Block, ...]:
    labels = cells.listed([arm.label for arm in analysis.arms], 8)
    return pictures(
        drawn,
        learning_curves=f"Training loss against mini-batches on a logarithmic axis, mean and range over seeds, of {labels}.",
        validation_accuracy=f"Validation accuracy against mini-batches, mean and range over seeds, of {labels}.",
    )


def distribution(store: Store, analysis: Analysis, drawn: set[str]) -> tuple[Block, ...]:
    means = "; ".join(f"{arm.label} {cells.mean(arm.accuracy, 100, 2)} %" for arm in analysis.arms)
    picture = pictures(drawn, test_accuracy=f"Final test accuracy of every run, a row an arm, with means: {means}.")
    if not analysis.arms:
        return ()
    seeds = list(dict.fromkeys(seed for arm in analysis.arms for seed in arm.seeds))
    lost = {run.name: run.diverged for run in store.runs if run.diverged is not None}
    rows = tuple((arm.label, *(_run_score(arm, seed, lost) for seed in seeds)) for arm in analysis.arms)
    table = Table(("arm", *(f"seed {seed}" for seed in seeds)), rows, "Test accuracy, %.")
    return (*picture, Folded("Every run", (table,)))


def _run_score(arm: ArmResult, seed: int, lost: Mapping[str, int]) -> str:
    if seed not in arm.seeds:
        return cells.NONE
    index = arm.seeds.index(seed)
    name = arm.runs[index]
    return f"diverged at {lost[name]:,}" if name in lost else f"{100 * arm.accuracies[index]:.2f}"


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
        f"scores and confusion matrix, {CURVES} the losses of every mini-batch and evaluation under the same names, "
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
