"""Placement: where a recorded program writes what it computes, in levels of its schedule as the time.

Results go over donated arguments where these have been read by then; everything else has a place in one block.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import NamedTuple

from minigrad.program.buffers import find_overwrites, fit, lifetimes
from minigrad.program.gpu.fusion import Schedule
from minigrad.program.tuning import Tuning


class Placement(NamedTuple):
    """Where stored slots are: over a donated argument, or at an offset into a block of so many bytes."""

    overwrites: Mapping[int, int]  # outputs, and the arguments they are written over
    offsets: Mapping[int, int]
    bytes: int


def place(schedule: Schedule, writable: Set[int], tuning: Tuning) -> Placement:
    """The placement of what is stored; `writable` are the donated arguments that share memory with nothing else."""
    graph, level, results = schedule.graph, schedule.level, schedule.views.roots_of(schedule.graph.outputs)
    readers: dict[int, list[tuple[int, bool]]] = {}  # of each slot, and whether they read it in order
    for slot in level:
        for root, in_order in schedule.reads[slot]:
            readers.setdefault(root, []).append((slot, in_order))

    def is_done(argument: int, output: int) -> bool:
        return all(_comes_before(reader, in_order, output, schedule) for reader, in_order in readers.get(argument, ()))

    outputs = [output for output in graph.outputs if isinstance(output, int) and output in level]
    donated = [slot for slot in graph.donated if slot in writable and slot not in results]
    overwrites = find_overwrites(graph.kinds, outputs, donated, is_done)
    born = {slot: number for slot, number in level.items() if slot not in overwrites}
    reads = [(root, level[reader]) for root, some in readers.items() for reader, _ in some]
    offsets, size = fit(lifetimes(graph.kinds, born, reads, results), tuning)
    return Placement(overwrites, offsets, size)


def _comes_before(reader: int, in_order: bool, output: int, schedule: Schedule) -> bool:
    """Whether a slot's element i is read before an output's element i is written: to compute a slot of an earlier
    level, or one of the same loop, which reads the elements in order."""
    level, generated = schedule.level, schedule.generated
    same_loop = level[reader] == level[output] and in_order and reader in generated and output in generated
    return level[reader] < level[output] or same_loop
