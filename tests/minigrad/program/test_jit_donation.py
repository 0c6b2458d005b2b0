"""minigrad/program/jit.py: donated arguments, and results that are written over them."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import tree
from minigrad.program.tuning import Tuning
from tests.support.programs import agree, same


def test_donated_arguments_are_updated_in_place_and_cannot_be_used_again():
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
        with pytest.raises(ValueError, match=r"float64\[300, 40\] was donated to an earlier call"):
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
    assert agree(mg.jit(f, donate=(0,), tuning=way)(x.copy()), expected, way)


def test_donated_arrays_with_other_views_are_not_overwritten():
    x = np.arange(12.0).reshape(3, 4)
    y = x[:]
    f = mg.jit(lambda x, y: (x + 1, y * 2), donate=(0,))
    assert same(f(x, y), (y + 1, y * 2))
    z = np.broadcast_to(np.arange(4.0), (3, 4))
    assert same(f(z, y), (z + 1, y * 2))


def test_a_whole_adam_step_is_one_program_and_its_count_advances():
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


def test_donated_arrays_that_are_also_read_elsewhere_are_not_overwritten():
    """A donated array that f also closes over, and one of two arrays that share foreign memory."""
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


def test_a_missing_donated_position_is_refused_before_anything_runs():
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
def test_a_donated_array_that_is_a_result_is_not_overwritten(f, way):
    w = np.random.default_rng(0).normal(size=(64, 64))
    assert agree(mg.jit(f, donate=(0,), tuning=way)(w.copy()), f(w), way)


def test_a_result_over_a_donated_subclass_is_a_plain_array(tmp_path):
    x = np.memmap(tmp_path / "x", np.float64, "w+", shape=(100, 100))
    y = mg.jit(lambda x: x + 1, donate=0)(x)
    assert type(y) is np.ndarray and np.shares_memory(x, y)
    assert (y == 1).all()


def test_a_single_donated_position_may_be_an_integer():
    x = np.arange(3.0)
    y = mg.jit(lambda x: x + 1, donate=0)(x)
    assert np.shares_memory(x, y) and same(y, np.arange(3.0) + 1)


def test_a_sum_does_not_accumulate_in_a_donated_array():
    f = lambda b, x: mg.sum(mg.tanh(x), axis=0)
    jitted, x = mg.jit(f, donate=(0,), tuning=Tuning(part=1 << 12)), np.random.default_rng(0).normal(size=(512, 64))
    for i in range(3):
        assert np.allclose(jitted(np.full(64, 100.0 * i), x), f(None, x), rtol=1e-13, atol=1e-13)
        x = x * 0.9


def test_a_donated_array_cannot_be_used_after_an_error_either():
    def f(w, a):
        n = w - 1.0
        return n, mg.inv(mg.sum(n) * 0 + a)

    jitted, w = mg.jit(f, donate=(0,)), np.zeros((8, 3))
    jitted(w.copy(), np.eye(2))
    with pytest.raises(np.linalg.LinAlgError):
        jitted(w, np.zeros((2, 2)))
    with pytest.raises(ValueError, match="donated to an earlier call"):
        jitted(w, np.eye(2))


# Functional updates

UPDATES = [
    lambda x: mg.at(x)[1:, 2].add(1.0),
    lambda x: mg.at(x)[[3, 1, 3]].set(mg.tanh(x[5])),
    lambda x: mg.at(mg.at(x)[::2].multiply(2.0))[[0, 0]].add(1.0),
]


@pytest.mark.parametrize("f", UPDATES)
def test_a_donated_array_is_updated_in_its_own_memory(f, way):
    x = np.random.default_rng(0).normal(size=(64, 64))
    given = x.copy()
    y = mg.jit(f, donate=0, tuning=way)(given)
    assert y.ctypes.data == given.ctypes.data and agree(y, f(x), way)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: mg.at(x)[1:].set(x[:-1]),
        lambda x: mg.at(x)[:].set(x.T),
        lambda x: (mg.at(x)[0].set(0.0), mg.at(x)[0].set(1.0)),
        lambda x: (mg.at(x)[0].set(0.0), mg.sum(x)),
        lambda x: (mg.at(x * 2)[0].set(0.0), mg.at(x * 2)[1].add(x[0]), x * 2),
        lambda x: mg.at(mg.cumsum(x, 0))[mg.argsort(x[0])].set(mg.cumsum(x, 0)),
    ],
)
@pytest.mark.parametrize("donate", [(), 0], ids=["", "donated"])
def test_what_is_still_read_is_not_updated_in_place(f, donate, way):
    x = np.random.default_rng(0).normal(size=(64, 64))
    assert agree(mg.jit(f, donate=donate, tuning=way)(x.copy()), f(x), way)


def test_a_chain_of_updates_of_an_intermediate_value_takes_one_buffer():
    """Four updates of a value that nobody else reads take no more memory than one."""

    def f(x, count):
        y = mg.cumsum(x, 0)
        for i in range(count):
            y = mg.at(y)[i].multiply(x[i]) if i % 2 else mg.at(y)[[i, i + 1, i]].set(x[:3])
        return mg.sum(mg.cumsum(y, 1))

    x = np.random.default_rng(0).normal(size=(64, 64))
    one, four = (mg.jit(lambda x, n=n: f(x, n)) for n in (1, 4))
    assert four(x) == f(x, 4)
    plan = four.program(x)._executor.plan
    assert plan.block_bytes <= one.program(x)._executor.plan.block_bytes + 8 * x[0].nbytes < 3 * x.nbytes
