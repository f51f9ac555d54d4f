"""What ends a command from outside, SIGTERM or a terminal that was closed, is heard as Ctrl-C is."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

INTERRUPTED = 130


class Ended:
    """Which signal ended a command, if one did."""

    number: int | None = None

    def code(self, code: int) -> int:
        """The exit code of a command that would have had `code`: a shell's for the signal in the place of Ctrl-C's."""
        return 128 + self.number if self.number is not None and code == INTERRUPTED else code


@contextmanager
def heard_as_ctrl_c() -> Iterator[Ended]:
    """Only in the main thread, and only where nobody handles or ignores these signals."""
    ended = Ended()

    def interrupt(number: int, frame: Any) -> None:
        ended.number = number
        # Training holds Ctrl-C back until it can stop.
        handler = signal.getsignal(signal.SIGINT)
        if not callable(handler):
            raise KeyboardInterrupt
        handler(signal.SIGINT, frame)

    names = ("SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    is_main = threading.current_thread() is threading.main_thread()
    replaced = [number for number in numbers if is_main and signal.getsignal(number) is signal.SIG_DFL]
    for number in replaced:
        signal.signal(number, interrupt)
    try:
        yield ended
    finally:
        for number in replaced:
            signal.signal(number, signal.SIG_DFL)
