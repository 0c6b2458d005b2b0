"""vae/data/blocks.py: blocks cover all rows once, in order, and are small."""

from unittest import mock

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vae.data import blocks


@given(st.integers(0, 30), st.integers(1, 9), st.integers(1, 50))
def test_blocks_cover_every_row_once_in_order_and_are_bounded(count: int, width: int, values: int) -> None:
    x = np.arange(count * width).reshape(count, width)
    with mock.patch.object(blocks, "BLOCK", values):
        parts = [x[rows] for rows in blocks.blocks_of(x)]
    assert [value for part in parts for value in part.ravel()] == list(range(count * width))
    assert all(part.size <= max(values, width) for part in parts)


def test_rows_without_values_are_one_block_each_time() -> None:
    assert [x for x in blocks.blocks_of(np.zeros((3, 0)))] == [slice(0, blocks.BLOCK)]
