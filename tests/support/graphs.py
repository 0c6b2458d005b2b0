"""Small graphs built by hand, for tests of graph passes and schedulers.

g = GraphBuilder()
x, w = g.input((3, 4)), g.input((4, 2))
y = g.add(matmul_p, x, w)
graph = g.graph(g.add(relu.primitive, y))
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backends.numpy.backend import BACKEND
from minigrad.core.interpreter import Primitive
from minigrad.core.origin import Origin
from minigrad.program.graph import Constant, Graph, Instruction, kind_of


class GraphBuilder:
    """Appends inputs and instructions; slots are numbered in the order of appending."""

    def __init__(self) -> None:
        self.values: list[np.ndarray] = []  # by slot, computed from inputs of ones, for shapes and dtypes
        self.inputs: list[int] = []
        self.instructions: list[Instruction] = []

    def input(self, shape: tuple[int, ...], dtype: Any = np.float64) -> int:
        """Appends an input and returns its slot."""
        self.values.append(np.ones(shape, dtype))
        self.inputs.append(len(self.values) - 1)
        return self.inputs[-1]

    def add(
        self, primitive: Primitive, *operands: int | Constant, awaits: tuple[int | Constant, ...] = (), **params: Any
    ) -> int:
        """Appends an instruction and returns the slot of its result."""
        args = [o.value if isinstance(o, Constant) else self.values[o] for o in operands]
        self.values.append(np.asarray(primitive.forward(BACKEND, *args, **params)))
        slot = len(self.values) - 1
        self.instructions.append(Instruction(primitive, operands, params, slot, Origin("test"), awaits))
        return slot

    def graph(self, *outputs: int | Constant, donated: tuple[int, ...] = ()) -> Graph:
        """The graph with these outputs."""
        kinds = tuple(map(kind_of, self.values))
        return Graph(BACKEND, kinds, tuple(self.inputs), tuple(self.instructions), outputs, donated)


def run_one_by_one(graph: Graph, *inputs: np.ndarray) -> list[Any]:
    """The outputs of a graph, computed by running the forward formula of each instruction in order on NumPy."""
    values: dict[int, Any] = dict(zip(graph.inputs, inputs, strict=True))
    of = lambda operand: operand.value if isinstance(operand, Constant) else values[operand]
    for instruction in graph.instructions:
        values[instruction.result] = np.asarray(instruction.run(BACKEND, list(map(of, instruction.operands))))
    return list(map(of, graph.outputs))
