"""Layout: places in one block of memory, reused as soon as nobody will read them again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from minigrad.program.cuts import Cut
from minigrad.program.instructions import Kind
from minigrad.program.regions import Region

ALIGN = 64  # bytes: a cache line


class Life(NamedTuple):
    """How many bytes something has, and the times from which to which it must be left alone."""

    bytes: int
    born: int
    dies: int


def fit(lives: dict[int, Life]) -> tuple[dict[int, int], int]:
    """Offsets into a block of memory, and its size: first fit into the gaps that are free while something lives, the
    largest first (Pisarchyk and Lee, arXiv:2001.03288, greedy by size)."""
    placed: list[tuple[int, int, int, int]] = []  # (offset, end, born, dies)
    offsets: dict[int, int] = {}
    for slot, life in sorted(lives.items(), key=lambda item: -item[1].bytes):
        size = -(-max(1, life.bytes) // ALIGN) * ALIGN
        offset = 0
        for begin, end, born, dies in sorted(placed):
            if born <= life.dies and dies >= life.born:
                if begin - offset >= size:
                    break
                offset = max(offset, end)
        offsets[slot] = offset
        placed.append((offset, offset + size, life.born, life.dies))
    return offsets, max((end for _, end, _, _ in placed), default=0)


IN_PLACE = {"add", "subtract", "multiply", "divide", "negative", "square", "sqrt", "exp", "relu", "where"}
"""Primitives whose formula is done with an element of an operand when it writes there."""


def taken_over(
    regions: Sequence[Region],
    kinds: Sequence[Kind],
    source: dict[int, int],
    outputs: Iterable[int],
    donated: Sequence[int],
) -> dict[int, int]:
    """For outputs that can be written over a donated input of their kind: that input's slot.

    Each part of the output may be written when nobody will read that part of the input: all readers came before; those
    of the same region, whose parts run at different times, read the same part and no other.
    """
    readers: dict[int, list[_Reader]] = {slot: [] for slot in donated}
    made: dict[int, tuple[Region, int, Cut | None]] = {}
    for region in regions:
        for step, (instruction, cut) in enumerate(region.steps):
            made[instruction.result] = region, step, cut
            for i, operand in enumerate(instruction.operands):
                if isinstance(operand, int) and source[operand] in readers:
                    axis = cut.operands[i] if cut else None
                    reader = _Reader(region, step, operand == source[operand], axis, instruction.primitive.name)
                    readers[source[operand]].append(reader)
    free = [slot for slot in donated if slot not in {source[output] for output in outputs}]
    taken: dict[int, int] = {}
    for output in outputs:
        if output not in made or output in taken:
            continue
        for slot in free:
            if kinds[slot] == kinds[output] and all(_is_done(reader, *made[output]) for reader in readers[slot]):
                taken[output] = slot
                free.remove(slot)
                break
    return taken


class _Reader(NamedTuple):
    """A step that reads an input: directly, or through a view; the axis along which it takes it in parts."""

    region: Region
    step: int
    directly: bool
    axis: int | None
    primitive: str


def _is_done(reader: _Reader, region: Region, step: int, cut: Cut | None) -> bool:
    """Whether a reader has read a part of an input before a step writes that part of its result there."""
    if reader.region is not region or (cut is not None and cut.result is None):
        return reader.region.moment < region.moment
    same_part = reader.directly and (cut is None or reader.axis == cut.result)
    if reader.step == step:
        return same_part and reader.primitive in IN_PLACE
    return reader.step < step and (same_part or cut is None)
