"""minigrad/program: programs give what the function gives, to the bit, and say so when they cannot."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from conftest import to_host
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import backends, tree
from minigrad.checks.cases import CASES
from minigrad.program import plan, regions


def same(left, right):
    """Whether two trees are the same to the bit (NaN is NaN)."""
    a, b = tree.flatten(left), tree.flatten(right)
    return a[1] == b[1] and all(
        np.asarray(to_host(x)).dtype == np.asarray(to_host(y)).dtype
        and np.array_equal(to_host(x), to_host(y), equal_nan=True)
        for x, y in zip(a[0], b[0], strict=True)
    )


def agree(left, right, way):
    """The same to the bit, except where rows are cut: then sums of a few terms may be added up in another order.

    That moves a sum of n terms by at most n roundings of their size; n < 64 here, and no size is far above 1.
    """
    if way != "in regions, row by row":
        return same(left, right)
    a, b = tree.flatten(left), tree.flatten(right)
    return a[1] == b[1] and all(
        np.asarray(x).dtype == np.asarray(y).dtype and close(to_host(x), to_host(y))
        for x, y in zip(a[0], b[0], strict=True)
    )


def close(x, y):
    if np.asarray(x).dtype.kind not in "fc":
        return np.array_equal(x, y)
    size = max(1.0, float(np.max(np.abs(y), initial=0.0, where=np.isfinite(y))))
    return np.allclose(x, y, rtol=0, atol=64 * np.finfo(np.asarray(x).dtype).eps * size, equal_nan=True)


@pytest.fixture(params=["whole", "in regions", "in regions, row by row"])
def way(request, monkeypatch):
    """Also cut small arrays, and into parts of a row."""
    if request.param != "whole":
        monkeypatch.setattr(regions, "SMALL", 0)
    if request.param == "in regions, row by row":
        monkeypatch.setattr(plan, "PART", 1)
        monkeypatch.setattr(plan, "SHORTEST", 1)
    return request.param


# Every operation


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_programs_give_the_same_bits(case, on_device, way):
    """Values, tangents and gradients of every case; twice, and with other numbers in between."""
    constants, args = on_device(case.constants), on_device(case.arguments())
    f = lambda *xs: case.function(*xs, *constants)
    jitted = mg.jit(f)
    others = on_device(tuple(np.asarray(x * (1 - 2**-10)) for x in case.arguments()))
    for xs in (args, others, args):
        assert agree(jitted(*xs), f(*xs), way)
    if case.discrete:
        return
    y = f(*args)
    u, v = on_device(case.like([np.asarray(to_host(y))], "cotangent")[0]), on_device(case.like(args, "tangents"))

    def both(u, v, *xs):
        return mg.jvp(f, xs, v), mg.vjp(f, *xs)[1](u)

    jitted = mg.jit(both)
    for _ in range(2):
        assert agree(jitted(u, v, *args), both(u, v, *args), way)


OPERATIONS = [
    lambda a, b: a + b,
    lambda a, b: a * b,
    lambda a, b: mg.tanh(a),
    lambda a, b: mg.where(a > b, a, -b),
    lambda a, b: mg.reshape(mg.reshape(a, (-1,)), a.shape) * 0.5,
    lambda a, b: a - mg.mean(b, axis=0, keepdims=True),
    lambda a, b: mg.transpose(mg.transpose(a)),
    lambda a, b: mg.clip(a, -1, 1),
    lambda a, b: mg.stop_gradient(a),
]


@given(data=st.data())
def test_random_programs_give_the_same_bits(data):
    """Programs of a dozen random instructions, with repetition, dead code, views and several results."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    shape = data.draw(st.sampled_from([(3, 4), (1, 5), (6,), (2, 3, 2)]))
    plan = data.draw(
        st.lists(st.tuples(st.integers(0, 8), st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=14)
    )
    returned = data.draw(st.lists(st.integers(0, 30), min_size=1, max_size=3))

    def f(x, y):
        made = [x, y]
        for operation, i, j in plan:
            made.append(OPERATIONS[operation](made[i % len(made)], made[j % len(made)]))
        return [made[k % len(made)] for k in returned]

    x, y = rng.normal(size=(2, *shape))
    total = lambda x, y: sum(mg.sum(r) for r in f(x, y))
    way = data.draw(st.sampled_from(["whole", "in regions, row by row"]))
    with pytest.MonkeyPatch.context() as patch:
        if way != "whole":
            cut_everything(patch, data.draw(st.integers(1, 3)))
        jitted = mg.jit(f)
        for _ in range(3):
            assert agree(jitted(x, y), f(x, y), way)
            x, y = y, 0.5 * (x + y)
        assert agree(mg.jit(mg.grad(total, (0, 1)))(x, y), mg.grad(total, (0, 1))(x, y), way)


def cut_everything(patch, threads=1):
    """Small arrays too, into parts of a row, on so many threads."""
    from minigrad.program import threads as pool

    patch.setattr(pool, "count", lambda: threads)
    patch.setattr(regions, "SMALL", 0)
    for name, value in (("PART", 1), ("SHORTEST", 1), ("WORTH_THREADS", 0)):
        patch.setattr(plan, name, value)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("shape", [(257, 300), (70_000,), (1, 90_000), (3, 40, 41, 16)])
def test_large_arrays_over_threads_give_the_same_bits(shape, threads, monkeypatch):
    """All but the sum: its terms are added up part by part, which costs no more than the sum's own rounding."""
    from minigrad.program import threads as pool

    monkeypatch.setattr(pool, "count", lambda: threads)
    rng = np.random.default_rng(0)
    x, b = rng.normal(size=shape).astype(np.float32), rng.normal(size=shape[-1:]).astype(np.float32)

    def f(x, b):
        y = mg.relu(x * 2 + b)
        z = mg.sigmoid(y) - mg.where(x > 0, x, 0.1 * x)
        return z, mg.sum(z * y)

    monkeypatch.setattr(plan, "WORTH_THREADS", 0)
    (z, total), (expected, other) = mg.jit(f)(x, b), f(x, b)
    exact = float(f(x.astype(np.float64), b.astype(np.float64))[1])
    terms = float(np.sum(np.abs(expected * mg.relu(x * 2 + b)), dtype=np.float64))
    assert same(z, expected)
    assert abs(float(total) - exact) <= abs(float(other) - exact) + 4 * np.finfo(np.float32).eps * terms


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_sums_of_several_regions_at_the_same_time(threads, monkeypatch):
    """Regions of one moment, which a thread goes through one after the other, with sums that last to its end."""
    from minigrad.program import threads as pool

    monkeypatch.setattr(pool, "count", lambda: threads)
    monkeypatch.setattr(plan, "WORTH_THREADS", 0)
    monkeypatch.setattr(plan, "PART", 1 << 16)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1024, 64)), rng.normal(size=(4096, 64))

    def f(x, y):
        return mg.sum(mg.tanh(x), axis=0), mg.sum(mg.tanh(y), axis=0), mg.sum(mg.square(x)) + mg.sum(mg.square(y))

    jitted = mg.jit(f)
    for _ in range(3):
        for found, expected in zip(jitted(x, y), f(x, y), strict=True):
            assert np.allclose(found, expected, rtol=1e-12, atol=1e-10)


