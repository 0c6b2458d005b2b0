"""Small graphs built by hand, for tests of graph passes and schedulers.

g = GraphBuilder()
x, w = g.input((3, 4)), g.input((4, 2))
y = g.add(matmul_p, x, w)
graph = g.graph(g.add(relu.primitive, y))
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minigrad.backends.numpy.backend import BACKEND
from minigrad.core.interpreter import Primitive
from minigrad.core.origin import Origin
from minigrad.core.vectors import add_p, multiply_p, reshape_p, transpose_p
from minigrad.ops.functions import tanh
from minigrad.ops.indexing import slice_p
from minigrad.ops.linalg import matmul_p
from minigrad.ops.reduce import sum_p
from minigrad.ops.updates import update_p
from minigrad.program.cpu.executor import CpuExecutor
from minigrad.program.graph import Constant, Graph, Instruction, kind_of

tanh_p = tanh.primitive
RNG = np.random.default_rng(0)


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


# Random graphs


@st.composite
def graphs(draw):
    """A graph of arrays (6, 4) and (4, 6), sums and products of them, and views; some inputs are donated."""
    g = GraphBuilder()
    slots = [g.input((6, 4)) for _ in range(draw(st.integers(1, 3)))]
    for _ in range(draw(st.integers(1, 14))):
        a, b = (draw(st.sampled_from(slots)) for _ in range(2))
        same = g.values[a].shape == g.values[b].shape
        kind = draw(st.sampled_from("add multiply tanh sum product turn flip repeat copy number update".split()))
        if kind in ("add", "multiply") and same:
            slots.append(g.add(add_p if kind == "add" else multiply_p, a, b))
        elif kind == "product":
            b = b if g.values[b].shape[0] == g.values[a].shape[1] else g.add(transpose_p, b, axes=(1, 0))
            product = g.add(tanh_p, g.add(matmul_p, a, b))
            slots.append(g.add(slice_p, g.add(matmul_p, product, a), index=(slice(None), slice(None))))
        elif kind == "sum":
            axis = draw(st.integers(0, 1))
            shape = tuple(1 if i == axis else n for i, n in enumerate(g.values[a].shape))
            total = g.add(tanh_p, g.add(sum_p, a, axes=(axis,)))
            slots.append(g.add(add_p, a, g.add(reshape_p, total, shape=shape)))
        elif kind == "turn":
            slots.append(g.add(transpose_p, a, axes=(1, 0)))
        elif kind == "flip":
            slots.append(g.add(slice_p, a, index=(slice(None, None, -1), slice(None))))
        elif kind == "update":
            slots.append(g.add(update_p, a, g.add(slice_p, b, index=(0, 1)), index=(slice(1, None), -1)))
        elif kind == "copy":
            slots.append(g.add(reshape_p, a, shape=g.values[a].shape[::-1]))
        elif kind == "number":
            slots.append(g.add(multiply_p, a, g.add(tanh_p, g.add(slice_p, b, index=(1, -1)))))
        else:
            slots.append(g.add(tanh_p, a))
    outputs = draw(st.lists(st.sampled_from(slots), min_size=1, max_size=3))
    return g.graph(*outputs, donated=tuple(sorted(draw(st.sets(st.sampled_from(g.inputs))))))


def check_runs(executor: CpuExecutor, data: st.DataObject) -> None:
    """Assert that runs of an executor of `graphs` give what one instruction after the other gives: with the same arrays
    again, with others, with arrays that are not contiguous, and with results as arguments."""
    graph = executor.graph
    inputs = [RNG.normal(size=(6, 4)) for _ in graph.inputs]
    for _ in range(4):
        kept = [x.copy() for x in inputs]
        expected = run_one_by_one(graph, *kept)
        results = executor.run(inputs)
        for x, y in zip(results, expected, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-11, strict=True)
        for slot, x, before in zip(graph.inputs, inputs, kept, strict=True):
            if slot not in graph.donated:
                np.testing.assert_array_equal(x, before)
        for i, slot in enumerate(graph.inputs):
            way = data.draw(st.sampled_from(["other", "other", "not contiguous", "handed back", "same"]))
            if way == "handed back" and results[0].shape == (6, 4) and not any(results[0] is x for x in inputs):
                inputs[i] = results[0]
            elif way == "not contiguous":
                inputs[i] = RNG.normal(size=(4, 6)).T
            elif way == "other" or slot in graph.donated:
                inputs[i] = RNG.normal(size=(6, 4))
