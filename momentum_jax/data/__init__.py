"""Small labelled images: NAMES lists the data sets, `load` reads them; `fetch`, `verify`, `path` see to their files."""

from momentum_jax.data.datasets import Dataset, Split, load
from momentum_jax.data.download import fetch
from momentum_jax.data.errors import DataError
from momentum_jax.data.sources import NAMES, FileReport, path, verify

__all__ = ["NAMES", "DataError", "Dataset", "FileReport", "Split", "fetch", "load", "path", "verify"]


def __dir__() -> list[str]:
    return sorted(__all__)
