"""Writing a study's report: numbers, figures, page and Markdown, in the directory of its store."""

from __future__ import annotations

from pathlib import Path

from momentum_jax.studies.store import Store

# Of a curve in the page: more than a screen resolves, less than makes a page heavy.
_POINTS = 600


def write(store: Store) -> list[Path]:
    """Writes report.html, report.md, report.json and the figures as PNG and PDF; returns the first three paths.

    All belong to the store from then on. Figures of an earlier report that this one has no more are removed.
    """
    from momentum_jax import figures
    from momentum_jax.data.sources import SOURCES
    from momentum_jax.studies.analysis import analyse, write_analysis
    from momentum_jax.studies.learning_curves import learning_curves, score_curves
    from momentum_jax.studies.report import FIGURES, NUMBERS, write_report
    from momentum_jax.studies.wording import verdict

    analysis = analyse(store)
    source = SOURCES.get(analysis.study.dataset) if analysis.study.problem is None else None
    drawn = figures.report(
        analysis,
        learning_curves(store, ladder=True, points=_POINTS),
        score_curves(store, ladder=True),
        None if source is None else source.classes,
    )
    folder = store.directory / FIGURES
    folder.mkdir(exist_ok=True)
    images = [folder / f"{name}{ending}" for name in drawn for ending in (".png", ".pdf")]
    known = {store.directory / name for name in store.manifest.get("files", [])}
    for stale in {path for path in known if path.parent == folder} - {*images}:
        stale.unlink(missing_ok=True)
    for path in images:
        figures.save(drawn[path.stem], path)
    numbers = store.directory / NUMBERS
    write_analysis(numbers, analysis, verdict(analysis))
    pictures = {name: figures.svg(figure, name) for name, figure in drawn.items()}
    pages = write_report(store, analysis, pictures)
    store.note(files=[*pages, numbers, *images])
    return [*pages, numbers]
