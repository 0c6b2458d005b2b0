"""Overwriting: which results can be written over a donated argument, part by part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from minigrad.program.buffers import find_overwrites
from minigrad.program.cpu.chains import Chain
from minigrad.program.cpu.schedule import Region, row_axis
from minigrad.program.graph import Graph, Instruction
from minigrad.program.views import Views


class RegionStep(NamedTuple):
    """The position of an instruction or a chain in a schedule."""

    region: Region
    number: int


class Reader(NamedTuple):
    """A step that reads an argument."""

    step: RegionStep
    directly: bool  # not through a view
    axis: int | None  # along which it reads parts; None if it reads all of it
    in_place: bool  # whether it may overwrite an element that it has read


def plan_overwrites(regions: Sequence[Region], graph: Graph, views: Views) -> dict[int, int]:
    """For each output that can be written over a donated argument, the slot of that argument.

    Arguments that are returned, directly or as a view, are not overwritten, nor are scalars, which are copied into the
    block. Sums are not written over arguments, because their parts are added up. Another result may be, if every part
    of the argument has been read when the same part of the result is written: by earlier regions, or by earlier steps
    of the same region that read only this part (the parts of a region run in any order).
    """
    outputs = [output for output in graph.outputs if isinstance(output, int)]
    returned = set(map(views.root_of, outputs))
    donated = [slot for slot in graph.donated if graph.kinds[slot].shape and slot not in returned]
    readers: dict[int, list[Reader]] = {slot: [] for slot in donated}
    writers: dict[int, RegionStep] = {}
    for region in regions:
        for number, (work, cut) in enumerate(region.steps):
            step = RegionStep(region, number)
            if cut is None or cut.result is not None:
                writers |= dict.fromkeys(work.results, step)
            for place, operand in enumerate(work.operands):
                axis = cut.operands[place] if cut else None
                root = views.root_of(operand) if isinstance(operand, int) else None
                if root in readers:
                    readers[root].append(Reader(step, operand == root, axis, _is_in_place(work, place)))

    def is_done(argument: int, output: int) -> bool:
        axis = row_axis(graph.kinds[output].shape)
        return all(_has_read(reader, writers[output], axis) for reader in readers[argument])

    return find_overwrites(graph.kinds, [output for output in outputs if output in writers], donated, is_done)


def _is_in_place(work: Instruction | Chain, place: int) -> bool:
    """Whether a step reads an element of an operand before it writes a result there."""
    if isinstance(work, Chain):
        return work.operands[place] in work.in_order
    return work.primitive.traits.in_place or work.primitive.traits.edits == place


def _has_read(reader: Reader, writer: RegionStep, axis: int | None) -> bool:
    """Whether a reader has read a part of an argument before the writer writes the same part of its result there; the
    result is cut along `axis` if the writer's region has rows."""
    if reader.step.region is not writer.region:
        return reader.step.region.moment < writer.region.moment
    is_whole = writer.region.rows is None
    same_part = reader.directly and (is_whole or reader.axis == axis)
    if reader.step.number == writer.number:
        return same_part and reader.in_place
    return reader.step.number < writer.number and (same_part or is_whole)
