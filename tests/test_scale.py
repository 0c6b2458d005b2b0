"""Long chains, memory that stays flat, threads side by side, and exceptions that leave nothing behind."""

from __future__ import annotations

import gc
import threading
import tracemalloc

import numpy as np
import pytest
from conftest import to_host
from strategies import signed

import minigrad as mg
from minigrad.core import current


def layer(x, w):
    return mg.tanh(x @ w)


def test_a_chain_of_100_000_operations(xp):
    def f(x):
        for _ in range(100_000):
            x = x * 1.00001
        return x

    assert float(mg.grad(f)(xp.asarray(1.0))) == pytest.approx(1.00001**100_000, rel=1e-9)
    assert float(mg.jvp(f, (xp.asarray(1.0),), (xp.asarray(1.0),))[1]) == pytest.approx(1.00001**100_000, rel=1e-9)


def test_no_reference_cycles_and_flat_memory(backend, on_device):
    """With the cyclic collector off, 1000 training steps free everything by reference counts alone."""
    w, x = on_device((signed((20, 20)), signed((50, 20), 1)))
    step = lambda w: w - 0.01 * mg.grad(lambda w: mg.mean(mg.checkpoint(layer)(layer(x, w), w) ** 2))(w)
    gc.collect()
    gc.disable()
    try:
        tracemalloc.start()
        for _ in range(500):
            w = step(w)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(1000):
            w = step(w)
        assert gc.collect() == 0  # no garbage to find; it also empties Python's own stores of spare tuples
        after = tracemalloc.get_traced_memory()[0]
    finally:
        gc.enable()
        tracemalloc.stop()
    assert after - before < 20_000, f"{after - before} bytes left behind"


def test_pullbacks_free_what_they_hold(backend):
    if backend.name != "numpy":
        pytest.skip("tracemalloc sees the memory of the host")
    gc.collect()
    gc.disable()
    try:
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        _, pullback = mg.vjp(lambda x: mg.exp(mg.sin(x)), np.ones(100_000))
        assert tracemalloc.get_traced_memory()[0] - before > 500_000
        del _, pullback
        assert tracemalloc.get_traced_memory()[0] - before < 20_000
    finally:
        tracemalloc.stop()
        gc.enable()


# Threads and exceptions


def test_threads_trace_side_by_side(on_device):
    """Each thread has its own interpreter: many at once give what each gives alone."""
    x = on_device(signed((50,)))
    expected = [to_host(mg.hvp(lambda x, i=i: mg.sum(mg.sin(i * x)), x, x)) for i in range(8)]
    found: dict[int, np.ndarray] = {}
    barrier = threading.Barrier(8)

    def work(i):
        barrier.wait()
        for _ in range(20):
            found[i] = to_host(mg.hvp(lambda x: mg.sum(mg.sin(i * x)), x, x))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for i in range(8):
        assert np.array_equal(found[i], expected[i])


@pytest.mark.parametrize(
    "transform",
    [
        lambda f, x: mg.grad(f)(x),
        lambda f, x: mg.vjp(f, x),
        lambda f, x: mg.jvp(f, (x,), (x,)),
        lambda f, x: mg.hessian(f)(x),
        lambda f, x: mg.grad(mg.checkpoint(f))(x),
        lambda f, x: mg.jacobian(f, mode="forward")(x),
    ],
    ids=["grad", "vjp", "jvp", "hessian", "checkpoint", "jacobian"],
)
def test_an_exception_leaves_no_interpreter_behind(transform, xp):
    class Stop(BaseException):
        pass

    def f(x):
        mg.sin(x)
        raise Stop

    before = current()
    with pytest.raises(Stop):
        transform(f, xp.asarray([1.0]))
    assert current() is before
    assert float(mg.grad(lambda x: x * x)(xp.asarray(3.0))) == 6


def test_an_exception_while_pulling_back_leaves_no_interpreter_behind(xp):
    calls = []

    def f(x):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return x * x

    before = current()
    with pytest.raises(KeyboardInterrupt):
        mg.grad(mg.checkpoint(f))(xp.asarray(1.0))
    assert current() is before
