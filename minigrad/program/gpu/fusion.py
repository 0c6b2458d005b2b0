"""Fusion: which instructions become one launch on a device that launches kernels.

Elementwise instructions are not run one by one: what one makes is computed where it is read, also through a transposed
or a reshaped view (then at another index). Only what somebody else must find is stored: outputs, what products and sums
read, what is read by more numbers than it has, and long chains that are read more than once.

What is stored is made as early as possible, at a *level*: one more than that of what it reads, or the same if it reads
number i of that for its own number i. All stores of a level are one launch of a generated kernel
(`backends/cuda/codegen.py`), with a loop for each count of numbers. Any other instruction is a launch of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minigrad.backends import NEUTRAL
from minigrad.backends.cuda.codegen import Loop
from minigrad.backends.formulas import TYPES
from minigrad.core.traits import Traits
from minigrad.program.gpu.epilogues import ending
from minigrad.program.gpu.lowering import Builder
from minigrad.program.graph import Constant, Instruction, Kind, kind_of
from minigrad.program.views import Root, Shown, contiguous, key_of, view_of

if TYPE_CHECKING:
    from minigrad.program.program import Program

SHARED = 16  # cost of a chain that is stored rather than computed for each reader
LONGEST = 256  # cost of a chain that is stored in any case
MOST = 500  # slots that the kernel of a level reads and writes: CUDA takes parameters of 4096 bytes
COSTLY = 8  # cost of a formula that is costly, or of drawing a number; of any other, 1


class Launch(NamedTuple):
    """One launch: an instruction, or loops of a generated kernel and what its arguments are."""

    instruction: Instruction | None
    loops: tuple[Loop, ...] = ()
    arguments: tuple[Root, ...] = ()


class Fusion:
    """The launches of a program, level by level."""

    def __init__(self, program: Program):
        self.program, self.kinds = program, program.kinds
        self.made = {instruction.result: instruction for instruction in program.instructions}
        self.shown = {slot: Shown(slot, kind.shape, *contiguous(kind)) for slot, kind in self._inputs()}
        self.views: set[int] = set()
        for instruction in program.instructions:
            self._show(instruction)
        self.fused = {slot for slot, i in self.made.items() if slot not in self.views and self._fits(i)}
        self._end_products()
        self.stored = self._stored()
        self.inline = self.fused - self.stored
        self.reads = self._all_reads()
        self.level = self._levels()

    @cached_property
    def handed_out(self) -> set[int]:
        """The slots whose memory outputs show."""
        shown = [self.shown[o].root for o in self.program.outputs if isinstance(o, int)]
        return {root for root in shown if isinstance(root, int)}

    def _inputs(self) -> Iterator[tuple[int, Kind]]:
        return ((slot, self.kinds[slot]) for slot in self.program.inputs)

    # What shows what

    def _show(self, instruction: Instruction) -> None:
        """Note where a result is: in memory of its own, or in that of what it is a view of."""
        slot, place = instruction.result, instruction.primitive.view_of
        if place is not None:
            looked_at = self.of(instruction.operands[place])
            view = None if looked_at is None else view_of(instruction, looked_at)
            if view is not None:
                self.shown[slot] = view
                self.views.add(slot)
                return
        self.shown[slot] = Shown(slot, self.kinds[slot].shape, *contiguous(self.kinds[slot]))

    def of(self, operand: int | Constant) -> Shown | None:
        """How an operand shows memory; None for a number."""
        if isinstance(operand, int):
            return self.shown[operand]
        if isinstance(operand.value, NEUTRAL):
            return None
        array, item = operand.value, operand.value.dtype.itemsize
        if any(stride % item for stride in array.strides):
            raise ValueError(f"an array from outside lies askew in memory: strides {array.strides} of {array.dtype}")
        return Shown(operand, tuple(array.shape), tuple(stride // item for stride in array.strides), 0)

    def kind(self, operand: int | Constant) -> Kind:
        """Shape and dtype of an operand."""
        return self.kinds[operand] if isinstance(operand, int) else kind_of(operand.value)

    def is_alike(self, shown: Shown, space: Sequence[int]) -> bool:
        """Whether number i of a shape is number i of the memory, and there are no others."""
        count, kind = math.prod(space), self.kind(shown.root)
        whole = shown.offset == 0 and math.prod(kind.shape) == count
        return whole and (count == 1 or shown.axes(space) == ((1, count, 1),))

    def space(self, instruction: Instruction) -> tuple[int, ...]:
        """The shape an instruction goes through: of the result, or of what a reshape copies."""
        if instruction.primitive.name == "reshape":
            return self.kind(instruction.operands[0]).shape
        return self.kinds[instruction.result].shape

    # What is fused

    def _fits(self, instruction: Instruction) -> bool:
        """Whether an instruction can be part of a chain."""
        if not math.prod(self.kinds[instruction.result].shape):
            return False
        traits, dtype = instruction.primitive.traits, self.kinds[instruction.result].dtype
        if traits.stream:
            key, start = map(self.of, instruction.operands)
            fits = start is None or self.kind(instruction.operands[1]).dtype in TYPES
            return fits and key is not None and key.strides == (1,) and dtype in TYPES
        if traits.formula is None or any(self.kind(operand).dtype not in TYPES for operand in instruction.operands):
            return False
        if traits.formula.selects and self.kind(instruction.operands[0]).dtype != np.bool_:
            return False
        within = self.computed_in(instruction)
        numbers = [o.value for o in instruction.operands if not isinstance(o, int) and isinstance(o.value, int)]
        return all(_holds(within, number) for number in numbers) and traits.formula.source(within, dtype) is not None

    def computed_in(self, instruction: Instruction) -> np.dtype:
        """The dtype that an instruction's formula computes in."""
        formula, dtype = instruction.primitive.traits.formula, self.kinds[instruction.result].dtype
        if formula.converts:
            return self.kind(instruction.operands[0]).dtype
        if dtype == np.bool_ and not formula.selects:
            return np.result_type(*(_weak(o, self.kind(o)) for o in instruction.operands))
        return dtype

    def _end_products(self) -> None:
        """Let products do what follows them (`epilogues`)."""
        readers: dict[int, list[Instruction]] = {}
        for instruction in self.made.values():
            if instruction.result not in self.views:
                for root in self._roots(instruction):
                    readers.setdefault(root, []).append(instruction)
        for product in list(self.made.values()):
            found = ending(self, product, readers)
            if found is not None:
                self.made[found.end] = found.of(product)
                self.fused.discard(found.end)
                for slot in found.between:
                    del self.made[slot]
                    self.fused.discard(slot)

    def _stored(self) -> set[int]:
        """The fused slots that have memory."""
        stored = self.handed_out & self.fused
        readers: dict[int, int] = {}
        cost: dict[int, int] = {}
        for slot, instruction in self.made.items():
            if slot in self.views:
                continue
            count, total = math.prod(self.space(instruction)), _cost(instruction.primitive.traits)
            shown = [s for s in map(self.of, instruction.operands) if s is not None and isinstance(s.root, int)]
            for root, *_ in dict.fromkeys(shown):  # once for each place that it is read at
                readers[root] = readers.get(root, 0) + 1
                if root in self.fused:
                    if slot not in self.fused or math.prod(self.kinds[root].shape) != count:
                        stored.add(root)
                    total += 0 if root in stored else cost[root]
            cost[slot] = total
            if slot in self.fused and total > LONGEST:
                stored.add(slot)
        return stored | {s for s in self.fused if cost[s] > SHARED and readers.get(s, 0) > 1}

    def _roots(self, instruction: Instruction) -> list[int]:
        """The slots whose memory an instruction reads."""
        found = [shown.root for shown in map(self.of, instruction.operands) if shown is not None]
        return list(dict.fromkeys(root for root in found if isinstance(root, int)))

    # When

    def _all_reads(self) -> dict[int, set[tuple[Any, bool]]]:
        """The memory that making each slot reads: roots, and whether number i is read for number i alone."""
        found: dict[int, set[tuple[Any, bool]]] = {}
        for slot, instruction in self.made.items():
            if slot in self.views:
                continue
            if slot not in self.fused:
                found[slot] = {(root, False) for root in self._roots(instruction)}
                continue
            found[slot], space = set(), self.space(instruction)
            for shown in map(self.of, instruction.operands):
                if shown is None:
                    continue
                root, alike = key_of(shown.root), self.is_alike(shown, space)
                if root in self.inline:
                    found[slot] |= {(other, alike and same) for other, same in found[root]}
                else:
                    found[slot].add((root, alike))
        return found

    def _levels(self) -> dict[int, int]:
        """When each slot that has memory of its own is made."""
        found: dict[int, int] = {}
        arguments: dict[int, set[Any]] = {}  # of the generated kernel of each level
        for slot in self.made:
            if slot in self.views or slot in self.inline:
                continue
            level, mine = 0, {slot, *(root for root, _ in self.reads[slot])}
            for root, same in self.reads[slot]:
                if root in found:
                    joins = same and root in self.fused and slot in self.fused
                    level = max(level, found[root] + (not joins))
            if slot in self.fused:
                while level in arguments and len(arguments[level] | mine) > MOST:
                    level += 1
                arguments.setdefault(level, set()).update(mine)
            found[slot] = level
        return found

    # Launches

    @cached_property
    def levels(self) -> list[list[Launch]]:
        """What to launch, level by level."""
        found: list[list[Launch]] = [[] for _ in range(max(self.level.values(), default=-1) + 1)]
        chains: list[dict[int, list[int]]] = [{} for _ in found]
        for slot, level in self.level.items():
            if slot in self.fused:
                chains[level].setdefault(math.prod(self.kinds[slot].shape), []).append(slot)
            else:
                found[level].append(Launch(self.made[slot]))
        for launches, loops in zip(found, chains):
            if loops:
                arguments: dict[Any, int] = {}
                made = tuple(Builder(self, count, slots, arguments).loop() for count, slots in loops.items())
                launches.append(Launch(None, made, tuple(key for key in arguments)))
        return found


def _cost(traits: Traits) -> int:
    """Of one number."""
    return COSTLY if traits.stream or (traits.formula is not None and traits.formula.costly) else 1


def _holds(dtype: np.dtype, number: int) -> bool:
    """Whether a Python integer can be written down as a number of a dtype: to compare with, any is allowed."""
    limits = np.iinfo(dtype if dtype.kind == "i" else np.int64)
    return limits.min <= number <= limits.max


def _weak(operand: int | Constant, kind: Kind) -> Any:
    """What np.result_type takes for an operand: a Python number adapts."""
    weak = not isinstance(operand, int) and isinstance(operand.value, (bool, int, float))
    return operand.value if weak and not isinstance(operand.value, np.generic) else kind.dtype
