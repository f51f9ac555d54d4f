"""What every executor keeps account of: which runs are left, how far the whole study is, and where the time went."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from momentum_jax.studies import jobs
from momentum_jax.studies.jobs import Job
from momentum_jax.studies.store import Store
from momentum_jax.training import Progress


def keys_of(store: Store, planned: Sequence[Job]) -> dict[str, str]:
    """The key of each job by its name."""
    keys = jobs.keys(store.study, store.manifest["environment"], planned)
    return {job.name: key for job, key in zip(planned, keys, strict=True)}


def left_of(store: Store, planned: Sequence[Job], keys: Mapping[str, str]) -> list[Job]:
    """The jobs whose runs are not stored."""
    stored = {run.name for run in store.runs if run.key == keys.get(run.name)}
    return [job for job in planned if job.name not in stored]


def alike(planned: Sequence[Job]) -> list[list[Job]]:
    """The jobs of one budget and one problem together: one program is for these."""
    found: dict[str, list[Job]] = {}
    for job in planned:
        found.setdefault(repr(sorted(job.factors.items())), []).append(job)
    return [*found.values()]


def steps_of(store: Store, planned: Sequence[Job]) -> int:
    """The steps of all these jobs."""
    return sum(len(jobs) * store.study.with_factors(jobs[0].factors).steps for jobs in alike(planned))


def add_seconds(store: Store, seconds: Mapping[str, float]) -> None:
    """Adds to where the time went, over all sessions of the study."""
    spent = store.manifest.get("seconds", {})
    store.note(seconds={name: round(spent.get(name, 0.0) + each, 3) for name, each in seconds.items()})


class Whole:
    """Tells of what is trained as a `part` of the whole study: steps that were done before it, and that are `ahead` of it."""

    def __init__(self, tell: Callable[[Progress], None] | None):
        self._tell, self._done, self.ahead, self.part = tell, 0, 0, ""

    def begin(self, done: int) -> None:
        """So many further steps are done."""
        self._done += done

    def __call__(self, progress: Progress) -> None:
        if self._tell is None:
            return
        done = progress.model_steps + self._done
        total = progress.total_model_steps + self._done + self.ahead
        left = (total - done) / progress.steps_per_second if progress.steps_per_second else None
        self._tell(replace(progress, model_steps=done, total_model_steps=total, seconds_left=left, part=self.part))
