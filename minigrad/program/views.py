"""Views: which memory a value shows, and in what order; what NumPy calls strides, for arrays that are not there yet."""

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

Root = int | Constant  # what has memory: a slot, or an array from outside


class View(NamedTuple):
    """How a slot, or a constant array, shows memory: strides along its axes and an offset, counted in elements."""

    root: Root
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int

    def axes(self, shape: Sequence[int]) -> tuple[tuple[int, int, int], ...]:
        """(elements inside, length, stride) of each axis when broadcast to a shape, the innermost first; neighbours are
        joined where possible, and axes without a stride left out."""
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
    """How every slot of a graph shows memory: its own, or that of another slot or of a constant."""

    shown: dict[int, View]
    slots: frozenset[int]  # those that show memory which is not their own

    def of(self, operand: int | Constant) -> View | None:
        """How an operand shows memory; None for a number. Raises ValueError for a constant whose strides are no
        multiples of its elements."""
        if isinstance(operand, int):
            return self.shown[operand]
        if isinstance(operand.value, NEUTRAL):
            return None
        if _is_askew(operand.value):
            array = operand.value
            raise ValueError(f"an array from outside lies askew in memory: strides {array.strides} of {array.dtype}")
        return _show_constant(operand)

    def root_of(self, slot: int) -> int:
        """The slot whose memory a slot shows: itself, if that is its own or a constant's."""
        root = self.shown[slot].root
        return root if isinstance(root, int) else slot

    def roots_of(self, operands: Iterable[int | Constant]) -> set[int]:
        """The slots whose memory operands show."""
        roots = [self.shown[operand].root for operand in operands if isinstance(operand, int)]
        return {root for root in roots if isinstance(root, int)}


def find_views(graph: Graph) -> Views:
    """How every slot of a graph shows memory. Inputs, and results that are no views, are contiguous.

    A result is a view of an array wherever its primitive can give one: executors copy nothing there.
    """
    shown = {slot: _contiguous(slot, graph.kinds[slot].shape) for slot in graph.inputs}
    views = set()
    for instruction in graph.instructions:
        slot, view = instruction.result, _view_operand(instruction, shown)
        if view is not None:
            views.add(slot)
        shown[slot] = view or _contiguous(slot, graph.kinds[slot].shape)
    return Views(shown, frozenset(views))


def _view_operand(instruction: Instruction, shown: dict[int, View]) -> View | None:
    """What an instruction shows of its operand's memory; None if it does not."""
    if instruction.primitive.view_of is None:
        return None
    operand = instruction.operands[instruction.primitive.view_of]
    if isinstance(operand, int):
        return _view(instruction, shown[operand])
    if isinstance(operand.value, NEUTRAL) or _is_askew(operand.value):
        return None
    return _view(instruction, _show_constant(operand))


def _view(instruction: Instruction, x: View) -> View | None:
    """What an instruction shows of x; None if it must copy: a reshape of what is not contiguous, to other lengths."""
    if instruction.primitive is reshape_p:
        return _reshape(x, instruction.params["shape"])
    array = np.lib.stride_tricks.as_strided(np.empty(1, np.int8), x.shape, x.strides)  # only its strides are used
    y = show_array(instruction, Host, array, instruction.params)
    begin = y.__array_interface__["data"][0] - array.__array_interface__["data"][0]
    return View(x.root, y.shape, y.strides, x.offset + begin)


def show_array(instruction: Instruction, backend: Backend | type[Host], x: Any, params: dict[str, Any]) -> Any:
    """The array that a view shows of x, in the memory of x."""
    if instruction.primitive is stop_gradient_p:
        return x
    if instruction.primitive is slice_p and ... not in params["index"]:
        params = {"index": (*params["index"], ...)}  # so that one element is an array too
    return instruction.primitive.forward(backend, x, **params)


def _reshape(x: View, shape: tuple[int, ...]) -> View | None:
    """A view in another shape: of what is contiguous, or with axes of length 1 put in or left out."""
    count = math.prod(shape)
    if x.axes(x.shape) == ((1, count, 1),) or count <= 1:
        return _contiguous(x.root, shape, x.offset)
    lengths = [[n for n in some if n != 1] for some in (x.shape, shape)]
    if lengths[0] != lengths[1]:
        return None
    strides = iter([stride for n, stride in zip(x.shape, x.strides) if n != 1])
    return View(x.root, shape, tuple(0 if n == 1 else next(strides) for n in shape), x.offset)


def _show_constant(operand: Constant) -> View:
    array = operand.value
    strides = tuple(stride // array.dtype.itemsize for stride in array.strides)
    return View(operand, tuple(array.shape), strides, 0)


def _is_askew(array: Any) -> bool:
    """Whether steps along an array's axes are no multiples of its elements."""
    return any(stride % array.dtype.itemsize for stride in array.strides)


def _contiguous(root: Root, shape: tuple[int, ...], offset: int = 0) -> View:
    return View(root, shape, tuple(math.prod(shape[i + 1 :]) for i in range(len(shape))), offset)


class Host:
    """What views ask of a backend."""

    xp = np
    freeze = staticmethod(lambda x: x)
