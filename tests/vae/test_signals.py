"""vae/signals.py: SIGTERM and SIGHUP raise what Ctrl-C raises, at once or after a block that defers signals."""

import os
import signal
import sys
import threading

import pytest

from minigrad.interrupts import defer_signals
from vae.signals import TERMINATING, Stopped, exit_code, raise_on_signals

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


@pytest.fixture(autouse=True)
def default_handlers():
    """Python's default handlers, as in a process that ignores no signal."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *TERMINATING)}
    for number in TERMINATING:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", TERMINATING)
def test_a_signal_raises_an_exception_with_its_exit_code(number):
    with pytest.raises(Stopped) as stop, raise_on_signals():
        os.kill(os.getpid(), number)
    assert exit_code(stop.value) == 128 + number
    assert signal.getsignal(number) is signal.SIG_DFL
    assert exit_code(KeyboardInterrupt()) == 130


@pytest.mark.parametrize("number", [signal.SIGINT, *TERMINATING])
def test_a_deferred_block_finishes_first(number):
    done = []
    with pytest.raises(KeyboardInterrupt) as stop, raise_on_signals():
        with defer_signals():
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)
            done.append(1)
        done.append(2)
    assert done == [1]
    assert exit_code(stop.value) == 128 + number
    with (
        raise_on_signals(),
        pytest.raises(ZeroDivisionError),
        defer_signals(),
    ):  # an error in the block wins
        os.kill(os.getpid(), number)
        raise ZeroDivisionError


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda *where: None])
def test_existing_handlers_are_kept(handler):
    for number in TERMINATING:
        signal.signal(number, handler)
    with raise_on_signals(), defer_signals():
        for number in TERMINATING:
            os.kill(os.getpid(), number)
    assert [signal.getsignal(number) for number in TERMINATING] == [handler] * len(TERMINATING)


def test_threads_leave_signals_alone():
    def work():
        with raise_on_signals(), defer_signals():
            found.extend(signal.getsignal(number) for number in TERMINATING)

    found = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.SIG_DFL] * len(TERMINATING)
