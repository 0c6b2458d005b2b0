"""Plan: everything about a run that does not depend on its arguments.

regions    which instructions run together, and the parts and threads of each (`schedule`, `tiling`, `parts`)
block      an offset for every result that needs a full array, and for the terms of sums over rows; memory is reused by
           lifetime (`buffers`)
scratch    an offset for every result that exists for one part at a time, the same for all parts of a thread (`scratch`)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from minigrad.program.buffers import FOREVER, Life, fit, lifetimes, share_buffers
from minigrad.program.cpu.chains import find_chains
from minigrad.program.cpu.overwrite import plan_overwrites
from minigrad.program.cpu.parts import Part, divide, find_grouped
from minigrad.program.cpu.schedule import Place, Region, find_regions
from minigrad.program.cpu.scratch import plan_scratch
from minigrad.program.graph import Graph, Instruction
from minigrad.program.tuning import Tuning
from minigrad.program.views import Views


@dataclass(frozen=True)
class Plan:
    """When everything is computed, and where it is stored."""

    regions: list[Region]
    places: dict[int, Place]
    parts: list[list[Part]]  # of each region
    grouped: frozenset[int]  # slots that are computed group by group
    offsets: dict[int, int]  # in the block, of slots
    terms: dict[int, int]  # offsets in the block, of the terms of slots that are sums of several
    block_bytes: int
    scratch: list[dict[int, int]]  # offsets of slots, by region
    scratch_bytes: int  # of one thread
    threads: int
    fresh: list[int]  # outputs that get new memory in every run
    overwrites: dict[int, int]  # the donated inputs that outputs are written over, by output


def make_plan(graph: Graph, views: Views, tuning: Tuning, threads: int, compiled: bool = False) -> Plan:
    """The plan of a graph, for runs on at most `threads` threads; elementwise chains are compiled if so asked."""
    kinds = graph.kinds
    regions, places = find_regions(graph, views, tuning)
    needed = _find_needed(regions, graph, views)
    if compiled:
        regions = find_chains(regions, needed, graph, views, tuning)
    overwrites = plan_overwrites(regions, graph, views)
    sums = {slot: number for number, region in enumerate(regions) for slot in region.sums}
    outputs = list(dict.fromkeys(o for o in graph.outputs if isinstance(o, int)))
    large = [o for o in outputs if o in places and o not in views.slots and kinds[o].bytes > tuning.small_result]
    fresh = [o for o in large if o not in sums and o not in overwrites]
    lives = _find_lives(regions, graph, views)
    whole = needed | {*sums} | {s for r in regions if r.rows is None for work, _ in r.steps for s in work.results}
    lives = {slot: life for slot, life in lives.items() if slot in whole}
    grouped = find_grouped(regions, graph, compiled)
    parts = [divide(region, graph, views, whole, grouped, tuning, threads) for region in regions]
    counts = {slot: sum(len(part.groups) for part in parts[number]) for slot, number in sums.items()}
    terms = {
        ("terms", slot): Life(count * kinds[slot].bytes, lives[slot].born, lives[slot].born)
        for slot, count in counts.items()
        if count > 1  # a sum of one term is computed in its own array
    }
    numbers = {slot: Life(kinds[slot].bytes, -1, FOREVER) for slot in graph.inputs if not kinds[slot].shape}
    own = {*fresh, *overwrites}
    lives = {slot: life for slot, life in lives.items() if slot not in own}
    whole_steps = [work for region in regions if region.rows is None for work, _ in region.steps]
    edits = [(work.result, views.edited(work)) for work in whole_steps if isinstance(work, Instruction)]
    lives, homes = share_buffers(lives, edits)
    places_in_block, block_bytes = fit(lives | numbers | terms, tuning)
    offsets = {slot: places_in_block[homes.get(slot, slot)] for slot in (*lives, *numbers, *homes)}
    terms_at = {slot: places_in_block["terms", slot] for _, slot in terms}
    scratch, scratch_bytes = [], 0
    for region, some in zip(regions, parts):
        longest = max(part.rows.stop - part.rows.start for part in some) if region.rows else 0
        offsets_here, size = plan_scratch(region, longest, graph, views, whole, tuning)
        scratch.append(offsets_here)
        scratch_bytes = max(scratch_bytes, size)
    used = max((part.thread + 1 for some in parts for part in some), default=1)
    return Plan(
        regions, places, parts, grouped, offsets, terms_at, block_bytes, scratch, scratch_bytes, used, fresh, overwrites
    )


def _find_lives(regions: Sequence[Region], graph: Graph, views: Views) -> dict[int, Life]:
    """The lifetimes of results. Regions of one moment run at the same time; instructions that run whole, one by one."""
    times: dict[int, int] = {}
    reads: list[tuple[int, int]] = []
    time = 0
    for _, moment in groupby(regions, key=lambda region: region.moment):
        for region in moment:
            for work, _ in region.steps:
                times |= dict.fromkeys(work.results, time)
                reads += [(views.root_of(slot), time) for slot in work.reads()]
                time += region.rows is None
        time += 1
    return lifetimes(graph.kinds, times, reads, [views.root_of(o) for o in graph.outputs if isinstance(o, int)])


def _find_needed(regions: Sequence[Region], graph: Graph, views: Views) -> set[int]:
    """The slots that outputs show or other regions read: they need a full array."""
    needed = {views.root_of(o) for o in graph.outputs if isinstance(o, int)}
    home = {instruction.result: number for number, region in enumerate(regions) for instruction, _ in region.steps}
    for number, region in enumerate(regions):
        for instruction, _ in region.steps:
            needed |= {root for root in map(views.root_of, instruction.reads()) if home.get(root) != number}
    return needed
