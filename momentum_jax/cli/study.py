"""`momentum-jax study run`, `report`, `list` and `add-seeds`."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from momentum_jax.cli.arguments import StudyAddSeeds, StudyList, StudyReport, StudyRun
from momentum_jax.cli.console import output
from momentum_jax.cli.signals import INTERRUPTED
from momentum_jax.cli.specification import directory_of, specification
from momentum_jax.studies import StudyError
from momentum_jax.studies.errors import DamageWarning
from momentum_jax.studies.store import MANIFEST, RUNS, Damaged, Store, Unwritable, place


def run(command: StudyRun | StudyReport | StudyList | StudyAddSeeds) -> int:
    match command:
        case StudyRun():
            return _run(command)
        case StudyReport():
            return _report(command.directory, as_json=command.json)
        case StudyList(directory=directory):
            return _list(directory)
        case StudyAddSeeds():
            return _add_seeds(command)


def _run(command: StudyRun) -> int:
    from momentum_jax.studies.run import run_study

    out = directory_of(command)
    # Going on is the rule, so that the same command can be given until the study is complete.
    resume = command.resume or not command.overwrite
    study = specification(command, out if resume else None)

    def work(**options: Any) -> Store:
        from momentum_jax.cli.outlook import teller

        messages = Console(stderr=True, markup=False, emoji=False)
        plan = teller(messages, study, out)
        return run_study(study, out, resume=resume, overwrite=command.overwrite, on_plan=plan, **options)

    return _work(work, out, command, tensorboard_too=command.tensorboard)


def _add_seeds(command: StudyAddSeeds) -> int:
    from momentum_jax.studies.run import add_seeds, with_more_seeds

    # What cannot be is said before anything is loaded.
    with_more_seeds(command.directory, command.count, until_told=command.until_told)

    def work(**options: Any) -> Store:
        return add_seeds(command.directory, command.count, until_told=command.until_told, **options)

    return _work(work, command.directory, command)


def _work(work: Callable[..., Store], out: Path, command: StudyRun | StudyAddSeeds, *, tensorboard_too: bool = False) -> int:
    """Trains under a progress bar, then writes and says the report."""
    from momentum_jax.cli.progress import Reporter
    from momentum_jax.cli.workers import trained_by
    from momentum_jax.report import write
    from momentum_jax.studies import tensorboard

    if tensorboard_too:
        tensorboard.require()

    def finish(store: Store) -> None:
        written.extend(write(store))
        if tensorboard_too:
            written.append(tensorboard.write_events(store))

    messages = Console(stderr=True, markup=False, emoji=False)
    written: list[Path] = []
    try:
        with trained_by(command, command.cores, messages) as options, Reporter(messages) as report:
            store = work(
                data_directory=command.data,
                on_progress=report,
                on_complete=finish,
                log_hyperparameters=tensorboard_too,
                **options,
            )
    except KeyboardInterrupt:
        messages.print(_stopped(out), highlight=False, soft_wrap=True)
        return INTERRUPTED
    _say(store, written, as_json=isinstance(command, StudyRun) and command.json)
    return 0


def _report(directory: Path, *, as_json: bool) -> int:
    from momentum_jax.report import write
    from momentum_jax.studies.store import locked

    # Before anything is locked, and so made, where there is no study.
    store, written, code = Store.read(directory), [], 0
    for sentence in store.damage:
        warnings.warn(f"{sentence} Run the study again to mend it.", DamageWarning, stacklevel=2)
    try:
        try:
            with locked(directory):
                store = Store.read(directory)
                written = write(store)
        except (Unwritable, OSError) as error:
            reason = error.reason if isinstance(error, Unwritable) else error.strerror or error
            print(f"momentum-jax: the report could not be written to {directory} ({reason}).", file=sys.stderr)
            code = 1
        _say(store, written, as_json=as_json)
    except Damaged as damaged:
        raise StudyError(f"{damaged.what}; run the study again to mend it.") from None
    return code


def _stopped(out: Path) -> str:
    if not Store.exists(out):
        return "momentum-jax: stopped before anything was run."
    store = Store.read(out)
    planned = store.manifest.get("planned", len(store.runs))
    return f"momentum-jax: stopped; {len(store.runs)} of {planned} runs are in {out}. The same command goes on from there."


def _say(store: Store, written: list[Path], *, as_json: bool) -> None:
    """The table, what the arms were settled to, where the report lies, and what the evidence says: the answer last.

    as_json: the numbers of the report instead, and nothing else.
    """
    from momentum_jax.cli.table import print_table
    from momentum_jax.studies.analysis import analyse
    from momentum_jax.studies.summary import summarize
    from momentum_jax.studies.wording import remarks, verdict

    analysis = analyse(store)
    if as_json:
        print(analysis.to_json(verdict(analysis)), end="")
        return
    console = output()
    wrap = not console.is_terminal
    summaries = summarize(store)
    if summaries:
        print_table(console, store, summaries)
    for arm in analysis.arms:
        if arm.optimizer != arm.label:
            console.print(f"{arm.label}: {arm.optimizer}", highlight=False, soft_wrap=wrap)
    for sentence in remarks(analysis):
        console.print(f"- {sentence}", highlight=False, soft_wrap=wrap)
    spent = store.manifest.get("seconds", {})
    console.print(", ".join(f"{name} {seconds:.1f} s" for name, seconds in spent.items()), highlight=False)
    if written:
        console.print(", ".join(map(str, written)), highlight=False, soft_wrap=True)
    console.print(verdict(analysis), highlight=False, soft_wrap=wrap)


def _list(directory: Path) -> int:
    """One row a study, found by its manifest or its runs; one whose manifest cannot be read is named with the reason."""
    if not place(directory).is_dir():
        raise StudyError(f"study list: {directory} is no directory.")
    console = output()
    table = Table("directory", "problem", "arms", "seeds", "steps", "runs", "status")
    unread = []
    for path in sorted({path.parent for name in (MANIFEST, RUNS) for path in directory.rglob(name)}):
        if not Store.exists(path):
            # Others call files so, too.
            continue
        try:
            store = Store.read(path)
        except StudyError as error:
            if (path / RUNS).exists():
                unread.append(str(error))
            continue
        study = store.study
        runs = f"{len(store.runs)} of {store.manifest.get('planned', len(store.runs))}"
        arms = ", ".join(arm.label for arm in study.arms)
        table.add_row(
            str(path), study.data_name, arms, str(len(study.seeds)), f"{study.steps:,}", runs, store.manifest["status"]
        )
    if table.row_count:
        console.print(table)
    elif not unread:
        console.print(f"no studies in {directory}", highlight=False)
    for message in unread:
        console.print(message, highlight=False, soft_wrap=True)
    return 0
