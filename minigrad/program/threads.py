"""Threads: run some tasks at once, with the BLAS library on one thread each while they do."""

from __future__ import annotations

import contextvars
import functools
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from threadpoolctl import ThreadpoolController


@functools.cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


@functools.cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="minigrad")


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
    _pool.cache_clear()
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


def together(tasks: Sequence[Callable[[], Any]]) -> None:
    """Run tasks at once, the first on this thread; NumPy's error state goes along. Raises what a task raises."""
    if len(tasks) < 2:
        for task in tasks:
            task()
        return
    pool = _pool(len(tasks) - 1)
    try:
        waiting = [pool.submit(contextvars.copy_context().run, task) for task in tasks[1:]]
    except RuntimeError:  # the interpreter is on its way out, and starts no more threads
        for task in tasks:
            task()
        return
    try:
        tasks[0]()
    finally:
        failures = [future.exception() for future in waiting]
    for failure in failures:
        if failure is not None:
            raise failure
