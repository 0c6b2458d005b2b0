"""Sums over processes, in the order of the tree of shards (`shards`), whatever the number of processes.

A large sum is cut into as many pieces as there are processes. Every process gets the terms of one piece from all others
(reduce-scatter), adds them up, and sends the result to all (all-gather). One of n processes, if it owns k nodes, sends
(k + 1)(n − 1)/n times the bytes of the sum. A small sum is added up by every process, in one exchange instead of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigrad.backends import Backend
from minigrad.collectives.group import Group
from minigrad.collectives.shards import Node, add_up

SMALL = 1 << 12  # bytes: exchanging fewer takes hardly less time


def sum_over(group: Group, backend: Backend, owned: Sequence[Sequence[Node]], parts: Sequence[Any], root: Node) -> Any:
    """The sum of the parts of all processes, a flat array that is the same on each of them.

    `parts` are flat arrays of one length and dtype, those of the nodes `owned[group.rank]`.
    """
    xp, mine, others = backend.xp, group.rank, [r for r in range(group.size) if r != group.rank]
    length, dtype = parts[0].size, parts[0].dtype
    small = length * dtype.itemsize <= SMALL
    ends = [length * r // group.size for r in range(group.size + 1)]
    pieces = [slice(0, length) if small else slice(*ends[r : r + 2]) for r in range(group.size)]
    rows = length if small else ends[mine + 1] - ends[mine]
    sent = [None if r == mine else _pack(xp, [part[pieces[r]] for part in parts]) for r in range(group.size)]
    received = [None if r == mine else xp.empty((len(owned[r]), rows), dtype) for r in range(group.size)]
    group.exchange(backend, sent, received)
    known = dict(zip(owned[mine], [part[pieces[mine]] for part in parts], strict=True))
    for r in others:
        known |= zip(owned[r], received[r], strict=True)
    total = add_up(root, known, xp.add)
    if small or not others:
        return total if len(known) > 1 else total.copy()
    whole = xp.empty(length, dtype)
    whole[pieces[mine]] = total
    group.exchange(backend, [whole[pieces[mine]]] * group.size, [whole[piece] for piece in pieces])
    return whole


def _pack(xp: Any, arrays: Sequence[Any]) -> Any:
    """The arrays one after the other in memory."""
    if len(arrays) == 1:
        return xp.ascontiguousarray(arrays[0])
    packed = xp.empty((len(arrays), arrays[0].size), arrays[0].dtype)  # CUDA graphs cannot record CuPy's `stack`
    for row, array in enumerate(arrays):
        packed[row] = array
    return packed
