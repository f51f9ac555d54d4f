"""The host's side of one wave: it hands chunks of steps to the devices and looks after everything else in between."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from momentum_jax.training.blocks import Blocks, alike
from momentum_jax.training.devices import on_all, on_each
from momentum_jax.training.loop import Run, RunState, Tables
from momentum_jax.training.opaque import is_key
from momentum_jax.training.problem import Stream, Table
from momentum_jax.training.program import Programs
from momentum_jax.training.results import Progress, RunResult, WaveResult
from momentum_jax.training.users import UserFunction

if TYPE_CHECKING:
    from momentum_jax.training.checkpoint import WaveCheckpoints


class Placed(NamedTuple):
    """What one wave reads, on the devices of its mesh. `sets` are what is evaluated, by name, as indices.

    Without data there is one set, "validation", and no indices: None. The sets of a stream are its functions, its tables are
    shapes alone, and `blocks` has those of each step.
    """

    tables: Tables
    sets: dict[str, Any]
    blocks: Blocks | None = None


class Shared(NamedTuple):
    """What all waves of one mesh read: the arrays of a table on its devices, the parts of its splits on the host.

    seeds: of the splits, in the order of the rows of each part. stream: the data where they are one.
    """

    mesh: Mesh
    arrays: Any
    parts: Mapping[str, np.ndarray] | None
    seeds: np.ndarray
    stream: Stream | None

    @classmethod
    def of(cls, data: Table | Stream | None, parts: Mapping[str, np.ndarray] | None, seeds: np.ndarray, mesh: Mesh) -> Shared:
        """Copies the arrays of a table to every device of the mesh."""
        arrays = data.arrays if isinstance(data, Table) else None
        placed = jax.tree.map(lambda array: jax.device_put(_plain(array), on_all(mesh)), arrays)
        return cls(mesh, placed, parts, seeds, data if isinstance(data, Stream) else None)


class Wave(NamedTuple):
    """Runs side by side. `runs` are their positions; `run` has a leading axis, filled up with copies of the last.

    rows: the row of the parts that each of `run` uses. On the devices are these alone, so that memory and programs do not
      depend on how many splits there are; `run.split` counts among them.
    """

    programs: Programs
    shared: Shared
    rows: np.ndarray
    runs: tuple[int, ...]
    run: Run
    steps: int
    evaluations: tuple[int, ...]

    def announce(self) -> None:
        """Begins to compile for a wave whose turn is still to come. A stream is not asked for batches so early."""
        if self.programs.advance.is_new and self.shared.stream is None:
            placed = self.place()
            self.programs.announce(self.run, placed.tables, placed.sets.values())

    def place(self) -> Placed:
        """What the wave reads, with its own splits copied to the devices."""
        if (stream := self.shared.stream) is not None:
            train = UserFunction("train of the stream", stream.train)
            blocks = Blocks(train, self.shared.seeds[self.rows].tolist(), self.steps, self.shared.mesh)
            sets = {"validation": stream.validation, "test": stream.test}
            return Placed(blocks.shapes, {part: each for part, each in sets.items() if each is not None}, blocks)
        if self.shared.parts is None:
            return Placed(Tables(None, None), {"validation": None})
        indices = {
            part: jax.device_put(rows[self.rows].astype(np.int32), on_all(self.shared.mesh))
            for part, rows in self.shared.parts.items()
            if rows.shape[1]
        }
        train = indices.pop("train")
        return Placed(Tables(self.shared.arrays, train), indices)


class Curves(NamedTuple):
    """What was evaluated so far: steps done, and for each its scores, (runs in the wave,); kept ones at the last step alone."""

    steps: list[int]
    scores: list[dict[str, np.ndarray]]


class Interrupts:
    """Holds Ctrl-C back until `check`, so that it comes between chunks; a second one comes at once.

    Only in the main thread, and only where Python's own handler is in place: a program's own handler keeps its say.
    """

    def __init__(self) -> None:
        self._asked = False
        self._replaced = False

    def __enter__(self) -> Interrupts:
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            signal.signal(signal.SIGINT, self._note)
            self._replaced = True
        return self

    def __exit__(self, *_: Any) -> None:
        if self._replaced:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def check(self) -> None:
        """Raises KeyboardInterrupt if Ctrl-C was pressed since the last time."""
        if self._asked:
            self._asked = False
            raise KeyboardInterrupt

    def _note(self, *_: Any) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True


class Reporter:
    """Tells `on_progress` where the work is, ten times a second at most."""

    def __init__(self, on_progress: Callable[[Progress], None] | None, waves: list[Wave], chunk_seconds: float):
        self._tell, self._waves = on_progress, waves
        self._pause = min(0.1, chunk_seconds)
        self._total = sum(len(wave.runs) * wave.steps for wave in waves)
        self._before, self._number, self._rate, self._last = 0, 0, 0.0, 0.0

    def begin(self, number: int) -> None:
        """The wave of that number begins."""
        self._number = number

    def end(self) -> None:
        """The wave is finished and handed out."""
        wave = self._waves[self._number]
        self.report("done", wave.steps, None, always=True)
        self._before += len(wave.runs) * wave.steps

    def rate(self, steps_per_second: float) -> None:
        """What the last chunk took, in steps of one run per second."""
        self._rate = steps_per_second * len(self._waves[self._number].runs)

    def report(self, phase: str, step: int, state: RunState | None, *, always: bool = False) -> None:
        """Calls `on_progress` if it is time, or `always`."""
        now = time.perf_counter()
        if self._tell is None or not (always or now - self._last >= self._pause):
            return
        self._last = now
        wave = self._waves[self._number]
        done = self._before + step * len(wave.runs)
        losses = np.full(len(wave.runs), np.nan, np.float32)
        if state is not None and step:
            losses = np.asarray(jax.lax.dynamic_index_in_dim(state.losses, np.int32(step - 1), 1, False))[: len(wave.runs)]
        self._tell(
            Progress(
                phase=phase,
                step=step,
                steps=wave.steps,
                wave=self._number,
                waves=len(self._waves),
                runs=wave.runs,
                model_steps=done,
                total_model_steps=self._total,
                steps_per_second=self._rate,
                seconds_left=(self._total - done) / self._rate if self._rate else None,
                losses=losses,
            )
        )


def train_wave(
    wave: Wave,
    number: int,
    waves: int,
    chunk_seconds: float,
    keep_params: bool,
    reporter: Reporter,
    interrupts: Interrupts,
    saver: WaveCheckpoints | None,
) -> WaveResult:
    """Trains one wave from its beginning, or from its checkpoint, to its results."""
    placed = wave.place()
    with contextlib.closing(placed.blocks) if placed.blocks is not None else contextlib.nullcontext():
        return _train_placed(wave, placed, number, waves, chunk_seconds, keep_params, reporter, interrupts, saver)


def _train_placed(
    wave: Wave,
    placed: Placed,
    number: int,
    waves: int,
    chunk_seconds: float,
    keep_params: bool,
    reporter: Reporter,
    interrupts: Interrupts,
    saver: WaveCheckpoints | None,
) -> WaveResult:
    programs, run, blocks = wave.programs, wave.run, placed.blocks
    compiled_before = programs.compile_seconds
    reporter.report("compile", 0, None, always=True)
    # A stream's evaluation is known when its batches are.
    programs.announce(run, placed.tables, placed.sets.values() if blocks is None else ())
    state: RunState = programs.begin(run, programs.initialise(run.bare))
    advance = programs.advance.prepare(run, state, placed.tables, np.int32(0), np.int32(0))
    step, curves, training, evaluating = 0, Curves([], []), 0.0, 0.0
    if saver is not None and (found := saver.restore(wave, state)) is not None:
        step, state, curves, training = found
    chunk = 1
    while True:
        if "validation" in placed.sets and step in wave.evaluations and step not in curves.steps:
            reporter.report("evaluate", step, state)
            scores, seconds = _evaluate(wave, state, placed, "validation")
            _note(wave, curves, step, scores)
            evaluating += seconds
        reporter.report("train", step, state)
        try:
            interrupts.check()
        except KeyboardInterrupt:
            if saver is not None:
                saver.save(wave, step, state, curves, training)
            raise
        if step == wave.steps or np.all(np.asarray(state.diverged) >= 0):
            break
        if saver is not None:
            saver.save_if_due(wave, step, state, curves, training)
        last = min(step + chunk, min(mark for mark in wave.evaluations if mark > step))
        begun = time.perf_counter()
        tables = placed.tables
        if blocks is not None:
            tables, last = blocks.tables(step), min(last, blocks.end(step))
        state = advance(run, state, tables, np.int32(step), np.int32(last))
        jax.block_until_ready(state)
        seconds = time.perf_counter() - begun
        training += seconds
        reporter.rate((last - step) / seconds)
        # Grown slowly: the first steps are not the fastest, and a chunk that is too long cannot be interrupted.
        chunk = max(1, min(4 * chunk, int((last - step) / seconds * chunk_seconds)))
        step = last
    return _results(wave, placed, number, waves, state, curves, keep_params, training, evaluating, compiled_before)


def _evaluate(wave: Wave, state: RunState, placed: Placed, which: str) -> tuple[dict[str, np.ndarray], float]:
    """The scores on the host, and the seconds that they took without compilation."""
    programs, indices = wave.programs, placed.sets[which]
    params = programs.readout(wave.run, state)
    if placed.blocks is not None:
        return _evaluate_stream(wave, params, state.model_state, which, UserFunction(f"{which} of the stream", indices))
    evaluate = programs.evaluate.prepare(wave.run.bare, params, state.model_state, placed.tables, indices)
    begun = time.perf_counter()
    found = jax.device_get(evaluate(wave.run.bare, params, state.model_state, placed.tables, indices))
    # A program sorts them by name.
    return {name: found[name] for name in programs.scores}, time.perf_counter() - begun


def _evaluate_stream(
    wave: Wave, params: Any, model_state: Any, which: str, batches: Any
) -> tuple[dict[str, np.ndarray], float]:
    """The same batch by batch; what was measured is put together on the host, and the scores see all of it."""
    programs, mesh = wave.programs, wave.shared.mesh
    begun, compiled = time.perf_counter(), programs.compile_seconds
    measured, width = [], 0
    for batch in alike(which, batches()):
        size = len(jax.tree.leaves(batch)[0])
        width = width or size
        # A last batch that is smaller is filled up with copies of a row, which are cut off again.
        places = np.minimum(np.arange(max(size, width)), size - 1)
        filled = jax.device_put(jax.tree.map(lambda each, rows=places: np.asarray(each)[rows], batch), on_all(mesh))
        values = jax.device_get(programs.measure(wave.run.bare, params, model_state, filled))
        measured.append(jax.tree.map(lambda each, size=size: each[:, :size], values))
    values = jax.tree.map(lambda *each: np.concatenate(each, axis=1), *measured)
    found = jax.device_get(programs.score(jax.device_put(values, on_each(mesh))))
    seconds = time.perf_counter() - begun - (programs.compile_seconds - compiled)
    return {name: found[name] for name in programs.scores}, seconds


def _note(wave: Wave, curves: Curves, step: int, scores: dict[str, np.ndarray]) -> None:
    if curves.scores:
        curves.scores[-1] = {name: value for name, value in curves.scores[-1].items() if name in wave.programs.ranked}
    curves.steps.append(step)
    curves.scores.append(scores)


def _results(
    wave: Wave,
    placed: Placed,
    number: int,
    waves: int,
    state: RunState,
    curves: Curves,
    keep_params: bool,
    training: float,
    evaluating: float,
    compiled_before: float,
) -> WaveResult:
    test = {}
    programs, run = wave.programs, wave.run
    if "test" in placed.sets:
        test, seconds = _evaluate(wave, state, placed, "test")
        evaluating += seconds
    kept = jax.device_get((programs.readout(run, state), state.model_state)) if keep_params else None
    state = state._replace(params=None, model_state=None, arrays=None, plan=None)
    state = jax.device_get(state)
    steps = np.array(wave.evaluations if "validation" in placed.sets else (), np.int32)
    lanes = range(len(wave.runs))
    results = tuple(_result(wave, lane, state, steps, curves, test, kept, training / len(wave.runs)) for lane in lanes)
    return WaveResult(results, number, waves, training, evaluating, programs.compile_seconds - compiled_before)


def _result(
    wave: Wave,
    lane: int,
    state: Any,
    steps: np.ndarray,
    curves: Curves,
    test: dict[str, np.ndarray],
    kept: Any,
    seconds: float,
) -> RunResult:
    ranked = wave.programs.ranked
    validation = {name: np.full(len(steps), np.nan, np.float32) for name in ranked}
    for i, scores in enumerate(curves.scores):
        for name in ranked:
            validation[name][i] = scores[name][lane]
    diverged = int(state.diverged[lane])
    last = [each[-1] for each in validation.values() if len(steps)] + [test[name][lane] for name in ranked if test]
    if diverged < 0 and not np.all(np.isfinite(last)):
        diverged = wave.steps
    if diverged >= 0:
        for curve in validation.values():
            curve[steps > diverged] = np.nan
    final = curves.scores[-1] if curves.scores else {}
    params, model_state = (None, None) if kept is None else jax.tree.map(lambda leaf: _of_lane(leaf, lane), kept)
    return RunResult(
        run=wave.runs[lane],
        losses=np.array(state.losses[lane]),
        evaluation_steps=steps,
        validation=validation,
        validation_kept={name: np.array(value[lane]) for name, value in final.items() if name not in ranked},
        test={name: np.array(value[lane]) for name, value in test.items()},
        gradient_norms=np.array(state.gradient_norms[lane]) if state.gradient_norms.shape[1] else None,
        update_norms=np.array(state.update_norms[lane]) if state.update_norms.shape[1] else None,
        diverged=diverged,
        params=params,
        model_state=model_state,
        seconds=seconds,
        # An optimizer is at least one method.
        hyperparameters=jax.tree.map(lambda each: np.array(each[lane]), state.hyperparameters) or None,
    )


def _plain(array: Any) -> Any:
    return array if isinstance(array, jax.Array) else np.asarray(array)


def _of_lane(leaf: Any, lane: int) -> Any:
    return leaf[lane] if is_key(leaf) else np.array(leaf[lane])
