"""Shown: which memory a value shows, and in what order; what NumPy calls strides, for values that are not there yet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.program.graph import Constant, Instruction, Kind

Root = int | Constant  # what has memory: a slot, or an array from outside


class Shown(NamedTuple):
    """How a slot, or a constant array, shows memory: steps along its axes and a beginning, counted in numbers."""

    root: Root
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int

    def axes(self, shape: Sequence[int]) -> tuple[tuple[int, int, int], ...]:
        """(numbers inside, length, step) of each axis when broadcast to a shape; neighbours joined where possible."""
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


def view_of(instruction: Instruction, x: Shown) -> Shown | None:
    """What a view shows; None where it cannot be one: pixels laid out in another order."""
    if instruction.primitive.name == "stop_gradient":
        return x
    params = instruction.params
    if instruction.primitive.name == "reshape":
        return _reshaped(x, params["shape"])
    if instruction.primitive.name == "slice" and ... not in params["index"]:
        params = {"index": (*params["index"], ...)}  # so that a single number is an array too
    pretended = np.lib.stride_tricks.as_strided(np.empty(1, np.int8), x.shape, x.strides)
    y = instruction.primitive.forward(Host, pretended, **params)
    begin = y.__array_interface__["data"][0] - pretended.__array_interface__["data"][0]
    return Shown(x.root, y.shape, y.strides, x.offset + begin)


def _reshaped(x: Shown, shape: tuple[int, ...]) -> Shown | None:
    """A view in another shape: of what is contiguous, or with axes of length 1 put in or left out."""
    count = math.prod(shape)
    if x.axes(x.shape) == ((1, count, 1),) or count <= 1:
        return Shown(x.root, shape, tuple(math.prod(shape[i + 1 :]) for i in range(len(shape))), x.offset)
    lengths = [[n for n in some if n != 1] for some in (x.shape, shape)]
    if lengths[0] != lengths[1]:
        return None
    strides = iter([stride for n, stride in zip(x.shape, x.strides) if n != 1])
    return Shown(x.root, shape, tuple(0 if n == 1 else next(strides) for n in shape), x.offset)


def contiguous(kind: Kind) -> tuple[tuple[int, ...], int]:
    return tuple(math.prod(kind.shape[i + 1 :]) for i in range(len(kind.shape))), 0


class Same(NamedTuple):
    """An array from outside as the key of a dict: itself, whatever its values are."""

    constant: Constant

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.constant.value is self.constant.value

    def __hash__(self) -> int:
        return id(self.constant.value)


def key_of(root: Root) -> Any:
    """Memory as the key of a dict."""
    return root if isinstance(root, int) else Same(root)


class Host:
    """What views ask of a backend."""

    xp = np
    freeze = staticmethod(lambda x: x)
