"""minigrad/program/cost.py: arithmetic and memory traffic, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.core.vectors import add_p, broadcast_to_p, concatenate_p, reshape_p, transpose_p
from minigrad.ops.conv import conv_p
from minigrad.ops.functions import tanh
from minigrad.ops.linalg import matmul_p
from minigrad.ops.reduce import sum_p
from minigrad.program.cost import Cost, cost_of, total_cost
from minigrad.program.graph import Constant
from tests.support.graphs import GraphBuilder


def graph_of(primitive, *shapes, **params):
    """A graph of one instruction on float64 arrays of these shapes."""
    g = GraphBuilder()
    return g.graph(g.add(primitive, *map(g.input, shapes), **params))


PADS = ((0, 0), (0, 0))


@pytest.mark.parametrize(
    ("graph", "flops", "elements"),
    [
        (graph_of(tanh.primitive, (3, 4)), 12, 24),
        (graph_of(add_p, (3, 4), (4,)), 12, 12 + 4 + 12),
        (graph_of(sum_p, (3, 4), axes=(0,)), 12, 12 + 4),
        (graph_of(matmul_p, (3, 4), (4, 5)), 2 * 3 * 4 * 5, 12 + 20 + 15),
        (graph_of(matmul_p, (2, 3, 4), (4, 5)), 2 * 2 * 3 * 4 * 5, 24 + 20 + 30),
        (
            graph_of(conv_p, (2, 5, 5, 3), (3, 3, 3, 7), stride=(1, 1), pads=PADS),
            2 * (2 * 3 * 3 * 7) * 27,
            150 + 189 + 126,
        ),
        (graph_of(concatenate_p, (3, 4), (1, 4), axis=0), 0, 2 * 16),
        (graph_of(reshape_p, (3, 4), shape=(12,)), 0, 0),
        (graph_of(transpose_p, (3, 4), axes=(1, 0)), 0, 0),
        (graph_of(broadcast_to_p, (4,), shape=(3, 4)), 0, 0),
    ],
    ids=lambda x: x.instructions[0].primitive.name if hasattr(x, "instructions") else "",
)
def test_the_cost_of_an_instruction(graph, flops, elements):
    (instruction,) = graph.instructions
    assert cost_of(instruction, graph) == Cost(flops, 8 * elements)


def test_constants_count_as_reads_and_the_cost_of_a_graph_is_the_sum():
    g = GraphBuilder()
    x = g.input((3, 4))
    y = g.add(add_p, x, Constant(np.ones(4, np.float32)))
    z = g.add(add_p, y, Constant(2.0))
    graph = g.graph(g.add(sum_p, z, axes=(0, 1)))
    costs = [cost_of(instruction, graph) for instruction in graph.instructions]
    assert costs == [Cost(12, 96 + 16 + 96), Cost(12, 96 + 8 + 96), Cost(12, 96 + 8)]
    assert total_cost(graph) == Cost(36, 208 + 200 + 104)
