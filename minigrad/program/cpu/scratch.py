"""Scratch: arrays that exist for one part at a time, in a small block that a thread reuses for all its parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from minigrad.program.buffers import FOREVER, Life, fit
from minigrad.program.cpu.chains import Chain
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
    results = [{slot for work, _ in region.steps for slot in work.results} for region, _ in moment]
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
    last = {views.root_of(slot): step for step, (work, _) in enumerate(region.steps, begin) for slot in work.reads()}
    for step, (work, cut) in enumerate(region.steps, begin):
        for slot in work.results:
            kind, dies = graph.kinds[slot], last.get(slot, step)
            if cut.result is None:
                lives["term", slot] = Life(kind.bytes, step, step)
                lives["sum", slot] = Life(kind.bytes, begin, FOREVER)
            elif slot not in whole:
                free = [o for o in _overwritable(work, views) if last[o] == step and graph.kinds[o] == kind]
                roots = [over.get(o, o) for o in free]
                roots = [r for r in roots if ("part", r) in lives and lives["part", r].dies <= step]
                if roots:
                    over[slot] = roots[0]
                    lives["part", roots[0]] = lives["part", roots[0]]._replace(dies=max(dies, step + 1))
                else:
                    lives["part", slot] = Life(longest * (kind.bytes // region.rows), step, dies)


def _overwritable(work: Instruction | Chain, views: Views) -> Iterable[int]:
    """The slots that a result may be written over, because it reads an element before it writes there."""
    if isinstance(work, Chain):
        return work.in_order
    if not work.primitive.traits.in_place:
        return ()
    viewed = {views.root_of(slot) for slot in work.reads() if views.root_of(slot) != slot}
    return [slot for slot in work.reads() if slot not in views.slots and slot not in viewed]
