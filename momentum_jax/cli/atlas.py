"""`momentum-jax atlas run` and `report`."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from momentum_jax.cli.arguments import AtlasReport, AtlasRun
from momentum_jax.cli.console import output
from momentum_jax.cli.signals import INTERRUPTED
from momentum_jax.studies import Study
from momentum_jax.studies.atlas import Atlas, Cell, Cells, findings_in, run_atlas, wording


def run(command: AtlasRun | AtlasReport) -> int:
    atlas = Atlas.from_toml(command.file)
    atlas = atlas.quick() if command.quick else atlas
    out = command.out or _directory(command)
    if isinstance(command, AtlasRun):
        return _run(command, atlas, out)
    _write(atlas, out, command.file)
    return 0


def _run(command: AtlasRun, atlas: Atlas, out: Path) -> int:
    from momentum_jax import report
    from momentum_jax.cli.progress import Reporter
    from momentum_jax.cli.workers import trained_by

    asked = atlas.only(command.only or ())
    messages = Console(stderr=True, markup=False, emoji=False)
    places = [cell.folder for cell in asked.cells]

    def say(cell: Cell, study: Study, place: Path, times: int) -> None:
        again = f", ranges made wider {times} time{'s' * (times > 1)}" * bool(times)
        number = f"{places.index(cell.folder) + 1} of {len(places)}"
        said = f"momentum-jax: {number}: {cell.entry}, {wording.batch(cell.batch)}, {study.steps:,} steps{again}"
        messages.print(said, highlight=False, soft_wrap=True)

    try:
        with trained_by(command, command.cores, messages) as options, Reporter(messages) as progress:
            run_atlas(
                asked,
                out,
                on_cell=say,
                on_store=report.write,
                data_directory=command.data,
                on_progress=progress,
                **options,
            )
    except KeyboardInterrupt:
        said = f"momentum-jax: stopped; what was finished is in {out}. The same command goes on from there."
        messages.print(said, highlight=False, soft_wrap=True)
        return INTERRUPTED
    _write(atlas, out, command.file)
    return 0


def _write(atlas: Atlas, out: Path, file: Path | None) -> None:
    from momentum_jax.report import atlas as page

    cells = findings_in(atlas, out)
    written = page.write(cells, out, file)
    _print(cells)
    console = output()
    console.print(", ".join(map(str, written)), highlight=False, soft_wrap=True)
    console.print(wording.verdict(cells), highlight=False, soft_wrap=not console.is_terminal)


def _print(cells: Cells) -> None:
    """A row a cell."""
    console = output()
    table = Table("study", "batch", "steps", "answer", "p", "adjusted")
    for found in cells.findings:
        table.add_row(
            found.entry,
            "all" if found.batch is None else str(found.batch),
            f"{found.steps:,}",
            found.mark,
            "" if found.p is None else f"{found.p:.2g}",
            "" if found.adjusted is None else f"{found.adjusted:.2g}",
        )
    console.print(table)


def _directory(command: AtlasRun | AtlasReport) -> Path:
    name = "atlas" if command.file is None else command.file.with_suffix("").as_posix()
    return Path(f"{name}-quick" if command.quick else name)
