"""`momentum-jax compare` and `momentum-jax train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console

from momentum_jax.cli.arguments import Compare, Options, Train
from momentum_jax.cli.console import output
from momentum_jax.cli.specification import directory_of, specification
from momentum_jax.studies import StudyError
from momentum_jax.studies.store import Store

if TYPE_CHECKING:
    from momentum_jax.studies.summary import ArmSummary

FIGURE, SUMMARY = "figure.png", "summary.json"


def compare(command: Compare) -> int:
    return _run(command)


def train(command: Train) -> int:
    return _run(command, checkpoints=True)


def _run(command: Options, *, checkpoints: bool = False) -> int:
    from momentum_jax.cli.outlook import teller
    from momentum_jax.cli.progress import Reporter
    from momentum_jax.cli.workers import trained_by
    from momentum_jax.studies import tensorboard
    from momentum_jax.studies.run import CHECKPOINTS, run_study

    out = directory_of(command)
    study = specification(command, out if command.resume else None)
    messages = Console(stderr=True, markup=False, emoji=False)
    if command.tensorboard:
        tensorboard.require()
    results: list[_Results] = []
    try:
        with trained_by(command, command.cores, messages) as options, Reporter(messages) as report:
            run_study(
                study,
                out,
                data_directory=command.data,
                resume=command.resume,
                overwrite=command.overwrite,
                checkpoints=checkpoints,
                log_hyperparameters=command.tensorboard,
                on_plan=teller(messages, study, out),
                on_progress=report,
                on_complete=lambda store: results.append(_write(store, out, tensorboard_too=command.tensorboard)),
                **options,
            )
    except KeyboardInterrupt:
        messages.print(_stopped(out), highlight=False, soft_wrap=True)
        return 130
    if command.json:
        from momentum_jax.studies.summary import as_json

        print(as_json(results[0].summaries), end="")
        return 0
    _show(*results[0])
    if checkpoints:
        print(f"parameters: {out / CHECKPOINTS}")
    return 0


def _stopped(out: Path) -> str:
    if not Store.exists(out):
        return "momentum-jax: stopped before anything was run."
    store = Store.read(out)
    total = store.manifest.get("planned", len(store.runs))
    if len(store.runs) == total:
        return f"momentum-jax: stopped; all {total} runs are in {out}. Add --resume to see the table and the figure."
    return f"momentum-jax: stopped; {len(store.runs)} of {total} runs are in {out}. Add --resume to run the others."


def use_cores(cores: int | None, messages: Console) -> None:
    from momentum_jax.training import use_all_cpu_cores
    from momentum_jax.training.devices import available_cores

    if cores is not None and cores < 1:
        raise StudyError(f"--cores must be at least 1, got {cores}.")
    there_are = available_cores()
    if cores is not None and cores > there_are:
        all_of_them = "1 core works" if there_are == 1 else f"{there_are} cores work"
        text = f"momentum-jax: --cores {cores} is more than this process may use; {all_of_them}."
        messages.print(text, highlight=False, soft_wrap=True)
        cores = there_are
    try:
        use_all_cpu_cores(cores)
    except RuntimeError as error:
        # Only in a program that calls `main` after it has used JAX itself.
        messages.print(f"momentum-jax: {error}", highlight=False, soft_wrap=True)


class _Results(NamedTuple):
    """A finished study and where its results lie."""

    store: Store
    summaries: list[ArmSummary]
    written: list[Path]


def _write(store: Store, out: Path, *, tensorboard_too: bool) -> _Results:
    from momentum_jax import figures
    from momentum_jax.studies import tensorboard
    from momentum_jax.studies.learning_curves import learning_curves
    from momentum_jax.studies.summary import summarize, write_summary

    study = store.study
    figure = figures.of_study(study, store.batches, store.target_score, learning_curves(store))
    figures.save(figure, out / FIGURE)
    summaries = summarize(store)
    write_summary(out / SUMMARY, summaries)
    store.note(files=[out / FIGURE, out / SUMMARY])
    written = [out / FIGURE, out]
    if tensorboard_too:
        written.append(tensorboard.write_events(store))
    return _Results(store, summaries, written)


def _show(store: Store, summaries: list[ArmSummary], written: list[Path]) -> None:
    from momentum_jax.cli.table import print_table
    from momentum_jax.studies.analysis import analyse
    from momentum_jax.studies.wording import verdict

    study = store.study
    console = output()
    print_table(console, store, summaries)
    for arm, row in zip(study.arms, summaries, strict=True):
        if arm.ranges:
            console.print(f"{row.label}: {row.optimizer}", highlight=False, soft_wrap=not console.is_terminal)
    spent = store.manifest["seconds"]
    console.print(
        f"compiling {spent['compile']:.1f} s, training {spent['training']:.1f} s, evaluation {spent['evaluation']:.1f} s",
        highlight=False,
    )
    console.print(", ".join(map(str, written)), highlight=False, soft_wrap=True)
    if len(study.arms) > 1:
        console.print(verdict(analyse(store)), highlight=False, soft_wrap=not console.is_terminal)
