"""Parts: how the rows of a region are shared between threads, and how sums over rows are added up.

With a sum over its rows, a region is cut into *groups*, as shapes and tuning say. Each group gives one term of each
sum, and terms are added in the order of groups, so that sums have the same bits on any number of threads. What has
rows of its own does not depend on how they are cut. So it is computed on *parts*: several groups of one thread, as long
as the cache allows, or just rows where there is no sum.
"""

from __future__ import annotations

from typing import NamedTuple

from minigrad.core.rules import Elementwise
from minigrad.program.cost import cost_of
from minigrad.program.cpu.schedule import Region
from minigrad.program.cpu.scratch import plan_scratch
from minigrad.program.graph import Graph
from minigrad.program.tuning import Tuning
from minigrad.program.views import Views


class Part(NamedTuple):
    """Some rows of a region, and the thread that works on them."""

    rows: slice | None  # None: all rows
    thread: int = 0
    groups: tuple[slice, ...] = ()  # the same rows, by terms of a sum; empty where nothing is summed


def divide(region: Region, graph: Graph, views: Views, whole: set[int], tuning: Tuning, threads: int) -> list[Part]:
    """The parts of a region: small enough for the cache, and equally many for each thread."""
    if region.rows is None:
        return [Part(None)]
    costs = [cost_of(instruction, graph) for work, _ in region.steps for instruction in work.instructions]
    work = sum(tuning.flop * c.flops + tuning.byte * c.bytes for c in costs)
    longest = _longest_part(region, graph, views, whole, tuning)
    units = _count_groups(region, longest, work, tuning) if region.sums else region.rows // _shortest_part(region)
    threads = min(threads, units)
    threads = threads if work / threads / len(region.steps) >= tuning.worth_threads else 1
    together = max(1, longest // -(-region.rows // units))  # units of a part, at most
    count = -(-units // together)
    count = min(units, -(-count // threads) * threads)
    owners = [number * threads // count for number in range(count)]
    if not region.sums:
        return list(map(Part, _cut(region.rows, count), owners))
    groups = _cut(region.rows, units)
    shares = [tuple(groups[piece]) for piece in _cut(units, count)]
    return [Part(slice(share[0].start, share[-1].stop), owner, share) for owner, share in zip(owners, shares)]


def _cut(length: int, count: int) -> list[slice]:
    """Equal slices of an axis."""
    ends = [round(length * i / count) for i in range(count + 1)]
    return [slice(ends[i], ends[i + 1]) for i in range(count)]


def _count_groups(region: Region, longest: int, work: float, tuning: Tuning) -> int:
    """A power of two, for balance: as many groups as are worth their terms, and more if a part could not hold one."""
    most = min(tuning.most_groups, region.rows // tuning.shortest_group)
    count = 1
    while 2 * count <= most and work / (2 * count) / len(region.sums) >= tuning.worth_group:
        count *= 2
    while count * longest < region.rows:
        count *= 2
    return min(count, region.rows)


def _shortest_part(region: Region) -> int:
    """One row; or two, unless all is elementwise: of one row or column, NumPy adds up numbers in another order, and
    BLAS has another product."""
    instructions = [instruction for work, _ in region.steps for instruction in work.instructions]
    return 1 if all(isinstance(i.primitive.rule, Elementwise) for i in instructions) else 2


def _longest_part(region: Region, graph: Graph, views: Views, whole: set[int], tuning: Tuning) -> int:
    """How many rows a part may have to stay in the cache."""
    sample = min(region.rows, 64)
    _, size = plan_scratch(region, sample, graph, views, whole, tuning)
    row = size / sample + _row_bytes(region, graph, views, whole)
    products = any(i.primitive.traits.blas for work, _ in region.steps for i in work.instructions)
    return max(tuning.shortest_product if products else 1, int(tuning.part // max(1, row)))


def _row_bytes(region: Region, graph: Graph, views: Views, whole: set[int]) -> float:
    """Bytes per row of the full arrays that a step reads or writes in parts; the maximum over steps."""
    own = {slot for work, _ in region.steps for slot in work.results} - whole
    most = 0.0
    for work, cut in region.steps:
        slots = {o for o, axis in zip(work.operands, cut.operands) if isinstance(o, int) and axis is not None}
        slots |= set() if cut.result is None else {*work.results}
        most = max(most, sum(graph.kinds[o].bytes for o in slots if views.root_of(o) not in own) / region.rows)
    return most
