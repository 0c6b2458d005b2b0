"""minigrad/program/cpu/chains.py: what is compiled together, what is stored, and what may be overwritten."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.core.interpreter import primitives
from minigrad.core.vectors import add_p, broadcast_to_p, copy_p, multiply_p, negative_p, reshape_p, transpose_p
from minigrad.ops.functions import exp, sin, tanh
from minigrad.ops.indexing import slice_p
from minigrad.ops.linalg import matmul_p
from minigrad.ops.reduce import sum_p
from minigrad.program.cpu.chains import FLOPS, Chain, can_be_compiled, count_elements
from minigrad.program.cpu.executor import CpuExecutor
from minigrad.program.cpu.plan import make_plan
from minigrad.program.graph import Constant
from minigrad.program.tuning import Tuning
from minigrad.program.views import find_views
from tests.support.graphs import GraphBuilder, check_runs, graphs, run_one_by_one
from tests.support.native import need_compiler

exp_p, sin_p, tanh_p = exp.primitive, sin.primitive, tanh.primitive
CUT, WHOLE = Tuning(worth_region=0), Tuning(worth_region=1 << 40)
BACKWARDS = (slice(None, None, -1), slice(None))


def plan_of(graph, tuning=CUT):
    return make_plan(graph, find_views(graph), tuning, 1, compiled=True)


def steps_of(graph, tuning=CUT):
    """The chains and the instructions of a graph, in order."""
    return [work for region in plan_of(graph, tuning).regions for work, _ in region.steps]


def chains_of(graph, tuning=CUT):
    return [work for work in steps_of(graph, tuning) if isinstance(work, Chain)]


def names_of(graph, tuning=CUT):
    """What is computed, in order: chains as lists of results, and the names of other primitives."""
    return [list(work.results) if isinstance(work, Chain) else work.primitive.name for work in steps_of(graph, tuning)]


# What is compiled together, and what is stored


@pytest.mark.parametrize("tuning", [CUT, WHOLE])
def test_elementwise_instructions_are_one_kernel_that_stores_what_others_read(tuning):
    g = GraphBuilder()
    x = g.input((6, 4))
    y = g.add(multiply_p, g.add(exp_p, g.add(tanh_p, x)), x)
    (chain,) = steps_of(g.graph(y), tuning)
    assert chain.results == (y,) and chain.operands == chain.reads() == [x]
    assert [i.primitive.name for i in chain.instructions] == ["tanh", "exp", "multiply"]


def test_products_and_sums_keep_their_calls_between_kernels():
    g = GraphBuilder()
    x, w = g.input((6, 4)), g.input((4, 3))
    h = g.add(tanh_p, g.add(negative_p, x))
    product = g.add(matmul_p, h, w)
    y = g.add(exp_p, g.add(negative_p, product))
    graph = g.graph(g.add(sum_p, y, axes=(0,)))
    assert names_of(graph) == [[h], "matmul", [y], "sum"]
    assert names_of(graph, WHOLE) == [[h], "matmul", [y], "sum"]


def test_formulas_of_functions_that_are_not_compiled_keep_their_calls():
    g = GraphBuilder()
    x = g.input((6, 4))
    a = g.add(tanh_p, x)
    y = g.add(negative_p, g.add(sin_p, a))
    assert names_of(g.graph(y)) == [[a], "sin", [y]]


def test_a_costly_result_that_is_read_twice_is_stored_and_a_cheap_one_is_not():
    for primitive, stored in ((exp_p, True), (negative_p, False)):
        g = GraphBuilder()
        x = g.input((6, 4))
        e = g.add(primitive, x)
        y = g.add(matmul_p, g.add(add_p, e, x), g.add(transpose_p, g.add(multiply_p, e, x), axes=(1, 0)))
        chains = chains_of(g.graph(y), WHOLE)
        assert any(e in chain.results for chain in chains) == stored


def test_a_result_that_is_broadcast_is_computed_before_it_is_read():
    g = GraphBuilder()
    x, b = g.input((6, 4)), g.input((4,))
    t = g.add(tanh_p, b)
    y = g.add(add_p, x, t)
    (first, second) = chains_of(g.graph(y), WHOLE)
    assert first.results == (t,) and second.results == (y,)
    assert second.in_order == {x} and set(second.operands) == {x, t}


def test_results_of_several_sizes_are_one_kernel():
    g = GraphBuilder()
    w, b = g.input((6, 4)), g.input((6,))
    v, c = g.add(exp_p, w), g.add(exp_p, b)
    (chain,) = steps_of(g.graph(v, c))
    assert set(chain.results) == {v, c} and len(chain.kernel.loops) == 2
    assert chain.in_order == {w, b}


def test_regions_have_kernels_of_their_own():
    g = GraphBuilder()
    v, c = g.add(exp_p, g.input((6, 4))), g.add(exp_p, g.input((5, 4)))
    chains = chains_of(g.graph(v, c))
    assert {chain.results for chain in chains} == {(v,), (c,)}
    assert len({chain.kernel.name for chain in chains}) == 2


def test_what_nobody_reads_is_not_computed():
    g = GraphBuilder()
    x, other = g.input((6, 4)), g.input((5, 4))
    g.add(exp_p, other)
    y = g.add(tanh_p, x)
    graph = g.graph(y)
    assert names_of(graph) == [[y]]
    a, b = np.ones((6, 4)), np.ones((5, 4))
    np.testing.assert_allclose(CpuExecutor(graph, Tuning(worth_compiling=0, worth_region=0)).run([a, b])[0], np.tanh(a))


def test_a_reshape_that_must_copy_is_computed_in_a_kernel_unless_its_region_has_rows():
    g = GraphBuilder()
    turned = g.add(transpose_p, g.input((6, 4)), axes=(1, 0))
    y = g.add(exp_p, g.add(reshape_p, turned, shape=(4, 2, 3)))
    graph = g.graph(y)
    assert names_of(graph, WHOLE) == [[y]] and names_of(graph, CUT) == ["reshape", [y]]
    a = np.random.default_rng(0).normal(size=(6, 4))
    for tuning in (CUT, WHOLE):
        (found,) = CpuExecutor(graph, Tuning(worth_compiling=0, worth_region=tuning.worth_region, part=1)).run([a])
        np.testing.assert_allclose(found, np.exp(a.T.reshape(4, 2, 3)), rtol=1e-14)


# What can be compiled


def compiled(primitive, *operands, **params):
    """The operands are shapes and dtypes of inputs, or constants."""
    g = GraphBuilder()
    slots = [operand if isinstance(operand, Constant) else g.input(*operand) for operand in operands]
    g.add(primitive, *slots, **params)
    graph = g.graph(len(g.values) - 1)
    found = can_be_compiled(graph.instructions[0], graph, find_views(graph))
    assert count_elements(graph, find_views(graph)) == (g.values[-1].size if found else 0)
    return found


def test_which_instructions_are_compiled():
    f4, f2, i8, shape = np.float32, np.float16, np.int64, (3, 4)
    assert compiled(tanh_p, (shape, f4)) and compiled(add_p, (shape, i8), (shape, i8))
    assert compiled(primitives["less"], (shape, f4), (shape, f4)) and compiled(copy_p, (shape, f4))
    assert compiled(primitives["astype_discrete"], (shape, f4), dtype=np.dtype(i8))
    assert not compiled(sin_p, (shape, f4)) and not compiled(tanh_p, (shape, f2))
    assert not compiled(add_p, (shape, np.complex128), (shape, np.complex128))
    assert not compiled(matmul_p, (shape, f4), ((4, 2), f4)) and not compiled(sum_p, (shape, f4), axes=(0,))
    assert not compiled(transpose_p, (shape, f4), axes=(1, 0))  # a view: nothing to compute
    assert not compiled(tanh_p, ((0, 4), f4))


def test_noise_is_compiled():
    g = GraphBuilder()
    key, x = g.input((2,), np.uint32), g.input((6, 4))
    params = {"shape": (6, 4), "dtype": np.dtype("f8"), "offset": 3}
    noise = g.add(primitives["random_normal"], key, Constant(0), **params)
    y = g.add(add_p, x, noise)
    (chain,) = steps_of(g.graph(y))
    assert chain.results == (y,) and set(chain.operands) == {key, x} and chain.in_order == {x}


# Which parts of its operands a chain reads


def cut_of(graph):
    (region,) = plan_of(graph).regions
    ((chain, cut),) = region.steps
    return dict(zip(chain.operands, cut.operands, strict=True)), cut.result, chain


def test_what_is_read_in_order_is_read_in_parts():
    g = GraphBuilder()
    x, b, c, w = g.input((6, 4)), g.input((4,)), g.input((6, 1)), g.input((4, 6))
    y = g.add(add_p, g.add(add_p, g.add(add_p, x, b), c), g.add(transpose_p, w, axes=(1, 0)))
    cuts, result, chain = cut_of(g.graph(y))
    assert cuts == {x: 0, b: None, c: None, w: None} and result == 0
    assert chain.in_order == {x}


def test_what_is_also_read_in_another_order_is_not_in_order():
    """Directly, or by a value that is computed again at another index."""
    g = GraphBuilder()
    x = g.input((6, 6))
    h = g.add(negative_p, x)
    for other in (x, h):
        y = g.add(add_p, h, g.add(transpose_p, other, axes=(1, 0)))
        assert chains_of(g.graph(y), WHOLE)[0].in_order == frozenset()


def test_axes_of_rows_are_those_of_each_operand():
    g = GraphBuilder()
    x, w = g.input((1, 6, 4)), g.input((6, 4))
    y, v = g.add(tanh_p, x), g.add(tanh_p, w)
    cuts, _, _ = cut_of(g.graph(y, v))
    assert cuts == {x: 1, w: 0}


# Overwriting


def test_a_chain_overwrites_what_it_reads_in_order():
    g = GraphBuilder()
    w, x, b = g.input((6, 4)), g.input((6, 4)), g.input((4,))
    y, z = g.add(add_p, g.add(multiply_p, w, x), b), g.add(tanh_p, w)
    for tuning in (CUT, WHOLE):
        assert plan_of(g.graph(y, z, donated=(w, x)), tuning).overwrites == {y: w, z: x}
        assert plan_of(g.graph(y, z, donated=(b,)), tuning).overwrites == {}


def test_a_chain_does_not_overwrite_what_it_reads_in_another_order():
    g = GraphBuilder()
    w = g.input((6, 6))
    for index in (BACKWARDS, BACKWARDS[::-1]):
        y = g.add(add_p, g.add(tanh_p, g.add(slice_p, w, index=index)), w)
        for tuning in (CUT, WHOLE):
            assert plan_of(g.graph(y, donated=(w,)), tuning).overwrites == {}


def test_an_argument_that_a_later_chain_computes_from_is_not_overwritten_before():
    """The exponential is computed where it is read: after the product, although it comes first."""
    g = GraphBuilder()
    w, x = g.input((6, 6)), g.input((6, 6))
    shifted = g.add(negative_p, w)
    product = g.add(matmul_p, x, x)
    y = g.add(tanh_p, x)
    z = g.add(add_p, shifted, product)
    for tuning in (CUT, WHOLE):
        assert y not in plan_of(g.graph(y, z, donated=(w,)), tuning).overwrites


def test_a_sum_that_reads_columns_reads_them_before_rows_are_overwritten():
    """A part has rows of the result, which lie in all parts that the sum reads: columns of the same array."""
    g = GraphBuilder()
    w, x, c = g.input((6, 6)), g.input((1, 6, 6)), g.input((6, 6))
    total = g.add(sum_p, w, axes=(0,))
    graph = g.graph(g.add(tanh_p, x), g.add(multiply_p, c, c), total, donated=(w,))
    assert plan_of(graph).overwrites == {}
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=shape) for shape in ((6, 6), (1, 6, 6), (6, 6))]
    expected = run_one_by_one(graph, *[x.copy() for x in inputs])
    tuning = Tuning(worth_compiling=0, worth_region=0, part=1, small_result=0)
    for ours, true in zip(CpuExecutor(graph, tuning).run(inputs), expected, strict=True):
        np.testing.assert_allclose(ours, true, rtol=1e-14)


# Whole programs

CHAINS = [
    Tuning(worth_compiling=0, worth_region=0),
    Tuning(worth_compiling=0, small_result=0),
    Tuning(worth_compiling=0, worth_region=0, part=1, shortest_product=1, small_result=0),
    Tuning(worth_compiling=0, worth_region=0, part=1, shortest_product=1, worth_threads=0, threads=2, longest_chain=2),
]


@given(graph=graphs(), tuning=st.sampled_from(CHAINS), data=st.data())
@settings(max_examples=25, phases=[Phase.generate])  # shrinking would compile too often
def test_graphs_give_what_one_instruction_after_the_other_gives(graph, tuning, data):
    need_compiler()
    check_runs(CpuExecutor(graph, tuning), data)


def test_bits_do_not_depend_on_parts_and_threads():
    """Of everything but sums and products."""
    need_compiler()
    x, y = np.random.default_rng(0).normal(size=(2, 37, 53))
    f = lambda x, y, key: (
        mg.exp(x) * y + mg.random.normal(key, x.shape, np.float64),
        mg.where(x > y, mg.tanh(x), y[::-1]),
    )
    arguments = x, y, mg.random.key(3)
    (first, *others) = [mg.jit(f, tuning=tuning)(*arguments) for tuning in CHAINS]
    for found in others:
        for ours, theirs in zip(found, first, strict=True):
            np.testing.assert_array_equal(ours, theirs, strict=True)
    for ours, expected in zip(first, f(*arguments), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-13, atol=1e-14)


def test_small_programs_are_not_compiled():
    need_compiler()
    x = np.ones((10, 10))
    for worth, compiled in ((100, True), (101, False), (None, False)):
        executor = mg.jit(mg.exp, tuning=Tuning(worth_compiling=worth)).program(x)._executor
        assert bool(executor._kernels) == compiled


def test_constant_arrays_in_any_layout():
    """Among them one whose numbers do not lie at multiples of their size."""
    need_compiler()
    memory = np.zeros(8 * 24 + 1, np.uint8)[1:].view(np.float64)
    memory[:] = np.arange(24)
    x = np.random.default_rng(0).normal(size=(6, 4))
    for constant in (memory.reshape(6, 4), np.arange(24.0).reshape(4, 6).T, np.arange(8.0)[::-2], np.float64(3)):
        g = GraphBuilder()
        y = g.add(multiply_p, g.input((6, 4)), Constant(constant))
        z = g.add(add_p, y, g.add(broadcast_to_p, Constant(np.ones(4)), shape=(6, 4)))
        (found,) = CpuExecutor(g.graph(z), CHAINS[2]).run([x])
        np.testing.assert_array_equal(found, x * constant + 1)


def test_a_program_with_a_large_convolution_is_compiled():
    x, w = (np.random.default_rng(0).normal(size=s).astype("f") for s in ((8, 20, 20, 16), (3, 3, 16, 20)))
    flops = 2 * 8 * 20 * 20 * 20 * 9 * 16
    for worth, compiled in ((flops // FLOPS, True), (flops // FLOPS + 1, False)):
        jitted = mg.jit(mg.conv2d, tuning=Tuning(worth_compiling=worth))
        np.testing.assert_allclose(jitted(x, w), mg.conv2d(x, w), rtol=1e-4, atol=1e-4)
        executor = jitted.program(x, w)._executor
        assert (executor._accelerated is not executor.backend) == compiled
