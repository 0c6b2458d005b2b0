"""Work in forked processes: each starts from this process as it is, and leaves nothing behind but its answer."""

from __future__ import annotations

import faulthandler
import os
import pickle
import selectors
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Task(NamedTuple):
    """What to do in a process of its own, for what, and after how many seconds to give up."""

    subject: Any
    work: Callable[[], Any]
    limit: float


class Ended(str):
    """How a process ended without an answer: "timeout", or its signal, or its exit code."""


class _Child(NamedTuple):
    task: Task
    pid: int
    pipe: int
    start: float


class Forks:
    """Processes that do tasks; their temporary files go below `scratch`."""

    def __init__(self, scratch: Path):
        self.scratch, self.count = scratch, 0

    def each(self, tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Any, Any, float]]:
        """(subject, answer, seconds) of each task as it ends, `jobs` at a time.

        The answer is what the work returned, or an `Ended`. Raises RuntimeError if the work raised something.
        """
        waiting, running = list(reversed(tasks)), {}
        with selectors.DefaultSelector() as selector:
            try:
                while waiting or running:
                    while waiting and len(running) < jobs:
                        child = self._start(waiting.pop())
                        running[child.pipe] = child
                        selector.register(child.pipe, selectors.EVENT_READ)
                    ready = [key.fd for key, _ in selector.select(timeout=1.0)]
                    late = [p for p, c in running.items() if time.monotonic() - c.start > c.task.limit]
                    for pipe in {*ready, *late}:
                        selector.unregister(pipe)
                        child = running.pop(pipe)
                        answer = _answer(child) if pipe in ready else _stopped(child)
                        yield child.task.subject, answer, time.monotonic() - child.start
            finally:
                for child in running.values():
                    _stopped(child)

    def _start(self, task: Task) -> _Child:
        self.count += 1
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            # Python warns of any fork beside threads. The only ones here are those of BLAS, which expects forks.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid:
            os.close(writing)
            return _Child(task, pid, reading, time.monotonic())
        try:
            os.close(reading)
            nowhere = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(nowhere, stream)
            faulthandler.disable()  # it would still speak to where pytest sent it
            os.environ["PYTEST_DEBUG_TEMPROOT"] = str(self.scratch / str(self.count))
            os.mkdir(self.scratch / str(self.count))
            try:
                answer = pickle.dumps((True, task.work()))
            except BaseException as error:
                answer = pickle.dumps((False, f"{type(error).__name__}: {error}"))
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(answer)
        finally:
            os._exit(0)


def _answer(child: _Child) -> Any:
    """Everything the process wrote; it blocks no longer than the process takes to write it."""
    with os.fdopen(child.pipe, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child.pid, 0)
    if told:
        fine, answer = pickle.loads(told)
        if not fine:
            raise RuntimeError(f"{child.task.subject}: {answer}")
        return answer
    code = os.waitstatus_to_exitcode(status)
    return Ended(f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}")


def _stopped(child: _Child) -> Ended:
    os.kill(child.pid, signal.SIGKILL)
    os.waitpid(child.pid, 0)
    os.close(child.pipe)
    return Ended("timeout")
