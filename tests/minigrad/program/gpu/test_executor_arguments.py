"""minigrad/program/gpu/executor.py: arguments that move, are donated or alias, and results that outlive later calls."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import minigrad as mg
from tests.support.programs import executor_of

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((3, 4)), RNG.standard_normal((3, 4))


def test_results_over_donated_arguments_are_in_place_and_others_in_new_memory(device, to_gpu, agree):
    f = lambda p, g: (p - 0.1 * g, mg.sum(p * g))
    step, p, (q, g) = mg.jit(f, donate=0), X, to_gpu((X, Y))
    where, sums = device.address(q), []
    for _ in range(6):
        (q, total), (p, expected) = step(q, g), f(p, Y)
        sums.append((total, expected))
        assert device.address(q) == where
        agree(q, p)
    for pair in sums:  # none was overwritten
        agree(*pair)


def test_a_donated_argument_cannot_be_used_again(to_gpu):
    step, q = mg.jit(lambda p: p * 2, donate=0), to_gpu(X)
    step(q)
    with pytest.raises(ValueError, match="was donated to an earlier call"):
        step(q)


def test_results_of_earlier_calls_are_not_overwritten(to_gpu, agree):
    f = lambda x, y: (mg.tanh(x) + y, x, y.T, x[1:], mg.sum(x), 3.0)
    jitted, kept = mg.jit(f), []
    x = to_gpu(X)
    for number in range(7):
        args = X, Y + number
        kept.append((jitted(x, to_gpu(args[1])), f(*args)))
        for ours, expected in kept:
            agree(ours, expected)


def test_an_argument_that_moves_is_copied_from_then_on(device, to_gpu, agree):
    f = lambda x, y: mg.exp(x) * y
    jitted, fixed = mg.jit(f), to_gpu(X)
    for _ in range(4):
        agree(jitted(fixed, to_gpu(Y)), f(X, Y))
    run = executor_of(jitted, fixed, to_gpu(Y))
    assert list(run._arguments._buffers) == [run.graph.inputs[1]]  # the other one is read in place
    for number in range(4):
        agree(jitted(fixed, to_gpu(Y * number)), f(X, Y * number))
    fixed += 1
    agree(jitted(fixed, to_gpu(Y)), f(X + 1, Y))


def test_a_learning_rate_may_change_without_a_new_graph(to_gpu, agree, graphs):
    f = lambda p, g, rate: (p - rate * g, rate / 2)
    step, p, (q, g) = mg.jit(f, donate=0), X, to_gpu((X, Y))
    for rate in (0.1, 0.2, 0.3, 0.4, 0.5):
        for given in (np.float64(rate), to_gpu(np.array(rate))):
            for _ in range(2):
                (q, half), (p, expected) = step(q, g, given), f(p, Y, np.float64(rate))
                agree((q, half), (p, expected))
    assert len(graphs) == 2  # one for numbers of the host, one for those of the device


@pytest.mark.parametrize("donate", [(), 0])
def test_a_contiguous_argument_after_one_that_was_not(to_gpu, agree, donate):
    f = lambda x, y: (x * y, mg.sum(y))
    state, factor, other = X[:3, :3], Y[:3, :3], X[:3, 1:]
    for early in range(5):  # before, while and after it is recorded
        jitted, (ours, y), expected = mg.jit(f, donate=donate), to_gpu((state, factor)), state
        for _ in range(early + 1):
            results = jitted(ours, y)
            agree(results, f(expected, factor))
            ours, expected = (results[0], expected * factor) if donate == 0 else (ours, expected)
        agree(jitted(to_gpu(other).T, y), f(other.T, factor))
        agree(jitted(ours, y), f(expected, factor))


def test_constants_may_be_results_beside_donated_arguments(device, to_gpu, agree):
    here = np.arange(3.0)
    constant = device.from_host(here)
    f = lambda p, c: (c, p + 1, mg.sum(mg.exp(c)), here, {1}, p * 2)
    jitted, p, ours = mg.jit(lambda p: f(p, constant), donate=0), X, to_gpu(X)
    for _ in range(4):
        *results, last = jitted(ours)
        *expected, p = f(p, here)
        assert results.pop(4) == expected.pop(4) == {1}
        agree((*results, last), (*expected, p))
        ours = last


def test_a_donated_argument_that_is_new_every_time_is_copied(to_gpu, agree, graphs):
    f = lambda p, x: (p - mg.sum(x), mg.mean(x))
    jitted, (p, ours) = mg.jit(f, donate=(0, 1)), (X, to_gpu(X))
    for number in range(7):
        (ours, mean), (p, expected) = jitted(ours, to_gpu(Y + number)), f(p, Y + number)
        agree((ours, mean), (p, expected))
    assert len(graphs) == 1


def test_scratch_memory_of_kernels_is_kept_and_counted(device, to_gpu, graphs):
    x = RNG.standard_normal((3000, 40))
    jitted, arguments = mg.jit(lambda x: (mg.sum(x, 0), x.T @ x)), to_gpu((x,))
    pool = device.xp.get_default_memory_pool()
    for _ in range(2):
        jitted(*arguments)
    before = pool.used_bytes()
    results = jitted(*arguments)
    memory = jitted.program(*arguments).memory()
    assert memory.scratch > 0 and len(graphs) == 1
    made = pool.used_bytes() - before - sum(leaf.nbytes for leaf in results)
    assert abs(made - memory.scratch) <= 4096 if device.name == "cupy" else made == memory.scratch


def test_a_custom_allocator_is_not_used_while_recording(device, to_gpu, agree):
    """CUDA's asynchronous allocator would be recorded, and every launch would allocate."""
    f, cuda, asked = lambda x: mg.sum(mg.exp(x.T @ x), 0), device.xp.cuda, []
    x = RNG.standard_normal((700, 5)) / 10
    jitted, ours = mg.jit(f), to_gpu(x)

    def malloc(size):
        asked.append(cuda.get_current_stream() == cuda.Stream.null)
        return device.xp.get_default_memory_pool().malloc(size)

    with cuda.using_allocator(malloc):
        for _ in range(5):
            agree(jitted(ours), f(x))
    assert asked and all(asked)


