"""How far a study is: a bar in a terminal, plain lines elsewhere. Both on stderr."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress as Bar, TextColumn, TimeElapsedColumn

from momentum_jax.training import Progress

SECONDS_BETWEEN_LINES = 5.0


class Reporter:
    """A context manager to call with the trainer's `Progress`."""

    def __init__(self, console: Console):
        self.console = console
        self.compiling = 0.0
        self._bar: Bar | None = None
        self._task = None
        self._last_line = -SECONDS_BETWEEN_LINES

    def __enter__(self) -> Reporter:
        if self.console.is_terminal:
            self._bar = Bar(
                TextColumn("{task.description:<12}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("steps  {task.fields[speed]}  {task.fields[left]}"),
                TimeElapsedColumn(),
                console=self.console,
                transient=True,
            )
            self._task = self._bar.add_task("preparing", total=None, speed="", left="")
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task,
                description="compiling" if progress.phase == "compile" else progress.part or "training",
                completed=progress.model_steps,
                total=progress.total_model_steps,
                speed=_speed(progress),
                left=_left(progress),
            )
            return
        now = time.monotonic()
        if progress.phase == "train" and now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            said = [
                f"{progress.model_steps / progress.total_model_steps:4.0%}  {progress.part or 'training'}",
                f"wave {progress.wave + 1} of {progress.waves}",
                f"{progress.model_steps:,} of {progress.total_model_steps:,} steps",
                _speed(progress),
                _left(progress),
            ]
            self.console.print(", ".join(filter(None, said)), highlight=False)


def _speed(progress: Progress) -> str:
    return f"{progress.steps_per_second:,.0f} steps/s" if progress.steps_per_second else ""


def _left(progress: Progress) -> str:
    if progress.seconds_left is None or not 0 <= progress.seconds_left < float("inf"):
        return ""
    minutes, seconds = divmod(round(progress.seconds_left), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02} left" if minutes >= 60 else f"{minutes}:{seconds:02} left"
