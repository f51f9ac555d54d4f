"""How a study is run again, in words."""

from __future__ import annotations

from momentum_jax.studies import own
from momentum_jax.studies.study import Study

FILE = "study.toml"
SOURCES = (
    "Every number comes from runs.jsonl (one line a run) and curves.npz; report.json has them unrounded. Point at a number, or "
    "tab to it, to see its runs."
)


def take(study: Study) -> str:
    """What to do with the text below."""
    written = (study.problem or "", *(arm.optimizer for arm in study.arms))
    if any(text.startswith(f"{own.PYTHON}:") for text in written):
        return "Parts of this study were given in Python: run that program again, with the study that this text describes."
    return f"Save this as {FILE} and run the command. Run again, it goes on where it was stopped."
