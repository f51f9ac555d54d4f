"""The report of a study: one page that opens offline, the same in Markdown, all numbers as JSON, and figures as files.

`content` says everything once, as an answer and sections of sentences, figures and tables; the page and the Markdown only set
it. Nothing is computed here but sums of stored seconds and counts of stored runs, so every number can be traced to the store.
"""

from __future__ import annotations

from pathlib import Path

from momentum_jax._files import atomic
from momentum_jax.report.blocks import Content
from momentum_jax.report.setting import FIGURES, MARKDOWN, NUMBERS, PAGE, html, markdown
from momentum_jax.studies.store import Store

__all__ = ["FIGURES", "MARKDOWN", "NUMBERS", "PAGE", "content", "html", "markdown", "write"]


def write(store: Store) -> list[Path]:
    """Writes report.html, report.md, report.json and the figures as PNG and PDF; returns the first three paths.

    All belong to the store from then on. Figures of an earlier report that this one has no more are removed.
    """
    from momentum_jax import figures
    from momentum_jax.report.assembly import given, said
    from momentum_jax.studies.analysis import write_analysis
    from momentum_jax.studies.wording import verdict

    found = given(store)
    drawn = figures.report(found.analysis, found.curves, found.scores, found.classes)
    folder = store.directory / FIGURES
    folder.mkdir(exist_ok=True)
    images = [folder / f"{name}{ending}" for name in drawn for ending in (".png", ".pdf")]
    known = {store.directory / name for name in store.manifest.get("files", [])}
    for stale in {path for path in known if path.parent == folder} - {*images}:
        stale.unlink(missing_ok=True)
    for path in images:
        figures.save(drawn[path.stem], path)
    numbers = store.directory / NUMBERS
    write_analysis(numbers, found.analysis, verdict(found.analysis))
    content = said(found)
    pages = {store.directory / PAGE: html(content), store.directory / MARKDOWN: markdown(content, drawn.keys())}
    for path, text in pages.items():
        with atomic(path) as file:
            file.write(text.encode())
    store.note(files=[*pages, numbers, *images])
    return [*pages, numbers]


def content(store: Store) -> Content:
    """What the report of a store says, finished or not."""
    from momentum_jax.report.assembly import given, said

    return said(given(store))


def __dir__() -> list[str]:
    return sorted(__all__)