def test_views_of_constants_are_results_like_any_other(way):
    def f(x):
        constant = mg.concatenate([mg.zeros_like(x[0, :2]), np.ones(2)])
        return (
            mg.broadcast_to(constant, (10_000, 4)),
            mg.transpose(mg.broadcast_to(constant, (10_000, 4))),
            x + constant,
        )

    x = np.ones((10_000 if way == "whole" else 300, 4))
    assert agree(mg.jit(f)(x), f(x), way)


def test_an_array_that_is_not_contiguous_is_read_anew_in_every_run():
    base = np.arange(24.0).reshape(4, 6)
    jitted, x = mg.jit(lambda x: mg.exp(x) * 2), base[:, ::2]
    for _ in range(3):
        assert same(jitted(x), np.exp(x) * 2)
        base *= 0.5


def test_lists_are_operands_too():
    x = np.ones((512, 64))
    f = lambda x: x * mg.add(x, [[1.0]] * 512)
    assert same(mg.jit(f)(x), f(x))


def test_thousands_of_instructions_are_planned_at_once():
    """Time in proportion: four times the instructions take far less than sixteen times as long."""

    def seconds(n):
        program = mg.trace(lambda x: _chain(x, n))(np.ones(3))
        begin = time.process_time()
        plan.planned(program, (), 1)
        return time.process_time() - begin

    seconds(10)
    assert seconds(8000) < 10 * seconds(2000)


def _chain(x, n):
    for i in range(n):
        x = mg.sin(x) if i % 2 else x * 1.5
    return x


# Semantics


