"""minigrad/program/cpu/binding.py: which calls are made on which memory, and which are bound again when it moves."""

from __future__ import annotations

import numpy as np

from minigrad.core.vectors import add_p, broadcast_to_p, multiply_p, transpose_p
from minigrad.ops.functions import exp, tanh
from minigrad.ops.linalg import matmul_p
from minigrad.ops.reduce import sum_p
from minigrad.program.buffers import allocate
from minigrad.program.calls import KernelCall
from minigrad.program.cpu.arrays import Arrays
from minigrad.program.cpu.binding import Binding
from minigrad.program.cpu.plan import make_plan
from minigrad.program.graph import Constant
from minigrad.program.tuning import Tuning
from minigrad.program.views import find_views
from tests.support.graphs import GraphBuilder, run_one_by_one

exp_p, tanh_p = exp.primitive, tanh.primitive
ROWS = Tuning(worth_region=0, worth_threads=0, part=1, shortest_product=1, small_result=0)


class Bound:
    """A binding of a graph to arrays that this keeps; compiled kernels are replaced by `kernel`."""

    def __init__(self, graph, inputs, tuning=ROWS, threads=1, kernel=None):
        self.graph, views = graph, find_views(graph)
        self.plan = make_plan(graph, views, tuning, threads, compiled=kernel is not None)
        sizes = self.plan.block_bytes, *[self.plan.scratch_bytes] * self.plan.threads
        self.block, *self.scratch = [allocate(graph.backend, size, 64) for size in sizes]
        arrays = Arrays(graph, views, self.plan, self.block, self.scratch)
        self.arrays = dict(zip(graph.inputs, inputs)) | {slot: np.empty(*graph.kinds[slot]) for slot in self.plan.fresh}
        self.chains = [work for region in self.plan.regions for work, _ in region.steps if hasattr(work, "kernel")]
        kernels = {chain.kernel.name: kernel for chain in self.chains}
        self.binding = Binding(graph, views, self.plan, arrays, graph.backend, kernels, self.addresses())

    def addresses(self):
        return {slot: array.ctypes.data for slot, array in self.arrays.items()}

    def replace(self, slot, array):
        """Move a slot to another array."""
        self.arrays[slot] = array
        self.binding.move(self.addresses())

    def calls(self):
        return [call for lists in self.binding.phases for calls in lists for call in calls]

    def run(self):
        for call in self.calls():
            call()
        return [np.array(self.binding.array(output)) for output in self.graph.outputs]


def check(bound, *inputs):
    """Assert that a run gives what one instruction after the other gives."""
    for ours, expected in zip(bound.run(), run_one_by_one(bound.graph, *inputs), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-13, atol=1e-13)


def random(*shapes):
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape) for shape in shapes]


# Calls


def test_every_instruction_is_called_on_every_part():
    g = GraphBuilder()
    x, w = g.input((6, 4)), g.input((4, 3))
    y = g.add(tanh_p, g.add(matmul_p, g.add(exp_p, x), w))
    inputs = random((6, 4), (4, 3))
    bound = Bound(g.graph(y), inputs)
    assert [call.primitive.name for call in bound.calls()] == ["exp", "matmul", "tanh"] * 6  # of a row
    check(bound, *inputs)


def test_threads_have_lists_of_calls_and_sums_are_joined_in_another_phase():
    g = GraphBuilder()
    x = g.input((6, 4))
    total = g.add(sum_p, g.add(tanh_p, x), axes=(0,))
    inputs = random((6, 4))
    bound = Bound(g.graph(total), inputs, threads=3)
    parts, joins = bound.binding.phases
    assert [[call.primitive.name for call in calls] for calls in parts] == [["tanh", "sum"] * 2] * 3
    assert [[call.primitive.name for call in calls] for calls in joins] == [["sum"]]
    check(bound, *inputs)
    check(bound, *inputs)  # nothing is left of the first run


