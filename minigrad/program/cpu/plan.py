"""Plan: everything about a run that does not depend on its arguments.

regions    which instructions run together, and the parts and threads of each (`schedule`, `tiling`)
block      an offset for every result that needs a full array; memory is reused by lifetime (`buffers`)
scratch    an offset for every result that exists for one part at a time, the same for all parts of a thread (`scratch`)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from minigrad.program.buffers import FOREVER, Life, fit, lifetimes
from minigrad.program.cost import cost_of
from minigrad.program.cpu.chains import find_chains
from minigrad.program.cpu.overwrite import plan_overwrites
from minigrad.program.cpu.schedule import Place, Region, find_regions
from minigrad.program.cpu.scratch import Part, plan_scratch
from minigrad.program.graph import Graph
from minigrad.program.tuning import Tuning
from minigrad.program.views import Views


@dataclass(frozen=True)
class Plan:
    """When everything is computed, and where it is stored."""

    regions: list[Region]
    places: dict[int, Place]
    parts: list[list[Part]]  # of each region
    offsets: dict[int, int]  # in the block, of slots
    block_bytes: int
    scratch: list[dict[tuple[str, int], int]]  # offsets, by region, of ("part", "term" or "sum", slot)
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
    sums = {
        slot for region in regions for work, cut in region.steps if cut and cut.result is None for slot in work.results
    }
    outputs = list(dict.fromkeys(o for o in graph.outputs if isinstance(o, int)))
    large = [o for o in outputs if o in places and o not in views.slots and kinds[o].bytes > tuning.small_result]
    fresh = [o for o in large if o not in sums and o not in overwrites]
    lives = _find_lives(regions, graph, views)
    whole = needed | sums | {s for r in regions if r.rows is None for work, _ in r.steps for s in work.results}
    lives = {slot: life for slot, life in lives.items() if slot in whole}
    numbers = {slot: Life(kinds[slot].bytes, -1, FOREVER) for slot in graph.inputs if not kinds[slot].shape}
    own = {*fresh, *overwrites}
    offsets, block_bytes = fit({slot: life for slot, life in lives.items() if slot not in own} | numbers, tuning)
    parts = [_divide(region, graph, views, whole, tuning, threads) for region in regions]
    scratch, scratch_bytes = [], 0
    for _, moment in groupby(zip(regions, parts, strict=True), key=lambda each: each[0].moment):
        offsets_here, size = plan_scratch(list(moment), graph, views, whole, tuning)
        scratch += offsets_here
        scratch_bytes = max(scratch_bytes, size)
    used = max((part.thread + 1 for some in parts for part in some), default=1)
    return Plan(regions, places, parts, offsets, block_bytes, scratch, scratch_bytes, used, fresh, overwrites)


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


def _divide(region: Region, graph: Graph, views: Views, whole: set[int], tuning: Tuning, threads: int) -> list[Part]:
    """The parts of a region: small enough for the cache, and equally many for each thread."""
    if region.rows is None:
        return [Part(None)]
    costs = [cost_of(instruction, graph) for work, _ in region.steps for instruction in work.instructions]
    work = sum(tuning.flop * c.flops + tuning.byte * c.bytes for c in costs)
    threads = min(threads, region.rows) if work / threads / len(region.steps) >= tuning.worth_threads else 1
    sample = Part(slice(0, min(region.rows, 64)))
    _, size = plan_scratch([(region, [sample])], graph, views, whole, tuning)
    row = size / sample.rows.stop + _row_bytes(region, graph, views, whole)
    products = any(i.primitive.traits.blas for work, _ in region.steps for i in work.instructions)
    longest = max(tuning.shortest_product if products else 1, int(tuning.part // max(1, row)))
    count = -(-region.rows // longest)
    count = min(region.rows, -(-count // threads) * threads)
    ends = [round(region.rows * i / count) for i in range(count + 1)]
    return [Part(slice(ends[i], ends[i + 1]), i * threads // count) for i in range(count)]


def _row_bytes(region: Region, graph: Graph, views: Views, whole: set[int]) -> float:
    """Bytes per row of the full arrays that a step reads or writes in parts; the maximum over steps."""
    own = {slot for work, _ in region.steps for slot in work.results} - whole
    most = 0.0
    for work, cut in region.steps:
        slots = {o for o, axis in zip(work.operands, cut.operands) if isinstance(o, int) and axis is not None}
        slots |= set() if cut.result is None else {*work.results}
        most = max(most, sum(graph.kinds[o].bytes for o in slots if views.root_of(o) not in own) / region.rows)
    return most
