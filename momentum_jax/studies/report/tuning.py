"""The search: what was chosen, what choosing cost, and every trial."""

from momentum_jax.studies.analysis import Analysis, Trial, Tuning
from momentum_jax.studies.report import cells
from momentum_jax.studies.report.blocks import Block, Code, Folded, Table, Text, Words, pictures


def tunings(analysis: Analysis, drawn: set[str]) -> tuple[Block, ...]:
    if not analysis.tunings:
        return ()
    labels = cells.listed([tuning.arm for tuning in analysis.tunings], 8)
    blocks: list[Block] = [*pictures(drawn, sensitivity=f"Validation score of every trial against learning rate, of {labels}.")]
    by_accuracy = analysis.tunings[0].score == "accuracy"
    factor, form = (100, ".2f") if by_accuracy else (1, ".4f")
    rows = tuple(
        (
            tuning.arm,
            Words(", ".join(f"{name} {cells.value(value)}" for name, value in tuning.trials[tuning.chosen].values.items())),
            *(
                cells.number(None if score is None else factor * score, form, "diverged")
                for score in (tuning.tuned, tuning.fresh)
            ),
            cells.number(None if tuning.optimism is None else factor * tuning.optimism, f"+z{form}"),
            cells.interval(tuning.optimism_interval, factor, f"+z{form}"),
            str(len(tuning.trials)),
            Code(tuning.written),
        )
        for tuning in analysis.tunings
    )
    units = (
        ("tuned score, %", "fresh score, %", "optimism, points") if by_accuracy else ("tuned loss", "fresh loss", "optimism")
    )
    headings = ("arm", "chosen", *units, "95% interval", "trials", "searched")
    caption = (
        f"Validation {analysis.tunings[0].score} of the chosen trial on the seeds of the search, and again on the study's own "
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
    blocks += [Folded(f"All trials of {tuning.arm}", (_trials(tuning),)) for tuning in analysis.tunings]
    return tuple(blocks)


def _trials(tuning: Tuning) -> Table:
    def row(index: int, trial: Trial) -> tuple[str, ...]:
        score = cells.percent(trial.accuracy)
        return (
            f"{index}{', chosen' if index == tuning.chosen else ''}",
            *(cells.value(value) for value in trial.values.values()),
            score,
            cells.number(trial.loss, ".4g"),
            f"{trial.diverged} of {len(trial.runs)}",
            cells.run_names(trial.runs),
        )

    headings = ("trial", *tuning.trials[0].values, "validation accuracy, %", "validation loss", "diverged", "runs")
    rows = tuple(row(index, trial) for index, trial in enumerate(tuning.trials))
    return Table(headings, rows, "Means over the runs that did not diverge.")
