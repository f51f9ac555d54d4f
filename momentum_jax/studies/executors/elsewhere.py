"""Runs trained by the workers of an executor. Here they are cut into chunks, submitted, and stored when they come back.

Decisions, all of them here and on this side alone:

- A chunk is of one program, so that a worker compiles once for it. The first comes back before the last is begun.
- What comes back is stored in whatever order it comes. A run that is stored already is not stored again.
- A chunk that does not come back was lost with its worker. It is submitted again, at most three times.
- A worker that refuses ends the command. So does a chunk that was lost too often. What came back before is stored.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from momentum_jax._text import cut, quoted
from momentum_jax.studies.bench import Bench
from momentum_jax.studies.errors import StudyError, StudyWarning
from momentum_jax.studies.executors.account import Whole, add_seconds, alike, keys_of, left_of, steps_of
from momentum_jax.studies.executors.message import Answer, Garbled, Order
from momentum_jax.studies.executors.worker import work
from momentum_jax.studies.jobs import Job
from momentum_jax.studies.own import PYTHON
from momentum_jax.studies.store import Store
from momentum_jax.studies.store.records import faults
from momentum_jax.studies.study import Study
from momentum_jax.training import Progress
from momentum_jax.training.host import Interrupts

MOST_LOSSES = 3
# Of the jobs of one program, on a CPU: what a lost worker costs, against how often a chunk is sent.
_CHUNKS, _MOST_RUNS = 8, 8
# An accelerator trains many runs side by side.
_MOST_LANES = 64
_SECONDS_BETWEEN_LOOKS = 0.2


def require_expressions(study: Study) -> None:
    """Raises `StudyError` where a worker could not make the problem or an arm from its text."""
    must = "run_study: executor needs problem and arms as expressions"
    if study.expression is not None and study.expression.origin == PYTHON:
        raise StudyError(f"{must}, got a Problem object.")
    for arm in study.arms:
        if arm.expression.origin == PYTHON:
            raise StudyError(f"{must}, got a Python function in arm {quoted(arm.label)}.")


@dataclass(frozen=True)
class Elsewhere:
    """`order` is what all chunks have in common."""

    executor: Executor
    bench: Bench
    order: Order

    @property
    def devices(self) -> int:
        """About how many workers there are: executors of the standard library say it, and so do Dask's."""
        client = getattr(self.executor, "_client", None)
        if client is not None:
            return max(1, sum(client.nthreads().values()))
        return max(1, getattr(self.executor, "_max_workers", 1))

    def work(self, store: Store, planned: Sequence[Job], whole: Whole, *, ahead: int) -> None:
        """Has the planned runs trained that are not stored; so many steps follow."""
        keys = keys_of(store, planned)
        left = left_of(store, planned, keys)
        total = steps_of(store, left)
        whole.begin(steps_of(store, planned) - total)
        whole.ahead = ahead
        _Round(self, store, keys, [_Chunk(jobs) for jobs in self._chunks(left)], whole, total).finish()
        whole.begin(total)

    def _chunks(self, left: Sequence[Job]) -> list[list[Job]]:
        groups: dict[Any, list[Job]] = {}
        for jobs in alike(left):
            settled = self.bench.settle([(job.expression, job.factors) for job in jobs])
            for job in jobs:
                groups.setdefault((repr(sorted(job.factors.items())), settled[job.expression].group), []).append(job)
        chunks = []
        on_a_cpu = self.bench.devices[0].platform == "cpu"
        for jobs in groups.values():
            size = min(_MOST_RUNS, -(-len(jobs) // _CHUNKS)) if on_a_cpu else _MOST_LANES
            chunks += [jobs[first : first + size] for first in range(0, len(jobs), size)]
        return chunks


@dataclass
class _Chunk:
    jobs: list[Job]
    losses: int = 0


@dataclass
class _Round:
    """The chunks of one phase of a study, until all of them have come back."""

    elsewhere: Elsewhere
    store: Store
    keys: dict[str, str]
    chunks: list[_Chunk]
    whole: Whole
    total: int
    _waiting: dict[Future[Any], _Chunk] = field(default_factory=dict)
    _begun: float = field(default_factory=time.perf_counter)
    _done: int = 0
    _came: int = 0

    def finish(self) -> None:
        if not self.chunks:
            return
        self._tell("compile", [])
        try:
            with Interrupts() as interrupts:
                for chunk in self.chunks:
                    self._submit(chunk)
                while self._waiting:
                    done, _ = wait(self._waiting, _SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED)
                    self._take(done)
                    interrupts.check()
        except (KeyboardInterrupt, StudyError):
            self._keep_finished()
            raise
        finally:
            for future in self._waiting:
                future.cancel()

    def _submit(self, chunk: _Chunk) -> None:
        order = self.elsewhere.order.for_jobs(chunk.jobs).text
        while True:
            try:
                self._waiting[self.elsewhere.executor.submit(work, order)] = chunk
                return
            except Exception as error:
                # A pool that has died takes nothing more.
                self._lose(chunk, error)

    def _take(self, done: set[Future[Any]]) -> None:
        """Stores what came back; then submits again what was lost, or ends the command."""
        lost: list[tuple[_Chunk, Exception]] = []
        refused: Answer | None = None
        for future in [each for each in self._waiting if each in done]:
            chunk = self._waiting.pop(future)
            try:
                answer = Answer.unpack(future.result())
            except Exception as error:
                lost.append((chunk, error))
                continue
            if answer.refused:
                refused = answer
                continue
            try:
                self._keep(chunk, answer)
            except Garbled as error:
                lost.append((chunk, error))
        if refused is not None:
            raise _with_notes(StudyError(refused.refused), refused.notes)
        for chunk, error in lost:
            self._lose(chunk, error)
            self._submit(chunk)

    def _keep_finished(self) -> None:
        """Before the command ends."""
        for future, chunk in self._waiting.items():
            if future.done():
                with contextlib.suppress(Garbled, CancelledError):
                    if future.exception() is None:
                        self._keep(chunk, Answer.unpack(future.result()))

    def _keep(self, chunk: _Chunk, answer: Answer) -> None:
        """Stores the rows of a chunk that are asked for and not stored. Raises `Garbled` where a run of it is still missing."""
        store, own = self.store, {job.name for job in chunk.jobs}
        stored = {run.name: run.key for run in store.runs}
        fresh = {run.name: (run, curves) for run, curves in answer.rows if stored.get(run.name) != run.key}
        for run, _ in fresh.values():
            if self.keys.get(run.name) != run.key or faults(run, store.scores, images=store.study.problem is None):
                raise Garbled(f"run {cut(run.name)} is not one that was asked for")
        if fresh:
            store.add([*fresh.values()])
            add_seconds(store, answer.seconds or {})
        if answer.canary != self.elsewhere.order.canary and not store.manifest.get("any_bits"):
            store.note(any_bits=True)
        left = left_of(store, chunk.jobs, self.keys)
        self._done += steps_of(store, chunk.jobs) - steps_of(store, left)
        chunk.jobs = left
        self._came += not chunk.jobs
        losses = [float(curves.train_loss[-1]) for name, (_, curves) in fresh.items() if name in own]
        self._tell("train", losses)
        if chunk.jobs:
            raise Garbled(f"run {cut(chunk.jobs[0].name)} is not in the answer")

    def _lose(self, chunk: _Chunk, error: Exception) -> None:
        """Notes that a chunk was lost. Raises `StudyError` at the fourth time."""
        # Dask submits again by itself where its scheduler is told so, and says how often.
        chunk.losses += 1 + getattr(error, "allowed_failures", 0)
        runs = f"{len(chunk.jobs)} run{'s' * (len(chunk.jobs) > 1)} (from {cut(chunk.jobs[0].name)} on)"
        reason = cut(f"{type(error).__name__}: {error}", 120)
        if chunk.losses > MOST_LOSSES:
            raise StudyError(
                f"{runs} did not come back {chunk.losses} times, the last time by {reason}; "
                f"what was finished is in {self.store.directory}, and the same command goes on."
            ) from error
        warnings.warn(
            f"{runs} did not come back ({reason}); submitted again, {chunk.losses} of {MOST_LOSSES} times.",
            StudyWarning,
            stacklevel=2,
        )

    def _tell(self, phase: str, losses: list[float]) -> None:
        spent = time.perf_counter() - self._begun
        rate = self._done / spent if self._done else 0.0
        self.whole(
            Progress(
                phase=phase,
                step=0,
                steps=self.store.study.steps,
                wave=max(0, self._came - 1),
                waves=len(self.chunks),
                runs=(),
                model_steps=self._done,
                total_model_steps=self.total,
                steps_per_second=rate,
                seconds_left=(self.total - self._done) / rate if rate else None,
                losses=np.array(losses, np.float32),
            )
        )


def _with_notes(error: StudyError, notes: Sequence[str]) -> StudyError:
    for note in notes:
        error.add_note(note)
    return error
