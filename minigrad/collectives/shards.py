"""Shards: how work is divided between processes, and in which order its results are added up.

A batch is cut into shards, whose number does not depend on the number of processes. They are the leaves of a binary
tree. A *node* is a range of shards, (first, last) without last: all of them, or half of another node. Sums are taken
from the leaves to the root,

    sum(node) = sum(left half) + sum(right half)

and every process computes the sums of the nodes that it owns, so the whole sum has the same bits on any number of
processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from heapq import heapify, heappush, heapreplace
from typing import Any

Node = tuple[int, int]


def halves(node: Node) -> tuple[Node, Node]:
    """The left and the right half of a node of two shards or more."""
    first, last = node
    middle = (first + last + 1) // 2
    return (first, middle), (middle, last)


def count(node: Node) -> int:
    """The number of shards of a node."""
    return node[1] - node[0]


def divide(nodes: Sequence[Node], workers: int) -> tuple[tuple[Node, ...], ...]:
    """The nodes that each worker owns, in order; some workers own none if there are fewer shards than workers.

    In a sum over n processes, one that owns k nodes sends (k + 1)(n − 1)/n times the bytes of the sum. That is at most
    twice its bytes, since k is 1, or 2 for n = 3, where one node for each would divide the work too unevenly.
    """
    return _divide(tuple(nodes), workers)


@lru_cache  # every step asks again
def _divide(nodes: tuple[Node, ...], workers: int) -> tuple[tuple[Node, ...], ...]:
    pieces = [(-count(node), node) for node in nodes]  # a heap: the largest piece first, of several the leftmost
    heapify(pieces)
    while len(pieces) < (2 if workers == 3 else 1) * workers and pieces[0][0] < -1:
        left, right = halves(pieces[0][1])
        heapreplace(pieces, (-count(left), left))
        heappush(pieces, (-count(right), right))
    owned: list[list[Node]] = [[] for _ in range(workers)]
    loads = [(0, worker) for worker in range(workers)]  # a heap: the worker with the fewest shards first
    for size, piece in sorted(pieces):
        load, worker = loads[0]
        owned[worker].append(piece)
        heapreplace(loads, (load - size, worker))
    return tuple(join(mine, nodes) for mine in owned)


def join(pieces: Sequence[Node], nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The pieces in order, with both halves of a node replaced by the node; none is larger than one of `nodes`."""

    def find(node: Node) -> list[Node]:
        if node in pieces:
            return [node]
        if not any(node[0] <= piece[0] and piece[1] <= node[1] for piece in pieces):
            return []
        left, right = map(find, halves(node))
        return [node] if [*left, *right] == [*halves(node)] else [*left, *right]

    return tuple(found for node in nodes for found in find(node))


def add_up(node: Node, known: Mapping[Node, Any], add: Callable[[Any, Any], Any]) -> Any:
    """The sum of a node, given the sums of nodes that make it up (`known`)."""
    if node in known:
        return known[node]
    left, right = halves(node)
    return add(add_up(left, known, add), add_up(right, known, add))
