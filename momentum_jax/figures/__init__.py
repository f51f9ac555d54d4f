"""Figures: they take results and return Matplotlib figures. The only place that imports Matplotlib."""

from momentum_jax.figures.compare import compare as compare
from momentum_jax.figures.report import of_study as of_study, report as report
from momentum_jax.figures.style import save as save
