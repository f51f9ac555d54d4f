"""What is said before a study runs: its runs, about how long they take and how much disk, and what it cannot answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from momentum_jax.studies import Study
from momentum_jax.studies.outlook import Outlook, in_bytes, in_time


def teller(messages: Console, study: Study, directory: Path) -> Callable[[Outlook], None]:
    """A function that says the outlook of a study, for `run_study`."""

    def tell(outlook: Outlook) -> None:
        for line in sentences(study, outlook, directory):
            messages.print(f"momentum-jax: {line}", highlight=False, soft_wrap=True)

    return tell


def sentences(study: Study, outlook: Outlook, directory: Path) -> list[str]:
    """One on the runs and what they take, and the cautions; none where everything is stored."""
    if not outlook.left:
        return []
    plan = f"{_counted(outlook.reporting, 'run')} of {study.steps:,} steps"
    if outlook.tuning:
        plan = (
            f"tunes {_counted(len(study.tuned), 'arm')} by {_counted(study.search.trials, 'trial')} of each from "
            f"{_counted(len(study.search.seeds), 'seed')}, {_counted(outlook.tuning, 'run')}, then makes {plan}"
        )
    if outlook.stored:
        plan += f"; {outlook.stored:,} of {outlook.tuning + outlook.reporting:,} are stored"
    about = "at most about" if outlook.is_bound else "about"
    time = "seconds" if outlook.seconds is None else f"{about} {in_time(outlook.seconds)}"
    takes = f"Once compiled, that takes {time} on {_counted(outlook.devices, 'device')}"
    return [f"{plan}. {takes}; {in_bytes(outlook.bytes)} in {directory}.", *outlook.cautions]


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"