def test_a_part_of_several_groups_has_one_call_for_a_result_and_one_for_each_term():
    g = GraphBuilder()
    x = g.input((12, 4))
    y = g.add(tanh_p, x)
    turned = g.add(transpose_p, y, axes=(1, 0))
    product, total = g.add(matmul_p, turned, x), g.add(sum_p, y, axes=(0, 1))
    inputs = random((12, 4))
    tuning = {"worth_group": 0, "shortest_group": 3, "shortest_product": 1}
    groups = Tuning(worth_region=0, worth_threads=0, small_result=0, **tuning)
    for threads in (1, 2):
        bound = Bound(g.graph(product, total), inputs, groups, threads)
        parts, joins = bound.binding.phases
        names = ["tanh", *["matmul"] * (4 // threads), *["sum"] * (4 // threads)]
        assert [[call.primitive.name for call in calls] for calls in parts] == [names] * threads
        assert [[call.primitive.name for call in calls] for calls in joins] == [["sum"] * 2]
        check(bound, *inputs)
        (other,) = random((12, 4))
        bound.replace(x, other + 1)
        check(bound, other + 1)


def test_a_sum_of_one_term_is_computed_in_place():
    g = GraphBuilder()
    total = g.add(sum_p, g.add(tanh_p, g.input((6, 4))), axes=(0,))
    inputs = random((6, 4))
    bound = Bound(g.graph(total), inputs, Tuning(worth_region=0, worth_threads=0), threads=3)
    assert [[call.primitive.name for call in calls] for (calls,) in bound.binding.phases] == [["tanh", "sum"]]
    check(bound, *inputs)


def test_a_kernel_is_called_with_addresses_and_rows():
    g = GraphBuilder()
    x, b = g.input((6, 4)), g.input((4,))
    y = g.add(multiply_p, g.add(add_p, x, b), x)
    inputs, log = random((6, 4), (4,)), []
    bound = Bound(g.graph(y), inputs, kernel=lambda p, begin, end: log.append((list(p), begin.value, end.value)))
    calls = bound.calls()
    assert all(isinstance(call, KernelCall) for call in calls)
    for call in calls:
        call()
    (chain,) = bound.chains
    assert log == [([bound.addresses()[slot] for slot in chain.kernel.arguments], row, row + 1) for row in range(6)]


def test_the_address_of_scratch_is_that_of_row_0():
    """A kernel writes row r of a part that begins there, in memory for one row, at the address of row 0 plus r rows."""
    g = GraphBuilder()
    x, w = g.input((6, 4)), g.input((4, 3))
    h = g.add(tanh_p, x)
    log = []
    bound = Bound(
        g.graph(g.add(matmul_p, h, w)),
        random((6, 4), (4, 3)),
        kernel=lambda p, begin, end: log.append((p[list(bound.chains[0].kernel.arguments).index(h)], begin.value)),
    )
    for call in bound.calls():
        call()
    (scratch,) = bound.scratch
    assert bound.plan.scratch[0] == {h: 0}
    assert [address + 32 * row for address, row in log] == [scratch.ctypes.data] * 6


def test_a_kernel_on_everything_is_called_with_its_only_row():
    g = GraphBuilder()
    constant = np.ones(4)
    y = g.add(multiply_p, g.input((6, 4)), Constant(constant))
    whole, log = Tuning(worth_region=1 << 40, small_result=0), []
    bound = Bound(
        g.graph(y), random((6, 4)), whole, kernel=lambda p, *rows: log.append((set(p), [r.value for r in rows]))
    )
    bound.run()
    ((addresses, rows),) = log
    assert rows == [0, 1] and addresses == {*bound.addresses().values(), constant.ctypes.data}


def test_a_kernel_keeps_the_arrays_of_constants_alive():
    g = GraphBuilder()
    shown = np.broadcast_to(np.arange(4.0), (6, 4))
    y = g.add(multiply_p, g.input((6, 4)), Constant(shown))
    bound = Bound(g.graph(y), random((6, 4)), kernel=lambda *rows: None)
    assert all(any(array is shown for array in call.arrays) for call in bound.calls())


# Moving


def test_only_calls_on_what_moved_are_bound_again():
    g = GraphBuilder()
    x, w = g.input((6, 4)), g.input((4, 3))
    y = g.add(tanh_p, g.add(matmul_p, g.add(exp_p, x), w))
    a, b, c = random((6, 4), (4, 3), (6, 4))
    bound = Bound(g.graph(y), [a, b])
    before = bound.calls()
    assert bound.binding.distance(bound.addresses()) == 0
    assert bound.binding.distance(bound.addresses() | {x: 64, w: 64}) == 2
    bound.replace(x, c)
    changed = [call.primitive.name for call, old in zip(bound.calls(), before, strict=True) if call is not old]
    assert changed == ["exp"] * 6
    check(bound, c, b)
    before = bound.calls()
    bound.replace(y, np.empty((6, 3)))
    changed = [call.primitive.name for call, old in zip(bound.calls(), before, strict=True) if call is not old]
    assert changed == ["tanh"] * 6
    check(bound, c, b)


def test_kernels_on_what_moved_are_bound_again():
    g = GraphBuilder()
    x, other = g.input((6, 4)), g.input((5, 4))
    y, z = g.add(tanh_p, x), g.add(tanh_p, other)
    log = []
    bound = Bound(g.graph(y, z), random((6, 4), (5, 4)), kernel=lambda p, *rows: log.append(set(p)))
    before, (new,) = bound.calls(), random((6, 4))
    bound.replace(x, new)
    assert sum(call is not old for call, old in zip(bound.calls(), before, strict=True)) == 6
    bound.run()
    of = bound.addresses()
    assert (
        log == [{of[x], of[y]}] * 6 + [{of[other], of[z]}] * 5 or log == [{of[other], of[z]}] * 5 + [{of[x], of[y]}] * 6
    )


def test_calls_on_views_of_what_moved_are_bound_again():
    g = GraphBuilder()
    x = g.input((4, 6))
    turned = g.add(transpose_p, x, axes=(1, 0))
    wide = g.add(broadcast_to_p, turned, shape=(2, 6, 4))
    y = g.add(exp_p, wide)
    a, b = random((4, 6), (4, 6))
    bound = Bound(g.graph(y, turned), [a])
    check(bound, a)
    bound.replace(x, b)
    check(bound, b)
