"""Changing an array between forward and backward pass raises if it would change the gradient, and only then."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import normal
from tests.support.transfer import to_host


@pytest.fixture
def arrays(on_device):
    """(x, c): an argument, and a constant that it is multiplied by."""
    return on_device((normal((3, 4)), normal((3, 4), 1)))


def assert_refused(pullback, g, what=""):
    with pytest.raises(mg.MutationError, match=f"{what}.*was changed in place before its derivative was computed"):
        pullback(g)


# Changes that must raise


def test_input_changed(arrays):
    x, c = arrays
    _, pullback = mg.vjp(lambda x: mg.sin(x), x)
    x[0, 0] += 1
    assert_refused(pullback, c, r"float64\[3, 4\], used by 'sin' at .*test_guards.py:")


def test_captured_constant_changed(arrays):
    x, c = arrays
    _, pullback = mg.vjp(lambda x: x * c, x)
    c[1, 2] = 0
    assert_refused(pullback, x, r"float64\[3, 4\], used by 'multiply'")


def test_returned_output_changed(arrays):
    """The tape keeps eˣ for its derivative, and the user holds the same array."""
    x, c = arrays
    y, pullback = mg.vjp(mg.exp, x)
    y *= 2
    assert_refused(pullback, c, "used by 'exp'")


def test_output_that_is_an_input_of_another_operation_changed(arrays):
    x, c = arrays
    (h, _y), pullback = mg.vjp(lambda x: (lambda h: (h, h * h))(x + 1), x)
    h[0, 0] = 0
    assert_refused(pullback, (c, c))


def test_view_of_an_output_changed(arrays):
    """The result is a view of the array that the tape keeps."""
    x, c = arrays
    y, pullback = mg.vjp(lambda x: mg.exp(x).T[::-1], x)
    y[0, 0] = 0
    assert_refused(pullback, c.T)


def test_base_of_an_input_changed(arrays):
    base, c = arrays
    x = base[1:]
    _, pullback = mg.vjp(mg.sin, x)
    base[2, 0] = 0
    assert_refused(pullback, c[1:])


def test_sibling_view_of_an_input_changed(arrays):
    base, c = arrays
    x, sibling = base[1:], base.reshape(-1)[4:6]
    _, pullback = mg.vjp(mg.sin, x)
    sibling[...] = 7
    assert_refused(pullback, c[1:])


def test_base_under_a_read_only_view_changed(backend, arrays):
    if backend.name != "numpy":
        pytest.skip("only NumPy has read-only views")
    base, c = arrays
    x = base.view()
    x.flags.writeable = False
    _, pullback = mg.vjp(mg.sin, x)
    base[0, 0] = 0
    assert_refused(pullback, c)


def test_changed_while_tracing(arrays):
    """A change inside the function raises too, also in grad, which computes both passes in one call."""
    x, c = arrays

    def f(x):
        y = mg.sum(x * c)
        c[0, 0] += 1
        return y

    with pytest.raises(mg.MutationError, match="'multiply'"):
        mg.grad(f)(x)


def test_condition_and_indices(arrays, xp):
    x, c = arrays
    condition = c > 0
    _, pullback = mg.vjp(lambda x: mg.where(condition, x, 0), x)
    condition[0, 0] = not condition[0, 0]
    assert_refused(pullback, c, r"bool\[3, 4\], used by 'where'")


def test_inner_level(arrays):
    """A constant of the inner derivative, changed before the outer one is computed."""
    x, c = arrays
    _, pullback = mg.vjp(lambda x: mg.grad(lambda z: mg.sum(mg.sin(z) * c * x))(x), x)
    c[0, 0] += 1
    assert_refused(pullback, x)


def test_tape(arrays):
    x, _c = arrays
    with mg.Tape() as tape:
        t = tape.watch(x)
        y = mg.sum(t * t)
    x[0, 0] += 1
    with pytest.raises(mg.MutationError, match="used by 'multiply'"):
        tape.gradient(y, t)


@pytest.mark.parametrize("captured", [True, False], ids=["captured", "argument"])
def test_checkpoint(captured, arrays):
    """The function runs again, so its arguments and captured values must be unchanged."""
    x, c = arrays
    f = (lambda x: mg.checkpoint(lambda x: x * c)(x)) if captured else (lambda x: mg.checkpoint(mg.multiply)(x, c))
    _, pullback = mg.vjp(f, x)
    c[0, 0] += 1
    with pytest.raises(mg.MutationError, match=r"'checkpoint' at .* gave another result"):
        pullback(x)


@pytest.mark.parametrize("captured", [True, False], ids=["captured", "argument"])
@pytest.mark.parametrize("depth", [1, 2], ids=["one", "nested"])
def test_checkpoint_whose_result_hides_the_change(captured, depth, xp):
    """0·c is 0 for any c, but its derivative is c: comparing the results of both runs is not enough."""
    x, c = xp.asarray([0.0, 1.0]), xp.asarray([2.0, 5.0])
    f = (lambda x: x * c) if captured else mg.multiply
    for _ in range(depth):
        f = mg.checkpoint(f)
    _, pullback = mg.vjp(f if captured else lambda x: f(x, c), x)
    assert to_host(pullback(mg.ones_like(x))[0]).tolist() == [2, 5]
    c[0] = 99
    with pytest.raises(mg.MutationError, match=r"'checkpoint' at .*test_guards.py:.* read other values"):
        pullback(mg.ones_like(x))


def test_input_of_a_checkpoint_whose_result_hides_the_change(xp):
    x, z = xp.asarray([2.0]), xp.asarray([0.0])
    _, pullback = mg.vjp(mg.checkpoint(mg.multiply), x, z)
    x[0] = 7
    with pytest.raises(mg.MutationError, match="'checkpoint'"):
        pullback(mg.ones_like(x))


def test_number_of_a_checkpoint_whose_result_hides_the_change(xp):
    """With w = 0 the result is 0 at any scale."""
    scale = [2.0]
    _, pullback = mg.vjp(mg.checkpoint(lambda w: w * scale[0]), xp.zeros(2))
    assert to_host(pullback(xp.ones(2))[0]).tolist() == [2, 2]
    scale[0] = 3.0
    with pytest.raises(mg.MutationError, match="read other values"):
        pullback(xp.ones(2))


def test_a_nan_in_a_checkpoint_does_not_count_as_a_change(xp):
    x = xp.asarray([math.nan, 1.0])
    gradient = to_host(mg.grad(mg.checkpoint(lambda x: mg.sum(x) * mg.sum(x) * math.nan))(x))
    assert np.isnan(gradient).all()


def test_changed_between_two_uses_and_undone(arrays):
    """A buffer that is used with two different contents, and ends with the first."""
    x, c = arrays

    def f(x):
        first = x * c
        c[...] *= -1
        try:
            return first + x * c
        finally:
            c[...] *= -1

    with pytest.raises(mg.MutationError, match=r"used by 'multiply' at .*test_guards.py:"):
        mg.vjp(f, x)[1](x)


@given(
    data=st.data(), n=st.sampled_from([1, 7, 8, 9, 4096, 40_000]), dtype=st.sampled_from("f4 f8 i1 i8 c16 ?".split())
)
def test_any_single_change_alters_the_fingerprint(data, n, dtype, on_device, backend):
    """One flipped bit or two exchanged elements, in arrays of any size and dtype."""
    x = np.random.default_rng(n).integers(0, 2, n).astype(dtype)
    place = data.draw(st.integers(0, n - 1))
    other = data.draw(st.integers(0, n - 1))
    before = backend.fingerprint(on_device(x))
    assert backend.fingerprint(on_device(x.copy())) == before
    raw = x.view(np.uint8)
    k, bit = data.draw(st.integers(0, len(raw) - 1)), 1 << data.draw(st.integers(0, 7 if dtype != "?" else 0))
    raw[k] ^= bit
    assert backend.fingerprint(on_device(x)) != before
    raw[k] ^= bit
    x[[place, other]] = x[[other, place]]
    assert (backend.fingerprint(on_device(x)) == before) == (x[place] == x[other])


# Changes that must not raise


def test_arrays_that_the_derivative_does_not_need_may_change(arrays):
    """Sums, differences and shapes need no values; a product needs the other factor only."""
    x, c = arrays
    for f in (
        lambda x: x + c,
        lambda x: mg.sum(x) * 3.0,
        lambda x: x.T,
        lambda x: x - c,
        lambda x: mg.concatenate([x, c]),
    ):
        here, constant = mg.copy(x), c
        y, pullback = mg.vjp(f, here)
        g = mg.ones_like(y)
        expected = to_host(pullback(g)[0])
        here *= 0
        constant += 1
        y *= 0
        assert np.array_equal(to_host(pullback(g)[0]), expected)


def test_only_the_factor_that_is_needed_is_guarded(arrays):
    x, c = arrays
    y, pullback = mg.vjp(lambda x: x * c, x)
    x *= 0
    y *= 0
    assert np.array_equal(to_host(pullback(mg.ones_like(x))[0]), to_host(c))


def test_an_unused_result_of_the_user_may_change(arrays):
    """The rule of sin reads its argument, not its result, so the result may change."""
    x, c = arrays
    y, pullback = mg.vjp(mg.sin, x)
    y[...] = 0
    assert np.array_equal(to_host(pullback(c)[0]), np.cos(to_host(x)) * to_host(c))


def test_everything_may_change_after_the_derivative(arrays):
    x, c = arrays
    gradient = mg.grad(lambda x: mg.sum(mg.sin(x) * c))(x)
    expected = np.cos(to_host(x)) * to_host(c)
    x[...] = 0
    c[...] = 0
    assert np.array_equal(to_host(gradient), expected)
    gradient[...] = 1
    assert not to_host(x).any()


def test_gradients_and_cotangents_may_change(arrays):
    """A pullback keeps no reference to its cotangent, and returns no array that it keeps."""
    x, c = arrays
    _, pullback = mg.vjp(lambda x: x * 1.0 + mg.exp(x), x)
    g = mg.copy(c)
    first = pullback(g)[0]
    expected = to_host(mg.copy(first))
    g[...] = 0
    first[...] = 0
    assert np.array_equal(to_host(pullback(c)[0]), expected)


def test_forward_mode_needs_no_guard(arrays):
    x, c = arrays

    def f(x):
        y = mg.sin(x) * c
        c[...] = 0
        return y

    _, y_dot = mg.jvp(f, (x,), (mg.copy(c),))
    assert to_host(y_dot).any()


def test_a_read_only_array_is_guarded_too():
    """A view made before the array became read-only can still write to it."""
    c, x = np.ones(3), np.ones(3)
    window = c[:]
    c.flags.writeable = False
    _, pullback = mg.vjp(lambda x: x * c, x)
    window[0] = 5
    with pytest.raises(mg.MutationError):
        pullback(x)


@pytest.mark.parametrize(
    "view",
    [lambda x: x[1:], lambda x: x[::-1], mg.ravel, lambda x: mg.reshape(x, (2, 2)), lambda x: mg.expand_dims(x, 0)],
    ids=["slice", "backwards", "ravel", "reshape", "expand_dims"],
)
def test_views_of_an_input_are_guarded(view, on_device):
    x = on_device(np.arange(1.0, 5.0))
    y, pullback = mg.vjp(lambda x: mg.sin(view(x)), x)
    x[...] = 0
    with pytest.raises(mg.MutationError, match="used by 'sin'"):
        pullback(y)


def test_changed_signs_and_moved_elements_alter_the_fingerprint(backend, on_device):
    """These differ only in the top bits of words, which a plain sum of products would lose."""
    for n in (2, 6, 100, 1000, 5000):
        x = np.arange(1.0, n + 1)
        assert backend.fingerprint(on_device(x)) != backend.fingerprint(on_device(-x))
    for dtype in (np.float32, np.float64):
        digests = {backend.fingerprint(on_device(row)) for row in np.eye(1000, dtype=dtype)}
        assert len(digests) == 1000


def test_noise_without_a_key_in_a_checkpoint_raises(on_device):
    generator = np.random.default_rng(0)
    f = mg.checkpoint(lambda x: x * on_device(generator.normal(size=3)))
    with pytest.raises(mg.MutationError, match=r"random numbers do not come from mg\.random"):
        mg.grad(lambda x: mg.sum(f(x)))(on_device(np.ones(3)))


def test_a_value_that_escapes_from_a_checkpoint_raises():
    kept = []

    def block(h):
        kept.append(mg.tanh(h))
        return h + kept[-1]

    with pytest.raises(mg.EscapedTracerError, match=r"'tanh' at .* left the checkpointed function"):
        mg.grad(lambda x: mg.sum(mg.checkpoint(block)(x)) + mg.sum(kept[0]))(np.ones(3))


def test_a_change_that_is_undone_before_the_backward_pass_is_allowed(arrays):
    x, c = arrays
    _, pullback = mg.vjp(mg.sin, x)
    x[0, 0] += 1
    assert_refused(pullback, c)
    x[0, 0] -= 1
    before = to_host(x)[0, 0]
    if before == normal((3, 4))[0, 0]:  # adding and subtracting 1 rounded back to the same number
        pullback(c)
