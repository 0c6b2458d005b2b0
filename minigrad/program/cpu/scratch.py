"""Scratch: arrays that exist for one part at a time, in a small block that a thread reuses for all its parts."""

from __future__ import annotations

from collections.abc import Iterable

from minigrad.program.buffers import Life, fit
from minigrad.program.cpu.chains import Chain
from minigrad.program.cpu.schedule import Region
from minigrad.program.graph import Graph, Instruction
from minigrad.program.tuning import Tuning
from minigrad.program.views import Views


def plan_scratch(
    region: Region, longest: int, graph: Graph, views: Views, whole: set[int], tuning: Tuning
) -> tuple[dict[int, int], int]:
    """Offsets into a thread's scratch for the results that only this region reads, in parts of at most `longest` rows,
    and its size in bytes; `whole` are the slots that have full arrays."""
    if region.rows is None:
        return {}, 0
    lives: dict[int, Life] = {}
    over: dict[int, int] = {}  # results that overwrite an operand that is not read later, and what has that place
    last = {views.root_of(slot): step for step, (work, _) in enumerate(region.steps) for slot in work.reads()}
    for step, (work, _) in enumerate(region.steps):
        for slot in work.results:
            if slot in whole:
                continue
            kind, dies = graph.kinds[slot], last.get(slot, step)
            free = [o for o in _overwritable(work, views) if last[o] == step and graph.kinds[o] == kind]
            roots = [over.get(o, o) for o in free]
            roots = [root for root in roots if root in lives and lives[root].dies <= step]
            if roots:
                over[slot] = roots[0]
                lives[roots[0]] = lives[roots[0]]._replace(dies=max(dies, step + 1))
            else:
                lives[slot] = Life(longest * (kind.bytes // region.rows), step, dies)
    offsets, size = fit(lives, tuning)
    return offsets | {slot: offsets[root] for slot, root in over.items()}, size


def _overwritable(work: Instruction | Chain, views: Views) -> Iterable[int]:
    """The slots that a result may be written over, because it reads an element before it writes there."""
    if isinstance(work, Chain):
        return work.in_order
    if not work.primitive.traits.in_place:
        return ()
    viewed = {views.root_of(slot) for slot in work.reads() if views.root_of(slot) != slot}
    return [slot for slot in work.reads() if slot not in views.slots and slot not in viewed]
