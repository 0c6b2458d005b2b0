"""Long chains of operations, reference cycles, and constant memory over many steps."""

from __future__ import annotations

import contextlib
import gc
import math
import sys
import tracemalloc

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import normal


def layer(x, w):
    return mg.tanh(x @ w)


@pytest.mark.large
def test_long_chains_of_operations(xp):
    """No recursion: 100,000 nodes are pulled back and freed one by one. 20,000 are enough for the slower modes."""
    one = xp.asarray(1.0)

    def chain(length):
        def f(x):
            for _ in range(length):
                x = x * 1.00001
            return x

        return f

    def check(found, length):
        expected = math.exp(length * math.log1p(1e-5))
        assert float(found) == pytest.approx(expected, rel=length * np.finfo(float).eps)

    with mg.Tape() as tape:
        x = tape.watch(one)
        y = chain(100_000)(x)
    check(tape.gradient(y, x), 100_000)
    assert len(tape) == 100_001
    del tape, x, y
    check(mg.grad(chain(100_000))(one), 100_000)
    check(mg.grad(mg.checkpoint(chain(20_000)))(one), 20_000)
    check(mg.jvp(chain(20_000), (one,), (one,))[1], 20_000)


def _by_tape(w, x):
    with mg.Tape() as tape:
        traced = tape.watch(w)
        y = mg.mean(layer(x, traced) ** 2)
    return tape.gradient(y, traced)


def _fail_and_recover(w, x):
    """A step that fails half-way, and one that raises MutationError."""
    with contextlib.suppress(KeyError):
        mg.grad(lambda w: mg.sum(layer(x, w)) * {}["missing"])(w)
    y, pullback = mg.vjp(lambda w: layer(x, w), w)
    y += 1
    with contextlib.suppress(mg.MutationError):
        pullback(y)
    return y[:20] * 0


STEPS = {
    "grad": lambda w, x: mg.grad(lambda w: mg.mean(mg.checkpoint(layer)(layer(x, w), w) ** 2))(w),
    "hvp": lambda w, x: mg.hvp(lambda w: mg.mean(layer(x, w) ** 2), w, w),
    "tape": _by_tape,
    "errors": _fail_and_recover,
}


@pytest.mark.large
@pytest.mark.parametrize("kind", STEPS)
def test_no_reference_cycles_and_constant_memory(kind, on_device):
    """With the cyclic garbage collector off, 1,000 training steps free everything by reference counting.

    The test counts Python's allocated memory blocks: every object has at least one.
    """
    w, x = on_device((normal((20, 20)), normal((50, 20), 1)))
    warmed_up, steps = 200, 1000  # NumPy and Python first fill their free lists
    gc.collect()
    gc.disable()
    try:
        for i in range(warmed_up + steps):
            w = w - 0.01 * STEPS[kind](w, x)
            if i + 1 == warmed_up:
                gc.collect()
                before = sys.getallocatedblocks()
        assert gc.collect() == 0  # no garbage; this also clears Python's free lists
        after = sys.getallocatedblocks()
    finally:
        gc.enable()
    assert after - before < steps / 2, f"{after - before} blocks left behind"


def test_deleting_a_pullback_frees_its_memory(backend):
    if backend.name != "numpy":
        pytest.skip("tracemalloc measures host memory only")
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
