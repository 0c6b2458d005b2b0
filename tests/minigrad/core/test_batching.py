"""minigrad/core/batching.py: batching statements. The catalogue checks that of every primitive
(`minigrad.checks.suite.vmap`); here are indices and kernels of one's own for each example, and what users state."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.core import Primitive, batched, linear, primitives
from minigrad.core.batching import Batch, shift_axis
from tests.support.oracles import assert_close
from tests.support.strategies import normal
from tests.support.transfer import to_host


def assert_like_a_loop(f, on_device, *batches):
    """Values and pullbacks of vmap(f) equal those of one example after the other."""
    pull = lambda g, *xs: mg.vjp(lambda x: f(x, *xs[1:]), xs[0])[1](g)[0]
    examples = [[on_device(x) for x in one] for one in zip(*batches)]
    values = np.stack([to_host(f(*one)) for one in examples])
    moved = [on_device(x) for x in batches]
    assert_close(to_host(mg.vmap(f)(*moved)), values)
    u = normal(values.shape, 9)
    gradients = np.stack([to_host(pull(on_device(g), *one)) for g, one in zip(u, examples)])
    assert_close(to_host(mg.vmap(pull)(on_device(u), *moved)), gradients)


@pytest.mark.parametrize(
    "f",
    [
        lambda x, i: x[i],
        lambda x, i: x[:, i],
        lambda x, i: x[i, 1],
        lambda x, i: x[i, :, i],
        lambda x, i: x[i[0], 1:, i],
        lambda x, i: mg.take_along_axis(x, mg.broadcast_to(i[:, None, None], (3, 4, 3)), 0),
    ],
)
@pytest.mark.parametrize("shared", ["", "array", "index"])
def test_each_example_has_its_own_indices(f, shared, on_device):
    x, i = normal((5, 3, 4, 3)), np.random.default_rng(1).integers(-3, 3, (5, 3))
    if shared == "array":
        g, x0 = f, on_device(x[0])
        f = lambda scale, i: g(scale * x0, i)
        x = normal((5,))
    if shared == "index":
        g, i0 = f, on_device(i[0])
        f = lambda x, _: g(x, i0)
    assert_like_a_loop(f, on_device, x, i)


@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 2), st.integers(5, 7), st.integers(1, 3))
def test_each_example_has_its_own_kernel(kernel, stride, padding, size, images):
    """Also second derivatives: those of the products over taps."""
    x, w = normal((2, images, size, size + 1, 2)), normal((2, kernel, kernel, 2, 3), 1)
    f = lambda x, w: mg.conv2d(x, w, stride, padding)
    assert_like_a_loop(f, np.asarray, x, w)
    loss = lambda x, w: mg.sum(mg.sin(f(x, w)))
    for argnums in (0, 1):
        hvp = lambda x, w, v, k=argnums: mg.jvp(lambda *xs: mg.grad(loss, k)(*xs), (x, w), (x, v))[1]
        v = normal(w.shape, 5)
        assert_close(mg.vmap(hvp)(x, w, v), np.stack([hvp(*one) for one in zip(x, w, v)]))


def test_a_statement_of_ones_own():
    """A linear operation along an axis, one that needs a statement, and one that has none."""
    reverse_p = linear(
        Primitive("test_reverse", lambda b, x, *, axis, out=None: b.xp.flip(x, axis)),
        x=lambda g, axis: reverse_p(g, axis=axis),
    )
    try:
        f = lambda x: reverse_p(x, axis=0)
        x = normal((4, 3))
        with pytest.raises(mg.MissingRuleError, match="'test_reverse' has no batching statement"):
            mg.vmap(f)(x)
        batched(reverse_p, axis=shift_axis)
        assert_like_a_loop(f, np.asarray, x)
        batched(reverse_p, lambda size, args, is_batched, axis: args[0])
        assert np.array_equal(mg.vmap(f)(x), x)
        batched(reverse_p, lambda size, args, is_batched, axis: args[0][0])
        with pytest.raises(AssertionError, match=r"the batching of 'test_reverse' gave float64.3. for 4 examples"):
            mg.vmap(f)(x)
    finally:
        del primitives["test_reverse"]


def test_an_elementwise_operation_of_ones_own_needs_no_statement():
    from minigrad.core import partials

    cube_p = partials(Primitive("test_cube", lambda b, x, y, out=None: x**3 * y), x=lambda x, y: 3 * x**2 * y, y=1)
    try:
        x, y = normal((5, 3)), normal((5, 2, 3), 1)
        assert_close(mg.vmap(cube_p)(x, y), np.stack([a**3 * b for a, b in zip(x, y)]))
    finally:
        del primitives["test_cube"]


def test_a_batched_value_has_the_shape_of_one_example():
    with Batch(5) as level:
        x = level.lift(np.ones((5, 2, 3), np.float32))
        assert (x.shape, x.ndim, x.size, x.dtype) == ((2, 3), 2, 6, np.float32)
        assert (x @ np.ones((3, 4), np.float32)).shape == (2, 4)
        with pytest.raises(TypeError, match="each example has a value of its own"):
            float(x[0, 0])
