"""Figures: they take results and return Matplotlib figures. The only place that imports Matplotlib."""

from momentum_jax.figures.compare import compare
from momentum_jax.figures.report import of_study, report
from momentum_jax.figures.style import save

__all__ = ["compare", "of_study", "report", "save"]


def __dir__() -> list[str]:
    return sorted(__all__)
