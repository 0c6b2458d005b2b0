"""Parts: how the rows of a region are shared between threads, and how sums over rows are added up.

A region is cut into *groups*, as shapes and tuning say. Each group gives one term of each sum over rows, and terms are
added in the order of groups. Products are computed group by group, too, because the bits of a row depend on how many
rows BLAS multiplies at once. So results have the same bits on any number of threads. All others do not depend on how
rows are cut. They are computed on *parts*: several groups of one thread, as long as the cache allows, or just rows
where there is neither a sum nor a product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from minigrad.backends.native.convolution import has_loop
from minigrad.core.rules import Elementwise
from minigrad.program.cost import cost_of
from minigrad.program.cpu.schedule import Region
from minigrad.program.cpu.scratch import plan_scratch
from minigrad.program.graph import Graph, Instruction
from minigrad.program.tuning import Tuning
from minigrad.program.views import Views


class Part(NamedTuple):
    """Some rows of a region, and the thread that works on them."""

    rows: slice | None  # None: all rows
    thread: int = 0
    groups: tuple[slice, ...] = ()  # the same rows, group by group; empty where nothing needs groups


def find_grouped(regions: Sequence[Region], graph: Graph, compiled: bool) -> frozenset[int]:
    """The results that are computed group by group; `compiled`: convolutions have loops of their own."""
    found = set()
    for region in regions:
        for work, cut in region.steps:
            if isinstance(work, Instruction) and region.rows is not None:
                traits = work.primitive.traits
                native = compiled and traits.native and has_loop(*(graph.kind(o).dtype for o in work.operands))
                if cut.result is None or (traits.blas and not native):
                    found.add(work.result)
    return frozenset(found)


def divide(
    region: Region,
    graph: Graph,
    views: Views,
    whole: set[int],
    grouped: frozenset[int],
    tuning: Tuning,
    threads: int,
) -> list[Part]:
    """The parts of a region: small enough for the cache, and equally many for each thread."""
    if region.rows is None:
        return [Part(None)]
    costs = [cost_of(instruction, graph) for work, _ in region.steps for instruction in work.instructions]
    work = sum(tuning.flop * c.flops + tuning.byte * c.bytes for c in costs)
    longest = _longest_part(region, graph, views, whole, tuning)
    in_groups = any(slot in grouped for step, _ in region.steps for slot in step.results)
    units = _count_groups(region, graph, longest, work, tuning) if in_groups else region.rows // _shortest_part(region)
    threads = min(threads, units)
    threads = threads if work / threads / len(region.steps) >= tuning.worth_threads else 1
    together = max(1, longest // -(-region.rows // units))  # units of a part, at most
    count = -(-units // together)
    count = min(units, -(-count // threads) * threads)
    owners = [number * threads // count for number in range(count)]
    if not in_groups:
        return list(map(Part, _cut(region.rows, count), owners))
    groups = _cut(region.rows, units)
    shares = [tuple(groups[piece]) for piece in _cut(units, count)]
    return [Part(slice(share[0].start, share[-1].stop), owner, share) for owner, share in zip(owners, shares)]


def _cut(length: int, count: int) -> list[slice]:
    """Equal slices of an axis."""
    ends = [round(length * i / count) for i in range(count + 1)]
    return [slice(ends[i], ends[i + 1]) for i in range(count)]


TWO = 8  # two groups are worth so many times as much as more of them, since a second thread is


def _count_groups(region: Region, graph: Graph, longest: int, work: float, tuning: Tuning) -> int:
    """A power of two, for balance: as many groups as are worth their terms, and more if a part could not hold one.

    Products of few rows are slow: the larger their share of the work, the more rows a group has.
    """
    flops = [(i, cost_of(i, graph).flops) for step, _ in region.steps for i in step.instructions]
    products = sum(n for i, n in flops if _is_product(i)) / max(1, sum(n for _, n in flops))
    shortest = max(tuning.shortest_group, tuning.shortest_product * products**2)
    worth = tuning.worth_group * max(1, len(region.sums))

    def are_worth(count: float) -> bool:
        return count * shortest <= region.rows and count * worth <= work

    count = 1
    while 2 * count <= tuning.most_groups and are_worth(2 * count / (TWO if count == 1 else 1)):
        count *= 2
    while count * longest < region.rows:
        count *= 2
    return min(count, region.rows)


def _is_product(instruction: Instruction) -> bool:
    """Whether it is a matrix product; of a convolution, an image alone has many rows."""
    return instruction.primitive.traits.blas and not instruction.primitive.traits.native


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
    products = any(_is_product(i) for work, _ in region.steps for i in work.instructions)
    return max(1, tuning.shortest_product // TWO if products else 1, int(tuning.part // max(1, row)))


def _row_bytes(region: Region, graph: Graph, views: Views, whole: set[int]) -> float:
    """Bytes per row of the full arrays that a step reads or writes in parts; the maximum over steps."""
    own = {slot for work, _ in region.steps for slot in work.results} - whole
    most = 0.0
    for work, cut in region.steps:
        slots = {o for o, axis in zip(work.operands, cut.operands) if isinstance(o, int) and axis is not None}
        slots |= set() if cut.result is None else {*work.results}
        most = max(most, sum(graph.kinds[o].bytes for o in slots if views.root_of(o) not in own) / region.rows)
    return most
