"""Threads: run tasks in parallel, with the BLAS library limited to one thread per task."""

from __future__ import annotations

import contextvars
import functools
import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue
from typing import Any

from threadpoolctl import ThreadpoolController

from minigrad.interrupts import defer_signals


@functools.cache
def _libraries() -> list[Any]:
    """The BLAS libraries of this process. To ask and set only these takes 5–9 µs; a limit of threadpoolctl takes 15."""
    with defer_signals():  # it reads files
        return [library for library in ThreadpoolController().lib_controllers if library.user_api == "blas"]


def _counts() -> list[int]:
    return [library.get_num_threads() for library in _libraries()]


def _take_control(library: Any) -> None:
    """From version 3.8 on, threadpoolctl ignores what a thread sets after another one has set something."""
    if hasattr(library, "clear_controlling_thread"):
        library.clear_controlling_thread(force=True)


class _SingleBlas:
    """Context manager: BLAS runs on one thread until the last user exits, because the setting is process-wide."""

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._before: list[int] = []  # threads of each library, outside

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = _counts()
                self._set([1] * len(self._before))
            self._inside += 1

    def __exit__(self, *error: Any) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._set(self._before)

    def _set(self, counts: Sequence[int]) -> None:
        for library, before, count in zip(_libraries(), self._before, counts, strict=True):
            if before != 1:
                _take_control(library)
                library.set_num_threads(count)
                _take_control(library)  # and leave it to any thread

    def count(self) -> int:
        """How many threads the BLAS library uses outside this context."""
        with self._lock:
            return max(self._before if self._inside else _counts(), default=os.cpu_count() or 1)


single_blas = _SingleBlas()


def _reset_after_fork() -> None:
    """In a forked child, start without workers, because it has none of its parent's threads."""
    global _workers
    _workers = _Workers()
    single_blas._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


def count() -> int:
    """How many threads to use: as many as the BLAS library would."""
    return single_blas.count()


class _Task:
    """A function to be run once, on the caller's thread or on a worker thread, whichever claims it first.

    A signal handler may raise at any point on the caller's thread. That leaves list.append and a lock either done or
    not done, but may leave a threading.Event half set.
    """

    def __init__(self, function: Callable[[], Any]):
        self._function = partial(contextvars.copy_context().run, function)
        self._claims: list[str] = []
        self._running, self._over = threading.Lock(), False
        self._running.acquire()
        self.error: BaseException | None = None

    def claim(self, claimant: str) -> bool:
        """Claim the task for "caller" or "worker". Returns whether it is theirs, now or from an earlier claim."""
        self._claims.append(claimant)
        return self._claims[0] == claimant

    def run(self, claimant: str) -> None:
        """Run the function if this claimant gets the task."""
        if self.claim(claimant):
            try:
                self._function()
            except BaseException as error:
                self.error = error
            finally:
                del self._function  # the task may stay in the queue for long
                self._over = True
                self._running.release()

    def wait(self) -> None:
        """Wait for the worker that claimed the task; if none has, claim it, so that no worker will run it."""
        while not (self.claim("caller") or self._over):
            self._running.acquire()


class _Workers:
    """Worker threads, started when needed: as many as tasks were submitted at once so far, or as could be started."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[_Task] = SimpleQueue()
        self._lock, self._count = threading.Lock(), 0

    def submit(self, tasks: Sequence[_Task]) -> None:
        """Queue at most one task for each thread. A thread that cannot be started now is tried again next time."""
        with self._lock:
            try:
                while self._count < len(tasks):
                    threading.Thread(target=self._serve, name=f"minigrad_{self._count}", daemon=True).start()
                    self._count += 1
            except (RuntimeError, MemoryError):  # no more threads or memory, or the interpreter is shutting down
                pass
        for task in tasks[: self._count]:
            self._queue.put(task)

    def _serve(self) -> None:
        while True:
            try:
                self._queue.get().run("worker")
            except MemoryError:  # raised before the task was claimed: the caller runs it
                pass


_workers = _Workers()


def run_all(tasks: Sequence[Callable[[], Any]]) -> None:
    """Run each task once, in parallel as far as there are threads, each in a copy of the caller's context (which holds
    NumPy's error state).

    Raises the error of the first task that raised one. No task is running any more when it returns or raises.
    """
    if len(tasks) < 2:
        for task in tasks:
            task()
        return
    claimable = [_Task(task) for task in tasks]
    try:
        _workers.submit(claimable[1:])
        for task in claimable:
            task.run("caller")
        for task in claimable:
            task.wait()
    except BaseException:  # from a signal handler
        _wait_for(claimable)
        raise
    for task in claimable:
        if task.error is not None:
            raise task.error


def _wait_for(tasks: Sequence[_Task]) -> None:
    """Wait for all tasks that workers claimed, even if a signal handler raises once more meanwhile."""
    try:
        for task in tasks:
            task.wait()
    except BaseException:
        _wait_for(tasks)
        raise
