"""vae/data/assemble.py: rows are put into a new order in place."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vae.data.assemble import move_rows


@given(st.integers(1, 40).flatmap(lambda n: st.permutations(range(n))))
def test_rows_are_moved_as_by_indexing(order: list[int]) -> None:
    x = np.random.default_rng(0).random((len(order), 2, 3))
    expected, given_order = x[order], np.array(order)
    move_rows(x, given_order)
    np.testing.assert_array_equal(x, expected)
    assert given_order.tolist() == order
