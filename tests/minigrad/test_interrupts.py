"""minigrad/interrupts.py: signals are deferred to the end of a critical block, and then handled as usual."""

import os
import signal
import sys
import threading

import pytest

from minigrad.interrupts import CTRL_C, STOP_SIGNALS, defer_signals

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


class Asked(Exception):
    """Raised by the signal handler of these tests with the number of the signal."""


def ask(number, frame):
    raise Asked(number)


@pytest.fixture
def handle():
    """Sets the handler of every signal that stops a process, until the test ends."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield lambda handler: [signal.signal(number, handler) for number in STOP_SIGNALS]
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_waits_for_the_end_of_the_block(handle, number):
    handle(ask)
    done = []
    with pytest.raises(Asked) as asked:
        with defer_signals():
            send(number)
            send(number)
            done.append(1)
        done.append(2)
    assert (done, asked.value.args) == ([1], (number,))
    assert [signal.getsignal(n) for n in STOP_SIGNALS] == [ask] * len(STOP_SIGNALS)


def test_an_error_in_the_block_takes_precedence(handle):
    handle(ask)
    with pytest.raises(ZeroDivisionError), defer_signals():
        send(signal.SIGTERM)
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGTERM) is ask


def test_a_block_chooses_when_signals_are_delivered(handle):
    handle(ask)
    done = []
    with pytest.raises(Asked), defer_signals() as deliver:
        deliver()
        done.append(1)
        send(signal.SIGINT)
        done.append(2)
        deliver()
        done.append(3)
    assert done == [1, 2]


def test_deferred_signals_are_handled_in_order(handle):
    seen = []
    handle(lambda number, frame: seen.append(number))
    with defer_signals() as deliver:
        for number in STOP_SIGNALS:
            send(number)
        assert seen == []
        deliver()
        assert seen == list(STOP_SIGNALS)
        send(signal.SIGTERM)
    assert seen == [*STOP_SIGNALS, signal.SIGTERM]


def test_nested_blocks_defer_to_the_outermost(handle):
    handle(ask)
    done = []
    with pytest.raises(Asked), defer_signals():
        with defer_signals(CTRL_C) as deliver:
            send(signal.SIGINT)
            deliver()
            done.append(1)
        done.append(2)
    assert done == [1, 2]


def test_other_signals_are_not_deferred(handle):
    handle(ask)
    done = []
    with pytest.raises(Asked), defer_signals(CTRL_C):
        send(signal.SIGTERM)
        done.append(1)
    assert done == []


def test_ignored_signals_stay_ignored(handle):
    handle(signal.SIG_IGN)
    with defer_signals():
        assert [signal.getsignal(number) for number in STOP_SIGNALS] == [signal.SIG_IGN] * len(STOP_SIGNALS)
        for number in STOP_SIGNALS:
            send(number)


def test_other_threads_do_not_change_handlers(handle):
    handle(ask)
    found = []

    def work():
        with defer_signals() as deliver:
            deliver()
            found.extend(signal.getsignal(number) for number in STOP_SIGNALS)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [ask] * len(STOP_SIGNALS)
