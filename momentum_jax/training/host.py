"""The host's side of one wave: it hands chunks of steps to the devices and looks after everything else in between."""

import signal
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from jax.sharding import Mesh

from momentum_jax.training.devices import on_all
from momentum_jax.training.loop import Evaluation, Run, RunState, Tables
from momentum_jax.training.opaque import is_key
from momentum_jax.training.problem import Examples
from momentum_jax.training.program import Programs
from momentum_jax.training.results import Progress, RunResult, WaveResult


class Placed(NamedTuple):
    """What one wave reads, on the devices of its mesh; the index arrays are None where there are no examples."""

    tables: Tables
    validation: jax.Array | None
    test: jax.Array | None


class Shared(NamedTuple):
    """What all waves of one mesh read: images and labels on its devices, the splits on the host."""

    mesh: Mesh
    images: jax.Array
    labels: jax.Array
    splits: Examples

    @classmethod
    def of(cls, data: Examples, mesh: Mesh) -> "Shared":
        """Copies images and labels to every device of the mesh."""
        images, labels = (jax.device_put(np.asarray(array), on_all(mesh)) for array in (data.images, data.labels))
        return cls(mesh, images, labels, data)


class Wave(NamedTuple):
    """Runs side by side. `runs` are their positions; `run` has a leading axis, filled up with copies of the last.

    rows: the row of the splits that each of `run` uses. On the devices are these alone, so that memory and programs do not
      depend on how many splits there are; `run.split` counts among them.
    """

    programs: Programs
    shared: Shared
    rows: np.ndarray
    runs: tuple[int, ...]
    run: Run
    steps: int
    evaluations: tuple[int, ...]

    def place(self) -> Placed:
        """What the wave reads, with its own splits copied to the devices."""

        def indices(array: Any) -> jax.Array:
            return jax.device_put(np.asarray(array)[self.rows].astype(np.int32), on_all(self.shared.mesh))

        data = self.shared.splits
        validation, test = (indices(each) if np.shape(each)[1] else None for each in (data.validation, data.test))
        return Placed(Tables(self.shared.images, self.shared.labels, indices(data.train)), validation, test)


class Curves(NamedTuple):
    """What was evaluated so far: steps done, losses and accuracies, each (runs in the wave,)."""

    steps: list[int]
    losses: list[np.ndarray]
    accuracies: list[np.ndarray]


class Saver(Protocol):
    """Keeps the state inside a wave (`checkpoint.WaveCheckpoints`)."""

    def restore(self, wave: Wave, state: RunState) -> tuple[int, RunState, Curves, float] | None: ...
    def save_if_due(self, wave: Wave, step: int, state: RunState, curves: Curves, seconds: float) -> None: ...
    def save(self, wave: Wave, step: int, state: RunState, curves: Curves, seconds: float) -> None: ...


class Interrupts:
    """Holds Ctrl-C back until `check`, so that it comes between chunks; a second one comes at once.

    Only in the main thread, and only where Python's own handler is in place: a program's own handler keeps its say.
    """

    def __init__(self) -> None:
        self._asked = False
        self._replaced = False

    def __enter__(self) -> "Interrupts":
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
    saver: Saver | None,
) -> WaveResult:
    """Trains one wave from its beginning, or from its checkpoint, to its results."""
    programs, run, placed = wave.programs, wave.run, wave.place()
    compiled_before = programs.compile_seconds
    reporter.report("compile", 0, None, always=True)
    state: RunState = programs.begin(run, programs.initialise(run))
    advance = programs.advance.prepare(run, state, placed.tables, np.int32(0), np.int32(0))
    step, curves, training, evaluating = 0, Curves([], [], []), 0.0, 0.0
    if saver is not None and (found := saver.restore(wave, state)) is not None:
        step, state, curves, training = found
    chunk = 1
    while True:
        if placed.validation is not None and step in wave.evaluations and step not in curves.steps:
            reporter.report("evaluate", step, state)
            evaluation, seconds = _evaluate(wave, state, placed.tables, placed.validation)
            _note(curves, step, evaluation)
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
        state = advance(run, state, placed.tables, np.int32(step), np.int32(last))
        jax.block_until_ready(state)
        seconds = time.perf_counter() - begun
        training += seconds
        reporter.rate((last - step) / seconds)
        # Grown slowly: the first steps are not the fastest, and a chunk that is too long cannot be interrupted.
        chunk = max(1, min(4 * chunk, int((last - step) / seconds * chunk_seconds)))
        step = last
    return _results(wave, placed, number, waves, state, curves, keep_params, training, evaluating, compiled_before)


