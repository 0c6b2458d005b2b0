"""Chains: the elementwise instructions of a region as compiled kernels (`minigrad.backends.native`).

Within a region, instructions with a formula are fused as on a GPU (`minigrad.program.fusion`): level by level, one
kernel computes all that can be computed, and only what others read is stored. Instructions without a formula, such as
products and sums, keep their calls between the kernels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import NamedTuple

from minigrad.backends.native import codegen
from minigrad.core.traits import Cut
from minigrad.core.vectors import reshape_p
from minigrad.program.cost import cost_of
from minigrad.program.cpu.schedule import Region, row_axis
from minigrad.program.elementwise import can_be_generated, compute_dtype
from minigrad.program.fusion import Schedule, fuse
from minigrad.program.graph import Graph, Instruction
from minigrad.program.lowering import GeneratedKernel, lower
from minigrad.program.tuning import Tuning
from minigrad.program.views import Views

FLOPS = 8  # of a convolution in NumPy, in the time that it takes to compute a formula for an element


class Chain(NamedTuple):
    """Elementwise instructions that one compiled kernel computes. Element i of a result is computed from element i of
    what is read in order, and from any elements of the rest."""

    kernel: GeneratedKernel
    instructions: tuple[Instruction, ...]
    results: tuple[int, ...]  # that are stored
    in_order: frozenset[int]  # slots

    @property
    def operands(self) -> list[int]:
        """The slots that it reads: memory, not views of it."""
        return [root for root in self.kernel.arguments if isinstance(root, int) and root not in self.results]

    def reads(self) -> list[int]:
        """The slots that it reads."""
        return self.operands

    def source(self, graph: Graph, rows: int | None) -> str:
        """Its source in C++."""
        dtypes = [graph.kind(root).dtype for root in self.kernel.arguments]
        return codegen.kernel_source(self.kernel.name, self.kernel.loops, dtypes, rows or 1)


def find_chains(
    regions: Sequence[Region], needed: set[int], graph: Graph, views: Views, tuning: Tuning
) -> list[Region]:
    """The same regions, with chains in place of elementwise instructions; `needed` are the slots that outputs and other
    regions read."""
    numbers = count()
    fused = [_fuse_region(region, needed, graph, views, tuning, numbers) for region in regions]
    return [region for region in fused if region.steps]  # the others compute only what nobody reads


def count_elements(graph: Graph, views: Views) -> int:
    """How many elements a run computes with formulas that can be compiled; a convolution counts as many as take the
    same time."""
    count = 0
    for instruction in graph.instructions:
        if can_be_compiled(instruction, graph, views):
            count += math.prod(graph.kinds[instruction.result].shape)
        elif instruction.primitive.traits.native:
            count += cost_of(instruction, graph).flops // FLOPS
    return count


def can_be_compiled(instruction: Instruction, graph: Graph, views: Views) -> bool:
    """Whether an instruction can be part of a compiled kernel."""
    if not can_be_generated(instruction, graph, views):
        return False
    traits, dtype = instruction.primitive.traits, graph.kinds[instruction.result].dtype
    return bool(traits.stream) or codegen.is_known(traits.formula, compute_dtype(instruction, graph), dtype)


def _fuse_region(
    region: Region, needed: set[int], graph: Graph, views: Views, tuning: Tuning, numbers: Iterable[int]
) -> Region:
    cuts = {instruction.result: cut for instruction, cut in region.steps}
    instructions = tuple(instruction for instruction, _ in region.steps)
    part = replace(graph, instructions=instructions, outputs=tuple(s for s in cuts if s in needed))
    tuning = replace(tuning, shared_cost=tuning.costly - 1)  # computing noise again takes longer than reading it
    schedule = fuse(part, views, tuning, partial(_can_join, region))
    steps = []
    for level in lower(schedule):
        for launch in level:
            if isinstance(launch, GeneratedKernel):
                chain = _make_chain(launch._replace(name=f"chain_{next(numbers)}"), schedule)
                steps.append((chain, region.rows and _cut_of(chain, graph)))
            else:
                steps.append((launch, cuts[launch.result]))
    return region._replace(steps=tuple(steps))


def _can_join(region: Region, instruction: Instruction, graph: Graph, views: Views) -> bool:
    """Whether an instruction of a region can be part of a chain: its elements lie in the order of its rows."""
    in_order = region.rows is None or instruction.primitive is not reshape_p
    return in_order and can_be_compiled(instruction, graph, views)


def _make_chain(kernel: GeneratedKernel, schedule: Schedule) -> Chain:
    stored = {argument for loop in kernel.loops for _, argument in loop.stores}
    results = tuple(root for number, root in enumerate(kernel.arguments) if number in stored)
    reads = [read for slot in results for read in schedule.reads[slot]]
    scattered = {read.root for read in reads if not read.in_order}
    inside, waiting = {}, list(results)
    while waiting:
        slot = waiting.pop()
        if slot not in inside and (slot in results or slot in schedule.inline):
            inside[slot] = schedule.instructions[slot]
            waiting += schedule.views.roots_of(inside[slot].operands)
    in_order = frozenset(r.root for r in reads if isinstance(r.root, int)) - scattered - frozenset(results)
    return Chain(kernel, tuple(inside[slot] for slot in sorted(inside)), results, in_order)


def _cut_of(chain: Chain, graph: Graph) -> Cut:
    """Along which axis it reads parts of each slot, None for what it may read any element of; and that of its first
    result. Where others have more or fewer axes of length 1 in front, the axis of their rows is another."""
    axes = [row_axis(graph.kinds[slot].shape) if slot in chain.in_order else None for slot in chain.operands]
    return Cut(tuple(axes), row_axis(graph.kinds[chain.results[0]].shape))
