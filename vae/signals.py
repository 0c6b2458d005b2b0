"""Signals that stop a command: SIGTERM and SIGHUP raise a KeyboardInterrupt, as Ctrl-C does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from minigrad.interrupts import STOP_SIGNALS

TERMINATING = STOP_SIGNALS[1:]  # all but SIGINT (Ctrl-C), which Python handles


class Stopped(KeyboardInterrupt):
    """SIGTERM or SIGHUP arrived; the argument is the number of the signal."""


def exit_code(stop: KeyboardInterrupt) -> int:
    """128 + the number of the signal, as in shells."""
    return 128 + (stop.args[0] if isinstance(stop, Stopped) else signal.SIGINT)


@contextmanager
def raise_on_signals() -> Iterator[None]:
    """Within this block SIGTERM and SIGHUP raise Stopped, unless they are ignored (as after nohup) or handled."""
    in_main = threading.current_thread() is threading.main_thread()
    changed = [number for number in TERMINATING if in_main and signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, _raise_stopped)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


def _raise_stopped(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped(number)
