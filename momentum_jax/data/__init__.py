"""Small labelled images: NAMES lists the data sets, `load` reads them; `fetch`, `verify`, `path` see to their files."""

from momentum_jax.data.datasets import Dataset as Dataset, Split as Split, load as load
from momentum_jax.data.download import fetch as fetch
from momentum_jax.data.errors import DataError as DataError
from momentum_jax.data.sources import NAMES as NAMES, FileReport as FileReport, path as path, verify as verify
