"""minigrad/program/cpu/executor.py: graphs give what their instructions give; moved arrays are bound again."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.core.vectors import add_p, broadcast_to_p, multiply_p
from minigrad.ops.functions import exp, tanh
from minigrad.ops.indexing import slice_p
from minigrad.ops.linalg import matmul_p
from minigrad.ops.reduce import sum_p
from minigrad.program.cpu import binding as module
from minigrad.program.cpu import threads
from minigrad.program.cpu.binding import Binding
from minigrad.program.cpu.executor import CpuExecutor
from minigrad.program.graph import Constant
from minigrad.program.tuning import Tuning
from tests.support.graphs import GraphBuilder, check_runs, graphs
from tests.support.native import need_compiler
from tests.support.programs import cut_everything, same

exp_p, tanh_p = exp.primitive, tanh.primitive
RNG = np.random.default_rng(0)


TUNINGS = [Tuning(), Tuning(worth_region=0, small_result=0), *[cut_everything(threads) for threads in (1, 2, 3)]]


@given(graph=graphs(), tuning=st.sampled_from(TUNINGS), data=st.data())
def test_graphs_give_what_one_instruction_after_the_other_gives(graph, tuning, data):
    check_runs(CpuExecutor(graph, tuning), data)


@pytest.fixture
def bound_primitives(monkeypatch):
    """A list of the primitives whose calls are bound."""
    found, bind_call = [], module.bind_call
    monkeypatch.setattr(module, "bind_call", lambda p, *rest: found.append(p.name) or bind_call(p, *rest))
    return found


def test_only_calls_whose_arrays_moved_are_bound_again(bound_primitives):
    g = GraphBuilder()
    x, w = g.input((6, 4)), g.input((4, 3))
    h = g.add(matmul_p, g.add(tanh_p, x), w)
    executor = CpuExecutor(g.graph(g.add(sum_p, g.add(exp_p, h), axes=(0, 1))), Tuning(small_result=0))
    a, b = RNG.normal(size=(6, 4)), RNG.normal(size=(4, 3))
    executor.run([a, b])
    assert sorted(bound_primitives) == ["exp", "matmul", "sum", "tanh"]
    bound_primitives.clear()
    executor.run([a, b])
    assert bound_primitives == []
    others = [(a + 1, b), (a, b.copy())]
    for inputs in (*others, *others):  # the third binding is the last that is made anew
        executor.run(inputs)
    assert sorted(bound_primitives) == 2 * ["exp"] + 2 * ["matmul"] + 2 * ["sum"] + 2 * ["tanh"]
    bound_primitives.clear()
    executor.run([a + 2, b])
    assert bound_primitives == ["tanh"]
    result = executor.run([a, b])[0]
    assert result == pytest.approx(np.exp(np.tanh(a) @ b).sum(), rel=1e-12)


def test_results_share_no_memory_and_later_runs_do_not_change_earlier_ones():
    g = GraphBuilder()
    x = g.input((64, 64))
    y = g.add(exp_p, x)
    executor = CpuExecutor(
        g.graph(y, y, x, g.add(slice_p, y, index=(0,)), Constant(np.ones(2))), Tuning(small_result=0)
    )
    a = RNG.normal(size=(64, 64))
    first, second = executor.run([a]), executor.run([a + 1])
    arrays = [a, *first, *second]
    assert not any(np.shares_memory(x, y) for i, x in enumerate(arrays) for y in arrays[:i])
    for result, expected in zip(first, (np.exp(a), np.exp(a), a, np.exp(a)[0], np.ones(2)), strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-15)


def test_a_result_overwrites_its_donated_argument_unless_that_is_shared():
    g = GraphBuilder()
    w, x = g.input((64, 64)), g.input((64, 64))
    executor = CpuExecutor(g.graph(g.add(add_p, w, x), donated=(w,)), Tuning())
    a, b = RNG.normal(size=(2, 64, 64))
    (result,) = executor.run([a.copy(), b])
    for _ in range(3):
        before = result.copy()
        (after,) = executor.run([result, b])
        assert np.shares_memory(after, result)
        np.testing.assert_array_equal(after, before + b)
        result = after
    (doubled,) = executor.run([b, b])  # read as x, too
    assert not np.shares_memory(doubled, b)
    np.testing.assert_array_equal(doubled, 2 * b)
    frozen = a.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(executor.run([frozen, b])[0], a + b)
    np.testing.assert_array_equal(frozen, a)


def test_scalar_results_are_numpy_scalars():
    g = GraphBuilder()
    x, s = g.input((3,)), g.input(())
    executor = CpuExecutor(g.graph(g.add(slice_p, x, index=(1,)), g.add(multiply_p, s, s)), Tuning())
    for k in range(3):
        results = executor.run([np.arange(3.0) + k, np.float64(k)])
        assert results == [1 + k, k * k] and all(type(y) is np.float64 for y in results)


def test_memory_counts_results_that_overwrite_no_donated_argument():
    g = GraphBuilder()
    w = g.input((64, 64))
    y = g.add(multiply_p, w, w)
    total = g.add(sum_p, g.add(broadcast_to_p, Constant(np.ones(4)), shape=(2, 4)), axes=(0, 1))
    outputs = y, total, Constant(np.ones(5)), Constant(2.0)
    assert CpuExecutor(g.graph(*outputs), Tuning()).memory.results == 64 * 64 * 8 + 8 + 40
    assert CpuExecutor(g.graph(*outputs, donated=(w,)), Tuning()).memory.results == 8 + 40


def test_memory_counts_the_terms_of_sums():
    g = GraphBuilder()
    graph = g.graph(g.add(sum_p, g.add(tanh_p, g.input((128, 8))), axes=(0,)))
    few, many = [CpuExecutor(graph, Tuning(worth_region=0, worth_group=0, most_groups=n)).memory for n in (1, 8)]
    assert (few.intermediate, many.intermediate) == (64, 64 + 8 * 64) and few.scratch == many.scratch


# The same bits on any number of threads


@st.composite
def programs(draw):
    """A function of x (rows, columns) and b (columns,): rows, products, and sums over rows, of which some are read."""
    names = "tanh multiply bias columns number product square row centre repeat".split()
    steps = draw(st.lists(st.tuples(st.sampled_from(names), *[st.integers(0, 9)] * 2), min_size=2, max_size=9))

    def f(x, b):
        values, totals = [mg.tanh(x)], [mg.sum(mg.sin(x), axis=0)]
        for name, i, j in steps:
            a, c = values[i % len(values)], values[j % len(values)]
            if name == "tanh":
                values.append(mg.tanh(a * 2 + c))
            elif name == "multiply":
                values.append(a * c)
            elif name == "bias":
                values.append(mg.exp(-mg.square(a)) + b)
            elif name == "columns":
                totals.append(mg.sum(a, axis=0))
            elif name == "number":
                totals.append(mg.sum(a * c))
            elif name == "product":
                totals.append(mg.tanh(a).T @ c)
            elif name == "square":
                values.append(a @ mg.tanh(c.T @ a))
            elif name == "row":
                values.append(a - mg.mean(a, axis=1, keepdims=True))
            elif name == "centre":
                values.append(a - mg.mean(c, axis=0))
            else:
                values.append(values[0] + mg.sum(a, axis=0))
        return values[-1], totals

    return f


GROUPS = [
    {},
    {"worth_group": 0},
    {"worth_group": 0, "shortest_group": 1, "shortest_product": 1, "part": 1 << 12},
    {"part": 1, "shortest_product": 1},
]


def check_bits(f, arguments, tuning, compiler, rtol):
    """Assert that a program has the same bits on any number of threads, and about those of a plain call."""
    results = []
    for number in (1, 2, 3, 4, 8):
        tuned = Tuning(worth_region=0, worth_threads=0, worth_compiling=0, threads=number, **tuning)
        jitted = mg.jit(f, tuning=tuned, compiler=compiler)
        results.append(jitted(*arguments))
        assert same(jitted(*arguments), results[0]) and same(results[-1], results[0])
    for ours, expected in zip(mg.tree.flatten(results[0])[0], mg.tree.flatten(f(*arguments))[0], strict=True):
        size = max(1.0, float(np.max(np.abs(expected))))
        np.testing.assert_allclose(ours, expected, rtol=0, atol=rtol * size)


def check_program(data, f, compiler):
    rows, columns = data.draw(st.sampled_from([7, 37, 1000])), data.draw(st.sampled_from([1, 5, 33]))
    dtype, tuning = data.draw(st.sampled_from([np.float32, np.float64])), data.draw(st.sampled_from(GROUPS))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    arguments = rng.normal(size=(rows, columns)).astype(dtype), rng.normal(size=columns).astype(dtype)
    check_bits(f, arguments, tuning, compiler, 1e4 * np.finfo(dtype).eps)


@given(f=programs(), data=st.data())
@settings(max_examples=25)
def test_programs_have_the_same_bits_on_any_number_of_threads(f, data):
    check_program(data, f, None)


@given(f=programs(), data=st.data())
@settings(max_examples=10, phases=[Phase.generate])  # shrinking would compile too often
def test_compiled_programs_have_the_same_bits_on_any_number_of_threads(f, data):
    need_compiler()
    check_program(data, f, "auto")


@pytest.mark.parametrize("compiler", ["auto", None])
@pytest.mark.parametrize("tuning", GROUPS, ids=str)
@pytest.mark.parametrize(("images", "size", "features"), [(7, 6, 3), (37, 6, 3), (37, 5, 40)])
def test_gradients_of_kernels_have_the_same_bits_on_any_number_of_threads(images, size, features, tuning, compiler):
    """Those of 40 features take 115 kB: more than largest_sum."""
    x, d = RNG.normal(size=(2, images, size, size, features))
    w = RNG.normal(size=(3, 3, features, features))

    def f(w, x, d):
        g = mg.grad(lambda w: mg.sum(mg.conv2d(mg.tanh(x), w) * mg.sin(d)))(w)
        return w - 0.1 * g, mg.sum(d, axis=(0, 1, 2))

    check_bits(f, (w, x, d), tuning, compiler, 1e-12)


@pytest.mark.parametrize("columns", [10, 9000])
def test_a_small_and_a_large_sum_have_the_same_bits_on_any_number_of_threads(columns):
    """The large one is computed afterwards, in rows of its own."""
    x = RNG.normal(size=(100, columns))
    check_bits(lambda x: mg.sum(mg.tanh(x), axis=0), (x,), {"worth_group": 0}, None, 1e-12)


def test_blas_is_limited_in_programs_with_products_on_any_number_of_threads():
    g = GraphBuilder()
    x = g.input((64, 64))
    y = g.add(tanh_p, x)
    product = g.add(matmul_p, y, x)
    with_product, without = g.graph(product), replace(g.graph(y), instructions=g.instructions[:1])
    for number in (1, 2):
        cut, whole = (Tuning(threads=number, worth_region=worth) for worth in (0, 1 << 40))
        assert CpuExecutor(with_product, cut)._limits is threads.single_blas
        assert CpuExecutor(with_product, whole)._limits is threads.single_blas
        assert isinstance(CpuExecutor(without, cut)._limits, nullcontext)


# Failures and interrupts


def test_a_run_that_could_not_be_bound_can_be_repeated(monkeypatch):
    """Memory runs out between taking new arguments and binding them; repeating the call gives the right result."""
    f = lambda a, b: (mg.exp(a) * b, mg.tanh(a + b))
    rng = np.random.default_rng(0)
    jitted = mg.jit(f)
    for _ in range(2):
        a, b = rng.normal(size=(2, 100, 200))
        with monkeypatch.context() as patch:
            jitted(a + 1, b)
            patch.setattr(Binding, "_put", _no_memory)
            with pytest.raises(MemoryError):
                jitted(a, b)
        assert same(jitted(a, b), f(a, b))


def _no_memory(binding, addresses):
    raise MemoryError


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_ends_a_run_between_its_steps_and_the_next_run_is_right():
    """Ctrl-C at random moments: what runs afterwards is right, and nothing hangs."""
    program = """
import os, random, signal, threading, time
import numpy as np
import minigrad as mg
from minigrad.program.tuning import Tuning
f = lambda a, b: (mg.sum(mg.tanh(a) * b, axis=0), mg.exp(a - b))
jitted, rng = mg.jit(f, tuning=Tuning(threads=2, worth_threads=0)), np.random.default_rng(0)
stopped = 0
def press():
    for _ in range(300):
        time.sleep(0.003 * random.random())
        os.kill(os.getpid(), signal.SIGINT)

def ignore():
    while True:
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            return
        except KeyboardInterrupt:
            pass

ignore()
keys = threading.Thread(target=press, daemon=True)
keys.start()
while keys.is_alive():
    a, b = rng.normal(size=(2, 500, 60))
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        while keys.is_alive():
            jitted(a, b)
    except KeyboardInterrupt:
        stopped += 1
    ignore()
    assert all(np.allclose(x, y, rtol=1e-12, atol=1e-12) for x, y in zip(jitted(a, b), f(a, b)))
assert stopped
"""
    done = subprocess.run(
        [sys.executable, "-c", program], timeout=60, cwd=Path(mg.__file__).parents[1], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
