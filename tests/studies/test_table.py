"""The table of arms: what its caption says is so of every row."""

import dataclasses
import io

import pytest
from rich.console import Console

from momentum_jax.cli.table import print_table
from momentum_jax.studies.store import Store
from momentum_jax.studies.summary import summarize


@pytest.mark.parametrize(
    ("added", "run", "said", "counts"),
    [
        ((), 0, "over 3 seeds", []),
        ((3, 4), 0, "over 3 of 5 seeds", []),
        ((3, 4), 1, "over the runs of the row", ["4", "3"]),
    ],
    ids=["complete", "none of the added seeds has been run", "one arm has one of them"],
)
def test_the_table_says_over_how_many_runs_each_row_is(study, store, rows, added, run, said, counts):
    """As `study report` shows it while seeds are being added."""
    longer = dataclasses.replace(study, seeds=(*study.seeds, *added))
    store = Store.resume(store.directory, longer, store.manifest["environment"])
    store.add([(rows.run(study.arms[0].label, seed), rows.curves([1.0, 0.5])) for seed in added[:run]])
    console = Console(width=160, markup=False, file=(file := io.StringIO()))
    print_table(console, store, summarize(store))
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in file.getvalue().splitlines() if line.startswith("│")]
    assert said in file.getvalue()
    assert ("runs ┃" in file.getvalue()) == bool(counts)
    assert [row[-2] for row in cells] == counts or not counts
