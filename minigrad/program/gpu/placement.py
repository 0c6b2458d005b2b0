"""Placement: where a recorded program stores what it computes.

An output is written over a donated argument if all reads of the argument come before, but not its own if it is a copy
with changed elements. Such a copy lies in the buffer of its operand where nobody else reads that any more. The other
slots are stored in one block of memory, whose parts are reused; lifetimes are counted in levels of the schedule.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import NamedTuple

from minigrad.program.buffers import find_overwrites, fit, lifetimes, share_buffers
from minigrad.program.fusion import Schedule
from minigrad.program.tuning import Tuning


class Placement(NamedTuple):
    """Where slots are stored: over a donated argument, or in the block."""

    overwrites: Mapping[int, int]  # the arguments that outputs are written over, by output
    offsets: Mapping[int, int]  # of the other slots, in the block
    bytes: int  # of the block


def place(schedule: Schedule, writable: Set[int], tuning: Tuning) -> Placement:
    """Find a place for every stored slot. `writable` are donated arguments that share no memory with other arrays."""
    graph, level, views = schedule.graph, schedule.level, schedule.views
    results = views.roots_of(graph.outputs)
    readers: dict[int, list[tuple[int, bool]]] = {}  # by slot: its readers, and whether they read it in order
    for slot in level:
        for root, in_order in schedule.reads[slot]:
            readers.setdefault(root, []).append((slot, in_order))

    edits = {slot: views.edited(schedule.instructions[slot]) for slot in level if slot not in schedule.generated}

    def is_done(argument: int | None, output: int) -> bool:
        others = [r for r in readers.get(argument, ()) if r[0] != output or edits.get(output) != argument]
        return all(_comes_before(reader, in_order, output, schedule) for reader, in_order in others)

    outputs = [output for output in graph.outputs if isinstance(output, int) and output in level]
    donated = [slot for slot in graph.donated if slot in writable and slot not in results]
    overwrites = find_overwrites(graph.kinds, outputs, donated, is_done)
    born = {slot: number for slot, number in level.items() if slot not in overwrites}
    reads = [(root, level[reader]) for root, some in readers.items() for reader, _ in some]
    lives = lifetimes(graph.kinds, born, reads, results)
    lives, homes = share_buffers(lives, [(slot, x) for slot, x in edits.items() if is_done(x, slot)])
    offsets, size = fit(lives, tuning)
    return Placement(overwrites, offsets | {slot: offsets[home] for slot, home in homes.items()}, size)


def _comes_before(reader: int, in_order: bool, output: int, schedule: Schedule) -> bool:
    """Whether `reader` reads element i of an argument before element i of an output is written over it: at an earlier
    level, or in the same loop, which loads before it stores."""
    level = schedule.level
    same_loop = level[reader] == level[output] and in_order and output in schedule.generated
    return level[reader] < level[output] or same_loop
