"""Epilogues: what a product does to its result before storing it, in the same kernel.

    conv(x, w) + b                          bias
    relu(conv(x, w) + b)                    bias and ReLU
    relu(depth_to_space(conv(x, w) + b))    bias, ReLU, and pixels in another order

A matrix product can have the first two. There is no epilogue if another instruction reads an intermediate result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from minigrad.core.traits import Traits
from minigrad.core.vectors import add_p, reshape_p
from minigrad.ops.activations import relu
from minigrad.ops.conv import conv_p
from minigrad.ops.linalg import matmul_p
from minigrad.program.elementwise import can_be_generated, domain, is_in_order
from minigrad.program.graph import Constant, Graph, Instruction
from minigrad.program.tuning import Tuning
from minigrad.program.views import View, Views


class Product(NamedTuple):
    """A product with an epilogue, which replaces the primitive of an instruction that only the executor here runs."""

    name: str
    forward: Callable[..., Any]
    traits: Traits
    view_of: int | None = None


def _conv(b, x, w, bias, *, stride, pads, relu, factor, out):
    return b.conv(x, w, stride, pads, out, bias=bias, relu=relu, factor=factor)


def _matmul(b, x1, x2, bias, *, relu, out):
    return b.matmul(x1, x2, out, bias=bias, relu=relu)


CONV, MATMUL = Product("conv", _conv, conv_p.traits), Product("matmul", _matmul, matmul_p.traits)


class Epilogue(NamedTuple):
    """Operations that a product applies to its result before storing it."""

    end: int  # the slot of the last result
    between: tuple[int, ...]  # slots that are no longer computed: the product's own, and others before `end`
    bias: int | Constant
    relu: bool
    factor: int  # of depth-to-space; 1 if there is none

    def attach(self, product: Instruction) -> Instruction:
        """The product with this epilogue, as one instruction."""
        params, primitive = {**product.params, "relu": self.relu}, MATMUL
        if product.primitive is conv_p:
            params, primitive = {**params, "factor": self.factor}, CONV
        operands = (*product.operands, self.bias)
        return product._replace(primitive=primitive, operands=operands, params=params, result=self.end)


def fuse_epilogues(graph: Graph, views: Views, tuning: Tuning) -> Graph:
    """The graph in which each product and its epilogue are one instruction, in place of the last one it replaces."""
    instructions = {instruction.result: instruction for instruction in graph.instructions}
    generated = {slot for slot, instruction in instructions.items() if can_be_generated(instruction, graph, views)}
    followers = _find_followers(graph, views)
    gone: dict[int, int] = {}  # slots that are no longer computed, and the results that take their place
    for product in graph.instructions:
        epilogue = _find_epilogue(product, graph, views, followers, generated, tuning.factors)
        if epilogue is not None:
            instructions[epilogue.end] = epilogue.attach(product)
            generated.discard(epilogue.end)
            gone |= dict.fromkeys(epilogue.between, epilogue.end)
    kept = []
    for slot, instruction in instructions.items():
        if views.root_of(slot) not in gone:
            awaits = (gone.get(views.root_of(x), x) if isinstance(x, int) else x for x in instruction.awaits)
            kept.append(instruction._replace(awaits=tuple(awaits)))
    return replace(graph, instructions=tuple(kept))


def _find_followers(graph: Graph, views: Views) -> dict[int, Instruction]:
    """By slot, the only instruction that reads its memory, unless an output shows that memory too."""
    readers: dict[int, list[Instruction]] = {}
    for instruction in graph.instructions:
        if instruction.result not in views.slots:
            for root in views.roots_of(instruction.operands):
                readers.setdefault(root, []).append(instruction)
    outputs = views.roots_of(graph.outputs)
    return {root: some[0] for root, some in readers.items() if len(some) == 1 and root not in outputs}


def _find_epilogue(
    product: Instruction,
    graph: Graph,
    views: Views,
    followers: Mapping[int, Instruction],
    generated: Set[int],
    factors: Sequence[int],
) -> Epilogue | None:
    """The longest epilogue of a product, if it has one. `generated` are the slots that generated kernels compute."""
    shape, dtype = graph.kind(product.result)
    if (product.primitive, len(shape)) not in ((conv_p, 4), (matmul_p, 2)):
        return None
    if dtype not in (np.float32, np.float64) or any(graph.kind(o).dtype != dtype for o in product.operands):
        return None
    at, between = product.result, []
    bias, rectified, factor = None, False, 1
    while at in followers:
        reader = followers[at]
        operands = [views.of(operand) for operand in reader.operands]
        places = [i for i, view in enumerate(operands) if view is not None and view.root == at]
        if reader.result not in generated or len(places) != 1 or graph.kind(reader.result).dtype != dtype:
            break
        (place,), space = places, domain(reader, graph)
        ordered = is_in_order(operands[place], space, graph)
        if reader.primitive is add_p and ordered and bias is None:
            bias = reader.operands[1 - place]
            if not _is_bias(bias, graph, views, shape[-1], dtype, generated):
                return None
        elif reader.primitive is relu.primitive and ordered and bias is not None and not rectified:
            rectified = True
        elif reader.primitive is reshape_p and product.primitive is conv_p and bias is not None and factor == 1:
            factor = next((f for f in factors if _is_depth_to_space(operands[place], space, shape, f)), 1)
            if factor == 1:
                break
        else:
            break
        between.append(at)
        at = reader.result
    return Epilogue(at, tuple(between), bias, rectified, factor) if bias is not None else None


def _is_bias(
    operand: int | Constant, graph: Graph, views: Views, features: int, dtype: np.dtype, generated: Set[int]
) -> bool:
    """Whether an operand has one number for each feature, contiguous in stored memory."""
    view = views.of(operand)
    return (
        view is not None
        and view.shape == (features,)
        and view.strides == (1,)
        and graph.kind(operand) == ((features,), dtype)
        and not (isinstance(view.root, int) and view.root in generated)
    )


def _is_depth_to_space(view: View, space: Sequence[int], shape: Sequence[int], factor: int) -> bool:
    """Whether a view of images of shape (n, h, w, f) has the order of a depth-to-space by a factor."""
    n, h, w, f = shape
    if f % factor**2:
        return False
    c = f // factor**2
    split = (n, h, factor, w, factor, c)
    ordered = View(view.root, split, (h * w * f, w * f, factor * c, f, c, 1), 0)
    return view.axes(space) == ordered.axes(split)
