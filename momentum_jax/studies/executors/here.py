"""Runs trained in this process, on all of its devices, wave by wave into the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from momentum_jax.studies.bench import Bench, rows_of, seconds_of
from momentum_jax.studies.executors.account import Whole, add_seconds, alike, keys_of, left_of, steps_of
from momentum_jax.studies.jobs import TUNING, Job
from momentum_jax.studies.store import UNFINISHED, Store
from momentum_jax.training import WaveResult

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Here:
    """`checkpoints` and `checkpoint_seconds` are those of `run_study`."""

    bench: Bench
    checkpoints: bool
    checkpoint_seconds: float

    @property
    def devices(self) -> int:
        return len(self.bench.devices)

    def work(self, store: Store, planned: Sequence[Job], whole: Whole, *, ahead: int) -> None:
        """Trains the planned runs that are not stored; so many steps follow."""
        keys = keys_of(store, planned)
        left = left_of(store, planned, keys)
        whole.begin(steps_of(store, planned) - steps_of(store, left))
        behind = steps_of(store, left)
        for pending in alike(left):
            steps = steps_of(store, pending)
            behind -= steps
            whole.ahead = ahead + behind
            keep_params = self.checkpoints and pending[0].phase != TUNING
            self.bench.train(
                pending,
                _Recorder(store, pending, keys, keep_params),
                on_progress=whole,
                keep_params=keep_params,
                checkpoint=store.directory / UNFINISHED,
                checkpoint_seconds=self.checkpoint_seconds,
            )
            whole.begin(steps)


@dataclass(frozen=True)
class _Recorder:
    """Stores each finished wave."""

    store: Store
    pending: Sequence[Job]
    keys: Mapping[str, str]
    checkpoints: bool

    def __call__(self, wave: WaveResult) -> None:
        rows = rows_of(wave, self.pending, self.keys)
        if self.checkpoints:
            # Orbax takes seconds to import, and only this needs it.
            from momentum_jax.training.checkpoint import save_params

            for (run, _), result in zip(rows, wave.runs, strict=True):
                path = self.store.directory / CHECKPOINTS / run.name
                save_params(path, result.params, overwrite=True)
                self.store.note(files=[file for file in path.rglob("*") if not file.is_dir()])
        self.store.add(rows)
        add_seconds(self.store, seconds_of(wave))
