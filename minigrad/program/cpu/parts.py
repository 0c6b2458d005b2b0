"""Parts: how the rows of a region are shared between threads, and how sums over rows are added up.

With a sum over its rows, a region is cut into *groups*, as shapes and tuning say. Each group gives one term of each
sum, and terms are added in the order of groups, so that sums have the same bits on any number of threads. What has
rows of its own does not depend on how they are cut. So it is computed on *parts*: several groups of one thread, as long
as the cache allows, or just rows where there is no sum.
"""

from __future__ import annotations

from typing import NamedTuple

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
    units = _count_groups(region.rows, longest, work, tuning) if region.sums else region.rows
    threads = min(threads, units)
    threads = threads if work / threads / len(region.steps) >= tuning.worth_threads else 1
    together = max(1, longest // -(-region.rows // units))  # units in a part
    count = -(-units // together)
    pieces = _cut(units, min(units, -(-count // threads) * threads))
    if not region.sums:
        return [Part(rows, number * threads // len(pieces)) for number, rows in enumerate(pieces)]
    groups = [tuple(_cut(region.rows, units)[piece]) for piece in pieces]
    return [
        Part(slice(some[0].start, some[-1].stop), number * threads // len(groups), some)
        for number, some in enumerate(groups)
    ]


def _cut(length: int, count: int) -> list[slice]:
    """Equal slices of an axis."""
    ends = [round(length * i / count) for i in range(count + 1)]
    return [slice(ends[i], ends[i + 1]) for i in range(count)]


def _count_groups(rows: int, longest: int, work: float, tuning: Tuning) -> int:
    """A power of two, for balance: as many groups as are worth their terms, and more if a part could not hold one."""
    count = 1
    while (
        2 * count <= tuning.most_groups
        and 2 * count * tuning.shortest_group <= rows
        and 2 * count * tuning.worth_group <= work
    ):
        count *= 2
    while count * longest < rows:
        count *= 2
    return min(count, rows)


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
