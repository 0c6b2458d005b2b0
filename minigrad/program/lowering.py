"""Lowering: a schedule as launches, level by level, with the loops of generated kernels (`backends/cuda/codegen.py`).

The results that a generated kernel stores at a level may differ in size, so it has a loop for each number of elements.
In a loop, thread i computes element i of each result, after the intermediate values that it needs and that are not in
memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.backends.loops import Apply, Index, Load, Loop, Noise, Number, Step
from minigrad.program.elementwise import compute_dtype, domain, is_in_order
from minigrad.program.fusion import Schedule
from minigrad.program.graph import Instruction
from minigrad.program.views import Root, View


class GeneratedKernel(NamedTuple):
    """The kernel that computes all generated results of a level."""

    name: str
    loops: tuple[Loop, ...]
    arguments: tuple[Root, ...]


Launch = Instruction | GeneratedKernel  # an instruction has a kernel of its own


def lower(schedule: Schedule) -> tuple[tuple[Launch, ...], ...]:
    """The launches of each level."""
    levels: list[list[Launch]] = [[] for _ in range(max(schedule.level.values(), default=-1) + 1)]
    results: list[dict[int, list[int]]] = [{} for _ in levels]  # of generated kernels, by number of elements
    for slot, level in schedule.level.items():
        if slot in schedule.generated:
            results[level].setdefault(math.prod(schedule.graph.kind(slot).shape), []).append(slot)
        else:
            levels[level].append(schedule.instructions[slot])
    for number, (launches, by_count) in enumerate(zip(levels, results)):
        if by_count:
            launches.append(_generate(f"level_{number}", schedule, by_count))
    return tuple(map(tuple, levels))


def _generate(name: str, schedule: Schedule, results: Mapping[int, Sequence[int]]) -> GeneratedKernel:
    """The kernel that computes slots, with a loop for each number of elements."""
    arguments: dict[Root, int] = {}
    loops = tuple(_LoopBuilder(schedule, count, slots, arguments).loop() for count, slots in results.items())
    return GeneratedKernel(name, loops, tuple(arguments))


Element = tuple[Root, int | None]  # of a slot or an array from outside: element i (None), or the one at an `Index` step


class _LoopBuilder:
    """Builds one loop. Every step is added once, after the steps that it refers to."""

    def __init__(self, schedule: Schedule, count: int, slots: Sequence[int], arguments: dict[Root, int]):
        self.schedule, self.graph, self.views = schedule, schedule.graph, schedule.views
        self.count, self.slots, self.arguments = count, slots, arguments
        self.steps: list[Step] = []
        self.numbers: dict[Any, int] = {}  # the numbers of steps
        self.values: dict[tuple[Root, int | None], int] = {}  # the numbers of the steps that give elements

    def loop(self) -> Loop:
        """The loop that computes and stores all its slots."""
        results = [(self.value((slot, None)), slot) for slot in self.slots]
        return Loop(self.count, tuple(self.steps), tuple((step, self.argument(slot)) for step, slot in results))

    def add(self, step: Step) -> int:
        """The number of a step, which is added if it is new."""
        key = type(step), repr(step) if isinstance(step, Number) else step  # 1, 1.0 and True differ, 0.0 and −0.0 too
        if key not in self.numbers:
            self.numbers[key] = len(self.steps)
            self.steps.append(step)
        return self.numbers[key]

    def argument(self, root: Root) -> int:
        """The number of an argument of the kernel."""
        return self.arguments.setdefault(root, len(self.arguments))

    def value(self, element: Element) -> int:
        """The step that gives an element."""
        wanted = [element]
        while wanted:  # no recursion: chains may be long
            root, at = wanted[-1]
            missing = [(other, i) for other, i in self.operands(root, at) if (other, i) not in self.values]
            if missing:
                wanted += missing
            else:
                self.values[root, at] = self.step(root, at)
                wanted.pop()
        root, at = element
        return self.values[root, at]

    def instruction(self, root: Root) -> Instruction | None:
        """The instruction that computes elements in this loop; None if they are read from memory."""
        here = root in self.schedule.inline or root in self.slots
        return self.schedule.instructions[root] if here else None

    def operands(self, root: Root, at: int | None) -> list[Element]:
        """The elements that this loop computes an element from."""
        instruction = self.instruction(root)
        if instruction is None:
            return []
        space, views = domain(instruction, self.graph), list(map(self.views.of, instruction.operands))
        if instruction.primitive.traits.stream:
            del views[0]  # the key, which is read where the number is drawn
        return [self.element(view, space, at) for view in views if view is not None]

    def element(self, view: View, space: Sequence[int], at: int | None) -> Element:
        """Element `at` of a view that is broadcast to a shape."""
        if is_in_order(view, space, self.graph) and math.prod(space) == self.count:
            return view.root, at
        return view.root, self.add(Index(at, view.axes(space), view.offset))

    def step(self, root: Root, at: int | None) -> int:
        """The step that computes or reads an element, whose operands already have steps."""
        instruction = self.instruction(root)
        if instruction is None:
            return self.add(Load(self.argument(root), at, self.graph.kind(root).dtype))
        values = iter([self.values[other, i] for other, i in self.operands(root, at)])
        dtype = self.graph.kind(instruction.result).dtype
        if instruction.primitive.traits.stream:
            key, start = map(self.views.of, instruction.operands)
            offset = instruction.params["offset"] + (int(instruction.operands[1].value) if start is None else 0)
            name = instruction.primitive.traits.stream
            return self.add(Noise(name, self.argument(key.root), key.offset, next(values, None), offset, at, dtype))
        steps = [self.add(_number(o.value)) if self.views.of(o) is None else next(values) for o in instruction.operands]
        within = compute_dtype(instruction, self.graph)
        return self.add(Apply(instruction.primitive.traits.formula, tuple(steps), within, dtype))


def _number(value: Any) -> Number:
    """A constant that is written into the kernel."""
    return Number(value if isinstance(value, (bool, int, float)) else value.item(), np.asarray(value).dtype)
