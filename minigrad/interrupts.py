"""Deferring the signals that stop a process until work that must not be interrupted is complete."""

from __future__ import annotations

import _signal  # the same functions without enums, which take ten times as long, in every run of a program
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

CTRL_C = (signal.SIGINT,)
STOP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def defer_signals(numbers: Sequence[int] = STOP_SIGNALS) -> Iterator[Callable[[], None]]:
    """Defer signals with these numbers until the block ends, or until it calls the yielded function.

    This affects only the main thread, where Python runs signal handlers, and only signals that have a Python handler,
    not those that are ignored or end the process. If the block raises an error, deferred signals are dropped.
    """
    original = _handlers(numbers)
    arrived: list[tuple[int, FrameType | None]] = []

    def deliver() -> None:
        while arrived:
            number, frame = arrived.pop(0)
            original[number](number, frame)

    for number in original:
        _signal.signal(number, lambda *signal_and_frame: arrived.append(signal_and_frame))
    try:
        yield deliver
    finally:
        for number, handler in original.items():
            _signal.signal(number, handler)
    deliver()


def _handlers(numbers: Sequence[int]) -> dict[int, Callable[[int, FrameType | None], object]]:
    """The Python handlers of these signals, by number; empty outside of the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    handlers = {number: _signal.getsignal(number) for number in numbers}
    return {number: handler for number, handler in handlers.items() if callable(handler)}
