"""Threads: run some tasks at once, with the BLAS library on one thread each while they do."""

from __future__ import annotations

import contextvars
import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from threadpoolctl import ThreadpoolController


def count() -> int:
    """How many threads to use: those that the BLAS library would."""
    found = [info["num_threads"] for info in _controller().info() if info["user_api"] == "blas"]
    return max(found, default=os.cpu_count() or 1)


@functools.cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


@functools.cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="minigrad")


def single_blas() -> Any:
    """Context manager: the BLAS library on one thread."""
    return _controller().limit(limits=1, user_api="blas")


def together(tasks: Sequence[Callable[[], Any]]) -> None:
    """Run tasks at once, the first on this thread; NumPy's error state goes along. Raises what a task raises."""
    if len(tasks) < 2:
        for task in tasks:
            task()
        return
    pool = _pool(len(tasks) - 1)
    waiting = [pool.submit(contextvars.copy_context().run, task) for task in tasks[1:]]
    try:
        tasks[0]()
    finally:
        failures = [future.exception() for future in waiting]
    for failure in failures:
        if failure is not None:
            raise failure
