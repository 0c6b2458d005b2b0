"""minigrad/program: programs give what the function gives, to the bit unless sums are computed in parts."""

from __future__ import annotations

import gc
import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import backends
from minigrad.checks.catalogue import CASES
from minigrad.core.interpreter import primitives
from minigrad.program.tuning import Tuning
from tests.support.programs import agree, close, cut_everything, same
from tests.support.transfer import to_host

# Every operation

# Their rules multiply complex scalars. NumPy's `*` rounds every step; its multiply() fuses two, on some processors.
SCALARS = {"det_phase"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_programs_give_the_same_bits(case, on_device, way):
    """Values, tangents and gradients of every case, repeatedly and with other numbers in between."""
    _check_program(case, on_device, way)


def test_complex_scalars_are_multiplied_like_arrays():
    z = np.random.default_rng(0).normal(size=(2, 100, 2)) @ [1, 1j]
    jitted = mg.jit(lambda x, y: x * y)
    for x, y in zip(*z):
        for _ in range(3):
            assert same(jitted(x, y), np.multiply(x, y))
    assert close(z[0] * z[1], np.array([x * y for x, y in zip(*z)]))


COMPILED = [case for case in CASES if case.name in primitives and primitives[case.name].traits.formula]


@pytest.mark.host
@pytest.mark.parametrize("case", COMPILED, ids=lambda case: case.name)
def test_compiled_programs_give_the_same_numbers(case, on_device):
    """Within rounding: compiled elementary functions are not NumPy's to the last bit."""
    _check_program(case, on_device, Tuning(worth_region=0, worth_compiling=0))


def _check_program(case, on_device, way):
    constants, args = on_device(case.constants), on_device(case.arguments())
    f = lambda *xs: case.function(*xs, *constants)
    jitted = mg.jit(f, tuning=way)
    others = on_device(tuple(np.asarray(x * (1 - 2**-10)) for x in case.arguments()))
    value, other_value = f(*args), f(*others)
    for xs, y in ((args, value), (others, other_value), (args, value), (others, other_value), (args, value)):
        assert agree(jitted(*xs), y, way)
    if case.discrete:
        return
    u, v = on_device(case.like([np.asarray(to_host(value))], "cotangent")[0]), on_device(case.like(args, "tangents"))

    def both(u, v, *xs):
        return mg.jvp(f, xs, v), mg.vjp(f, *xs)[1](u)

    jitted, expected = mg.jit(both, tuning=way), both(u, v, *args)
    for _ in range(4):
        assert agree(jitted(u, v, *args), expected, way, case.name in SCALARS)


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
    way = data.draw(st.sampled_from([Tuning(), *map(cut_everything, (1, 2, 3))]))
    jitted = mg.jit(f, tuning=way)
    for _ in range(3):
        assert agree(jitted(x, y), f(x, y), way)
        x, y = y, 0.5 * (x + y)
    assert agree(mg.jit(mg.grad(total, (0, 1)), tuning=way)(x, y), mg.grad(total, (0, 1))(x, y), way)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("shape", [(257, 300), (70_000,), (1, 90_000), (3, 40, 41, 16)])
def test_large_arrays_over_threads_give_the_same_bits(shape, threads):
    """All but the sum, which is added up part by part, with an error no larger than the sum's own rounding."""
    rng = np.random.default_rng(0)
    x, b = rng.normal(size=shape).astype(np.float32), rng.normal(size=shape[-1:]).astype(np.float32)

    def f(x, b):
        y = mg.relu(x * 2 + b)
        z = mg.sigmoid(y) - mg.where(x > 0, x, 0.1 * x)
        return z, mg.sum(z * y)

    tuning = Tuning(worth_threads=0, threads=threads)
    (z, total), (expected, other) = mg.jit(f, tuning=tuning)(x, b), f(x, b)
    exact = float(f(x.astype(np.float64), b.astype(np.float64))[1])
    terms = float(np.sum(np.abs(expected * mg.relu(x * 2 + b)), dtype=np.float64))
    assert same(z, expected)
    assert abs(float(total) - exact) <= abs(float(other) - exact) + 4 * np.finfo(np.float32).eps * terms


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_sums_of_several_regions_at_the_same_time(threads):
    """A thread goes through the regions of one moment in turn and keeps its partial sums to the end."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1024, 64)), rng.normal(size=(4096, 64))

    def f(x, y):
        return mg.sum(mg.tanh(x), axis=0), mg.sum(mg.tanh(y), axis=0), mg.sum(mg.square(x)) + mg.sum(mg.square(y))

    jitted = mg.jit(f, tuning=Tuning(worth_threads=0, part=1 << 16, threads=threads))
    for _ in range(3):
        for found, expected in zip(jitted(x, y), f(x, y), strict=True):
            assert np.allclose(found, expected, rtol=1e-12, atol=1e-10)


def test_views_of_constants_can_be_results(way):
    def f(x):
        constant = mg.concatenate([mg.zeros_like(x[0, :2]), np.ones(2)])
        return (
            mg.broadcast_to(constant, (10_000, 4)),
            mg.transpose(mg.broadcast_to(constant, (10_000, 4))),
            x + constant,
        )

    x = np.ones((10_000 if way == Tuning() else 300, 4))
    assert agree(mg.jit(f, tuning=way)(x), f(x), way)


def test_an_array_that_is_not_contiguous_is_read_again_in_every_run():
    base = np.arange(24.0).reshape(4, 6)
    jitted, x = mg.jit(lambda x: mg.exp(x) * 2), base[:, ::2]
    for _ in range(3):
        assert same(jitted(x), np.exp(x) * 2)
        base *= 0.5


def test_lists_can_be_operands():
    x = np.ones((512, 64))
    f = lambda x: x * mg.add(x, [[1.0]] * 512)
    assert same(mg.jit(f)(x), f(x))


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


def test_random_draws_follow_the_key_and_closed_over_tracers_work():
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


def test_new_shapes_dtypes_and_numbers_are_captured_again():
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


def test_results_share_no_memory():
    f = mg.jit(lambda x, y: (x, x, y.reshape(2, 2), mg.exp(x), mg.exp(x)))
    x, y = np.arange(3.0), np.arange(4.0)
    first, second = f(x, y), f(x + 1, y)
    arrays = [x, y, *first, *second]
    for i, a in enumerate(arrays):
        assert not any(np.shares_memory(a, b) for b in arrays[:i])
    assert same(first, (x, x, y.reshape(2, 2), np.exp(x), np.exp(x)))
    first[3][:] = 0
    assert same(f(x, y)[3], np.exp(x))


def test_arguments_are_not_changed():
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


def test_memory_is_reused():
    """A chain of twenty layers needs the memory of two results, and a run allocates little beyond that."""
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
def test_the_reported_memory_is_what_a_run_allocates(model):
    """Within a tenth, for a whole training step: its block, scratch, results, and what kernels keep."""
    from vae.autoencoder import Autoencoder
    from vae.likelihoods import Bernoulli
    from vae.models import MODELS
    from vae.objectives import elbo
    from vae.optimisers import adam

    net, optimiser = MODELS[model](), adam()
    parameters = net.init(mg.random.key(0))
    y, noise = np.full((512, 28, 28, 1), 0.5, np.float32), np.zeros((512, 20), np.float32)

    def step(p, s, y, noise):
        loss, g = mg.value_and_grad(lambda p: -mg.mean(elbo(Autoencoder(net, Bernoulli(), p), y, noise)))(p)
        return loss, *optimiser.update(p, g, s)

    jitted = mg.jit(step, donate=(0, 1), tuning=Tuning(threads=1))
    arguments = parameters, optimiser.init(parameters), y, noise
    program = jitted.program(*arguments)
    gc.collect()  # drops memory kept by threads of other tests
    held, found = backends.get("cpu").scratch_bytes(), []

    def measure():
        tracemalloc.start()
        jitted(*jitted(*arguments)[1:], y, noise)
        found.append((tracemalloc.get_traced_memory()[1], program.memory().total - held))
        tracemalloc.stop()

    worker = threading.Thread(target=measure)  # a new thread, whose kernels have kept nothing yet
    worker.start()
    worker.join()
    ((peak, said),) = found
    assert abs(peak - said) <= 0.1 * peak


# Programs inside other transformations


def test_a_program_refuses_arguments_of_another_kind():
    program = mg.trace(lambda p, n: p["w"] * n)({"w": np.ones(3)}, 2)
    assert same(program({"w": np.arange(3.0)}, 2), 2 * np.arange(3.0))
    for args in (({"w": np.ones(4)}, 2), ({"w": np.ones(3)}, 3), ({"v": np.ones(3)}, 2), ({"w": 1.0}, 2)):
        with pytest.raises(ValueError, match="the program"):
            program(*args)


def test_programs_can_be_differentiated_and_captured():
    f = lambda x, n: mg.sum(mg.tanh(x) ** 2 * n)
    x = np.linspace(-1, 2, 5)
    program = mg.trace(f)(x, 3)
    assert same(mg.grad(lambda x: program(x, 3))(x), mg.grad(lambda x: f(x, 3))(x))
    assert same(mg.hessian(lambda x: program(x, 3))(x), mg.hessian(lambda x: f(x, 3))(x))
    assert same(mg.jit(lambda x: program(x, 3))(x), f(x, 3))
