"""Schedule: in what order, and what together.

A step is one instruction, or a *chain*: elementwise instructions on arrays of one shape, which run block by block, so
that what only the chain itself reads never leaves the cache. A chain stays open while instructions can join it, and is
closed when another step needs one of its results.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from minigrad.program.instructions import Constant, Instruction, Kind
from minigrad.rules import Elementwise

SMALL = 1 << 12  # elements: below, Python's time for one call is more than NumPy's for all of them
EXTRA = set(
    "where astype astype_discrete zeros_like step equal not_equal less less_equal greater greater_equal logical_and "
    "logical_or logical_not isfinite".split()
)
"""Elementwise operations whose rule does not say so: linear ones, and constants."""


class Step(NamedTuple):
    """Instructions that run together, and which of their results are read elsewhere."""

    instructions: tuple[Instruction, ...]
    results: tuple[int, ...]

    def reads(self) -> set[int]:
        """Slots made elsewhere that it reads."""
        own = {instruction.result for instruction in self.instructions}
        return {slot for instruction in self.instructions for slot in instruction.reads()} - own


def scheduled(
    instructions: Sequence[Instruction], kinds: Sequence[Kind], outputs: Sequence[int | Constant]
) -> list[Step]:
    """Instructions as steps, in an order that can be run."""
    done: list[list[Instruction]] = []
    open_chains: dict[tuple[int, ...], list[Instruction]] = {}
    chain_of: dict[int, tuple[int, ...]] = {}  # slot made by an open chain: that chain's shape

    def close(shape: tuple[int, ...]) -> None:
        chain = open_chains.pop(shape, None)
        if chain:
            for instruction in chain:
                chain_of.pop(instruction.result, None)
            done.append(chain)

    for instruction in instructions:
        kind = kinds[instruction.result]
        joins = bool(kind.shape) and is_elementwise(instruction) and math.prod(kind.shape) >= SMALL
        for slot in instruction.reads():
            if slot in chain_of and not (joins and chain_of[slot] == kind.shape):
                close(chain_of[slot])
        if joins:
            open_chains.setdefault(kind.shape, []).append(instruction)
            chain_of[instruction.result] = kind.shape
        else:
            done.append([instruction])
    for shape in list(open_chains):
        close(shape)
    readers: dict[int, set[int]] = {}
    for time, chain in enumerate(done):
        for instruction in chain:
            for slot in instruction.reads():
                readers.setdefault(slot, set()).add(time)
    returned = {output for output in outputs if isinstance(output, int)}

    def leaves(slot: int, time: int) -> bool:
        return slot in returned or bool(readers.get(slot, set()) - {time})

    return [
        Step(tuple(chain), tuple(i.result for i in chain if leaves(i.result, time))) for time, chain in enumerate(done)
    ]


def is_elementwise(instruction: Instruction) -> bool:
    """Whether each element of the result needs only the elements at its own place."""
    primitive = instruction.primitive
    return isinstance(primitive.rule, Elementwise) or primitive.name in EXTRA
