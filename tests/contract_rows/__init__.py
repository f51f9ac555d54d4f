"""One row for every file in momentum_jax/optimizers: what the contract test has to know about a method.

A family's rows are in the file of its name.
"""

import importlib
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from contract_rows.adaptive import ADAPTIVE
from contract_rows.linear import LINEAR
from contract_rows.normalised import NORMALISED
from contract_rows.row import Row
from contract_rows.wrappers import WRAPPERS

ROWS = (*LINEAR, *ADAPTIVE, *NORMALISED, *WRAPPERS)

# One row of each file, the optimizer itself where there is one. The others, cores and variants of the same arithmetic, are
# tested by `pytest -m exhaustive`; an eighth of them is slow.
FIRST = tuple({row.file: row for row in sorted(ROWS, key=lambda row: (row.id == row.file, row.descends))}.values())


# Files whose states differ in build: one buffer and several, tuples, numbers of the whole tree, states within states.
UNLIKE = {
    "adam", "adaptive_restart", "aggregated_momentum", "fista", "heavy_ball", "lars", "momo", "muon", "nesterov", "per_layer",
    "quantized_state", "rmsprop", "sgd", "storm", "yellowfin",
}  # fmt: skip


def constructor_of(file: str) -> Callable[..., Any]:
    """The function that a file in momentum_jax/optimizers is named after, whose docstring has the equations."""
    named = {"learning_rate": "scale_by_learning_rate", "weight_decay": "add_weight_decay"}
    return getattr(importlib.import_module(f"momentum_jax.optimizers.{file}"), named.get(file, file))


def marks(row: Row) -> Any:
    return () if row in FIRST else _of_a_variant(row)


def _of_a_variant(row: Row) -> Any:
    return pytest.mark.exhaustive if zlib.crc32(row.id.encode()) % 8 else pytest.mark.slow


def rows(keep: Callable[[Row], bool] = lambda row: True, *, unlike: bool = False) -> list[Any]:
    """The rows to parametrise a contract test with.

    `unlike`: by default those of `UNLIKE` only, the others slow; no cores, which are links of their optimizers' chains.
    """
    return [
        pytest.param(row, id=row.id, marks=_of_a_variant(row) if unlike and row.file not in UNLIKE else marks(row))
        for row in ROWS
        if keep(row) and not (unlike and not row.descends and row not in FIRST)
    ]
