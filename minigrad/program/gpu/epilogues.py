"""Endings: what follows a product and can be done before its result is stored, by the kernel that makes it.

    conv(x, w) + b                      bias
    relu(conv(x, w) + b)                and ReLU
    relu(depth_to_space(conv(x, w) + b))    and pixels laid out

Of a matrix product, the first two. Only where nobody else reads what comes between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minigrad.core.traits import Traits
from minigrad.ops.conv import conv_p
from minigrad.ops.linalg import matmul_p
from minigrad.program.graph import Constant, Instruction

if TYPE_CHECKING:
    from minigrad.program.gpu.fusion import Fusion

FACTORS = (2, 3, 4)  # of depth-to-space


class Product(NamedTuple):
    """A product with an epilogue: stands in for a primitive in an instruction that no interpreter sees."""

    name: str
    forward: Any
    traits: Traits
    view_of: int | None = None


def _conv(b, x, w, bias, *, stride, pads, relu, factor, out):
    return b.conv(x, w, stride, pads, out, bias=bias, relu=relu, factor=factor)


def _matmul(b, x1, x2, bias, *, relu, out):
    return b.matmul(x1, x2, out, bias=bias, relu=relu)


CONV, MATMUL = Product("conv", _conv, conv_p.traits), Product("matmul", _matmul, matmul_p.traits)


class Ending(NamedTuple):
    """What follows a product: up to the slot `end`, through the slots `between`."""

    end: int
    between: tuple[int, ...]
    bias: int | Constant
    relu: bool
    factor: int

    def of(self, product: Instruction) -> Instruction:
        """The product with this ending."""
        params, formula = {**product.params, "relu": self.relu}, MATMUL
        if product.primitive.name == "conv":
            params, formula = {**params, "factor": self.factor}, CONV
        return Instruction(formula, (*product.operands, self.bias), params, self.end, product.origin)


def ending(fusion: Fusion, product: Instruction, readers: dict[int, list[Instruction]]) -> Ending | None:
    """The ending of a product, if it has one: `readers` are of the memory of each slot."""
    kinds, at = fusion.kinds, product.result
    if (product.primitive.name, len(kinds[at].shape)) not in (("conv", 4), ("matmul", 2)):
        return None
    dtype = kinds[at].dtype
    if dtype not in (np.float32, np.float64) or any(fusion.kind(o).dtype != dtype for o in product.operands):
        return None
    between: list[int] = []
    bias, relu, factor = None, False, 1
    while at not in fusion.handed_out and len(readers.get(at, ())) == 1:
        (reader,) = readers[at]
        shown = [fusion.of(operand) for operand in reader.operands]
        mine = [i for i, s in enumerate(shown) if s is not None and s.root == at]
        if reader.result not in fusion.fused or len(mine) != 1 or kinds[reader.result].dtype != dtype:
            break
        name, space, (place,) = reader.primitive.name, fusion.space(reader), mine
        alike = fusion.is_alike(shown[place], space)
        other = reader.operands[1 - place] if name == "add" else None
        if name == "add" and bias is None and alike and _is_bias(fusion, other, kinds[product.result].shape[-1], dtype):
            bias = other
        elif name == "relu" and bias is not None and not relu and alike:
            relu = True
        elif name == "reshape" and bias is not None and factor == 1 and product.primitive.name == "conv":
            factor = _factor(shown[place], space, kinds[product.result].shape)
            if factor is None:
                factor = 1
                break
        else:
            break
        between.append(at)
        at = reader.result
    return Ending(at, tuple(between), bias, relu, factor) if bias is not None else None


def _is_bias(fusion: Fusion, operand: int | Constant, features: int, dtype: np.dtype) -> bool:
    """Whether an operand is a number for each feature, in one piece."""
    shown = fusion.of(operand)
    return (
        shown is not None
        and shown.shape == (features,)
        and shown.strides == (1,)
        and fusion.kind(operand).dtype == dtype
        and fusion.kind(operand).shape == (features,)
        and not (isinstance(shown.root, int) and shown.root in fusion.fused)
    )


def _factor(shown: Any, space: Sequence[int], shape: Sequence[int]) -> int | None:
    """The factor of a depth-to-space that shows images (n, h, w, f) in this order; None if it is another order."""
    n, h, w, f = shape
    for factor in FACTORS:
        if f % factor**2 == 0:
            c = f // factor**2
            split = type(shown)(shown.root, (n, h, factor, w, factor, c), (h * w * f, w * f, factor * c, f, c, 1), 0)
            if shown.offset == 0 and shown.axes(space) == split.axes(split.shape):
                return factor
    return None
