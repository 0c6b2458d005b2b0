"""minigrad/program/fusion.py: what becomes one launch, what is stored, and at which level."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import minigrad as mg
from minigrad.backends.loops import Load, Loop
from minigrad.core.vectors import add_p, transpose_p
from minigrad.ops.functions import exp, tanh
from minigrad.ops.linalg import matmul_p
from minigrad.ops.reduce import sum_p
from minigrad.program.fusion import Read, Schedule, fuse
from minigrad.program.gpu.epilogues import fuse_epilogues
from minigrad.program.graph import Constant
from minigrad.program.lowering import GeneratedKernel, lower
from minigrad.program.tuning import DEFAULT, Tuning
from minigrad.program.views import find_views
from tests.support.graphs import GraphBuilder
from vae.optimisers import adam

exp_p, tanh_p = exp.primitive, tanh.primitive
X, WIDE = np.linspace(-1, 2, 12).reshape(3, 4), np.linspace(-2, 1, 20).reshape(4, 5)


def schedule_of(graph, tuning=DEFAULT) -> Schedule:
    """The schedule of a graph with epilogues."""
    views = find_views(graph)
    return fuse(fuse_epilogues(graph, views, tuning), views, tuning)


def schedule_function(device, f, *args) -> Schedule:
    """The schedule of f for these arrays on a device."""
    return schedule_of(mg.jit(f).program(*mg.to_device(args, device.device)).graph)


def launches(device, f, *args) -> list[str]:
    """The names of the launches, in order."""
    made = [launch for level in lower(schedule_function(device, f, *args)) for launch in level]
    return ["chain" if isinstance(launch, GeneratedKernel) else launch.primitive.name for launch in made]


def kernels(schedule: Schedule) -> list[GeneratedKernel]:
    return [launch for level in lower(schedule) for launch in level if isinstance(launch, GeneratedKernel)]


def loops(schedule: Schedule) -> list[Loop]:
    return [loop for kernel in kernels(schedule) for loop in kernel.loops]


def repeat(step, times):
    """x ↦ step(… step(x))."""

    def f(x):
        for _ in range(times):
            x = step(x)
        return x

    return f


# Graphs by hand


def test_of_a_chain_before_a_product_only_the_last_value_is_stored():
    g = GraphBuilder()
    x, w = g.input((3, 4)), g.input((4, 2))
    a = g.add(exp_p, x)
    b = g.add(add_p, a, Constant(1.0))
    y = g.add(matmul_p, b, w)
    z = g.add(tanh_p, y)
    schedule = schedule_of(g.graph(z))
    assert schedule.generated == {a, b, z} and schedule.inline == {a}
    assert schedule.level == {b: 0, y: 1, z: 2}
    assert schedule.reads == {
        a: {Read(x, True)},
        b: {Read(x, True)},
        y: {Read(b, False), Read(w, False)},
        z: {Read(y, True)},
    }


def test_a_transposed_read_is_out_of_order():
    g = GraphBuilder()
    x = g.input((3, 3))
    a = g.add(exp_p, x)
    turned = g.add(transpose_p, a, axes=(1, 0))
    y = g.add(add_p, a, turned)
    schedule = schedule_of(g.graph(y))
    assert schedule.inline == {a} and schedule.reads[y] == {Read(x, True), Read(x, False)}
    schedule = schedule_of(g.graph(y, a))  # now it is stored, and must be complete before it is read out of order
    assert not schedule.inline and schedule.reads[y] == {Read(a, True), Read(a, False)}
    assert schedule.level == {a: 0, y: 1}


@pytest.mark.parametrize(("longest", "stored"), [(3, {4}), (2, {3, 4}), (1, {2, 4}), (0, {1, 2, 3, 4})])
def test_a_long_chain_stores_intermediate_values(longest, stored):
    """Slots 1 to 4 are sums of the one before and 1: each costs 1, and what costs more than `longest` is stored."""
    g = GraphBuilder()
    slots = [g.input((5,))]
    for _ in range(4):
        slots.append(g.add(add_p, slots[-1], Constant(1.0)))
    schedule = schedule_of(g.graph(slots[-1]), Tuning(longest_chain=longest))
    assert set(schedule.level) == stored


def test_an_expensive_value_that_is_read_twice_is_stored():
    g = GraphBuilder()
    x = g.input((3, 4))
    a = g.add(tanh_p, x)
    sums = [g.add(add_p, a, Constant(float(i))) for i in range(2)]
    assert schedule_of(g.graph(*sums), Tuning(costly=5, shared_cost=5)).inline == {a}
    assert schedule_of(g.graph(*sums), Tuning(costly=5, shared_cost=4)).inline == set()


def test_a_kernel_with_too_many_arguments_is_split_over_levels():
    g = GraphBuilder()
    results = [g.add(exp_p, g.input((2,))) for _ in range(5)]
    level = schedule_of(g.graph(*results), Tuning(most_arguments=4)).level
    assert list(level.values()) == [0, 0, 1, 1, 2]


def test_sums_have_kernels_of_their_own():
    g = GraphBuilder()
    x = g.input((3, 4))
    total = g.add(sum_p, x, axes=(0, 1))
    y = g.add(add_p, x, total)
    schedule = schedule_of(g.graph(y))
    assert schedule.generated == {y} and schedule.level == {total: 0, y: 1}


def test_a_second_run_is_computed_when_what_it_waits_for_is_there():
    """At its level if that has a kernel of its own, else one later: the same kernel would compute both runs at once."""
    g = GraphBuilder()
    x, w = g.input((3, 4)), g.input((4, 4))
    product = g.add(matmul_p, g.add(exp_p, x), w)
    chain = g.add(tanh_p, product)
    again = [g.add(exp_p, x, awaits=(slot,)) for slot in (product, chain)]
    schedule = schedule_of(g.graph(chain, *again))
    assert schedule.level == {product - 1: 0, product: 1, chain: 2, again[0]: 1, again[1]: 3}


def test_a_second_run_waits_for_what_is_not_stored_or_is_a_view():
    g = GraphBuilder()
    x, w = g.input((3, 4)), g.input((4, 4))
    product = g.add(matmul_p, x, w)
    inline = g.add(add_p, product, Constant(1.0))
    y = g.add(exp_p, inline)
    turned = g.add(transpose_p, product, axes=(1, 0))
    again = [g.add(exp_p, x, awaits=(slot,)) for slot in (inline, turned)]
    schedule = schedule_of(g.graph(y, *again))
    assert schedule.inline == {inline} and schedule.level == {product: 0, y: 1, again[0]: 2, again[1]: 0}


def test_a_second_run_does_not_wait_for_inputs_or_constants():
    g = GraphBuilder()
    x = g.input((3, 4))
    y = g.add(exp_p, x, awaits=(x, Constant(1.0)))
    assert schedule_of(g.graph(y)).level == {y: 0}


# What is one launch


@pytest.mark.parametrize("times", [1, 2, 50, 2000])
def test_a_chain_of_any_length_is_one_launch(device, times):
    assert launches(device, repeat(lambda x: mg.sin(x + 1), times), X) == ["chain"]


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.T,
        lambda x: x[::-1, 1:3],
        lambda x: x[1],
        lambda x: x[:, 2],
        lambda x: x[:, None],
        lambda x: mg.reshape(x.T, (2, 6)),
        lambda x: mg.reshape(x, (2, 6)).T,
        lambda x: mg.broadcast_to(x[0], (7, 4)),
        lambda x: mg.depth_to_space(mg.reshape(x, (1, 1, 3, 4)), 2),
        mg.stop_gradient,
        lambda x: x[0, 0],
    ],
)
def test_a_chain_read_through_a_view_is_still_the_same_launch(device, view):
    """Nothing is copied: each element is computed where the view reads it. The view of an input, and of a chain."""
    assert launches(device, lambda x: mg.exp(view(x)) * 2, X) == ["chain"]
    if view(X).size == X.size:
        assert launches(device, lambda x: view(x * 3) * 2, X) == ["chain"]


def test_several_results_are_one_launch_with_a_loop_for_each_count(device):
    made = schedule_function(device, lambda x, y: (x + 1, y * 2, x * y[0, 0], y - 1), X, WIDE)
    assert [loop.count for loop in loops(made)] == [12, 20] and [len(loop.stores) for loop in loops(made)] == [2, 2]


def test_noise_is_generated_where_it_is_used(device):
    key = mg.random.key(0)
    sampled = lambda k, mean, n: mean + 2 * mg.random.normal(k, (3, 4), np.float64, offset=n)
    assert launches(device, sampled, key, X, np.array(3)) == ["chain"]
    assert launches(device, sampled, key, X, np.array(3, np.int32)) == ["chain"]
    assert "random_normal" in launches(device, sampled, key, X, np.array(3, np.uint32))  # chains have no uint32
    assert not any(loop.count == 12 for loop in loops(schedule_function(device, lambda k: mg.random.split(k, 2), key)))


@pytest.mark.parametrize(("count", "launched"), [(2, 1), (60, 1), (125, 3)])
def test_an_update_of_many_tensors_takes_as_few_launches_as_kernel_parameters_allow(device, count, launched):
    """CUDA takes kernels with 4096 bytes of parameters: 512 arrays."""
    parameters = [np.ones(1 + i % 7, np.float32) for i in range(count)]
    optimiser = adam()
    step = lambda p, state: optimiser.update(p, list(map(mg.sort, p)), state)  # gradients from other kernels
    made = schedule_function(device, step, parameters, optimiser.init(parameters))
    sizes = [len(kernel.arguments) for kernel in kernels(made)]
    assert max(sizes) <= 512
    assert len([n for n in sizes if n > 10]) == launched  # a launch before it computes the rates


def test_instructions_that_chains_cannot_compute_run_by_themselves(device):
    half, whole = X.astype(np.float16), np.arange(12).reshape(3, 4)
    assert launches(device, lambda x: x + x, half) == ["add"]
    assert launches(device, lambda x: mg.maximum(x, 2) + x, whole) == ["maximum", "chain"]
    assert launches(device, lambda x: x < 2**40, whole.astype(np.int32)) == ["less"]  # no int32 is that large
    assert launches(device, lambda x: x < 2**40, whole) == ["chain"]
    assert launches(device, lambda x: x < 2**70, whole) == ["less"]


# What is stored


def test_only_values_read_by_other_launches_are_stored(device):
    made = schedule_function(device, lambda x: mg.sum(mg.exp(x - 1) * 2) + 1, X)
    assert [len(loop.stores) for loop in loops(made)] == [1, 1]  # what the sum reads, and the result
    assert launches(device, lambda x: mg.sum(mg.exp(x - 1) * 2) + 1, X) == ["chain", "sum", "chain"]


def test_a_broadcast_value_is_computed_once(device):
    made = schedule_function(device, lambda x: mg.exp(x[:, :1]) + x, X)
    assert [loop.count for loop in loops(made)] == [3, 12]


@pytest.mark.parametrize(
    "step",
    [
        lambda x: (x + x) * 0.5,
        lambda x: x * 0.25 + mg.tanh(x) * 0.5,
        lambda x: (x + x.T) * 0.5,
        lambda x: mg.where(x > 0, x[::-1], x[:, ::-1]),
    ],
)
def test_values_read_twice_do_not_double_the_work_at_each_step(device, step):
    made = schedule_function(device, repeat(step, 60), WIDE[:4, :4])
    assert sum(len(loop.steps) for loop in loops(made)) < 60 * 20


@pytest.mark.parametrize(("shared", "longest"), [(0, 0), (0, 10**9), (1, 1), (10**9, 10**9)])
def test_results_do_not_depend_on_how_much_is_stored(device, shared, longest):
    f = mg.grad(lambda x: mg.sum(mg.tanh(x.T * 2)[:, :, None] * x[:, ::-1] + mg.exp(x[:1])))
    x, tuning = mg.to_device(X, device.device), Tuning(shared_cost=shared, longest_chain=longest)
    program = dataclasses.replace(mg.jit(f).program(x), tuning=tuning)
    np.testing.assert_allclose(device.to_host(program(x)), f(X), rtol=1e-12, atol=1e-12)


# Levels: no launch may read what its level writes


def assert_no_race(schedule: Schedule):
    """No launch reads anything that a launch of its level writes."""
    for level in lower(schedule):
        written, read = set(), set()
        for launch in level:
            if not isinstance(launch, GeneratedKernel):
                written.add(launch.result)
                read |= schedule.views.roots_of(launch.operands)
                continue
            for loop in launch.loops:
                written |= {launch.arguments[argument] for _, argument in loop.stores}
                read |= {launch.arguments[step.argument] for step in loop.steps if isinstance(step, Load)}
        assert not written & read


@pytest.mark.parametrize(
    ("f", "levels"),
    [
        (lambda x: (mg.exp(x), mg.exp(x) * 2), 1),  # element i of element i
        (lambda x: (mg.exp(x), mg.reshape(mg.exp(x), (12,)) * 2), 1),
        (lambda x: (mg.exp(x), mg.exp(x).T * 2), 2),  # element i of another
        (lambda x: (mg.exp(x), mg.exp(x)[:1] * 2), 2),  # the first elements of more
        (lambda x: (mg.exp(x), mg.exp(x)[0, 0] * 2), 2),
        (lambda x: (mg.exp(x), mg.exp(x)[:, :, None] * x[0]), 2),
        (lambda x: mg.exp(x) + mg.sum(mg.exp(x)), 3),
    ],
)
def test_values_read_out_of_order_are_a_level_earlier(device, f, levels):
    made = schedule_function(device, f, X)
    assert len(lower(made)) == levels
    assert_no_race(made)


def test_a_stored_value_read_at_another_index_is_read_a_level_later(device):
    deep = repeat(lambda x: mg.tanh(x) + 1, 10)
    made = schedule_function(device, lambda x: (deep(x), deep(x).T * 2), X)
    assert len(lower(made)) == 2
    assert_no_race(made)
