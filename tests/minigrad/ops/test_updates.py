"""at(x)[index].set(v) and the like: repeated positions, dtypes, errors; values and derivatives beside JAX's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, note, settings

import minigrad as mg
from minigrad.testing import normal
from tests.support.calls import CALLS
from tests.support.peers import Derivatives, disagreements
from tests.support.transfer import to_host

METHODS = "set add subtract multiply divide power max min".split()
ACCUMULATING = {"multiply", "divide", "power"}  # JAX does not differentiate these with integer arrays


@pytest.mark.host
@pytest.mark.parametrize("peer", ["jax"], indirect=True)
@settings(max_examples=40)
@given(case=CALLS["at"])
def test_values_and_derivatives_are_those_of_jax(case, peer, ours):
    """For every form of index: the value, both modes, and the second derivative."""
    note(case.name)
    f, theirs, args, rng = ours.function(case), peer.function(case), case.arguments(), case.generator("directions")
    y = f(*args)
    u, *v = [np.asarray(rng.standard_normal(np.shape(x))) for x in (y, *args)]
    try:
        expected = peer.derivatives(theirs, args, u, v)
    except NotImplementedError:
        assert case.name.split("/")[1].split(",")[0] in ACCUMULATING
        value = np.asarray(theirs(*map(peer.array, args)))
        expected = Derivatives((value,), *ours.derivatives(f, args, u, v)[1:])
    assert not disagreements(ours.derivatives(f, args, u, v), expected)


@pytest.mark.parametrize("method", METHODS)
def test_x_is_unchanged_and_the_result_has_memory_of_its_own(method, xp):
    for index in (slice(1, 3), xp.asarray([0, 2, 0]), (slice(None), 1), (slice(None), xp.asarray([1, 1]))):
        x = xp.asarray(1 + normal((3, 2)) ** 2)
        before = to_host(x).copy()
        y = getattr(mg.at(x)[index], method)(1.5)
        assert np.array_equal(to_host(x), before) and not np.array_equal(to_host(y), before)
        assert y.shape == x.shape and y.dtype == x.dtype and not xp.shares_memory(x, y)


def test_get_is_indexing(xp):
    x = xp.asarray(normal((3, 4)))
    assert np.array_equal(to_host(mg.at(x)[1:, [0, 0]].get()), to_host(x)[1:, [0, 0]])


# Repeated positions


def test_of_a_repeated_position_the_last_value_stays_for_every_layout(on_device):
    """NumPy leaves open in which order it writes, and writes backwards arrays from their end."""
    for order in (slice(None), slice(None, None, -1)):
        v = on_device(np.arange(6.0))[order]
        i = on_device(np.array([2, 0, 2, 1, 0, -1]))[order]
        y = np.zeros(3)
        for position, value in zip(to_host(i).tolist(), to_host(v).tolist()):
            y[position] = value
        f = lambda v, i=i: mg.at(mg.zeros_like(v[:3]))[i].set(v)
        assert np.array_equal(to_host(f(v)), y)
        u = on_device(np.array([3.0, -5.0, 7.0]))
        expected = [0.0] * 6
        for position, factor in enumerate((3.0, -5.0, 7.0)):
            expected[to_host(v).tolist().index(y[position])] = factor
        assert to_host(mg.vjp(f, v)[1](u)[0]).tolist() == expected


def test_products_at_a_repeated_position_have_derivatives_at_zeros(xp):
    """y₀ = x₀v₀v₁v₃ with v₀ = 0: only v₀ has a derivative, and it is x₀v₁v₃; to third order."""
    v, i = xp.asarray([0.0, 2.0, 5.0, 3.0]), [0, 0, 1, 0]
    f = lambda v: mg.at(xp.asarray([7.0, 1.0]))[i].multiply(v)[0]
    assert to_host(mg.grad(f)(v)).tolist() == [42, 0, 0, 0]
    third = mg.jvp(lambda v: mg.hessian(f)(v), (v,), (xp.asarray([0.0, 1.0, 0.0, 0.0]),))[1]
    assert to_host(third).tolist() == [[0, 0, 0, 7], [0, 0, 0, 0], [0, 0, 0, 0], [7, 0, 0, 0]]


def test_an_infinite_value_does_not_reach_other_positions(xp):
    v = xp.asarray([np.inf, 2.0, 3.0])
    f = lambda v: mg.at(xp.asarray([1.0, 1.0]))[[0, 1, 1]].multiply(v)[1]
    assert to_host(mg.grad(f)(v)).tolist() == [0, 3, 2]


@pytest.mark.parametrize("method", METHODS)
def test_many_repeats(method, xp):
    """Seventeen values at one of two positions: as one after the other by NumPy."""
    rng = np.random.default_rng(0)
    x, v, i = rng.uniform(0.5, 1.5, 2), rng.uniform(0.5, 1.5, 17), rng.integers(-2, 2, 17)
    y = getattr(mg.at(xp.asarray(x))[xp.asarray(i)], method)(xp.asarray(v))
    ufunc = getattr(np, {"max": "maximum", "min": "minimum"}.get(method, method), None)
    for position, value in zip(i, v):
        x[position] = value if method == "set" else ufunc(x[position], value)
    np.testing.assert_allclose(to_host(y), x, rtol=1e-13)


# Dtypes and errors


def test_the_result_has_the_dtype_of_x(xp):
    x = xp.asarray([1.0, 2.0], np.float32)
    for v in (1, 2.5, np.float64(2), xp.asarray(3), xp.asarray([1.0, 2.0])):
        for method in METHODS:
            assert getattr(mg.at(x)[:2], method)(v).dtype == getattr(mg.at(x)[[0, 1]], method)(v).dtype == np.float32
    assert mg.grad(lambda v: mg.sum(mg.at(x)[:].set(v)))(2.0).dtype == np.float64
    assert to_host(mg.at(xp.asarray([1, 2], np.uint8))[0].subtract(1)).tolist() == [0, 2]


@pytest.mark.parametrize(
    "change, error, text",
    [
        (lambda x: mg.at(x)[0].set(0.5), mg.OperandTypeError, r"at\(x\)\[index\].set: 0.5 does not fit into x, int"),
        (lambda x: mg.at(x)[0].add(np.ones(2)), mg.OperandTypeError, r"add: float64\[2\] does not fit .* mg.astype"),
        (lambda x: mg.at(x)[:1].divide(2), mg.OperandTypeError, "divide: .*float64.* does not fit"),
        (lambda x: mg.at(x)[0].set(1j), mg.OperandTypeError, "1j does not fit"),
        (lambda x: mg.at(x.astype(np.int8))[0].set(300), mg.OperandError, "300 is out of the range of int8"),
        (lambda x: mg.at(x)[0].set([1, 2, 3]), mg.OperandError, r"set: int64\[3\] does not broadcast to \(2,\)"),
        (lambda x: mg.at(x)[[0, 1]].max([[[1]]]), mg.OperandError, r"max: int64\[1, 1, 1\] does not broadcast"),
        (lambda x: mg.at(x)[[0, 7]].set(1), mg.OperandIndexError, "out of bounds"),
        (lambda x: mg.at(x)[0.5].set(1), mg.OperandIndexError, "only integers, slices"),
        (lambda x: mg.at(x)[[0.5]].multiply(1), mg.OperandIndexError, "integer or boolean"),
        (lambda x: mg.at(x)[[[0, 1], [0, 1]], [0, 1, 0]].min(1), mg.OperandIndexError, "do not broadcast"),
        (lambda x: mg.at("a")[0].set(1), mg.OperandTypeError, "at: x must be an array of numbers, got str 'a'"),
    ],
)
def test_errors_say_what_does_not_fit(change, error, text):
    with pytest.raises(error, match=text):
        change(np.arange(6).reshape(3, 2))


def test_item_assignment_to_a_traced_value_names_the_update():
    def f(x):
        x[0] = 1.0

    with pytest.raises(mg.OperandTypeError, match=r"write x = mg.at\(x\)\[index\].set\(value\)"):
        mg.grad(f)(np.ones(2))


# Programs


@pytest.mark.parametrize("method", METHODS)
def test_traced_indices_in_a_program(method, on_device):
    """The same program for all positions, repeated or not, with its derivatives."""
    f = lambda x, v, i: mg.sum(getattr(mg.at(x)[i, 1], method)(v) ** 2)
    step = mg.jit(mg.value_and_grad(f, (0, 1)))
    x, v = on_device(1 + normal((3, 2)) ** 2), on_device(1 + normal((4,)) ** 2)
    for i in ([0, 1, 2, 1], [0, 0, 0, 0], [-1, 2, 1, 0]):
        i = on_device(np.array(i))
        found, expected = step(x, v, i), mg.value_and_grad(f, (0, 1))(x, v, i)
        for a, b in zip(mg.tree.flatten(found)[0], mg.tree.flatten(expected)[0], strict=True):
            np.testing.assert_allclose(to_host(a), to_host(b), rtol=1e-12)
    one = mg.jit(lambda x, k: getattr(mg.at(x)[k], method)(2.0))
    k = on_device(np.array(1))
    assert np.array_equal(to_host(one(x, k)), to_host(getattr(mg.at(x)[1], method)(2.0)))


# vmap


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("own", ["xvi", "x", "v", "i", "vi"])
def test_each_example_has_its_own_update(method, own, on_device):
    """x, v and i, or only some of them, differ between examples; so do gradients."""
    x, v, i = 1 + normal((5, 2, 3, 2)) ** 2, 1 + normal((5, 2, 4, 1)) ** 2, np.arange(20).reshape(5, 4) % 7 % 3
    axes = tuple(0 if name in own else None for name in "xvi")
    args = [on_device(a if axis == 0 else a[0]) for a, axis in zip((x, v, i), axes)]
    for f in (
        lambda x, v, i: getattr(mg.at(x)[:, i], method)(v),
        lambda x, v, i: getattr(mg.at(x)[1, i], method)(v[0, 0, 0]),
        lambda x, v, i: getattr(mg.at(x)[i[0] - 1, 1:, i[:2] - 1], method)(v[1, :2]),
        lambda x, v, i: getattr(mg.at(x)[1, ::-2], method)(v[1, 0, 0]) * i[0],
    ):
        g = mg.grad(lambda x, v, i, f=f: mg.sum(mg.sin(f(x, v, i))), (0, 1))
        examples = [[a[k] if axis == 0 else a for a, axis in zip(args, axes)] for k in range(5)]
        for function in (lambda *xs, f=f: (f(*xs),), g):
            found = mg.vmap(function, axes)(*args)
            for batch, *each in zip(found, *[function(*one) for one in examples], strict=True):
                np.testing.assert_allclose(to_host(batch), np.stack(list(map(to_host, each))), rtol=1e-12, atol=1e-12)
