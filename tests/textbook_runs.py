"""The textbook's experiments at quick size, each run once in a process, whoever asks; nobody changes a result."""

import functools

from momentum_jax import textbook


@functools.cache
def quick_run(name: str) -> textbook.Result:
    return textbook.run(textbook.find(name), quick=True)
