"""The search: what was chosen, what choosing cost, and every trial."""

from momentum_jax.studies.analysis import Analysis, Trial, Tuning
from momentum_jax.studies.report import cells
from momentum_jax.studies.report.blocks import Block, Code, Folded, Table, Text, Words, pictures
from momentum_jax.studies.scores import RankedScore, Scores


def tunings(analysis: Analysis, drawn: set[str]) -> tuple[Block, ...]:
    if not analysis.tunings:
        return ()
    labels = cells.listed([tuning.arm for tuning in analysis.tunings], 8)
    blocks: list[Block] = [*pictures(drawn, sensitivity=f"Validation score of every trial against learning rate, of {labels}.")]
    score = analysis.scores[analysis.tunings[0].score]
    factor, form = score.factor, score.form()
    rows = tuple(
        (
            tuning.arm,
            Words(", ".join(f"{name} {cells.value(value)}" for name, value in tuning.trials[tuning.chosen].values.items())),
            *(cells.number(None if each is None else factor * each, form, "diverged") for each in (tuning.tuned, tuning.fresh)),
            cells.number(None if tuning.optimism is None else factor * tuning.optimism, score.form(signed=True)),
            cells.interval(tuning.optimism_interval, factor, score.form(signed=True)),
            str(len(tuning.trials)),
            Code(tuning.written),
        )
        for tuning in analysis.tunings
    )
    units = (f"tuned {score.heading}", f"fresh {score.heading}", "optimism, points" if score.percent else "optimism")
    headings = ("arm", "chosen", *units, "95% interval", "trials", "searched")
    caption = (
        f"Validation {score.name} of the chosen trial on the seeds of the search, and again on the study's own "
        "seeds. Optimism: by how much the first is the better, what selection flatters itself with; Welch's interval."
    )
    blocks.append(Table(headings, rows, caption))
    blocks += [
        Text(
            f"{tuning.arm}: the chosen {' and '.join(tuning.edges)} lies in the outer tenth of its range, or is the least or "
            "greatest of its choices; better values may lie outside.",
            warning=True,
        )
        for tuning in analysis.tunings
        if tuning.edges
    ]
    blocks += [Folded(f"All trials of {tuning.arm}", (_trials(analysis.scores, tuning),)) for tuning in analysis.tunings]
    return tuple(blocks)


def _trials(scores: Scores, tuning: Tuning) -> Table:
    measured = [scores[name] for name in tuning.trials[0].means]

    def row(index: int, trial: Trial) -> tuple[str, ...]:
        return (
            f"{index}{', chosen' if index == tuning.chosen else ''}",
            *(cells.value(value) for value in trial.values.values()),
            *(cells.number(_written(trial.means[each.name], each), each.form(), "diverged") for each in measured),
            f"{trial.diverged} of {len(trial.runs)}",
            cells.run_names(trial.runs),
        )

    headings = ("trial", *tuning.trials[0].values, *(f"validation {each.heading}" for each in measured), "diverged", "runs")
    rows = tuple(row(index, trial) for index, trial in enumerate(tuning.trials))
    return Table(headings, rows, "Means over the runs that did not diverge.")


def _written(value: float | None, score: RankedScore) -> float | None:
    return None if value is None else score.factor * value
