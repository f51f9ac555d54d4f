"""Signals that end a command: heard as Ctrl-C where nobody else hears them, and left alone where somebody does."""

import os
import signal

import pytest

from momentum_jax.cli.signals import INTERRUPTED, heard_as_ctrl_c


@pytest.fixture
def handlers():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("sigint", [signal.default_int_handler, signal.SIG_IGN, signal.SIG_DFL])
def test_sigterm_interrupts_also_where_ctrl_c_is_ignored(handlers, sigint):
    signal.signal(signal.SIGINT, sigint)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with heard_as_ctrl_c() as ended:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        assert ended.code(INTERRUPTED) == 143
        assert ended.code(0) == 0
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_whoever_holds_ctrl_c_back_holds_these_back_too(handlers):
    heard = []
    signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with heard_as_ctrl_c():
        os.kill(os.getpid(), signal.SIGTERM)
    assert heard == [signal.SIGINT]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_is_ignored_or_handled_already_is_left_alone(handlers, number):
    signal.signal(number, signal.SIG_IGN)
    with heard_as_ctrl_c() as ended:
        os.kill(os.getpid(), number)
        assert signal.getsignal(number) is signal.SIG_IGN
    assert ended.code(INTERRUPTED) == INTERRUPTED
