"""Elementwise instructions: which of them a generated kernel can compute, in which dtype, and from which elements.

Element i of a result is computed from one element of each operand. That is element i of the operand's memory if the
operand is neither broadcast nor a view in another order; otherwise its index is computed (`View.axes`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.backends.formulas import TYPES
from minigrad.core.vectors import reshape_p
from minigrad.program.graph import Constant, Graph, Instruction, Kind
from minigrad.program.views import View, Views


def can_be_generated(instruction: Instruction, graph: Graph, views: Views) -> bool:
    """Whether an instruction can be part of a generated kernel."""
    result = graph.kind(instruction.result)
    if instruction.result in views.slots or not math.prod(result.shape):
        return False
    if instruction.primitive.traits.stream:
        return _can_be_drawn(instruction, graph, views)
    formula, kinds = instruction.primitive.traits.formula, list(map(graph.kind, instruction.operands))
    if formula is None or any(kind.dtype not in TYPES for kind in kinds):
        return False
    if formula.selects and kinds[0].dtype != np.bool_:
        return False
    within = compute_dtype(instruction, graph)
    integers = [o.value for o in instruction.operands if not isinstance(o, int) and isinstance(o.value, int)]
    return all(_is_in_range(within, number) for number in integers) and formula.source(within, result.dtype) is not None


def _can_be_drawn(instruction: Instruction, graph: Graph, views: Views) -> bool:
    """Whether a generated kernel can draw an instruction's random numbers: the words of the key must be contiguous."""
    key, start = map(views.of, instruction.operands)
    fits = start is None or graph.kind(instruction.operands[1]).dtype in TYPES
    return fits and key is not None and key.strides == (1,) and graph.kind(instruction.result).dtype in TYPES


def compute_dtype(instruction: Instruction, graph: Graph) -> np.dtype:
    """The dtype that a formula computes in: of the operands if it compares or converts, otherwise of the result."""
    formula, dtype = instruction.primitive.traits.formula, graph.kind(instruction.result).dtype
    if formula.converts:
        return graph.kind(instruction.operands[0]).dtype
    if dtype == np.bool_ and not formula.selects:
        return np.result_type(*(_promotion_operand(operand, graph.kind(operand)) for operand in instruction.operands))
    return dtype


def _promotion_operand(operand: int | Constant, kind: Kind) -> Any:
    """An operand as an argument of np.result_type: a Python number, which adapts to the others, or a dtype."""
    weak = not isinstance(operand, int) and isinstance(operand.value, (bool, int, float))
    return operand.value if weak and not isinstance(operand.value, np.generic) else kind.dtype


def _is_in_range(dtype: np.dtype, number: int) -> bool:
    """Whether a Python integer is in the range of a dtype; for a dtype that is not an integer, in that of int64."""
    limits = np.iinfo(dtype if dtype.kind == "i" else np.int64)
    return limits.min <= number <= limits.max


def domain(instruction: Instruction, graph: Graph) -> tuple[int, ...]:
    """The shape that an instruction iterates over: that of its result or, for a reshape, of its operand."""
    of = instruction.operands[0] if instruction.primitive is reshape_p else instruction.result
    return graph.kind(of).shape


def is_in_order(view: View, shape: Sequence[int], graph: Graph) -> bool:
    """Whether element i of a view, broadcast to a shape, is element i of its memory, and the view shows all of it."""
    count = math.prod(shape)
    whole = view.offset == 0 and math.prod(graph.kind(view.root).shape) == count
    return whole and (count == 1 or view.axes(shape) == ((1, count, 1),))
