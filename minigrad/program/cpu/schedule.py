"""Schedule: which instructions run together, part by part.

A *region* is a sequence of instructions that can all be cut along an axis of the same length (`tiling`): rows of a
batch, or of a weight and its optimiser state. It runs part by part, on several threads: a part goes through the whole
region while it is in the cache, and results that only the region reads exist for one part at a time. Of a small sum
over the axis, parts compute terms. An instruction that cannot be cut, or is too small to be worth it, runs whole.

    h = relu(x @ w + b)        rows of x       ┐
    y = h @ v                  rows of h       ├ one region, of len(x) rows
    b̄ = Σ_rows h̄               added up        ┘
    w̄ = xᵀ @ h̄,  w − α·w̄       rows of w       ─ another, of len(w) rows
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from minigrad.core.traits import Cut
from minigrad.program.cpu.tiling import find_cuts, length_of
from minigrad.program.graph import Graph, Instruction
from minigrad.program.tuning import Tuning
from minigrad.program.views import Views


class Region(NamedTuple):
    """Instructions and their cuts along an axis of length `rows`; if that is None, instructions that run whole.

    Those that run whole come first in their stage; the other regions of a stage run at the same time.
    """

    stage: int
    rows: int | None
    steps: tuple[tuple[Any, Cut | None], ...]  # instructions, or chains of them (`chains`)

    @property
    def moment(self) -> int:
        """When it runs: regions of one moment run at the same time."""
        return 2 * self.stage + (self.rows is not None)

    @property
    def sums(self) -> list[int]:
        """The slots that are sums over its rows."""
        return [slot for work, cut in self.steps if cut and cut.result is None for slot in work.results]


class Place(NamedTuple):
    """Where a slot is computed: the stage and rows of its region, and the axis along which it is cut there.

    Without an axis it is not cut, and it is complete only when its region is done.
    """

    stage: int
    rows: int | None
    axis: int | None


ANY = -1  # stands for the axis along which a value is cut, where an instruction waits for it but does not read it


def find_regions(graph: Graph, views: Views, tuning: Tuning) -> tuple[list[Region], dict[int, Place]]:
    """The regions, in an order in which they can run, and the place of every slot that is computed.

    Every instruction goes to the earliest *stage* at which its operands are available and, in the second run of a
    checkpointed call, what this run waits for, so that its results are not kept for longer than needed. The
    instructions of a stage with the same number of rows form a region. Views belong to no region: they have the place
    of their operand.
    """
    places: dict[int, Place] = {}
    chosen: list[tuple[Instruction, Cut | None]] = []
    for instruction in graph.instructions:
        ways = find_cuts(instruction, graph)
        if instruction.result in views.slots:
            _place_view(instruction, ways, places)
            continue
        options = _find_options(instruction, ways, graph, places, tuning)
        place, cut = min(options or [_place_whole(instruction, places)], key=lambda way: way[0].stage)
        places[instruction.result] = place
        chosen.append((instruction, cut))
    _sink(chosen, places, views)
    found: dict[tuple[int, int], list[tuple[Instruction, Cut | None]]] = {}
    for instruction, cut in chosen:
        place = places[instruction.result]
        found.setdefault((place.stage, place.rows or 0), []).append((instruction, cut))
    return [Region(stage, rows or None, tuple(steps)) for (stage, rows), steps in sorted(found.items())], places


def _place_view(view: Instruction, ways: Sequence[Cut], places: dict[int, Place]) -> None:
    """Give a view the place of its operand."""
    operand = view.operands[view.primitive.view_of]
    place = places.get(operand) if isinstance(operand, int) else None
    if place is not None:
        axis = next((w.result for w in ways if place.axis is not None and w.operands[0] == place.axis), None)
        places[view.result] = place._replace(axis=axis)


def _find_options(
    instruction: Instruction, ways: Sequence[Cut], graph: Graph, places: dict[int, Place], tuning: Tuning
) -> list[tuple[Place, Cut]]:
    """The places where an instruction could be computed, for each cut that is worth it.

    A result is cut along its first axis longer than 1; one with few elements, only if it joins the region of its
    operands. A sum over the cut axis must join that region too, and be small or have no axis of its own to cut.
    """
    shapes = [graph.kind(operand).shape for operand in instruction.operands]
    kind = graph.kinds[instruction.result]
    by_rows = [cut for cut in ways if cut.result is not None and cut.result == row_axis(kind.shape)]
    found = []
    for cut in ways:
        rows = length_of(cut, shapes, kind.shape)
        stage, joins = _stage_of(instruction, cut, rows, places)
        if cut.result is None:
            worth_it = joins and (kind.bytes <= tuning.largest_sum or not by_rows)
        else:
            worth_it = cut in by_rows and (joins or math.prod(kind.shape) >= tuning.worth_region)
        if worth_it and all(map(math.prod, (*shapes, kind.shape))):  # nothing is empty
            found.append((Place(stage, rows, cut.result), cut))
    return found


def row_axis(shape: Sequence[int]) -> int | None:
    """The axis along which a result is cut: the first one longer than 1."""
    return next((axis for axis, n in enumerate(shape) if n > 1), None)


def _stage_of(instruction: Instruction, cut: Cut, rows: int, places: dict[int, Place]) -> tuple[int, bool]:
    """The earliest stage for an instruction with this cut, and whether it joins the region of what it needs."""
    stage, joins = 0, False
    needs = [*zip(instruction.operands, cut.operands, strict=True), *((awaited, ANY) for awaited in instruction.awaits)]
    for operand, axis in needs:
        place = places.get(operand) if isinstance(operand, int) else None
        if place is not None:
            axis = place.axis if axis is ANY else axis
            together = axis is not None and (place.rows, place.axis) == (rows, axis)
            earliest = place.stage if together else place.stage + 1
            if earliest > stage or (earliest == stage and together):
                stage, joins = earliest, together
    return stage, joins


def _place_whole(instruction: Instruction, places: dict[int, Place]) -> tuple[Place, None]:
    """The place of an instruction that runs whole."""
    needs = [slot for slot in (*instruction.operands, *instruction.awaits) if isinstance(slot, int)]
    before = [places[slot] for slot in needs if slot in places]
    return Place(max((p.stage + (p.rows is not None) for p in before), default=0), None, None), None


def _sink(chosen: Sequence[tuple[Instruction, Cut | None]], places: dict[int, Place], views: Views) -> None:
    """Code sinking: move instructions that read only inputs to the region that first reads their results, if that is
    later and has the same rows. Then β·m of an optimiser, say, need not be kept until the gradient is known."""
    readers: dict[int, list[Place]] = {}  # by slot: their stage and rows, and the axis along which they read it
    for instruction, cut in reversed(chosen):
        place, axes = places[instruction.result], cut.operands if cut else (None,) * len(instruction.operands)
        mine = readers.get(instruction.result, [])
        free = not instruction.primitive.traits.collective and not any(slot in places for slot in instruction.reads())
        if mine and free:
            stage = min(reader.stage for reader in mine)
            if all(reader == place._replace(stage=stage) for reader in mine if reader.stage == stage):
                place = places[instruction.result] = place._replace(stage=stage)
        for slot, axis in zip(instruction.operands, axes, strict=True):
            if isinstance(slot, int):
                root = views.root_of(slot)
                seen_as = axis if root == slot else None  # a view may show it in another order
                readers.setdefault(root, []).append(Place(place.stage, place.rows, seen_as))
