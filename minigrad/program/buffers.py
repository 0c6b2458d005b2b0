"""Memory planner: how long an array is needed, where it lies in one block, and which results overwrite arguments."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from heapq import heappop, heappush
from typing import Any, NamedTuple

import numpy as np

from minigrad.backends import Backend
from minigrad.program.graph import Graph, Kind, is_dynamic
from minigrad.program.tuning import Tuning

FOREVER = 1 << 60  # later than any time


class Life(NamedTuple):
    """The size of a buffer in bytes, and the first and the last time at which it is in use."""

    bytes: int
    born: int
    dies: int


def lifetimes(
    kinds: Sequence[Kind], born: dict[int, int], reads: Iterable[tuple[int, int]], results: Iterable[int]
) -> dict[int, Life]:
    """The lifetimes of the slots in `born`, which says when each is computed: until the last of `reads` (pairs of slot
    and time), or for ever if they are among the results."""
    dies = dict(born)
    for slot, time in reads:
        if slot in dies:
            dies[slot] = max(dies[slot], time)
    for slot in results:
        if slot in dies:
            dies[slot] = FOREVER
    return {slot: Life(kinds[slot].bytes, time, dies[slot]) for slot, time in born.items()}


def share_buffers(lives: dict[int, Life], edits: Iterable[tuple[int, int]]) -> tuple[dict[int, Life], dict[int, int]]:
    """Lifetimes in which results take over the buffers of operands that they alone read last, and the slot whose buffer
    each of these results lies in; `edits` are pairs of result and operand, in the order in which they run."""
    lives, homes = dict(lives), {}
    for result, operand in edits:
        home = homes.get(operand, operand)
        if home in lives and result in lives and lives[home].dies == lives[result].born:
            lives[home] = lives[home]._replace(dies=lives.pop(result).dies)
            homes[result] = home
    return lives, homes


# Offsets into the block


def fit(lives: dict[Any, Life], tuning: Tuning) -> tuple[dict[Any, int], int]:
    """Offsets into a block of memory, and its size, in bytes: buffers that live at the same time do not overlap.

    First fit into the gaps that are free while a buffer lives, the largest buffer first (Pisarchyk and Lee,
    arXiv:2001.03288, greedy by size). Small buffers come after these, and reuse the places of others of their size.
    """
    large = {key: life for key, life in lives.items() if life.bytes > tuning.smallest_search}
    placed: list[tuple[int, int, int, int]] = []  # (offset, end, born, dies), in this order
    offsets: dict[Any, int] = {}
    for key, life in sorted(large.items(), key=lambda item: -item[1].bytes):
        size = _round_up(life.bytes, tuning.alignment)
        offset = 0
        for begin, end, born, dies in placed:
            if born <= life.dies and dies >= life.born:
                if begin - offset >= size:
                    break
                offset = max(offset, end)
        offsets[key] = offset
        insort(placed, (offset, offset + size, life.born, life.dies))
    small = {key: life for key, life in lives.items() if key not in offsets}
    top = max((end for _, end, _, _ in placed), default=0)
    places, top = _fit_by_size(small, top, tuning.alignment)
    return offsets | places, top


def _fit_by_size(lives: dict[Any, Life], top: int, alignment: int) -> tuple[dict[Any, int], int]:
    """Offsets from `top` on, and the end of the last buffer; a free place is reused by the next buffer of its size."""
    offsets: dict[Any, int] = {}
    free: dict[int, list[int]] = {}
    busy: list[tuple[int, int, int]] = []  # (dies, size, offset): a heap
    for key, life in sorted(lives.items(), key=lambda item: item[1].born):
        while busy and busy[0][0] < life.born:
            _, size, offset = heappop(busy)
            free.setdefault(size, []).append(offset)
        size = _round_up(life.bytes, alignment)
        if not free.get(size):
            free[size] = [top]
            top += size
        offsets[key] = free[size].pop()
        heappush(busy, (life.dies, size, offsets[key]))
    return offsets, top


def _round_up(size: int, alignment: int) -> int:
    return -(-max(1, size) // alignment) * alignment


def allocate(backend: Backend, size: int, alignment: int) -> Any:
    """A block of `size` bytes that begins at a multiple of the alignment."""
    memory = backend.xp.empty(size + alignment, np.uint8)
    begin = -backend.address(memory) % alignment
    return memory[begin : begin + size]


def array_at(block: Any, offset: int, kind: Kind) -> Any:
    """The array at an offset into a block."""
    return block[offset : offset + kind.bytes].view(kind.dtype).reshape(kind.shape)


# Overwriting donated arguments


def find_overwrites(
    kinds: Sequence[Kind], outputs: Iterable[int], donated: Iterable[int], is_done: Callable[[int, int], bool]
) -> dict[int, int]:
    """For each output that can be written over a donated argument of its shape and dtype, the slot of that argument.

    `is_done(argument, output)` says whether all reads of the argument are done when the output is written there.
    """
    free = list(donated)
    found: dict[int, int] = {}
    for output in dict.fromkeys(outputs):
        for argument in free:
            if kinds[argument] == kinds[output] and is_done(argument, output):
                found[output] = argument
                free.remove(argument)
                break
    return found


# Memory of a run


class Memory(NamedTuple):
    """Bytes that a run holds besides its arguments."""

    intermediate: int  # one block, reused throughout the run
    results: int  # returned; results over donated arguments take none
    scratch: int  # for one part at a time, of all threads
    kernels: int  # kept so far by kernels of all programs for their next call (the columns of a convolution)

    @property
    def total(self) -> int:
        return sum(self)

    def __str__(self) -> str:
        return ", ".join(
            f"{name} {bytes / 1e6:.3f} MB" for name, bytes in (*self._asdict().items(), ("total", self.total))
        )


def result_bytes(graph: Graph, overwrites: Container[int]) -> int:
    """Bytes of the results of a run, except those written over donated arguments (`overwrites`)."""
    new = [o for o in graph.outputs if (o not in overwrites if isinstance(o, int) else is_dynamic(o.value))]
    return sum(graph.kind(output).bytes for output in new)


# Addresses


def span(backend: Backend, array: Any) -> tuple[int, int]:
    """The address range of an array's elements: the first, and one past the last."""
    begin = backend.address(array)
    steps = [(n - 1) * stride for n, stride in zip(array.shape, array.strides, strict=True)] if array.size else []
    return begin + sum(min(s, 0) for s in steps), begin + sum(max(s, 0) for s in steps) + array.dtype.itemsize


def find_alone(spans: Mapping[Any, tuple[int, int]]) -> set[Any]:
    """The keys of the spans that overlap no other one."""
    alone, end, last = set(), 0, None  # `last` is the key of the span that ends last so far, if it is alone
    for key, (begin, its_end) in sorted(spans.items(), key=lambda item: item[1]):
        if begin >= end:
            alone.add(key)
            last = key
        else:
            alone.discard(last)
            last = key if its_end > end else last
        end = max(end, its_end)
    return alone