def test_derivatives_of_jitted_functions_and_of_programs_inside_them():
    x = np.linspace(0.1, 1, 6)
    f = lambda x: mg.sum(mg.exp(mg.sin(x)) * x)
    jitted = mg.jit(f)
    assert same(mg.grad(jitted)(x), mg.grad(f)(x))
    assert same(mg.hessian(jitted)(x), mg.hessian(f)(x))
    assert same(mg.jit(mg.hessian(f))(x), mg.hessian(f)(x))
    assert same(mg.jit(mg.grad(jitted))(x), mg.grad(f)(x))
    assert same(mg.jit(lambda x: mg.grad(mg.checkpoint(f))(x))(x), mg.grad(f)(x))


def test_random_draws_are_fresh_by_key_and_closed_over_tracers_go_through():
    draw = mg.jit(lambda key: mg.random.normal(key, (4, 3)) + mg.random.uniform(mg.random.fold_in(key, 1), (4, 3)))
    plain = lambda key: mg.random.normal(key, (4, 3)) + mg.random.uniform(mg.random.fold_in(key, 1), (4, 3))
    keys = mg.random.split(mg.random.key(0), 3)
    drawn = [draw(key) for key in keys]
    assert all(same(d, plain(key)) for d, key in zip(drawn, keys, strict=True))
    assert not np.array_equal(drawn[0], drawn[1])
    assert float(mg.grad(lambda x: mg.jit(lambda y: x * y)(np.float64(3.0)))(2.0)) == 3.0


def test_a_step_with_its_optimiser_data_and_noise_is_one_program():
    from vae.optimisers import sgd

    optimiser, rng = sgd(0.1), np.random.default_rng(0)
    data = rng.normal(size=(50, 3))

    def step(w, state, data, rows, key):
        y = data[rows] + 0.1 * mg.random.normal(key, (8, 3), np.float64)
        loss, g = mg.value_and_grad(lambda w: mg.mean(mg.square(y @ w)))(w)
        return loss, *optimiser.update(w, g, state)

    jitted = mg.jit(step)
    w = v = rng.normal(size=(3, 2))
    s = t = optimiser.init(w)
    for i in range(5):
        rows, key = rng.integers(0, 50, 8), mg.random.fold_in(mg.random.key(1), i)
        a, w, s = step(w, s, data, rows, key)
        b, v, t = jitted(v, t, data, rows, key)
        assert same((a, w, s), (b, v, t))


def test_new_shapes_dtypes_and_numbers_are_captured_anew():
    captured = []

    @mg.jit
    def f(x, n, flag=False):
        captured.append((x.shape, str(x.dtype), n, flag))
        return x * n if flag else x + n

    x = np.arange(3.0)
    assert same(f(x, 2), x + 2) and same(f(x, 2), x + 2)
    assert same(f(x, 3), x + 3)
    assert same(f(x.astype(np.float32), 2), x.astype(np.float32) + 2)
    assert same(f(x[:2], 2, flag=True), x[:2] * 2)
    assert same(f(x, 2.0), x + 2.0) and same(f(x, True), x + True)
    assert len(captured) == 6


def test_results_are_in_memory_of_their_own():
    f = mg.jit(lambda x, y: (x, x, y.reshape(2, 2), mg.exp(x), mg.exp(x)))
    x, y = np.arange(3.0), np.arange(4.0)
    first, second = f(x, y), f(x + 1, y)
    arrays = [x, y, *first, *second]
    for i, a in enumerate(arrays):
        assert not any(np.shares_memory(a, b) for b in arrays[:i])
    assert same(first, (x, x, y.reshape(2, 2), np.exp(x), np.exp(x)))
    first[3][:] = 0
    assert same(f(x, y)[3], np.exp(x))


def test_arguments_are_left_alone():
    x = np.arange(6.0).reshape(2, 3)
    before = x.copy()
    mg.jit(lambda x: mg.tanh(x * 2) + x)(x)
    assert np.array_equal(x, before)


def test_threads_may_call_the_same_program():
    f = mg.jit(lambda x: mg.sum(mg.tanh(x) ** 2))
    xs = [np.full(1000, i / 7) for i in range(8)]
    found = [None] * 8

    def work(i):
        for _ in range(50):
            found[i] = f(xs[i])

    workers = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(a == np.sum(np.tanh(x) ** 2) for a, x in zip(found, xs, strict=True))


# Passes and memory


def names(program):
    return [instruction.primitive.name for instruction in program.instructions]


