"""minigrad/ops/comparisons.py: the branch that `where` does not take, and functions without a derivative."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from tests.support.transfer import to_host

INF = math.inf


def test_nan_in_the_branch_not_taken(xp):
    """A NaN there affects neither value nor derivative; the branch gets 0, in both modes."""
    x = xp.asarray([1.0, -2.0])
    nan = xp.asarray([math.nan, math.nan])
    taken = xp.asarray([True, False])
    f = lambda a, b: mg.where(taken, a, b)
    _, pullback = mg.vjp(f, x, nan)
    a, b = pullback(xp.asarray([3.0, 5.0]))
    assert to_host(a).tolist() == [3, 0] and to_host(b).tolist() == [0, 5]
    _, y_dot = mg.jvp(f, (x, x), (x, nan))
    assert to_host(y_dot)[0] == 1 and math.isnan(to_host(y_dot)[1])
    _, y_dot = mg.jvp(lambda a: mg.where(taken, a, nan), (x,), (x,))
    assert to_host(y_dot).tolist() == [1, 0]


def test_a_masked_argument_is_safe_to_second_order(xp):
    """The usual idiom: `where` selects a safe argument first, and then the result."""

    def f(x):
        positive = x > 0
        return mg.sum(mg.where(positive, mg.sqrt(mg.where(positive, x, 1)), 0))

    x = xp.asarray([0.0, -1.0, 4.0])
    assert to_host(mg.grad(f)(x)).tolist() == [0, 0, 0.25]
    assert to_host(mg.hvp(f, x, xp.ones(3))).tolist() == [0, 0, -1 / 32]


@given(data=st.data(), dtype=st.sampled_from([np.float32, np.float64, np.complex128, np.int64]))
def test_where_of_large_arrays_equals_numpys_bit_for_bit(data, dtype, on_device):
    """Large arrays use our own code: here in several layouts, broadcast, with numbers, NaNs and signed zeros."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    special = [0.0, -0.0, 1.5, -2.5] if dtype == np.int64 else [0.0, -0.0, INF, -INF, math.nan]

    def branch():
        shape = data.draw(st.sampled_from([(64, 70), (1, 70), (64, 1), (70,), ()]))
        x = (
            rng.choice([*special, 1.25], shape).astype(dtype)
            if shape
            else data.draw(st.sampled_from([0, 0.0, -0.0, 2]))
        )
        return x.T.copy().T if np.ndim(x) == 2 and data.draw(st.booleans()) else x

    condition = rng.random(data.draw(st.sampled_from([(64, 70), (70, 64)]))) < 0.5
    condition = condition if condition.shape == (64, 70) else condition.T
    a, b = branch(), branch()
    expected = np.where(condition, a, b)
    found = to_host(mg.where(*on_device((condition, a, b))))
    assert found.dtype == expected.dtype and found.tobytes() == expected.tobytes()


def test_stop_gradient_and_discrete_functions(xp):
    x = xp.asarray([0.6, -1.4])
    for f in (mg.floor, mg.ceil, mg.rint, mg.sign, mg.stop_gradient):
        assert not to_host(mg.grad(lambda x, f=f: mg.sum(f(x)))(x)).any()
        g = mg.grad(lambda x, f=f: mg.sum(x * f(x)))(x)
        assert np.array_equal(to_host(g), to_host(f(x)))


def test_the_result_of_stop_gradient_cannot_change_its_argument(on_device, backend):
    x = on_device(np.ones(2))
    stopped = mg.stop_gradient(x)
    if backend.name == "numpy":
        with pytest.raises(ValueError, match="read-only"):
            stopped[0] = 2
    else:
        stopped[0] = 2
        assert float(x[0]) == 1


def test_bits_are_shifted_by_functions_and_operators(on_device):
    x, by = np.arange(-4, 4), np.arange(8)
    f = lambda x, by: [x << by, x >> by, 1 << by, -100 >> by, mg.left_shift(x, 2), np.right_shift(x, by)]
    for way in (f, mg.jit(f), mg.vmap(f)):
        for one, other in zip(way(on_device(x), on_device(by)), f(x, by), strict=True):
            assert np.array_equal(to_host(one), other) and one.dtype == other.dtype
    with pytest.raises(TypeError, match=r"left_shift"):
        mg.jit(lambda x: x << 1)(on_device(np.ones(2)))
    with pytest.raises(TypeError, match="x <<= y would change the traced"):
        mg.jit(lambda x: x.__ilshift__(1))(on_device(x))


def test_signs_of_zeros_and_nan(on_device):
    x = np.array([-0.0, 0.0, -1.5, 2.0, -np.nan, np.nan, -np.inf, np.inf])
    for way in (lambda f: f, mg.jit, mg.vmap):
        assert np.array_equal(to_host(way(mg.signbit)(on_device(x))), np.signbit(x))
        copied = to_host(way(mg.copysign)(on_device(x), on_device(x[::-1].copy())))
        assert np.array_equal(copied.view(np.int64), np.copysign(x, x[::-1]).view(np.int64))
    with pytest.raises(TypeError, match=r"signbit\(complex128\[8\]\): .* have no sign"):
        mg.signbit(on_device(x + 1j))
