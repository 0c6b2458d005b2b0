"""Loops: the steps of a generated kernel (`backends/cuda/codegen.py`) that make some slots of a program."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.backends.cuda.codegen import Apply, Index, Load, Loop, Noise, Number, Step
from minigrad.program.graph import Instruction
from minigrad.program.views import Root, Shown, key_of

if TYPE_CHECKING:
    from minigrad.program.gpu.fusion import Fusion


class Builder:
    """The steps of one loop."""

    def __init__(self, fusion: Fusion, count: int, slots: Sequence[int], arguments: dict[Any, int]):
        self.fusion, self.count, self.slots, self.arguments = fusion, count, slots, arguments
        self.steps: list[Step] = []
        self.known: dict[Any, int] = {}
        self.values: dict[tuple[Any, int | None], int] = {}  # the steps of numbers

    def loop(self) -> Loop:
        """The loop that makes all its slots."""
        made = [(self.value(slot, None), slot) for slot in self.slots]
        return Loop(self.count, tuple(self.steps), tuple((step, self.argument(slot)) for step, slot in made))

    def add(self, step: Step) -> int:
        """The place of a step, which is done once."""
        key = type(step), repr(step) if isinstance(step, Number) else step  # 1, 1.0 and True differ, 0.0 and −0.0 too
        if key not in self.known:
            self.known[key] = len(self.steps)
            self.steps.append(step)
        return self.known[key]

    def argument(self, root: Root) -> int:
        """The number of an argument of the kernel."""
        return self.arguments.setdefault(key_of(root), len(self.arguments))

    def value(self, root: Root, at: int | None) -> int:
        """Number `at` of a slot or a constant array: made here if this loop makes it or nobody stores it, else read."""
        wanted = [(root, at)]
        while wanted:  # no recursion: chains are long
            root, at = wanted[-1]
            missing = [(of, i) for of, i in self.needed(root, at) if (key_of(of), i) not in self.values]
            if missing:
                wanted += missing
            else:
                self.values[key_of(root), at] = self.made(root, at)
                wanted.pop()
        return self.values[key_of(root), at]

    def instruction(self, root: Root, at: int | None) -> Instruction | None:
        """What makes number `at` here; None if it is read."""
        here = isinstance(root, int) and (root in self.fusion.inline or (root in self.slots and at is None))
        return self.fusion.made[root] if here else None

    def needed(self, root: Root, at: int | None) -> list[tuple[Root, int | None]]:
        """The numbers that have to be known before this one."""
        instruction = self.instruction(root, at)
        if instruction is None:
            return []
        operands, space = instruction.operands, self.fusion.space(instruction)
        if instruction.primitive.traits.stream:  # the key is read where the noise is made
            operands, space, at = operands[1:], (), None
        return [self.place(shown, space, at) for shown in map(self.fusion.of, operands) if shown is not None]

    def made(self, root: Root, at: int | None) -> int:
        """The step that makes or reads a number; all that it needs is known."""
        fusion, instruction = self.fusion, self.instruction(root, at)
        if instruction is None:
            return self.add(Load(self.argument(root), at, fusion.kind(root).dtype))
        values = iter([self.values[key_of(of), i] for of, i in self.needed(root, at)])
        dtype = fusion.kinds[instruction.result].dtype
        if instruction.primitive.traits.stream:
            key, start = map(fusion.of, instruction.operands)
            offset = instruction.params["offset"] + (int(instruction.operands[1].value) if start is None else 0)
            name = instruction.primitive.traits.stream
            return self.add(Noise(name, self.argument(key.root), key.offset, next(values, None), offset, at, dtype))
        steps = [self.add(_number(o.value)) if fusion.of(o) is None else next(values) for o in instruction.operands]
        within = fusion.computed_in(instruction)
        return self.add(Apply(instruction.primitive.traits.formula, tuple(steps), within, dtype))

    def place(self, shown: Shown, space: Sequence[int], at: int | None) -> tuple[Root, int | None]:
        """What an operand shows at number `at` of a shape."""
        if self.fusion.is_alike(shown, space) and math.prod(space) == self.count:
            return shown.root, at
        return shown.root, self.add(Index(at, shown.axes(space), shown.offset))


def _number(value: Any) -> Number:
    dtype = np.asarray(value).dtype
    return Number(value if isinstance(value, (bool, int, float)) else value.item(), dtype)