def test_what_is_not_needed_is_not_computed_and_nothing_twice():
    f = lambda x: (mg.exp(x), mg.sin(x) * 2, mg.exp(x) + 1)[::2]
    assert names(mg.trace(f)(np.ones(3))) == ["exp", "sin", "multiply", "exp", "add"]
    assert names(mg.jit(f).program(np.ones(3))) == ["exp", "add"]


def test_numbers_of_different_kinds_are_not_the_same_constant():
    f = lambda x: (x * 1, x * 1.0, x * -0.0, x * 0.0)
    x = np.arange(3)
    assert same(mg.jit(f)(x), f(x))
    assert np.signbit(mg.jit(f)(x)[2]).tolist() == np.signbit(x * -0.0).tolist()


def test_constants_are_folded():
    w = np.arange(3.0)
    program = mg.trace(lambda x: x * mg.sum(mg.exp(w)))(np.ones(3))
    assert names(program) == ["multiply"]


def test_a_program_is_a_list_one_can_read():
    program = mg.trace(lambda x, w: mg.sum(mg.relu(x @ w)))(np.ones((2, 3)), np.ones((3, 4)))
    lines = str(program).splitlines()
    assert len(lines) == 2 + 3 + 1
    assert lines[2].split() == [
        "%2",
        "=",
        "matmul(%0,",
        "%1)",
        "float64[2,",
        "4]",
        "48",
        "FLOP",
        "208",
        "B",
        lines[2].split()[-1],
    ]
    assert lines[2].endswith(f"{__file__}:{_line_of('program = mg.trace(lambda x, w')}")
    assert lines[-1] == "return %4"
    assert program.flops == 48 + 8 + 8


def _line_of(text):
    with open(__file__, encoding="utf-8") as file:
        return next(i for i, line in enumerate(file, 1) if text in line and "_line_of" not in line)


