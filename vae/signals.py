"""Signals that ask a command to stop: SIGTERM and SIGHUP raise what Ctrl-C raises."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from minigrad.interrupts import STOP_SIGNALS

TERMINATING = STOP_SIGNALS[1:]  # all but Ctrl-C, which has a handler


class Stopped(KeyboardInterrupt):
    """SIGTERM or SIGHUP arrived; the argument is the number of the signal."""


def exit_code(stop: KeyboardInterrupt) -> int:
    """128 and the number of the signal, as shells count."""
    return 128 + (stop.args[0] if isinstance(stop, Stopped) else signal.SIGINT)


@contextmanager
def raise_on_signals() -> Iterator[None]:
    """Within this block SIGTERM and SIGHUP raise Stopped, unless they are ignored (as after nohup) or handled."""
    in_main = threading.current_thread() is threading.main_thread()
    changed = [number for number in TERMINATING if in_main and signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped(number)
