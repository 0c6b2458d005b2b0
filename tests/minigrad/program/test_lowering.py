"""minigrad/program/lowering.py: launches and loops against ones written by hand, and evaluated against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.backends.cuda.codegen import blocks_of
from minigrad.backends.formulas import CONVERSION
from minigrad.backends.loops import Apply, Index, Load, Loop, Noise, Number
from minigrad.core.vectors import add_p, multiply_p, reshape_p, transpose_p
from minigrad.ops.functions import exp
from minigrad.ops.indexing import slice_p
from minigrad.ops.linalg import matmul_p
from minigrad.program.fusion import fuse
from minigrad.program.graph import Constant
from minigrad.program.lowering import GeneratedKernel, lower
from minigrad.program.tuning import Tuning
from minigrad.program.views import find_views
from minigrad.random import normal_p
from tests.support.graphs import GraphBuilder, run_one_by_one

F8 = np.dtype(np.float64)
exp_p = exp.primitive
NUMPY = {p.traits.formula: p.forward for p in (add_p, exp_p, multiply_p)} | {CONVERSION: lambda b, x: x}


def launches(graph):
    return lower(fuse(graph, find_views(graph), Tuning()))


def compute(kernel, arrays):
    """Do what a generated kernel does, one element and one step at a time, on the arrays of the slots."""
    flat = [
        np.ascontiguousarray(root.value).ravel() if isinstance(root, Constant) else arrays[root].reshape(-1)
        for root in kernel.arguments
    ]
    for loop in kernel.loops:
        for i in range(loop.count):
            values = []
            for step in loop.steps:
                values.append(_evaluate(step, values, i, flat))
            for step, argument in loop.stores:
                flat[argument][i] = values[step]


def _evaluate(step, values, i, flat):
    if isinstance(step, Index):
        at = i if step.at is None else values[step.at]
        return step.offset + sum(at // inner % length * stride for inner, length, stride in step.axes)
    if isinstance(step, Load):
        return flat[step.argument][i if step.at is None else values[step.at]]
    if isinstance(step, Number):
        return step.value
    operands = [np.asarray(values[operand], step.within) for operand in step.steps]
    return np.asarray(NUMPY[step.formula](_Numpy, *operands), step.dtype)


class _Numpy:
    xp = np


# By hand


def test_a_chain_is_a_loop_over_its_elements():
    g = GraphBuilder()
    x = g.input((2, 3))
    y = g.add(add_p, g.add(exp_p, x), Constant(1.0))
    exponential = Apply(exp_p.traits.formula, (0,), F8, F8)
    plus_one = Apply(add_p.traits.formula, (1, 2), F8, F8)
    loop = Loop(6, (Load(0, None, F8), exponential, Number(1.0, F8), plus_one), ((3, 1),))
    assert launches(g.graph(y)) == ((GeneratedKernel("level_0", (loop,), (x, y)),),)


def test_a_transposed_operand_is_read_at_another_index():
    g = GraphBuilder()
    x, w = g.input((2, 3)), g.input((3, 2))
    y = g.add(add_p, x, g.add(transpose_p, w, axes=(1, 0)))
    ((kernel,),) = launches(g.graph(y))
    (loop,) = kernel.loops
    (index,) = [step for step in loop.steps if isinstance(step, Index)]
    assert index == Index(None, ((1, 3, 2), (3, 2, 1)), 0)  # element (i, j) of 2 by 3 is element 2j + i of w
    loads = {kernel.arguments[step.argument]: step.at for step in loop.steps if isinstance(step, Load)}
    assert loads == {x: None, w: loop.steps.index(index)}


def test_an_instruction_with_its_own_kernel_is_a_launch_of_its_own():
    g = GraphBuilder()
    x, w = g.input((3, 4)), g.input((4, 2))
    y = g.add(matmul_p, x, w)
    z, u = g.add(exp_p, y), g.add(exp_p, x)
    graph = g.graph(z, u)
    first, second = launches(graph)
    assert first[0] == graph.instructions[0] and first[1].arguments == (x, u) and len(first) == 2
    assert [kernel.arguments for kernel in second] == [(y, z)]


def test_results_of_one_level_are_one_kernel_with_a_loop_for_each_number_of_elements():
    g = GraphBuilder()
    inputs = [g.input(shape) for shape in [(3,), (4,), (3, 1)]]
    ((kernel,),) = launches(g.graph(*[g.add(exp_p, x) for x in inputs]))
    assert [(loop.count, len(loop.stores)) for loop in kernel.loops] == [(3, 2), (4, 1)]
    assert sum(map(blocks_of, kernel.loops)) == 2


def test_zero_and_minus_zero_are_two_steps():
    g = GraphBuilder()
    x = g.input((2,))
    y = g.add(multiply_p, g.add(multiply_p, x, Constant(0.0)), Constant(-0.0))
    ((kernel,),) = launches(g.graph(y))
    assert [repr(s.value) for s in kernel.loops[0].steps if isinstance(s, Number)] == ["0.0", "-0.0"]


def test_random_numbers_are_drawn_where_they_are_used():
    g = GraphBuilder()
    keys, start, x = g.input((3, 2), np.uint32), g.input((), np.int64), g.input((4,))
    key = g.add(slice_p, keys, index=(2,))
    known = g.add(normal_p, key, Constant(5), shape=(4,), dtype=F8, offset=10)
    unknown = g.add(normal_p, key, start, shape=(4,), dtype=F8, offset=10)
    y = g.add(add_p, g.add(add_p, known, x), unknown)
    ((kernel,),) = launches(g.graph(y))
    (loop,) = kernel.loops
    noise = [step for step in loop.steps if isinstance(step, Noise)]
    (read,) = [number for number, step in enumerate(loop.steps) if isinstance(step, Load) and step.dtype == np.int64]
    place = kernel.arguments.index(keys)
    assert set(noise) == {  # the key is at words 4 and 5
        Noise("normal", place, 4, None, 15, None, F8),
        Noise("normal", place, 4, read, 10, None, F8),
    }


# Evaluated step by step


def views(g, x, y):
    turned = g.add(transpose_p, x, axes=(1, 0))
    part = g.add(slice_p, y, index=(slice(None, None, -1), slice(1, 4, 2)))
    return g.add(add_p, g.add(slice_p, turned, index=(slice(0, 3), slice(0, 2))), part)


def broadcast(g, x, y):
    return g.add(multiply_p, g.add(slice_p, g.add(exp_p, x), index=(slice(0, 1), slice(None))), g.add(exp_p, x))


def reshape_copy(g, x, y):
    flat = g.add(reshape_p, g.add(transpose_p, g.add(exp_p, x), axes=(1, 0)), shape=(12,))  # which copies
    return g.add(add_p, flat, g.add(reshape_p, x, shape=(12,)))


def constants(g, x, y):
    return g.add(multiply_p, g.add(add_p, x, Constant(np.arange(4.0))), Constant(2.0))


def long_chain(g, x, y):
    value = x
    for _ in range(9):
        value = g.add(add_p, g.add(exp_p, g.add(multiply_p, value, Constant(-0.5))), value)
    return value


@pytest.mark.parametrize("build", [views, broadcast, reshape_copy, constants, long_chain])
def test_loops_compute_what_the_graph_computes(build):
    g, rng = GraphBuilder(), np.random.default_rng(0)
    x, y = g.input((3, 4)), g.input((3, 5))
    graph = g.graph(build(g, x, y))
    inputs = [rng.standard_normal(graph.kinds[slot].shape) for slot in graph.inputs]
    arrays = dict(zip(graph.inputs, inputs))
    arrays |= {slot: np.full(graph.kinds[slot].shape, np.nan) for slot in range(len(graph.kinds)) if slot not in arrays}
    for level in launches(graph):
        for kernel in level:
            compute(kernel, arrays)
    np.testing.assert_allclose(arrays[graph.outputs[0]], run_one_by_one(graph, *inputs)[0], rtol=1e-15)
