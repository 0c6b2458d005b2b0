"""Threads as a group, to try collectives in one process, and to test them."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from minigrad.backends import Backend
from minigrad.collectives.group import ALONE, PeerError, join

_ENDED = object()  # what a thread posts last, so that nobody waits for it


class _Board:
    """Where the threads of a group post values for each other."""

    def __init__(self, size: int):
        self.posted: list[Any] = [None] * size
        self.barrier = threading.Barrier(size)

    def wait(self) -> None:
        try:
            self.barrier.wait()
        except threading.BrokenBarrierError:
            raise PeerError("another thread of the group has stopped") from None


class ThreadGroup:
    """A thread as a member of a group of threads."""

    def __init__(self, rank: int, board: _Board):
        self.rank, self.size, self._board = rank, len(board.posted), board

    def exchange(self, backend: Backend, sent: Sequence[Any], received: Sequence[Any]) -> None:
        for r, posted in enumerate(self._swap(list(sent))):
            if r != self.rank:
                received[r].reshape(-1)[...] = posted[self.rank].reshape(-1)
        self._board.wait()  # nobody changes what it sent before all have copied it

    def launches(self, backend: Backend) -> bool:
        return False  # threads wait for each other

    def share(self, value: Any) -> list[Any]:
        return [pickle.loads(each) for each in self._swap(pickle.dumps(value))]

    def _swap(self, value: Any) -> list[Any]:
        """What each thread passes here, by rank: the very same objects."""
        self._board.posted[self.rank] = value
        self._board.wait()
        found = list(self._board.posted)
        self._board.wait()
        if value is not _ENDED and any(each is _ENDED for each in found):
            raise PeerError("another thread of the group has ended")
        return found

    def stop(self, code: int, message: str | None, report: Callable[[str], None]) -> int:
        self._board.barrier.abort()
        return ALONE.stop(code, message, report)


def run_in_threads(f: Callable[[], Any], size: int) -> list[Any]:
    """Call f once in each of `size` threads, which form a group, and return the results by rank.

    Raises the error of the first thread that raised one. If a thread raises an error or returns early, the others get a
    PeerError at their next collective operation, which is raised here only if there is no other error.

    >>> import minigrad as mg
    >>> mg.collectives.run_in_threads(lambda: int(mg.collectives.all_sum(mg.collectives.rank())), 4)
    [6, 6, 6, 6]
    """
    board, results, errors = _Board(size), [None] * size, {}

    def work(rank: int) -> None:
        try:
            with join(ThreadGroup(rank, board)) as group:
                results[rank] = f()
                with suppress(PeerError):
                    group._swap(_ENDED)
        except BaseException as error:
            errors[rank] = error
            board.barrier.abort()

    members = [threading.Thread(target=work, args=(rank,), daemon=True) for rank in range(size)]
    try:
        for member in members:
            member.start()
        for member in members:
            member.join()
    except BaseException:  # Ctrl-C
        board.barrier.abort()
        raise
    for error in sorted(errors.values(), key=lambda error: isinstance(error, PeerError)):
        raise error
    return results
