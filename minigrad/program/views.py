"""Views: the memory that every value shows, with strides and an offset as in NumPy, known before any array exists."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minigrad.backends import NEUTRAL, Backend
from minigrad.core.vectors import reshape_p
from minigrad.ops.comparisons import stop_gradient_p
from minigrad.ops.indexing import slice_p
from minigrad.program.graph import Constant, Graph, Instruction

Root = int | Constant  # the owner of memory: a slot, or an array from outside


class View(NamedTuple):
    """The memory that a slot or a constant array shows: strides along its axes and an offset, counted in elements."""

    root: Root
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int

    def normalised(self) -> View:
        """The same with strides of 0 along axes of length 1, where they do not matter."""
        return self._replace(strides=tuple(0 if n == 1 else stride for n, stride in zip(self.shape, self.strides)))

    def axes(self, shape: Sequence[int]) -> tuple[tuple[int, int, int], ...]:
        """(elements of inner axes, length, stride) of each axis of the view broadcast to a shape, innermost first.

        Neighbouring axes are merged where possible, and axes of stride 0 are left out.
        """
        strides = (0,) * (len(shape) - len(self.shape)) + tuple(
            0 if n == 1 else stride for n, stride in zip(self.shape, self.strides)
        )
        found: list[tuple[int, int, int]] = []
        inner = 1
        for n, stride in zip(reversed(shape), reversed(strides)):
            if n > 1 and found and found[-1][2] * found[-1][1] == stride and found[-1][0] * found[-1][1] == inner:
                found[-1] = found[-1][0], found[-1][1] * n, found[-1][2]
            elif n > 1:
                found.append((inner, n, stride))
            inner *= n
        return tuple(axis for axis in found if axis[2])


@dataclass(frozen=True)
class Views:
    """The view of every slot of a graph, on its own memory or on the memory of another slot or of a constant."""

    shown: dict[int, View]
    slots: frozenset[int]  # those without memory of their own

    def of(self, operand: int | Constant) -> View | None:
        """The view of an operand; None for a number. Raises ValueError for a constant whose strides are not multiples
        of its itemsize."""
        if isinstance(operand, int):
            return self.shown[operand]
        if isinstance(operand.value, NEUTRAL):
            return None
        if _is_misaligned(operand.value):
            array = operand.value
            raise ValueError(
                f"an array from outside has strides of {array.strides} bytes, not multiples of the "
                f"{array.dtype.itemsize} bytes of {array.dtype}: use a copy, x.copy()"
            )
        return _show_constant(operand)

    def root_of(self, slot: int) -> int:
        """The slot whose memory a slot shows: itself, if it has its own or shows a constant's."""
        root = self.shown[slot].root
        return root if isinstance(root, int) else slot

    def edited(self, instruction: Instruction) -> int | None:
        """The slot in whose memory the result of an instruction may lie if nobody else reads it: a copy of it in which
        only elements change. None if there is none, or if another operand shows the same memory."""
        place = instruction.primitive.traits.edits
        operands = instruction.operands
        if place is None or not isinstance(operands[place], int) or operands[place] in self.slots:
            return None
        others = self.roots_of([*operands[:place], *operands[place + 1 :]])
        return None if operands[place] in others else operands[place]

    def roots_of(self, operands: Iterable[int | Constant]) -> set[int]:
        """The slots whose memory operands show."""
        roots = [self.shown[operand].root for operand in operands if isinstance(operand, int)]
        return {root for root in roots if isinstance(root, int)}


def find_views(graph: Graph) -> Views:
    """The view of every slot of a graph. Inputs, and results that are not views, are contiguous.

    A result is a view wherever its primitive can return one; executors copy nothing there.
    """
    shown = {slot: _contiguous_view(slot, graph.kinds[slot].shape) for slot in graph.inputs}
    views = set()
    for instruction in graph.instructions:
        slot, view = instruction.result, _view_operand(instruction, shown)
        if view is not None:
            views.add(slot)
        shown[slot] = view or _contiguous_view(slot, graph.kinds[slot].shape)
    return Views(shown, frozenset(views))


def _view_operand(instruction: Instruction, shown: dict[int, View]) -> View | None:
    """The view that an instruction returns of its operand; None if it returns none."""
    if instruction.primitive.view_of is None:
        return None
    operand = instruction.operands[instruction.primitive.view_of]
    if isinstance(operand, int):
        return _view(instruction, shown[operand])
    if isinstance(operand.value, NEUTRAL) or _is_misaligned(operand.value):
        return None
    return _view(instruction, _show_constant(operand))


def _view(instruction: Instruction, x: View) -> View | None:
    """The view that an instruction returns of x; None if it must copy, to reshape a non-contiguous array."""
    if instruction.primitive is reshape_p:
        return _reshape(x, instruction.params["shape"])
    array = np.lib.stride_tricks.as_strided(np.empty(1, np.int8), x.shape, x.strides)  # only its strides are used
    y = view_array(instruction, StrideBackend, array, instruction.params)
    begin = y.__array_interface__["data"][0] - array.__array_interface__["data"][0]
    return View(x.root, y.shape, y.strides, x.offset + begin)


def view_array(instruction: Instruction, backend: Backend | type[StrideBackend], x: Any, params: dict[str, Any]) -> Any:
    """The view that an instruction returns of an array x, in the memory of x."""
    if instruction.primitive is stop_gradient_p:
        return x
    if instruction.primitive is slice_p and ... not in params["index"]:
        params = {"index": (*params["index"], ...)}  # so that one element is still an array
    return instruction.primitive.forward(backend, x, **params)


def _reshape(x: View, shape: tuple[int, ...]) -> View | None:
    """The view in another shape; None unless x is contiguous or only axes of length 1 are inserted or removed."""
    count = math.prod(shape)
    if x.axes(x.shape) == ((1, count, 1),) or count <= 1:
        return _contiguous_view(x.root, shape, x.offset)
    lengths = [[n for n in some if n != 1] for some in (x.shape, shape)]
    if lengths[0] != lengths[1]:
        return None
    strides = iter([stride for n, stride in zip(x.shape, x.strides) if n != 1])
    return View(x.root, shape, tuple(0 if n == 1 else next(strides) for n in shape), x.offset)


def _show_constant(operand: Constant) -> View:
    array = operand.value
    strides = tuple(stride // array.dtype.itemsize for stride in array.strides)
    return View(operand, tuple(array.shape), strides, 0)


def _is_misaligned(array: Any) -> bool:
    """Whether a stride of an array is not a multiple of its itemsize."""
    return any(stride % array.dtype.itemsize for stride in array.strides)


def _contiguous_view(root: Root, shape: tuple[int, ...], offset: int = 0) -> View:
    return View(root, shape, tuple(math.prod(shape[i + 1 :]) for i in range(len(shape))), offset)


class StrideBackend:
    """The parts of a backend that formulas of views use."""

    xp = np
    freeze = staticmethod(lambda x: x)