def test_memory_is_reused():
    """A chain of twenty layers needs the memory of two results, and a run allocates no more than it says."""
    x = np.ones((64, 4096))

    def deep(x):
        for i in range(20):
            x = mg.cumsum(x, axis=i % 2) * 1e-3
        return mg.sum(x)

    jitted = mg.jit(deep)
    jitted(x)
    memory = jitted.program(x).memory()
    assert memory.intermediate <= 3 * x.nbytes
    tracemalloc.start()
    jitted(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < x.nbytes / 4


@pytest.mark.parametrize("model", ["mlp", "conv"])
def test_memory_is_what_a_run_allocates(model, monkeypatch):
    """Within a tenth, of a whole training step: its block, parts, results, and what kernels keep."""
    from minigrad.program import threads as pool
    from vae.models import MODELS
    from vae.objectives import Likelihood, elbo
    from vae.optimisers import adam

    monkeypatch.setattr(pool, "count", lambda: 1)
    net, optimiser = MODELS[model](), adam()
    parameters = net.init(mg.random.key(0))
    y, noise = np.full((256, 28, 28, 1), 0.5, np.float32), np.zeros((256, 20), np.float32)

    def step(p, s, y, noise):
        loss, g = mg.value_and_grad(lambda p: -mg.mean(elbo(net, Likelihood(), p, y, noise)))(p)
        return loss, *optimiser.update(p, g, s)

    jitted, arguments = mg.jit(step, donate=(0, 1)), (parameters, optimiser.init(parameters), y, noise)
    program = jitted.program(*arguments)
    held, found = backends.get("cpu").held(), []

    def measure():
        tracemalloc.start()
        jitted(*jitted(*arguments)[1:], y, noise)
        found.append((tracemalloc.get_traced_memory()[1], program.memory().total - held))
        tracemalloc.stop()

    worker = threading.Thread(target=measure)  # whose kernels have kept nothing yet
    worker.start()
    worker.join()
    ((peak, said),) = found
    assert abs(peak - said) <= 0.1 * peak


# What cannot be captured


@pytest.mark.parametrize(
    ("f", "use"),
    [
        (lambda x: x if x[0] > 0 else -x, r"bool\(x\)"),
        (lambda x: x * int(x[0]), r"int\(x\)"),
        (lambda x: x[x > 0], r"x\[mask\]"),
        (lambda x: x + x.value, r"x\.value"),
        (lambda x: mg.grad(lambda y: mg.sum(y) if mg.sum(y) > 0 else mg.sum(-y))(x), r"bool\(x\)"),
    ],
)
def test_a_course_that_depends_on_values_is_refused(f, use):
    with pytest.raises(mg.CaptureError, match=f"{use} of a value made by .*mg.where") as caught:
        mg.jit(f)(np.array([1.0, -1.0]))
    assert __file__ in str(caught.value)


def test_a_captured_constant_that_changes_is_an_error_and_no_stale_number():
    w = np.ones(3)
    f = mg.jit(lambda x: x * w)
    f(np.ones(3))
    w[1] = 2
    with pytest.raises(mg.MutationError, match=r"'multiply' at .* takes from outside"):
        f(np.ones(3))
    w[1] = 1
    assert same(f(np.ones(3)), np.ones(3))


def test_a_program_is_told_of_arguments_of_another_kind():
    program = mg.trace(lambda p, n: p["w"] * n)({"w": np.ones(3)}, 2)
    assert same(program({"w": np.arange(3.0)}, 2), 2 * np.arange(3.0))
    for args in (({"w": np.ones(4)}, 2), ({"w": np.ones(3)}, 3), ({"v": np.ones(3)}, 2), ({"w": 1.0}, 2)):
        with pytest.raises(ValueError, match="the program"):
            program(*args)


def test_a_value_kept_outside_is_refused():
    kept = []
    mg.jit(lambda x: kept.append(x * 2) or x)(np.ones(3))
    with pytest.raises(mg.EscapedTracerError, match="'multiply' at"):
        mg.sin(kept[0])


def test_trace_of_an_array_is_its_diagonal_sum():
    x = np.arange(9.0).reshape(3, 3)
    assert mg.trace(x) == np.trace(x) == mg.trace(x, 0)
    assert mg.trace(x, 1) == np.trace(x, 1)
    with pytest.raises(TypeError, match="second call"):
        mg.trace(mg.exp, x)


@pytest.mark.parametrize("f", [3, "x", None])
def test_what_is_no_function_cannot_be_jitted(f):
    with pytest.raises(TypeError, match="needs a function"):
        mg.jit(f)


def test_an_unhashable_argument_is_named():
    with pytest.raises(TypeError, match="must be hashable, got set"):
        mg.jit(lambda x, s: x)(np.ones(2), {1})


# Donation


def test_donated_arguments_are_updated_in_place_and_may_not_be_used_again():
    def step(p, m, g):
        m = tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        return tree.map(lambda p, m: p - 0.5 * m, p, m), m

    jitted = mg.jit(step, donate=(0, 1))
    rng = np.random.default_rng(0)
    p, m, g = ({"w": rng.normal(size=(300, 40)), "b": rng.normal(size=3)} for _ in range(3))
    q, n = tree.map(np.copy, (p, m))
    for _ in range(4):
        expected = step(q, n, g)
        memory = [leaf.ctypes.data for leaf in tree.flatten((p, m))[0]]
        before = p, m
        p, m = jitted(p, m, g)
        assert same((p, m), expected)
        assert [leaf.ctypes.data for leaf in tree.flatten((p, m))[0]] == memory
        with pytest.raises(ValueError, match=r"float64\[3\] was donated to an earlier call"):
            jitted(*before, g)
        q, n = expected


@pytest.mark.parametrize(
    "f",
    [
        lambda x: (x[::-1] + x, x * 1.0),
        lambda x: mg.transpose(x) - x,
        lambda x: (mg.cumsum(x, 0), mg.sum(x)),
        lambda x: x,
        lambda x: (x + 1, x + 2, mg.sum(x * x)),
        lambda x: (mg.exp(x) + mg.transpose(mg.exp(x)), x * 2),
        lambda x: mg.tanh(x * mg.mean(x)),
        lambda x: (x * 2, mg.transpose(x) * 3),
    ],
)
def test_donation_never_changes_a_result(f, way):
    x = np.random.default_rng(0).normal(size=(64, 64))
    expected = f(x.copy())
    assert agree(mg.jit(f, donate=(0,))(x.copy()), expected, way)


def test_what_somebody_else_looks_at_is_not_written_over():
    x = np.arange(12.0).reshape(3, 4)
    y = x[:]
    f = mg.jit(lambda x, y: (x + 1, y * 2), donate=(0,))
    assert same(f(x, y), (y + 1, y * 2))
    z = np.broadcast_to(np.arange(4.0), (3, 4))
    assert same(f(z, y), (z + 1, y * 2))


def test_a_whole_adam_step_is_one_program_and_counts_on():
    from vae.optimisers import adam

    optimiser, rng = adam(0.01), np.random.default_rng(0)
    x = rng.normal(size=(20, 3)).astype(np.float32)

    def step(w, state):
        loss, g = mg.value_and_grad(lambda w: mg.mean(mg.square(mg.tanh(x @ w))))(w)
        return loss, *optimiser.update(w, g, state)

    jitted = mg.jit(step, donate=(0, 1))
    w = rng.normal(size=(3, 2)).astype(np.float32)
    v, s, t = w.copy(), optimiser.init(w), optimiser.init(w)
    for _ in range(5):
        a, w, s = step(w, s)
        b, v, t = jitted(v, t)
        assert same((a, w, s), (b, v, t))
    assert w.dtype == np.float32
    assert len(jitted.program(v, t)) < 60


def test_what_is_donated_and_read_from_elsewhere_too_is_not_written_over():
    """A donated array that f also closes over, and one of two arrays over the same foreign memory."""
    w = np.arange(5.0)
    f = lambda x: (lambda y: (y, w * mg.sum(y)))(x + 1)
    expected = f(w)
    assert same(mg.jit(f, donate=(0,))(w), expected)
    memory = bytearray(40)
    a, b = np.frombuffer(memory), np.frombuffer(memory)
    a[:] = np.arange(5.0)
    f = lambda x, y: (x + 1, mg.cumsum(y) * mg.sum(x + 1))
    expected = f(a, b)
    assert same(mg.jit(f, donate=(0,))(a, b), expected)


def test_a_donated_position_that_is_not_there_is_refused_before_anything_runs():
    x = np.ones(3)
    for args, kwargs, donate in (((x,), {}, (1,)), ((x,), {}, (0, -2)), ((), {"x": x}, (0,))):
        with pytest.raises(ValueError, match=rf"donate=.* does not fit a call with {len(args)} positional"):
            mg.jit(lambda x: x + 1, donate=donate)(*args, **kwargs)
    assert same(x, np.ones(3))


@pytest.mark.parametrize(
    "f",
    [
        lambda w: (w, w * 2),
        lambda w: (w[0], w * 2),
        lambda w: (mg.transpose(w), w * 2),
        lambda w: (w * 2, mg.reshape(w, (-1,))),
    ],
)
def test_what_is_handed_out_itself_is_not_written_over(f, way):
    w = np.random.default_rng(0).normal(size=(64, 64))
    assert agree(mg.jit(f, donate=(0,))(w.copy()), f(w), way)


def test_one_donated_position_may_be_a_number():
    x = np.arange(3.0)
    y = mg.jit(lambda x: x + 1, donate=0)(x)
    assert np.shares_memory(x, y) and same(y, np.arange(3.0) + 1)


def test_a_sum_is_not_made_in_a_donated_array(monkeypatch):
    monkeypatch.setattr(plan, "PART", 1 << 12)
    f = lambda b, x: mg.sum(mg.tanh(x), axis=0)
    jitted, x = mg.jit(f, donate=(0,)), np.random.default_rng(0).normal(size=(512, 64))
    for i in range(3):
        assert np.allclose(jitted(np.full(64, 100.0 * i), x), f(None, x), rtol=1e-13, atol=1e-13)
        x = x * 0.9


def test_a_donated_array_is_gone_after_an_error_too():
    def f(w, a):
        n = w - 1.0
        return n, mg.inv(mg.sum(n) * 0 + a)

    jitted, w = mg.jit(f, donate=(0,)), np.zeros((8, 3))
    jitted(w.copy(), np.eye(2))
    with pytest.raises(np.linalg.LinAlgError):
        jitted(w, np.zeros((2, 2)))
    with pytest.raises(ValueError, match="donated to an earlier call"):
        jitted(w, np.eye(2))


# Arguments that are part of the code


@dataclasses.dataclass
class Scaled:
    """An array, and a static field."""

    w: object
    n: object = dataclasses.field(metadata={"static": True})


@pytest.mark.parametrize("numbers", [(1, 1.0, True), (0.0, -0.0, 0), (0j, complex(0.0, -0.0), -0j)])
def test_numbers_that_are_equal_but_not_the_same_are_told_apart(numbers):
    """As arguments, in static fields, and as keys of a dict."""
    x = np.arange(3)
    ways = {
        "argument": (lambda x, n: x * n, lambda n: (x, n)),
        "static field": (lambda p: p.w * p.n, lambda n: (Scaled(x, n),)),
        "key": (lambda d: next(v * k for k, v in d.items()), lambda n: ({n: x},)),
        "set": (lambda x, s: x * next(iter(s)), lambda n: (x, frozenset({n}))),
    }
    for f, arguments in ways.values():
        jitted = mg.jit(f)
        for n in numbers:
            found, expected = jitted(*arguments(n)), f(*arguments(n))
            assert same(found, expected)
            for part in (np.real, np.imag):
                assert np.array_equal(np.signbit(part(found)), np.signbit(part(expected)))
        program = mg.trace(f)(*arguments(numbers[0]))
        for n in numbers[1:]:
            with pytest.raises(ValueError, match="the program"):
                program(*arguments(n))


def test_a_nan_among_the_arguments_is_captured_once():
    captured = []
    f = mg.jit(lambda x, n: captured.append(n) or x + n)
    for _ in range(3):
        assert np.all(np.isnan(f(np.ones(2), float("nan"))))
    assert len(captured) == 1
    assert np.all(np.isnan(mg.trace(lambda x, n: x + n)(np.ones(2), float("nan"))(np.ones(2), float("nan"))))


@pytest.mark.parametrize("dtype", [np.float32, np.dtype("f4"), float, "f4", np.str_("f4")])
def test_dtypes_and_words_are_part_of_the_code(dtype):
    def f(x, dtype):
        return mg.astype(x, dtype) if dtype == "f4" or not isinstance(dtype, str) else x

    assert same(mg.jit(f)(np.ones(3), dtype), f(np.ones(3), dtype))


def test_results_that_are_no_arrays_come_back_as_they_are():
    f = lambda x: {"name": "loss", "how": np.sin, "y": x * 2, "dtype": np.float32, "words": np.array(["a"])}
    found = mg.jit(f)(np.ones(3))
    assert same(found.pop("y"), np.full(3, 2.0))
    assert found == {"name": "loss", "how": np.sin, "dtype": np.float32, "words": np.array(["a"])}
    assert mg.jit(f).program(np.ones(3)).memory().results == 24


def test_an_unhashable_static_field_is_named():
    with pytest.raises(TypeError, match=r"static fields and keys of arguments must be hashable.*'list'"):
        mg.jit(lambda p: p.w)(Scaled(np.ones(2), [1]))


# Arrays from outside


def test_a_changed_array_that_only_made_a_constant_is_an_error_too():
    w = np.ones(3)
    f = mg.jit(lambda x: x * mg.exp(w))
    f(np.ones(3))
    w[1] = 2
    with pytest.raises(mg.MutationError, match=r"'exp' at .* takes from outside"):
        f(np.ones(3))


@pytest.mark.parametrize(
    "use",
    [
        lambda x, i: x[i],
        lambda x, i: x[i, i],
        lambda x, i: mg.take(x, i, axis=0),
        lambda x, i: mg.take_along_axis(x, i[:, None], axis=0),
        lambda x, i: mg.grad(lambda x: mg.sum(x[i] ** 2))(x),
    ],
    ids=["index", "indices", "take", "take_along_axis", "gradient"],
)
def test_a_changed_index_array_is_an_error(use):
    indices = np.array([0, 2, 1])
    f, x = mg.jit(lambda x: use(x, indices)), np.random.default_rng(0).normal(size=(3, 3))
    assert same(f(x), use(x, indices))
    indices[0] = 1
    with pytest.raises(mg.MutationError, match="takes from outside"):
        f(x)


def test_a_changed_mask_is_an_error():
    mask = np.array([True, False, True])
    f, x = mg.jit(lambda x: x[mask] * 2), np.arange(3.0)
    assert same(f(x), x[mask] * 2)
    mask[:] = False
    with pytest.raises(mg.MutationError, match="takes from outside"):
        f(x)


@pytest.mark.parametrize("use", [lambda x, w: x * w, lambda x, w: x * mg.exp(w)], ids=["used", "folded"])
def test_an_array_that_the_function_itself_changes_is_an_error(use):
    def twice(x):
        w = np.ones(3)
        first = use(x, w)
        w[:] = 2
        return first, use(x, w)

    def after(x):
        w = np.ones(3)
        y = use(x, w)
        w[:] = 2
        return y

    for f in (twice, after):
        with pytest.raises(mg.MutationError, match="change a copy"):
            mg.jit(f)(np.ones(3))


def test_a_formula_that_does_not_write_where_it_is_told_to_is_named(new):
    made = new(lambda b, x, out=None: b.xp.exp(x))
    jitted = mg.jit(lambda x: made(x) + 1)
    for _ in range(2):
        with pytest.raises(TypeError, match=r"formula of 'made_.*' does not write to `out`"):
            jitted(np.ones(3))


# Programs among other things


def test_programs_have_derivatives_and_can_be_captured():
    f = lambda x, n: mg.sum(mg.tanh(x) ** 2 * n)
    x = np.linspace(-1, 2, 5)
    program = mg.trace(f)(x, 3)
    assert same(mg.grad(lambda x: program(x, 3))(x), mg.grad(lambda x: f(x, 3))(x))
    assert same(mg.hessian(lambda x: program(x, 3))(x), mg.hessian(lambda x: f(x, 3))(x))
    assert same(mg.jit(lambda x: program(x, 3))(x), f(x, 3))


@pytest.mark.parametrize(
    ("f", "good", "bad", "error", "message"),
    [
        (
            lambda x, i: mg.take(x, i),
            (np.ones(3), np.array([0])),
            (np.ones(3), np.array([7])),
            IndexError,
            r"gather\(float64",
        ),
        (lambda x: mg.inv(x), (np.eye(2),), (np.zeros((2, 2)),), np.linalg.LinAlgError, r"inv\(float64\[2, 2\]\)"),
    ],
)
def test_what_goes_wrong_in_a_run_is_told_as_without_a_program(f, good, bad, error, message):
    jitted = mg.jit(f)
    jitted(*good)
    for run in (f, jitted):
        with pytest.raises(error, match=message):
            run(*bad)
    assert same(jitted(*good), f(*good))


@pytest.mark.parametrize(
    ("f", "use"),
    [
        (lambda x: x * float(mg.stop_gradient(mg.sum(x))), r"float\(x\)"),
        (lambda x: x * np.asarray(x), r"np.asarray\(x\)"),
        (lambda x: x * mg.sum(x).item(), r"x.item\(\)"),
    ],
)
def test_a_number_taken_out_of_a_program_is_refused_for_that(f, use):
    """Not with the advice to stop the gradient, which helps in a derivative only."""
    with pytest.raises(mg.CaptureError, match=f"{use} of a value made by .*mg.where"):
        mg.jit(f)(np.ones(2))


def test_a_run_that_could_not_be_bound_leaves_nothing_behind(monkeypatch):
    """Memory gives out between taking new arguments and binding them; the same call afterwards is right."""
    f = lambda a, b: (mg.exp(a) * b, mg.tanh(a + b))
    rng = np.random.default_rng(0)
    jitted = mg.jit(f)
    for _ in range(2):
        a, b = rng.normal(size=(2, 100, 200))
        with monkeypatch.context() as patch:
            program = jitted.program(a, b)
            jitted(a + 1, b)
            patch.setattr(program._replay, "_bind_again", _no_memory)
            with pytest.raises(MemoryError):
                jitted(a, b)
        assert same(jitted(a, b), f(a, b))


def _no_memory(moved):
    raise MemoryError


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_ends_a_run_between_its_steps_and_the_next_run_is_right():
    """Ctrl-C at random moments: what runs afterwards is right, and nothing hangs."""
    program = """
import os, random, signal, threading, time
import numpy as np
import minigrad as mg
from minigrad.program import plan, threads
threads.count = lambda: 2
plan.WORTH_THREADS = 0
f = lambda a, b: (mg.sum(mg.tanh(a) * b, axis=0), mg.exp(a - b))
jitted, rng = mg.jit(f), np.random.default_rng(0)
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


# Threads


def test_blas_has_its_threads_again_when_the_last_of_several_runs_ends():
    """Runs that overlap without being nested: the first to begin is the first to end."""
    from minigrad.program import threads as pool

    if pool.count() < 2:
        with pool._controller().limit(limits=2, user_api="blas"):
            _overlap(pool)
    else:
        _overlap(pool)


def _overlap(pool):
    before = pool.count()
    pool.single_blas.__enter__()
    pool.single_blas.__enter__()
    pool.single_blas.__exit__()
    found = [info for info in pool._controller().info() if info["user_api"] == "blas"]
    inside, told = {info["num_threads"] for info in found}, pool.count()
    pool.single_blas.__exit__()
    assert inside == {1}
    assert told == before == pool.count()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_has_threads_of_its_own():
    program = (
        "import os, signal, warnings; warnings.simplefilter('ignore'); import numpy as np; import minigrad as mg;"
        "from minigrad.program import threads; threads.count = lambda: 2;"
        "f = mg.jit(lambda x: mg.tanh(x) * 2 + x); x = np.ones((400, 400)); f(x); pid = os.fork();"
        "pid or (signal.alarm(30), f(x), os._exit(7));"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    )
    done = subprocess.run([sys.executable, "-c", program], timeout=60, cwd=Path(mg.__file__).parents[1])
    assert done.returncode == 7
