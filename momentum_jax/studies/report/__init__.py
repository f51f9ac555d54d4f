"""The report of a study: one page that opens offline, and the same in Markdown, from the analysis of stored runs.

`content` says everything once, as sections of paragraphs, tables and pictures; the page and the Markdown only set it.
Nothing is computed here but sums of stored seconds and counts of stored runs, so every number can be traced to the store.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from momentum_jax._files import atomic
from momentum_jax.studies import wording
from momentum_jax.studies.analysis import Analysis
from momentum_jax.studies.report import cells, evidence, runs, tuning
from momentum_jax.studies.report.blocks import Content, Points, Section, Text
from momentum_jax.studies.report.setting import FIGURES, MARKDOWN, NUMBERS, PAGE, html, markdown
from momentum_jax.studies.store import Store

__all__ = ["FIGURES", "MARKDOWN", "NUMBERS", "PAGE", "content", "html", "markdown", "write_report"]


def write_report(store: Store, analysis: Analysis, pictures: Mapping[str, str], *, directory: Path | None = None) -> list[Path]:
    """Writes report.html and report.md, and returns their paths.

    Args:
      store: where the runs lie.
      analysis: of that store.
      pictures: SVG elements by the names of `figures.report`, each with ids of its own; they become part of the page. The
        Markdown links to `figures/<name>.png` instead.
      directory: where to write; None: the store's.
    """
    directory = directory or store.directory
    said = content(store, analysis, pictures.keys())
    pages = {directory / PAGE: html(said, pictures), directory / MARKDOWN: markdown(said)}
    for path, text in pages.items():
        with atomic(path) as file:
            file.write(text.encode())
    return [*pages]


def content(store: Store, analysis: Analysis, pictures: Iterable[str]) -> Content:
    """What the report says; of `pictures` the names."""
    study, drawn = analysis.study, set(pictures)
    hidden = "-".join(map(str, study.network.hidden)) or "none"
    network = f"hidden layers {hidden}, {study.network.activation}; " if study.problem is None else ""
    final = f"Final {analysis.scores.where}{analysis.scores.primary.name}, run by run"
    answer = (Text(wording.verdict(analysis)), *([Points(said)] if (said := tuple(wording.remarks(analysis))) else []))
    sections = [
        Section(wording.mark(analysis).word, (*runs.state(store, analysis), *answer)),
        Section("Every claim with its test", evidence.claims(analysis)),
        Section("What was run", runs.what_was_run(store, analysis)),
        Section("Arms", runs.arms(analysis)),
        Section("Compared with the first arm: description", evidence.comparisons(analysis)),
        Section("Learning curves", runs.learning(analysis, drawn)),
        Section(final, runs.distribution(store, analysis, drawn)),
        Section("Steps to the target", evidence.steps(analysis, drawn)),
        Section("Where momentum's gain comes from", evidence.ladder(analysis, drawn)),
        Section("Tuning and sensitivity", tuning.tunings(analysis, drawn)),
        Section("Noise floor", evidence.noise(analysis)),
        Section("Confusion matrices", runs.confusions(analysis, drawn)),
        Section("Where the numbers come from", runs.sources(store, analysis)),
    ]
    labels = f"{study.data_name}: {cells.listed([arm.label for arm in study.arms], 4, ' · ')}"
    return Content(
        title=wording.question(analysis),
        subtitle=f"{labels}; {network}{study.steps:,} steps{analysis.batches}; {cells.counted(len(study.seeds), 'seed')}",
        sections=tuple(section for section in sections if section.blocks),
    )
