"""An atlas: many studies with one question, and what they say together.

plan.py       a TOML file that lists studies, each on axes of batch sizes and budgets: its cells
run.py        every cell as an ordinary study in a store of its own
findings.py   what the stores say, cell by cell and over all cells
"""

from momentum_jax.studies.atlas.findings import Cells as Cells, Finding as Finding, findings_in as findings_in
from momentum_jax.studies.atlas.plan import Atlas as Atlas, Cell as Cell, Entry as Entry
from momentum_jax.studies.atlas.run import run_atlas as run_atlas
