"""Threads: run some tasks at once, with the BLAS library on one thread each while they do."""

from __future__ import annotations

import contextvars
import functools
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any

from threadpoolctl import ThreadpoolController


@functools.cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


class _SingleBlas:
    """Context manager: the BLAS library on one thread while anybody is inside, for it is set for the whole process."""

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._limit = _controller().limit(limits=1, user_api="blas")
            self._inside += 1

    def __exit__(self, *error: Any) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._limit.restore_original_limits()

    def count(self) -> int:
        """How many threads the BLAS library has when nobody is inside."""
        with self._lock:
            if self._inside:
                return self._limit.get_original_num_threads()["blas"] or 1
            found = [info["num_threads"] for info in _controller().info() if info["user_api"] == "blas"]
            return max(found, default=os.cpu_count() or 1)


single_blas = _SingleBlas()


def _begin_anew() -> None:
    """In a forked child, which has none of its parent's threads."""
    global _helpers
    _helpers = _Helpers()
    single_blas._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


@contextmanager
def uninterrupted() -> Iterator[Callable[[], None]]:
    """Ctrl-C waits until the function that this gives is called, or the block ends: between, threads are waited for.

    Only where Ctrl-C would raise KeyboardInterrupt, which it does in the main thread.
    """
    asked: list[Any] = []

    def check() -> None:
        if asked:
            raise KeyboardInterrupt

    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield check
        return
    signal.signal(signal.SIGINT, lambda *where: asked.append(where))
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    check()


def count() -> int:
    """How many threads to use: those that the BLAS library would."""
    return single_blas.count()


class _Turn:
    """A task that runs once: on the caller's thread or on a helper's, whichever takes it first.

    A signal's handler may raise anywhere on the caller's thread: an append or a lock is done or not, a threading.Event
    can be left half done.
    """

    def __init__(self, task: Callable[[], Any]):
        self._task = partial(contextvars.copy_context().run, task)
        self._takers: list[str] = []
        self._running, self._over = threading.Lock(), False
        self._running.acquire()
        self.error: BaseException | None = None

    def belongs_to(self, taker: str) -> bool:
        """Whether it is this taker's, who takes it if nobody has yet."""
        self._takers.append(taker)
        return self._takers[0] == taker

    def run(self, taker: str) -> None:
        """Do the task, if it is this taker's."""
        if self.belongs_to(taker):
            try:
                self._task()
            except BaseException as error:
                self.error = error
            finally:
                self._over = True
                self._running.release()

    def wait(self) -> None:
        """Until the helper who took it is done. From now on none takes it."""
        while not (self.belongs_to("caller") or self._over):
            self._running.acquire()


class _Helpers:
    """Threads that wait for turns to take: as many as were wanted at once so far, or as could be started."""

    def __init__(self) -> None:
        self._offered: SimpleQueue[_Turn] = SimpleQueue()
        self._lock, self._count = threading.Lock(), 0

    def offer(self, turns: Sequence[_Turn]) -> None:
        """Offer turns, at most one to each thread. A thread that cannot be started now is tried again next time."""
        with self._lock:
            try:
                while self._count < len(turns):
                    threading.Thread(target=self._serve, name=f"minigrad_{self._count}", daemon=True).start()
                    self._count += 1
            except (RuntimeError, MemoryError):  # the system has no more, or the interpreter is on its way out
                pass
        for turn in turns[: self._count]:
            self._offered.put(turn)

    def _serve(self) -> None:
        while True:
            try:
                self._offered.get().run("helper")
            except MemoryError:  # before anything was taken: the caller does it
                pass


_helpers = _Helpers()


def together(tasks: Sequence[Callable[[], Any]]) -> None:
    """Run each task once, at once as far as there are threads; NumPy's error state goes along.

    Raises what a task raises. When it is left, whichever way, no task is running.
    """
    if len(tasks) < 2:
        for task in tasks:
            task()
        return
    turns = [_Turn(task) for task in tasks]
    try:
        _helpers.offer(turns[1:])
        for turn in turns:
            turn.run("caller")
    finally:
        _wait_for(turns)
    for turn in turns:
        if turn.error is not None:
            raise turn.error


def _wait_for(turns: Sequence[_Turn]) -> None:
    """Wait for all that helpers took, also if a signal's handler raises meanwhile."""
    try:
        for turn in turns:
            turn.wait()
    except BaseException:
        _wait_for(turns)
        raise
