"""Work in forked processes: each starts with the state of this process, and only its answer remains."""

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
    """Work for a new process, the subject it is about, and a time limit in seconds."""

    subject: Any
    work: Callable[[], Any]
    limit: float


class Ended(str):
    """How a process ended without an answer: "timeout", its signal, or its exit code."""


class _Child(NamedTuple):
    task: Task
    pid: int
    pipe: int
    start: float


class Forks:
    """Runs tasks in forked processes; their temporary files go below `scratch`."""

    def __init__(self, scratch: Path):
        self.scratch, self.count = scratch, 0

    def run_tasks(self, tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Any, Any, float]]:
        """(subject, answer, seconds) of each task as it ends, `jobs` at a time.

        The answer is the return value of the work, or an `Ended`. Raises RuntimeError if the work raised an exception.
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
                        answer = _read_answer(child) if pipe in ready else _stop(child)
                        yield child.task.subject, answer, time.monotonic() - child.start
            finally:
                for child in running.values():
                    _stop(child)

    def _start(self, task: Task) -> _Child:
        self.count += 1
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            # Python warns about forks with threads. The only threads here are those of BLAS, which handles forks.
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
            faulthandler.disable()  # it would still write to pytest's stderr
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


def _read_answer(child: _Child) -> Any:
    """The answer that the process wrote; waits until it is complete."""
    with os.fdopen(child.pipe, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(child.pid, 0)
    if data:
        fine, answer = pickle.loads(data)
        if not fine:
            raise RuntimeError(f"{child.task.subject}: {answer}")
        return answer
    code = os.waitstatus_to_exitcode(status)
    return Ended(f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}")


def _stop(child: _Child) -> Ended:
    os.kill(child.pid, signal.SIGKILL)
    os.waitpid(child.pid, 0)
    os.close(child.pipe)
    return Ended("timeout")