def _evaluate(wave: Wave, state: RunState, tables: Tables, indices: jax.Array) -> tuple[Evaluation, float]:
    """The evaluation on the host, and the seconds that it took without compilation."""
    programs = wave.programs
    params = programs.readout(wave.run, state)
    evaluate = programs.evaluate.prepare(wave.run, params, state.model_state, tables, indices)
    begun = time.perf_counter()
    evaluation = jax.device_get(evaluate(wave.run, params, state.model_state, tables, indices))
    return evaluation, time.perf_counter() - begun


def _note(curves: Curves, step: int, evaluation: Evaluation) -> None:
    curves.steps.append(step)
    curves.losses.append(np.asarray(evaluation.loss))
    curves.accuracies.append(np.asarray(evaluation.accuracy))


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
    test = None
    programs, run = wave.programs, wave.run
    if placed.test is not None:
        test, seconds = _evaluate(wave, state, placed.tables, placed.test)
        evaluating += seconds
    kept = jax.device_get((programs.readout(run, state), state.model_state)) if keep_params else None
    state = state._replace(params=None, model_state=None, arrays=None, plan=None)
    state = jax.device_get(state)
    results = tuple(_result(wave, lane, state, curves, test, kept, training / len(wave.runs)) for lane in range(len(wave.runs)))
    return WaveResult(results, number, waves, training, evaluating, programs.compile_seconds - compiled_before)


def _result(wave: Wave, lane: int, state: Any, curves: Curves, test: Evaluation | None, kept: Any, seconds: float) -> RunResult:
    evaluated = np.shape(wave.shared.splits.validation)[1] > 0
    steps = np.array(wave.evaluations if evaluated else (), np.int32)
    losses, accuracies = (np.full(len(steps), np.nan, np.float32) for _ in range(2))
    for i in range(len(curves.steps)):
        losses[i], accuracies[i] = curves.losses[i][lane], curves.accuracies[i][lane]
    diverged = int(state.diverged[lane])
    last_losses = ([losses[-1]] if evaluated else []) + ([test.loss[lane]] if test is not None else [])
    if diverged < 0 and not np.all(np.isfinite(last_losses)):
        diverged = wave.steps
    if diverged >= 0:
        losses[steps > diverged] = np.nan
        accuracies[steps > diverged] = np.nan
    params, model_state = (None, None) if kept is None else jax.tree.map(lambda leaf: _of_lane(leaf, lane), kept)
    return RunResult(
        run=wave.runs[lane],
        losses=np.array(state.losses[lane]),
        evaluation_steps=steps,
        evaluation_losses=losses,
        evaluation_accuracies=accuracies,
        gradient_norms=np.array(state.gradient_norms[lane]) if state.gradient_norms.shape[1] else None,
        update_norms=np.array(state.update_norms[lane]) if state.update_norms.shape[1] else None,
        diverged=diverged,
        test_loss=float(test.loss[lane]) if test is not None else float("nan"),
        accuracy=float(test.accuracy[lane]) if test is not None else float("nan"),
        mcc=float(test.mcc[lane]) if test is not None else float("nan"),
        confusion=np.array(test.confusion[lane]) if test is not None else None,
        params=params,
        model_state=model_state,
        seconds=seconds,
    )


def _of_lane(leaf: Any, lane: int) -> Any:
    return leaf[lane] if is_key(leaf) else np.array(leaf[lane])
