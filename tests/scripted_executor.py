"""An executor whose workers do what a test says: they answer twice, late, half, garbled or never."""

import math
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from momentum_jax.studies.executors.worker import work

# What was answered before: tests of the coordinator need no second training.
_ANSWERS: dict[str, tuple[str, bytes]] = {}


def answer_to(order: str) -> tuple[str, bytes]:
    if order not in _ANSWERS:
        _ANSWERS[order] = work(order)
    return _ANSWERS[order]


class Scripted(Executor):
    """`script(before, order)` gives what a call returns, or raises; the order came so often before.

    `seconds(number)` says how long the call of that number takes; it may be infinite.
    """

    def __init__(self, script: Callable[[int, str], Any], seconds: Callable[[int], float] | None = None):
        self.script, self.seconds = script, seconds
        self.orders, self.futures = [], []

    def submit(self, function, /, *arguments, **keywords):
        (order,) = arguments
        number, before, future = len(self.orders), self.orders.count(order), Future()
        self.orders.append(order)
        self.futures.append(future)

        def answer() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(self.script(before, order))
            except Exception as error:
                future.set_exception(error)

        if self.seconds is None:
            answer()
        elif math.isfinite(self.seconds(number)):
            threading.Timer(self.seconds(number), answer).start()
        return future
