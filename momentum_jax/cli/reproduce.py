"""`momentum-jax reproduce`: the textbook's experiments, their claims as a table, their figures."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr
from pathlib import Path

from rich.console import Console
from rich.table import Table

from momentum_jax import data, textbook
from momentum_jax._text import quoted
from momentum_jax.cli.arguments import ArgumentError, Reproduce
from momentum_jax.cli.console import output
from momentum_jax.data import DataError
from momentum_jax.studies import StudyError
from momentum_jax.textbook.experiment import Experiment
from momentum_jax.textbook.run import RESULT, Result


def run(command: Reproduce) -> int:
    console = output()
    if command.all and command.experiment is not None:
        raise ArgumentError(f"reproduce: give an experiment or --all, got both {quoted(command.experiment)} and --all.")
    if command.quick and not command.all and command.experiment is None:
        raise ArgumentError("reproduce: give an experiment or --all with --quick, got neither.")
    if command.all:
        return _all(command, console)
    if command.experiment is None:
        _list(console)
        return 0
    try:
        experiment = textbook.find(command.experiment)
    except ValueError as error:
        raise ArgumentError(str(error)) from None
    _prepare(command, [experiment])
    return 0 if _one(experiment, command, _DataSets(command.data), console).ok else 1


class _DataSets:
    """The data sets of one call of the command. What could not be had is not tried again: the first error stands for all."""

    def __init__(self, directory: Path | None):
        self._directory = directory
        self._tried: dict[str, DataError | None] = {}

    def demand(self, names: Sequence[str]) -> None:
        """Has them where the experiments read them.

        Raises:
          DataError: one cannot be had.
        """
        for name in names:
            if name not in self._tried:
                self._tried[name] = self._try(name)
            if (error := self._tried[name]) is not None:
                raise error

    def _try(self, name: str) -> DataError | None:
        # Of a download that fails, the error says from where it was tried; a terminal has its bars.
        said = sys.stderr if sys.stderr.isatty() else io.StringIO()
        try:
            with redirect_stderr(said):
                data.load(name, directory=self._directory)
        except DataError as error:
            return error
        if isinstance(said, io.StringIO):
            sys.stderr.write(said.getvalue())
        return None


def _list(console: Console) -> None:
    table = Table("experiment", "figures and tables", "what is to be seen", "time (estimated)")
    for experiment in textbook.EXPERIMENTS:
        table.add_row(experiment.name, "\n".join(experiment.reproduces), experiment.title, experiment.duration)
    console.print(table)
    console.print(
        "momentum-jax reproduce NAME [--quick] runs one, by its name or the number of a figure or table.", highlight=False
    )
    for label, document in textbook.DOCUMENTS.items():
        console.print(f"{label}: {document}", highlight=False)


def _all(command: Reproduce, console: Console) -> int:
    """One after another. What lacks its data, or finds another study in its place, is said in a line, and the others run."""
    _prepare(command, textbook.EXPERIMENTS)
    data_sets = _DataSets(command.data)
    results, missing, refused = [], [], False
    for experiment in textbook.EXPERIMENTS:
        try:
            results.append(_one(experiment, command, data_sets, console))
        except (DataError, StudyError) as error:
            missing.append(experiment.name)
            refused = refused or isinstance(error, StudyError)
            Console(stderr=True, markup=False, emoji=False).print(
                f"momentum-jax: {experiment.name} was not run: {' '.join(str(error).split())}", highlight=False, soft_wrap=True
            )
    verdicts = [verdict for result in results for verdict in result.verdicts]
    counts = ", ".join(
        f"{sum(verdict.status == status for verdict in verdicts)} {words}"
        for status, words in (
            ("holds", "claims hold"),
            ("known fault", "are known faults of their sources"),
            ("not confirmed", "are not confirmed by our measurement"),
            ("does not hold", "do not hold and should"),
            ("not checked", "are not tested by this size"),
        )
    )
    unchecked = ", ".join(result.experiment.name for result in results if _unchecked(result))
    counts += f", which tests nothing of {unchecked}" if unchecked else ""
    unrun = f"; not run: {', '.join(missing)}" if missing else ""
    console.print(f"{len(results)} experiments: {counts}{unrun}", highlight=False, soft_wrap=True)
    return 0 if results and all(result.ok for result in results) and not refused else 1


def _prepare(command: Reproduce, experiments: Sequence[Experiment]) -> None:
    """All cores for those that train; the others are done before threads would pay."""
    if any(experiment.datasets for experiment in experiments):
        from momentum_jax.cli.compare import use_cores

        use_cores(command.cores, Console(stderr=True, markup=False, emoji=False))


def _one(experiment: Experiment, command: Reproduce, data_sets: _DataSets, console: Console) -> Result:
    from momentum_jax.figures import textbook as drawings
    from momentum_jax.report import textbook as report

    data_sets.demand(experiment.datasets)
    # A size has a place of its own, so that a look at the quick one does not replace what took minutes.
    directory = command.out / (f"{experiment.name}-quick" if command.quick else experiment.name)
    result = textbook.run(experiment, directory, quick=command.quick, data_directory=command.data)
    pictures = drawings.write(result, directory)
    written = [directory / RESULT, report.write(result, directory, pictures), *pictures]
    console.print(table(result))
    for each in result.outcome.tables:
        console.print(_table_of_source(each))
    if _unchecked(result):
        console.print(f"{experiment.name}: the {result.size} size tests none of its {len(result.verdicts)} claims.")
    console.print(f"{result.seconds:.1f} s; {', '.join(map(str, written))}\n", highlight=False, soft_wrap=True)
    return result


def table(result: Result) -> Table:
    """One row a claim: what is published, ours, the tolerance, whether it holds and if not why."""
    from momentum_jax.report import textbook as report

    named = ", ".join(result.experiment.reproduces) or result.experiment.title
    made = Table(title=f"{result.experiment.name}, {result.size} size: {named}", title_justify="left")
    for heading in report.HEADINGS:
        number = heading in ("published", "ours", "tolerance")
        made.add_column(heading, justify="right" if number else "left", overflow="fold")
    for verdict in result.verdicts:
        made.add_row(*report.row(verdict))
    return made


def _table_of_source(source: textbook.Table) -> Table:
    from momentum_jax.report import textbook as report

    made = Table(title=source.title, title_justify="left")
    for index, heading in enumerate(source.columns):
        made.add_column(heading, justify="right" if index else "left", overflow="fold")
    for row in source.rows:
        made.add_row(*map(report.shown, row))
    return made


def _unchecked(result: Result) -> bool:
    return all(verdict.status == "not checked" for verdict in result.verdicts)
