"""Layout: a place in one block of memory for every result, reused as soon as nobody will read it again."""

from __future__ import annotations

from typing import NamedTuple

from minigrad.program.program import Program

ALIGN = 64  # bytes: a cache line


class Layout(NamedTuple):
    """Where results are. Slots that are not here are inputs, outputs, or views of other slots."""

    offsets: dict[int, int]  # bytes from the beginning of the block
    size: int  # bytes of the block
    source: dict[int, int]  # slot whose memory a view looks at, for every slot (itself, if it is no view)


def lay_out(program: Program) -> Layout:
    """First fit into the gaps that are free while a result lives, the largest results first.

    A result lives from its own instruction to the last one that reads it or a view of it (Pisarchyk and Lee,
    arXiv:2001.03288, greedy by size).
    """
    source = {slot: slot for slot in program.inputs}
    born: dict[int, int] = {}
    dies: dict[int, int] = {}
    for time, instruction in enumerate(program.instructions):
        view_of = instruction.primitive.view_of
        looked_at = instruction.operands[view_of] if view_of is not None else None
        source[instruction.result] = source[looked_at] if isinstance(looked_at, int) else instruction.result
        born[instruction.result] = time
        for slot in (*instruction.reads(), instruction.result):
            dies[source[slot]] = time
    kept = {source[output] for output in program.outputs if isinstance(output, int)}
    mine = [slot for slot in born if source[slot] == slot and slot not in kept]
    placed: list[tuple[int, int, int, int]] = []  # (offset, end, born, dies)
    offsets: dict[int, int] = {}
    for slot in sorted(mine, key=lambda s: -program.kinds[s].bytes):
        length = -(-max(1, program.kinds[slot].bytes) // ALIGN) * ALIGN
        offset = 0
        for begin, end, first, last in sorted(placed):
            if first <= dies[slot] and last >= born[slot]:
                if begin - offset >= length:
                    break
                offset = max(offset, end)
        offsets[slot] = offset
        placed.append((offset, offset + length, born[slot], dies[slot]))
    return Layout(offsets, max((end for _, end, _, _ in placed), default=0), source)
