"""Layout: places in one block of memory, reused as soon as nobody will read them again."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from typing import Any, NamedTuple

from minigrad.core.traits import Cut
from minigrad.program.cpu.schedule import Region
from minigrad.program.graph import Kind

ALIGN = 64  # bytes: a cache line


class Life(NamedTuple):
    """How many bytes something has, and the times from which to which it must be left alone."""

    bytes: int
    born: int
    dies: int


SMALL = 1 << 12  # bytes: for a smaller thing a good place is not worth a search


def fit(lives: dict[Any, Life]) -> tuple[dict[Any, int], int]:
    """Offsets into a block of memory, and its size.

    First fit into the gaps that are free while something lives, the largest first (Pisarchyk and Lee, arXiv:2001.03288,
    greedy by size); what is small comes after all that, in places of its own size that are handed on.
    """
    large = {slot: life for slot, life in lives.items() if life.bytes > SMALL}
    placed: list[tuple[int, int, int, int]] = []  # (offset, end, born, dies), in this order
    offsets: dict[Any, int] = {}
    for slot, life in sorted(large.items(), key=lambda item: -item[1].bytes):
        size = _rounded(life.bytes)
        offset = 0
        for begin, end, born, dies in placed:
            if born <= life.dies and dies >= life.born:
                if begin - offset >= size:
                    break
                offset = max(offset, end)
        offsets[slot] = offset
        insort(placed, (offset, offset + size, life.born, life.dies))
    return _handed_on(lives, offsets, max((end for _, end, _, _ in placed), default=0))


def _handed_on(lives: dict[Any, Life], offsets: dict[Any, int], top: int) -> tuple[dict[Any, int], int]:
    """Places from `top` on for what has none, each used again by the next thing of its size."""
    free: dict[int, list[int]] = {}
    busy: list[tuple[int, int, int]] = []  # (dies, size, offset): a heap
    small = [(life, slot) for slot, life in lives.items() if slot not in offsets]
    for life, slot in sorted(small, key=lambda item: item[0].born):
        while busy and busy[0][0] < life.born:
            _, size, offset = heappop(busy)
            free.setdefault(size, []).append(offset)
        size = _rounded(life.bytes)
        if not free.get(size):
            free[size] = [top]
            top += size
        offsets[slot] = free[size].pop()
        heappush(busy, (life.dies, size, offsets[slot]))
    return offsets, top


def _rounded(size: int) -> int:
    return -(-max(1, size) // ALIGN) * ALIGN


def taken_over(
    regions: Sequence[Region],
    kinds: Sequence[Kind],
    source: dict[int, int],
    outputs: Iterable[int],
    donated: Sequence[int],
) -> dict[int, int]:
    """For results among the outputs that can be written over a donated input of their kind: that input's slot.

    An input that is handed out itself, or a view of it, is left alone, and so is it for sums, which are not made part
    by part. Each part of a result may be written when nobody will read that part of the input: all readers came before;
    those of the same region, whose parts run at different times, read the same part and no other.
    """
    readers: dict[int, list[_Reader]] = {slot: [] for slot in donated}
    made: dict[int, tuple[Region, int, Cut | None]] = {}
    for region in regions:
        for step, (instruction, cut) in enumerate(region.steps):
            made[instruction.result] = region, step, cut
            for i, operand in enumerate(instruction.operands):
                if isinstance(operand, int) and source[operand] in readers:
                    axis = cut.operands[i] if cut else None
                    in_place = instruction.primitive.traits.in_place
                    reader = _Reader(region, step, operand == source[operand], axis, in_place)
                    readers[source[operand]].append(reader)
    free = [slot for slot in donated if slot not in {source[output] for output in outputs}]
    taken: dict[int, int] = {}
    for output in outputs:
        if output not in made or output in taken or _is_sum(made[output][2]):
            continue
        for slot in free:
            if kinds[slot] == kinds[output] and all(_is_done(reader, *made[output]) for reader in readers[slot]):
                taken[output] = slot
                free.remove(slot)
                break
    return taken


def _is_sum(cut: Cut | None) -> bool:
    return cut is not None and cut.result is None


class _Reader(NamedTuple):
    """A step that reads an input: directly, or through a view; the axis along which it takes it in parts, and whether
    it may write over an element that it has read."""

    region: Region
    step: int
    directly: bool
    axis: int | None
    in_place: bool


def _is_done(reader: _Reader, region: Region, step: int, cut: Cut | None) -> bool:
    """Whether a reader has read a part of an input before a step writes that part of its result there."""
    if reader.region is not region:
        return reader.region.moment < region.moment
    same_part = reader.directly and (cut is None or reader.axis == cut.result)
    if reader.step == step:
        return same_part and reader.in_place
    return reader.step < step and (same_part or cut is None)
