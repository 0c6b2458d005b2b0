"""Signals that ask a command to stop: SIGTERM and SIGHUP raise what Ctrl-C raises, and all can be made to wait."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

STOPPING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Stopped(KeyboardInterrupt):
    """SIGTERM or SIGHUP arrived; the argument is the number of the signal."""


def exit_code(stop: KeyboardInterrupt) -> int:
    """128 and the number of the signal, as shells count."""
    return 128 + (stop.args[0] if isinstance(stop, Stopped) else signal.SIGINT)


@contextmanager
def stoppable() -> Iterator[None]:
    """Within this block SIGTERM and SIGHUP raise Stopped, unless they are ignored (as after nohup) or handled."""
    usual = [number for number in STOPPING if signal.getsignal(number) is signal.SIG_DFL] if _in_main() else []
    for number in usual:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number in usual:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def finished() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP wait for the end of this block: what is done in place must not stop half-way."""
    asked: list[Any] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, *STOPPING)} if _in_main() else {}
    usual = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in usual:
        signal.signal(number, lambda *where: asked.append(where))
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
    if asked:  # not reached after an error in the block, which is raised instead
        usual[asked[0][0]](*asked[0])


def _in_main() -> bool:
    return threading.current_thread() is threading.main_thread()


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped(number)
