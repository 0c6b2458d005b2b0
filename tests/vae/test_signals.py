"""vae/signals.py: a request to stop comes as one exception, at once or after what must not stop half-way."""

import os
import signal
import sys
import threading

import pytest

from vae.signals import STOPPING, Stopped, exit_code, finished, stoppable

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


@pytest.fixture(autouse=True)
def usual():
    """Signals as they are in a process that nobody told to ignore any."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *STOPPING)}
    for number in STOPPING:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_is_an_exception_with_its_exit_code(number):
    with pytest.raises(Stopped) as stop, stoppable():
        os.kill(os.getpid(), number)
    assert exit_code(stop.value) == 128 + number
    assert signal.getsignal(number) is signal.SIG_DFL
    assert exit_code(KeyboardInterrupt()) == 130


@pytest.mark.parametrize("number", [signal.SIGINT, *STOPPING])
def test_a_block_is_finished_first(number):
    done = []
    with pytest.raises(KeyboardInterrupt) as stop, stoppable():
        with finished():
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)
            done.append(1)
        done.append(2)
    assert done == [1]
    assert exit_code(stop.value) == 128 + number
    with stoppable(), pytest.raises(ZeroDivisionError), finished():  # an error comes first
        os.kill(os.getpid(), number)
        raise ZeroDivisionError


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda *where: None])
def test_what_others_do_with_signals_stays(handler):
    for number in STOPPING:
        signal.signal(number, handler)
    with stoppable(), finished():
        for number in STOPPING:
            os.kill(os.getpid(), number)
    assert [signal.getsignal(number) for number in STOPPING] == [handler] * len(STOPPING)


def test_threads_leave_signals_alone():
    def work():
        with stoppable(), finished():
            found.extend(signal.getsignal(number) for number in STOPPING)

    found = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.SIG_DFL] * len(STOPPING)
