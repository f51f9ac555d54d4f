"""An atlas: many studies with one question, and what they say together.

plan.py       a TOML file that lists studies, each on axes of batch sizes and budgets: its cells
run.py        every cell as an ordinary study in a store of its own
findings.py   what the stores say, cell by cell and over all cells
"""

from momentum_jax.studies.atlas.findings import Cells, Finding, findings_in
from momentum_jax.studies.atlas.plan import Atlas, Cell, Entry
from momentum_jax.studies.atlas.run import run_atlas

__all__ = ["Atlas", "Cell", "Cells", "Entry", "Finding", "findings_in", "run_atlas"]
