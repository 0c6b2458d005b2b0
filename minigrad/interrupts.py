"""Signals that ask a process to stop wait for the end of work that must not be left half-done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

CTRL_C = (signal.SIGINT,)
STOP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def defer_signals(numbers: Sequence[int] = STOP_SIGNALS) -> Iterator[Callable[[], None]]:
    """Signals of these numbers wait until the block ends, or until it calls the yielded function.

    Only in the main thread, where Python runs signal handlers, and only signals with a handler in Python: those that
    are ignored, or that end the process, stay as they are. An error in the block goes before signals that arrived.
    """
    usual = _handlers(numbers)
    arrived: list[tuple[int, FrameType | None]] = []

    def deliver() -> None:
        while arrived:
            number, frame = arrived.pop(0)
            usual[number](number, frame)

    for number in usual:
        signal.signal(number, lambda *signal_and_frame: arrived.append(signal_and_frame))
    try:
        yield deliver
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
    deliver()


def _handlers(numbers: Sequence[int]) -> dict[int, Callable[[int, FrameType | None], object]]:
    """The handlers in Python of these signals, by number; none outside of the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    handlers = {number: signal.getsignal(number) for number in numbers}
    return {number: handler for number, handler in handlers.items() if callable(handler)}
