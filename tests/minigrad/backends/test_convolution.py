"""Shapes of convolutions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from minigrad.backends.convolution import out_size

SIDE = st.tuples(
    st.integers(1, 12), st.integers(1, 5), st.integers(1, 4), st.tuples(st.integers(0, 3), st.integers(0, 3))
)


@given(SIDE, SIDE)
def test_the_result_has_a_pixel_for_each_window_that_fits(first, second):
    def windows(size, kernel, stride, pads):
        padded = size + sum(pads)
        return sum(1 for begin in range(0, padded, stride) if begin + kernel <= padded)

    if all(kernel <= size + sum(pads) for size, kernel, _, pads in (first, second)):
        assert out_size(*zip(first, second)) == (windows(*first), windows(*second))
