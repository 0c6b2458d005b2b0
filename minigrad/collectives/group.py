"""Groups: the processes that compute together, and how they exchange arrays.

A group only transports arrays: `exchange` gives every process an array from every other one. What is sent, and in which
order it is added up, is decided in `sums`. There are groups of one process, of threads (`threads`, to try things out
and for tests) and of MPI processes (`mpi`), which exchange arrays on GPUs with `minigrad.backends.cuda.nccl`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import numpy as np

from minigrad.backends import Backend, get


class PeerError(RuntimeError):
    """Another process of the group has stopped, so the values it was to send will not come."""


class Group(Protocol):
    """Processes that all run the same program on different data; `rank` is this one's number, from 0 to `size` − 1."""

    rank: int
    size: int

    def exchange(self, backend: Backend, sent: Sequence[Any], received: Sequence[Any]) -> None:
        """Send `sent[r]` to every other process r, and fill `received[r]` with what it sends.

        All are contiguous arrays of the backend; what r receives has the size and dtype of what is sent to it. The
        entries at this process's own rank are not used. Raises PeerError if a process has stopped, and ValueError if
        an MPI process sends another size or dtype.
        """

    def launches(self, backend: Backend) -> bool:
        """Whether `exchange` only launches work on the device, so that a CUDA graph can record it; the same on all
        processes. The first call for a backend connects the devices, and all processes make it together."""

    def share(self, value: Any) -> list[Any]:
        """The values that the processes pass, by rank; they are pickled. Raises PeerError, too."""

    def stop(self, code: int, message: str | None, report: Callable[[str], None]) -> int:
        """Stop together with the others: the first that has a message reports it, and all get its exit code.

        A process that stops because of a PeerError has the message None.
        """


class Alone:
    """The group of a single process."""

    rank, size = 0, 1

    def exchange(self, backend: Backend, sent: Sequence[Any], received: Sequence[Any]) -> None:
        """Do nothing: there is no other process."""

    def launches(self, backend: Backend) -> bool:
        return True

    def share(self, value: Any) -> list[Any]:
        return [value]

    def stop(self, code: int, message: str | None, report: Callable[[str], None]) -> int:
        if message is not None:
            report(message)
        return code


ALONE = Alone()
_started: Group = ALONE
_current: ContextVar[Group | None] = ContextVar("minigrad group of processes", default=None)


def current() -> Group:
    """The group of this thread or task: that of the innermost `join`, or without one that of this process, of which it
    is the only member before `start`."""
    return _current.get() or _started


def use_everywhere(group: Group) -> None:
    """Make this process a member of a group, outside of any `join`."""
    global _started
    _started = group


@contextmanager
def join(group: Group) -> Iterator[Group]:
    """Make this thread or task a member of a group until the block ends."""
    token = _current.set(group)
    try:
        yield group
    finally:
        _current.reset(token)


class _Rehearsal:
    """A member of a group that only pretends to exchange arrays: it receives what it sends, cut or repeated to fit."""

    def __init__(self, group: Group):
        self.rank, self.size, self.share, self.stop = group.rank, group.size, group.share, group.stop
        self.launches = group.launches

    def exchange(self, backend: Backend, sent: Sequence[Any], received: Sequence[Any]) -> None:
        for r in range(self.size):
            if r != self.rank and received[r].size:
                received[r][...] = backend.xp.resize(sent[r], received[r].shape)


@contextmanager
def rehearse() -> Iterator[None]:
    """Only pretend to exchange arrays, until the block ends: results have the right shapes and wrong values."""
    with join(_Rehearsal(current())):
        yield


def share_number(number: int) -> list[int]:
    """The integers that the processes of the group pass here, by rank, in a single exchange."""
    group, mine = current(), np.array([number], np.int64)
    found = np.full((group.size, 1), number, np.int64)
    group.exchange(get("cpu"), [mine] * group.size, list(found))
    return found[:, 0].tolist()


def rank() -> int:
    """The number of this process in its group, from 0."""
    return current().rank


def size() -> int:
    """The number of processes of the group."""
    return current().size


def from_first(function: Callable[[], Any]) -> Any:
    """The result of function() on every process; only process 0 calls it, and the others get a pickled copy.

    If it raises an error, the others raise PeerError once process 0 has stopped.
    """
    return current().share(function() if rank() == 0 else None)[0]
