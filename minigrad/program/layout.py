"""Layout: a place in one block of memory for every result, reused as soon as nobody will read it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from minigrad.program.instructions import Constant, Kind
from minigrad.program.schedule import Step

ALIGN = 64  # bytes: a cache line


class Layout(NamedTuple):
    """Where results are. Slots that are not here are inputs, outputs, views, or never leave their chain."""

    offsets: dict[int, int]  # bytes from the beginning of the block
    size: int  # bytes of the block
    source: dict[int, int]  # slot whose memory a view looks at, for every slot (itself, if it is no view)


def lay_out(
    steps: Sequence[Step], kinds: Sequence[Kind], inputs: Sequence[int], outputs: Sequence[int | Constant]
) -> Layout:
    """First fit into the gaps that are free while a result lives, the largest results first.

    A result lives from its own step to the last one that reads it or a view of it (Pisarchyk and Lee, arXiv:2001.03288,
    greedy by size).
    """
    source = {slot: slot for slot in inputs}
    views: set[int] = set()
    born: dict[int, int] = {}
    dies: dict[int, int] = {}
    for time, step in enumerate(steps):
        for instruction in step.instructions:
            view_of, slot = instruction.primitive.view_of, instruction.result
            looked_at = None if view_of is None else instruction.operands[view_of]
            source[slot] = source[looked_at] if isinstance(looked_at, int) else slot
            if view_of is not None:
                views.add(slot)
        for slot in (*step.reads(), *step.results):
            born.setdefault(source[slot], time)
            dies[source[slot]] = time
    kept = {source[output] for output in outputs if isinstance(output, int)}
    mine = [slot for step in steps for slot in step.results if slot not in kept | views]
    placed: list[tuple[int, int, int, int]] = []  # (offset, end, born, dies)
    offsets: dict[int, int] = {}
    for slot in sorted(mine, key=lambda s: -kinds[s].bytes):
        length = -(-max(1, kinds[slot].bytes) // ALIGN) * ALIGN
        offset = 0
        for begin, end, first, last in sorted(placed):
            if first <= dies[slot] and last >= born[slot]:
                if begin - offset >= length:
                    break
                offset = max(offset, end)
        offsets[slot] = offset
        placed.append((offset, offset + length, born[slot], dies[slot]))
    return Layout(offsets, max((end for _, end, _, _ in placed), default=0), source)


IN_PLACE = {"add", "subtract", "multiply", "divide", "negative"}
"""Primitives whose formula reads each element before it writes there."""


def taken_over(
    steps: Sequence[Step], kinds: Sequence[Kind], source: dict[int, int], outputs: Sequence[int], donated: Sequence[int]
) -> dict[int, int]:
    """For outputs that can be written over a donated input of their kind: that input's slot.

    The input must have been read for the last time, through views too, before the output is made, or by the very
    instruction that makes it, element by element.
    """
    made = {i.result: (time, k, i) for time, step in enumerate(steps) for k, i in enumerate(step.instructions)}
    last: dict[int, tuple[int, int]] = {}
    for time, step in enumerate(steps):
        for k, instruction in enumerate(step.instructions):
            for slot in instruction.reads():
                last[source[slot]] = (time, k)
    returned = {source[output] for output in outputs}
    free = [slot for slot in donated if slot not in returned]
    taken: dict[int, int] = {}
    for output in outputs:
        if output not in made or source[output] != output or output in taken:
            continue
        time, k, instruction = made[output]
        for slot in free:
            done = last.get(slot, (-1, -1))
            same_step = [r for i in steps[time].instructions for r in i.reads() if source[r] == slot]
            through_views = done[0] == time and set(same_step) != {slot}
            at_once = done == (time, k) and instruction.primitive.name not in IN_PLACE
            if kinds[slot] == kinds[output] and done <= (time, k) and not through_views and not at_once:
                taken[output] = slot
                free.remove(slot)
                break
    return taken
