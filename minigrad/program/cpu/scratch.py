"""Scratch: arrays that exist for one part at a time, in a small block that a thread reuses for all its parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from minigrad.program.buffers import FOREVER, Life, fit
from minigrad.program.cpu.schedule import Region
from minigrad.program.graph import Graph, Instruction
from minigrad.program.tuning import Tuning
from minigrad.program.views import Views

Key = tuple[str, int]
"""("part", slot): a result. ("sum", slot): the sum of a thread so far. ("term", slot): what it adds next."""


class Part(NamedTuple):
    """Some rows of a region, and the thread that works on them."""

    rows: slice | None  # None: all rows
    thread: int = 0


def plan_scratch(
    moment: Sequence[tuple[Region, Sequence[Part]]], graph: Graph, views: Views, whole: set[int], tuning: Tuning
) -> tuple[list[dict[Key, int]], int]:
    """Offsets into a thread's scratch for each region of a moment, and its size in bytes; `whole` are the slots that
    have full arrays.

    A thread works through one region after another, but its sums are added to those of other threads only at the end.
    """
    lives: dict[Key, Life] = {}
    over: dict[int, int] = {}
    begin = 0
    for region, parts in moment:
        if region.rows is not None:
            longest = max(part.rows.stop - part.rows.start for part in parts)
            _add_lives(region, graph, views, whole, longest, begin, lives, over)
            begin += len(region.steps)
    offsets, size = fit(lives, tuning)
    offsets |= {("part", slot): offsets["part", root] for slot, root in over.items()}
    results = [{instruction.result for instruction, _ in region.steps} for region, _ in moment]
    return [{key: at for key, at in offsets.items() if key[1] in slots} for slots in results], size


def _add_lives(
    region: Region,
    graph: Graph,
    views: Views,
    whole: set[int],
    longest: int,
    begin: int,
    lives: dict[Key, Life],
    over: dict[int, int],
) -> None:
    """Add to `lives` the lifetimes of results that only this region reads, for a part of at most `longest` rows, in
    steps counted from `begin`; and to `over` the results that overwrite an operand that is not read later."""
    last = {views.root_of(slot): step for step, (i, _) in enumerate(region.steps, begin) for slot in i.reads()}
    for step, (instruction, cut) in enumerate(region.steps, begin):
        slot, kind = instruction.result, graph.kinds[instruction.result]
        if cut.result is None:
            lives["term", slot] = Life(kind.bytes, step, step)
            lives["sum", slot] = Life(kind.bytes, begin, FOREVER)
        elif slot not in whole:
            dies = last.get(slot, step)
            free = [o for o in instruction.reads() if last[views.root_of(o)] == step and graph.kinds[o] == kind]
            roots = [over.get(o, o) for o in free if not _is_viewed(o, instruction, views)]
            roots = [root for root in roots if ("part", root) in lives]
            if roots and instruction.primitive.traits.in_place:
                over[slot] = roots[0]
                lives["part", roots[0]] = lives["part", roots[0]]._replace(dies=dies)
            else:
                lives["part", slot] = Life(longest * (kind.bytes // region.rows), step, dies)


def _is_viewed(slot: int, instruction: Instruction, views: Views) -> bool:
    """Whether a slot is a view, or an instruction reads it through a view as well."""
    return slot in views.slots or any(views.root_of(read) == slot != read for read in instruction.reads())
