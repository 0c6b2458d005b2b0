"""Plan: everything about a run that does not depend on what it is run on.

regions    which instructions run together, and the parts and threads of each (`schedule`, `tiling`)
block      a place for every result that is needed as a whole, reused by liveness (`buffers`)
scratch    a place for every result that exists for one part at a time, the same for all parts of a thread
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minigrad.program.buffers import Life, fit, taken_over
from minigrad.program.cost import cost
from minigrad.program.cpu.schedule import Place, Region, regions
from minigrad.program.graph import Instruction, Kind
from minigrad.program.views import Host

if TYPE_CHECKING:
    from minigrad.program.program import Program

PART = 1 << 23  # bytes that a part should have in flight: a core's share of the last-level cache
SHORTEST = 32  # rows of a part with products in it: with fewer, BLAS is slow
WORTH_THREADS = 1e4  # nanoseconds a call: with shorter ones, threads mostly wait for Python's lock
FLOP, BYTE = 0.02, 0.05  # nanoseconds of one core, roughly
SMALL_RESULT = 1 << 14  # bytes: a smaller result is copied out rather than bound anew in every run


class Part(NamedTuple):
    """Some rows of a region, and the thread that works on them."""

    rows: slice | None  # None: all there is
    thread: int = 0


class Plan(NamedTuple):
    """What is where, and when."""

    views: set[int]  # slots that only look at the memory of another
    source: dict[int, int]  # the slot whose memory a slot looks at; itself, if it is no view
    regions: list[Region]
    places: dict[int, Place]
    parts: list[list[Part]]  # of each region
    offsets: dict[int, int]  # in the block, of slots
    block_bytes: int
    local: list[dict[tuple[str, int], int]]  # in a thread's scratch, by region, of ("part", "term" or "sum", slot)
    scratch_bytes: int  # of one thread
    threads: int
    fresh: list[int]  # outputs in memory of their own
    taken: dict[int, int]  # outputs over donated inputs


def planned(program: Program, donated: Sequence[int], threads: int) -> Plan:
    """The plan of a program, for runs on so many threads that may write over the inputs in `donated`."""
    kinds = program.kinds
    source, views = _sources(program)
    found, places = regions(program.instructions, kinds, source)
    outputs = list(dict.fromkeys(o for o in program.outputs if isinstance(o, int)))
    taken = taken_over(found, kinds, source, outputs, [slot for slot in donated if kinds[slot].shape])
    summed = {i.result for region in found for i, cut in region.steps if cut is not None and cut.result is None}
    large = [o for o in outputs if o in places and source[o] == o and kinds[o].bytes > SMALL_RESULT]
    fresh = [o for o in large if o not in summed and o not in taken]
    kept = _lives(program, found, source, summed)
    numbers = {slot: Life(kinds[slot].bytes, -1, 1 << 60) for slot in program.inputs if not kinds[slot].shape}
    own = {*fresh, *taken}
    offsets, block_bytes = fit({slot: life for slot, life in kept.items() if slot not in own} | numbers)
    parts = [_parts(region, kinds, source, kept, threads) for region in found]
    local, scratch = [], 0
    for _, moment in groupby(zip(found, parts, strict=True), key=lambda each: each[0].moment):
        here, size = _scratch_of(list(moment), kinds, source, kept)
        local += here
        scratch = max(scratch, size)
    used = max((part.thread + 1 for some in parts for part in some), default=1)
    return Plan(views, source, found, places, parts, offsets, block_bytes, local, scratch, used, fresh, taken)


def _sources(program: Program) -> tuple[dict[int, int], set[int]]:
    """Which slot's memory each slot looks at, and which are views.

    NumPy's reshape of an array that is not contiguous is a copy: here a result like any other.
    """
    source = {slot: slot for slot in program.inputs}
    shown = {slot: _pretended(program.kinds[slot]) for slot in program.inputs}
    views = set()
    for instruction in program.instructions:
        slot, view_of = instruction.result, instruction.primitive.view_of
        looked_at = None if view_of is None else instruction.operands[view_of]
        if isinstance(looked_at, int) and not _copies(instruction, shown[looked_at], program.kinds[slot]):
            views.add(slot)
            source[slot] = source[looked_at]
            shown[slot] = instruction.primitive.forward(Host, shown[looked_at], **instruction.params)
        else:
            source[slot], shown[slot] = slot, _pretended(program.kinds[slot])
    return source, views


def _pretended(kind: Kind) -> Any:
    """A contiguous array without memory, to look at its strides."""
    strides = [math.prod(kind.shape[i + 1 :]) * kind.dtype.itemsize for i in range(len(kind.shape))]
    return np.lib.stride_tricks.as_strided(np.empty(1, kind.dtype), kind.shape, strides)


def _copies(instruction: Instruction, x: Any, kind: Kind) -> bool:
    """Whether a view is a copy after all: a number taken out of an array, or pixels laid out in another order."""
    if instruction.primitive.name == "slice":
        return not kind.shape
    lengths = [[n for n in shape if n != 1] for shape in (x.shape, kind.shape)]
    return instruction.primitive.name == "reshape" and not x.flags.c_contiguous and lengths[0] != lengths[1]


def _lives(program: Program, found: Sequence[Region], source: dict[int, int], summed: set[int]) -> dict[int, Life]:
    """When results that are needed as a whole are: those of a whole run, sums, outputs, what another region reads.

    Parts run at different times, so what regions of one moment read and make lasts from its beginning to its end; what
    runs whole takes a time for each instruction.
    """
    made: dict[int, tuple[Region, int, int]] = {}  # slot: its region, born, dies
    kept: set[int] = {source[o] for o in program.outputs if isinstance(o, int)} | summed
    time = 0
    for _, moment in groupby(found, key=lambda region: region.moment):
        for region in moment:
            for instruction, _ in region.steps:
                for slot in {source[read] for read in instruction.reads()} & made.keys():
                    home, born, _ = made[slot]
                    made[slot] = home, born, time
                    if home is not region:
                        kept.add(slot)
                made[instruction.result] = region, time, time
                if region.rows is None:
                    kept.add(instruction.result)
                    time += 1
        time += 1
    for output in program.outputs:
        if isinstance(output, int) and source[output] in made:
            made[source[output]] = *made[source[output]][:2], time
    return {slot: Life(program.kinds[slot].bytes, born, dies) for slot, (_, born, dies) in made.items() if slot in kept}


def _parts(region: Region, kinds: Sequence[Kind], source: dict, kept: dict[int, Life], threads: int) -> list[Part]:
    """The parts of a region: short enough for the cache, and as many for each thread."""
    if region.rows is None:
        return [Part(None)]
    work = sum(FLOP * c.flops + BYTE * c.bytes for c in (cost(i, kinds) for i, _ in region.steps))
    threads = min(threads, region.rows) if work / threads / len(region.steps) >= WORTH_THREADS else 1
    some = [Part(slice(0, min(region.rows, 64)))]
    _, size = _scratch_of([(region, some)], kinds, source, kept)
    row = size / some[0].rows.stop + _row_bytes(region, kinds, source, kept)
    products = any(instruction.primitive.traits.blas for instruction, _ in region.steps)
    longest = max(SHORTEST if products else 1, int(PART // max(1, row)))
    count = -(-region.rows // longest)
    count = min(region.rows, -(-count // threads) * threads)
    ends = [round(region.rows * i / count) for i in range(count + 1)]
    return [Part(slice(ends[i], ends[i + 1]), i * threads // count) for i in range(count)]


def _row_bytes(region: Region, kinds: Sequence[Kind], source: dict[int, int], kept: dict[int, Life]) -> float:
    """Bytes of a row of all arrays from elsewhere, or for elsewhere, that one step takes in parts; of the step with the
    most."""
    own = {instruction.result for instruction, _ in region.steps} - kept.keys()
    most = 0.0
    for instruction, cut in region.steps:
        slots = {o for o, axis in zip(instruction.operands, cut.operands) if isinstance(o, int) and axis is not None}
        slots |= set() if cut.result is None else {instruction.result}
        most = max(most, sum(kinds[slot].bytes for slot in slots if source[slot] not in own) / region.rows)
    return most


def _scratch_of(
    moment: Sequence[tuple[Region, Sequence[Part]]],
    kinds: Sequence[Kind],
    source: dict[int, int],
    kept: dict[int, Life],
) -> tuple[list[dict[tuple[str, int], int]], int]:
    """Offsets into a thread's scratch for each region of a moment, and the bytes of all of it.

    A thread goes through one region after the other, but what it adds up is added to the others' only at the end.
    """
    lives: dict[tuple[str, int], Life] = {}
    over: dict[int, int] = {}
    begin = 0
    for region, parts in moment:
        if region.rows is not None:
            _lives_within(region, kinds, source, kept, parts, begin, lives, over)
            begin += len(region.steps)
    offsets, size = fit(lives)
    offsets |= {("part", slot): offsets["part", root] for slot, root in over.items()}
    made = [{instruction.result for instruction, _ in region.steps} for region, _ in moment]
    return [{key: at for key, at in offsets.items() if key[1] in slots} for slots in made], size


def _lives_within(
    region: Region,
    kinds: Sequence[Kind],
    source: dict[int, int],
    kept: dict[int, Life],
    parts: Sequence[Part],
    begin: int,
    lives: dict[tuple[str, int], Life],
    over: dict[int, int],
) -> None:
    """Note in `lives` when, counted in steps from `begin`, results that only a region reads are needed while a part
    goes through it; and in `over` which of them take over the place of an operand that nobody reads later."""
    longest = max(part.rows.stop - part.rows.start for part in parts)
    last = {source[read]: step for step, (i, _) in enumerate(region.steps, begin) for read in i.reads()}
    for step, (instruction, cut) in enumerate(region.steps, begin):
        slot, kind = instruction.result, kinds[instruction.result]
        if cut.result is None:
            lives["term", slot] = Life(kind.bytes, step, step)
            lives["sum", slot] = Life(kind.bytes, begin, 1 << 60)
        elif slot not in kept:
            dies = last.get(slot, step)
            done = [o for o in instruction.reads() if last[source[o]] == step and kinds[o] == kind and source[o] == o]
            done = [o for o in done if ("part", over.get(o, o)) in lives and not _is_viewed(o, instruction, source)]
            if done and instruction.primitive.traits.in_place:
                over[slot] = root = over.get(done[0], done[0])
                lives["part", root] = lives["part", root]._replace(dies=dies)
            else:
                lives["part", slot] = Life(longest * (kind.bytes // region.rows), step, dies)


def _is_viewed(slot: int, instruction: Instruction, source: dict[int, int]) -> bool:
    """Whether an instruction reads a slot through a view as well."""
    return any(source[read] == slot != read for read in instruction.reads())