def test_a_donated_argument_that_moves_is_updated_at_its_new_address(device, to_gpu, agree):
    f = lambda p, x: (p * x - mg.sum(p), mg.sum(x))
    step = mg.jit(f, donate=0)
    states, x = [X, Y], to_gpu(X)
    ours = to_gpu(states)
    for _ in range(5):
        for i in (0, 1):  # two states in turn
            where = device.address(ours[i])
            (ours[i], total), (states[i], expected) = step(ours[i], x), f(states[i], X)
            assert device.address(ours[i]) == where
            agree((ours[i], total), (states[i], expected))


@pytest.mark.parametrize("donate", [(), 0, (0, 1)])
def test_one_array_may_be_two_arguments(to_gpu, agree, donate):
    f = lambda x, y: (x * 2 - y[::-1], y + x[:1])
    jitted = mg.jit(f, donate=donate)
    for number in range(6):
        x, y = to_gpu((X + number, Y))
        agree(jitted(x, x), f(X + number, X + number))
        agree(jitted(to_gpu(X), y), f(X, Y))


@pytest.mark.parametrize("donate", [(), (0, 1)])
def test_arguments_need_not_be_contiguous(to_gpu, agree, donate):
    f = lambda x, y: (x + y, mg.sum(x * y, 0))
    jitted = mg.jit(f, donate=donate)
    views = [lambda x: x, lambda x: x[:, ::-1][:, ::-1], lambda x: x[::-1], lambda x: mg.concatenate([x, x], 1)[:, ::2]]
    for view, other in itertools.product(views, views[:2]):
        agree(jitted(view(to_gpu(X)), other(to_gpu(Y))), f(view(X), other(Y)))


def test_arguments_constants_and_repeated_values_may_be_results(device, to_gpu, agree):
    outside = to_gpu(Y)
    f = lambda x, c: (
        x,
        x,
        x.T,
        c,
        c[::-1],
        mg.zeros_like(x),
        mg.broadcast_to(mg.zeros_like(x[0]) + c[0], (3000, 4)),
        2,
    )
    for donate in ((), 0):
        jitted = mg.jit(lambda x: f(x, outside), donate=donate)
        for number in range(5):
            results = jitted(to_gpu(X + number))
            agree(results, f(X + number, Y))
            results[0][...] = 7  # results belong to the caller
            results[3][...] = 7
        agree(outside, Y)


def test_a_result_returned_twice_is_two_arrays_even_over_a_donated_argument(to_gpu, agree):
    def f(x):
        y = x * 2
        return y, y

    jitted = mg.jit(f, donate=0)
    for number in range(4):
        first, second = jitted(to_gpu(X + number))
        first[...] = 7
        agree(second, 2 * (X + number))


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (0,), (3, 0), (70_000,), (257, 257)])
def test_small_empty_and_large_arrays(to_gpu, agree, shape):
    x = RNG.standard_normal(shape)
    f = lambda x, y: (mg.tanh(x) + y, mg.sum(x * y), mg.mean(mg.stack([x, y]), 0), x > y)
    jitted = mg.jit(f, donate=1)
    for number in range(5):
        agree(jitted(*to_gpu((x, x + number))), f(x, x + number))


def test_arguments_of_several_kinds_in_turn(to_gpu, agree):
    f = lambda x, y: (x * y, mg.sum(x), mg.where(x > y, x, y))
    jitted = mg.jit(f, donate=0)
    for _, shape, dtype in itertools.product(range(4), [(3,), (2, 3)], ["f4", "f8", "i4", "i8"]):
        x, y = ((9 * RNG.standard_normal(shape)).astype(dtype) for _ in range(2))
        agree(jitted(*to_gpu((x, y))), f(x, y), rtol=1e-6)


def test_a_prefix_of_a_donated_array_is_read_before_it_is_overwritten(to_gpu, agree):
    f = lambda x: (x + 1, x[:2] * 2, x[0, 0] * 3)
    agree(mg.jit(f, donate=0)(to_gpu(X)), f(X))


def test_a_prefix_of_a_product_gets_no_epilogue(to_gpu, agree):
    x, w, b = (RNG.standard_normal(shape) for shape in [(40, 8), (8, 70), (70,)])
    f = lambda x, w, b: (x @ w)[:3] + b
    agree(mg.jit(f)(*to_gpu((x, w, b))), f(x, w, b))


def test_a_donated_array_that_is_also_a_constant_is_not_overwritten(device):
    here = np.arange(5.0)
    there = device.from_host(here)
    step = mg.jit(lambda p: 2 * p + there[::-1], donate=0)
    for array in (there, *(device.from_host(here) for _ in range(4))):
        assert np.array_equal(device.to_host(step(array)), 2 * here + here[::-1])
        assert np.array_equal(device.to_host(there), here)
