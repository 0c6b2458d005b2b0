"""minigrad/program/cpu/tiling.py: the parts of an operation combine to its result, for every way to cut it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import minigrad as mg
from minigrad.backends.numpy.backend import BACKEND
from minigrad.core.traits import Cut
from minigrad.core.vectors import add_p, concatenate_p, reshape_p, transpose_p
from minigrad.ops.functions import exp
from minigrad.ops.indexing import slice_p
from minigrad.ops.linalg import matmul_p
from minigrad.ops.reduce import sum_p
from minigrad.program.cpu.tiling import find_cuts, length_of, params_of
from minigrad.program.graph import Constant
from tests.support.graphs import GraphBuilder

RNG = np.random.default_rng(0)
KEY = mg.random.key(0)
IMAGE, KERNEL = RNG.normal(size=(4, 6, 6, 3)), RNG.normal(size=(3, 3, 3, 8))


def normal(*shape):
    return RNG.normal(size=shape)


FUNCTIONS = {
    "elementwise": (lambda x, b, c: mg.where(x > 0, mg.tanh(x) * b, c) / (1 + x * x), normal(5, 4), normal(4), 2.0),
    "broadcast": (lambda x, y: x[:, None] * y[None] + mg.broadcast_to(x[:, None], (5, 4)), normal(5), normal(4)),
    "views": (lambda x: mg.reshape(mg.transpose(mg.reshape(x, (6, 2, 4)), (2, 0, 1)), (4, 12)), normal(6, 8)),
    "sums": (lambda x: (mg.sum(x), mg.sum(x, 0), mg.sum(x, (0, 2)), mg.sum(x, 1, keepdims=True)), normal(3, 4, 5)),
    "reductions": (lambda x: (mg.max(x, 1), mg.logsumexp(x, 0), mg.softmax(x), mg.argmax(x, 1)), normal(4, 5)),
    "products": (
        lambda x, w: (x @ w, mg.matmul(x[0], w), mg.einsum("bij,jk->bik", x, w)),
        normal(3, 4, 5),
        normal(5, 2),
    ),
    "gradients of products": (mg.grad(lambda x, w: mg.sum(mg.tanh(x @ w)), (0, 1)), normal(6, 4), normal(4, 3)),
    "convolutions": (mg.grad(lambda x, w: mg.sum(mg.conv2d(x, w, stride=2) ** 2), (0, 1)), IMAGE, KERNEL),
    "deconvolution": (lambda x, w: mg.deconv2d(x, w), IMAGE, normal(3, 3, 3, 8)),
    "indices": (lambda x, i: (x[i], mg.take_along_axis(x, i[:, None], 1)), normal(4, 4), np.array([3, 0, 0, 2])),
    "random": (lambda k: (mg.random.normal(k, (6, 5)), mg.random.uniform(k, (4, 3)), mg.random.bits(k, (7,))), KEY),
    "casts": (lambda x: (mg.astype(x, np.float32), mg.zeros_like(x) + x, mg.stop_gradient(x)), normal(3, 2)),
}


def values_of(graph, inputs):
    """The value of every slot, computed from whole arrays."""
    values = dict(zip(graph.inputs, inputs, strict=True))
    for instruction in graph.instructions:
        args = [o.value if isinstance(o, Constant) else values[o] for o in instruction.operands]
        values[instruction.result] = np.asarray(instruction.run(BACKEND, args))
    return values


def part_of(x, axis, rows):
    return x if axis is None else x[(slice(None),) * axis + (rows,)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_parts_combine_to_the_whole_result(name):
    """Each instruction is cut along every axis it can be: in single rows, in halves, and in one row and the rest."""
    f, *args = FUNCTIONS[name]
    graph = mg.trace(f)(*args).graph
    values, found = values_of(graph, [x for x in args if isinstance(x, np.ndarray)]), 0
    for instruction in graph.instructions:
        operands = [o.value if isinstance(o, Constant) else values[o] for o in instruction.operands]
        whole, shapes = values[instruction.result], [np.shape(x) for x in operands]
        for cut in find_cuts(instruction, graph):
            found, n = found + 1, length_of(cut, shapes, whole.shape)
            for ends in (range(n + 1), [0, n // 2, n], [0, 1, n]):
                parts = []
                for begin, end in itertools.pairwise(ends):
                    rows = slice(begin, end)
                    args = [part_of(x, axis, rows) for x, axis in zip(operands, cut.operands, strict=True)]
                    params = params_of(instruction, cut, whole.shape, rows)
                    parts.append(np.asarray(instruction.primitive.forward(BACKEND, *args, **params)))
                together = np.sum(parts, axis=0) if cut.result is None else np.concatenate(parts, axis=cut.result)
                assert together.shape == whole.shape and parts[0].dtype == whole.dtype
                np.testing.assert_allclose(together, whole, rtol=1e-12, atol=1e-12)
    assert found


def cuts_of(primitive, *shapes, **params):
    g = GraphBuilder()
    graph = g.graph(g.add(primitive, *[g.input(shape) for shape in shapes], **params))
    return find_cuts(graph.instructions[0], graph)


def test_axes_along_which_operations_can_be_cut():
    assert cuts_of(exp.primitive, (3, 4)) == [Cut((0,), 0), Cut((1,), 1)]
    assert cuts_of(add_p, (3, 4), (4,)) == [Cut((0, None), 0), Cut((1, 0), 1)]
    assert cuts_of(add_p, (3, 1), (1, 1)) == [Cut((0, None), 0)]
    assert Cut((0, None), 0) in cuts_of(matmul_p, (3, 4), (4, 5))
    assert cuts_of(transpose_p, (3, 4), axes=(1, 0)) == [Cut((1,), 0), Cut((0,), 1)]
    assert set(cuts_of(sum_p, (3, 4), axes=(0,))) == {Cut((0,), None), Cut((1,), 0)}


def test_operations_that_cannot_be_cut():
    """An axis of length one, elements in another order, and operations that state no cuts."""
    assert cuts_of(exp.primitive, (1, 1)) == cuts_of(exp.primitive, ()) == []
    assert cuts_of(reshape_p, (3, 4), shape=(4, 3)) == []
    assert cuts_of(reshape_p, (3, 4), shape=(3, 2, 2)) == [Cut((0,), 0)]
    assert cuts_of(slice_p, (3, 4), index=(slice(0, 2),)) == []
    assert cuts_of(concatenate_p, (3, 4), (3, 4), axis=0) == []


def test_the_parameters_of_a_part_have_its_shape():
    g = GraphBuilder()
    graph = g.graph(g.add(reshape_p, g.input((6, 4)), shape=(6, 2, 2)))
    (instruction,) = graph.instructions
    assert params_of(instruction, Cut((0,), 0), (6, 2, 2), slice(1, 4)) == {"shape": (3, 2, 2)}
    assert instruction.params == {"shape": (6, 2, 2)}
    assert params_of(instruction, Cut((0,), None), (6, 2, 2), slice(1, 4)) == {"shape": (6, 2, 2)}
