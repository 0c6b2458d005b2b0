"""Groups of threads for tests: sums in the order of the tree of shards, written down naively, and counted exchanges."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

from minigrad.collectives import current, join, rank, run_in_threads


def tree_sum(terms: list) -> Any:
    """The sum of both halves, of which the left one is longer if the number of terms is odd."""
    if len(terms) == 1:
        return terms[0]
    middle = (len(terms) + 1) // 2
    return tree_sum(terms[:middle]) + tree_sum(terms[middle:])


def on_ranks(f: Callable[[int], Any], size: int) -> list[Any]:
    """[f(0), f(1), …], each computed by one thread of a group."""
    return run_in_threads(lambda: f(rank()), size)


class Watched:
    """A member of a group that writes down the bytes that it sends to each other one, per exchange."""

    def __init__(self, group):
        self.group, self.rank, self.size, self.sent = group, group.rank, group.size, []

    def launches(self, backend):
        return self.group.launches(backend)

    def exchange(self, backend, sent, received):
        self.sent.append([0 if r == self.rank else sent[r].nbytes for r in range(self.size)])
        self.group.exchange(backend, sent, received)

    def share(self, value):
        return self.group.share(value)

    def stop(self, code, message, report):
        return self.group.stop(code, message, report)


@contextmanager
def watched():
    """Compute in the current group, and write down what this process sends."""
    with join(Watched(current())) as group:
        yield group.sent
