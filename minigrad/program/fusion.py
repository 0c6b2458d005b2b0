"""Fusion: which elementwise instructions are computed together, which results are stored, and in which order.

A chain of elementwise instructions is computed by one generated kernel, in registers. The result of an instruction is
computed again wherever it is read, even through a transposed or reshaped view (then at another index). It is stored
only in these cases:

    it is an output, or an instruction with a kernel of its own reads it (a product, a sum)
    it is broadcast: it has fewer elements than the result that reads it
    it costs more than `Tuning.shared_cost` and is read more than once, or costs more than `Tuning.longest_chain`

A stored result is computed as early as possible, at a *level*: one level after the results that it reads, or at their
level if its element i needs only their element i. The second run of a checkpointed call is not part of the kernel that
computes what it waits for, nor of an earlier level, so that its results are not kept for longer than needed. A level is
one launch of a generated kernel, and one launch for each instruction that has a kernel of its own (`lowering`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from minigrad.core.traits import Traits
from minigrad.program.elementwise import can_be_generated, domain, is_in_order
from minigrad.program.graph import Graph, Instruction
from minigrad.program.tuning import Tuning
from minigrad.program.views import Root, Views


class Read(NamedTuple):
    """Stored memory that is read to compute a slot."""

    root: Root
    in_order: bool  # whether a generated kernel reads element i of it, and no other, for element i of the slot


@dataclass(frozen=True, eq=False)
class Schedule:
    """A graph and the decisions about its slots: how each is computed, whether it is stored, and at which level."""

    graph: Graph
    views: Views
    instructions: Mapping[int, Instruction]  # by result
    generated: frozenset[int]  # slots that generated kernels compute
    inline: frozenset[int]  # generated slots that are not stored, but computed where they are read
    reads: Mapping[int, frozenset[Read]]  # of each slot that is not a view
    level: Mapping[int, int]  # of each slot that is stored


def fuse(
    graph: Graph,
    views: Views,
    tuning: Tuning,
    is_generated: Callable[[Instruction, Graph, Views], bool] = can_be_generated,
) -> Schedule:
    """Schedule a graph whose epilogues have been fused; `is_generated` says which instructions can be fused."""
    computed = {i.result: i for i in graph.instructions if i.result not in views.slots}
    generated = frozenset(slot for slot, instruction in computed.items() if is_generated(instruction, graph, views))
    inline = generated - _find_stored(graph, computed, generated, views, tuning)
    reads = _find_reads(graph, computed, generated, inline, views)
    level = _assign_levels(computed, generated, inline, reads, views, tuning.most_arguments)
    instructions = {instruction.result: instruction for instruction in graph.instructions}
    return Schedule(graph, views, instructions, generated, inline, reads, level)


def _find_stored(
    graph: Graph, computed: Mapping[int, Instruction], generated: frozenset[int], views: Views, tuning: Tuning
) -> frozenset[int]:
    """The slots of generated kernels that are stored."""
    stored = views.roots_of(graph.outputs) & generated
    readers: dict[int, int] = {}
    cost: dict[int, int] = {}  # of an element, with all that is computed for it
    for slot, instruction in computed.items():
        count, total = math.prod(domain(instruction, graph)), _cost(instruction.primitive.traits, tuning.costly)
        operands = [view for view in map(views.of, instruction.operands) if view and isinstance(view.root, int)]
        for root, *_ in dict.fromkeys(operands):  # once for each order of reading
            readers[root] = readers.get(root, 0) + 1
            if root in generated:
                if slot not in generated or math.prod(graph.kind(root).shape) != count:
                    stored.add(root)
                total += 0 if root in stored else cost[root]
        cost[slot] = total
        if slot in generated and total > tuning.longest_chain:
            stored.add(slot)
    return frozenset(stored | {s for s in generated if cost[s] > tuning.shared_cost and readers.get(s, 0) > 1})


def _cost(traits: Traits, costly: int) -> int:
    """The cost of computing an element; a cheap formula costs 1."""
    return costly if traits.stream or (traits.formula is not None and traits.formula.costly) else 1


def _find_reads(
    graph: Graph, computed: Mapping[int, Instruction], generated: frozenset[int], inline: frozenset[int], views: Views
) -> dict[int, frozenset[Read]]:
    """The stored memory that is read to compute each slot."""
    reads: dict[int, frozenset[Read]] = {}
    for slot, instruction in computed.items():
        if slot not in generated:
            reads[slot] = frozenset(Read(root, False) for root in views.roots_of(instruction.operands))
            continue
        found, space = set(), domain(instruction, graph)
        for view in filter(None, map(views.of, instruction.operands)):
            root, ordered = view.root, is_in_order(view, space, graph)
            if root in inline:
                found |= {Read(read.root, ordered and read.in_order) for read in reads[root]}
            else:
                found.add(Read(root, ordered))
        reads[slot] = frozenset(found)
    return reads


def _assign_levels(
    computed: Mapping[int, Instruction],
    generated: frozenset[int],
    inline: frozenset[int],
    reads: Mapping[int, frozenset[Read]],
    views: Views,
    most: int,
) -> dict[int, int]:
    """The level of each stored slot; `most` is how many arguments the generated kernel of a level may have."""
    levels: dict[int, int] = {}  # also of inline slots: the first at which they can be computed
    arguments: dict[int, set[Root]] = {}  # of the generated kernel of each level
    for slot, instruction in computed.items():
        level, mine = 0, {slot, *(root for root, _ in reads[slot])}
        for root in views.roots_of(instruction.awaits):
            before = root in generated or (root in computed and computed[root].primitive.traits.collective)
            level = max(level, levels.get(root, 0) + before)
        for root, ordered in reads[slot]:
            if root in levels:
                same_kernel = ordered and root in generated
                level = max(level, levels[root] + (not same_kernel))
        if slot in generated - inline:
            while level in arguments and len(arguments[level] | mine) > most:
                level += 1
            arguments.setdefault(level, set()).update(mine)
        levels[slot] = level
    return {slot: level for slot, level in levels.items() if slot not in inline}
