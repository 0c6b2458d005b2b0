"""vae/data/binarise.py: the grey value is the probability, and a pixel depends on its key and position alone."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from vae.data import DataError
from vae.data import binarise as module
from vae.data.binarise import binarise, draw_pixels

KEY = mg.random.key(5)


def grey(count: int, shape=(3, 4, 1), seed: int = 0, dtype=np.float32) -> np.ndarray:
    return np.random.default_rng(seed).random((count, *shape)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_pixel_is_one_as_often_as_its_grey_value_says(dtype):
    """Within 4.5 standard errors over 20,000 images, for each of eleven greys; and pixels are independent."""
    greys = np.linspace(0, 1, 11, dtype=dtype).reshape(1, 1, 11, 1)
    found = draw_pixels(KEY, np.tile(greys, (20_000, 1, 1, 1)))
    assert found.dtype == dtype
    assert set(np.unique(found)) == {0, 1}
    error = np.sqrt(greys * (1 - greys) / len(found))[0, 0, :, 0]
    assert np.all(np.abs(found.mean(axis=(0, 1, 3)) - greys[0, 0, :, 0]) <= 4.5 * error)
    correlations = np.corrcoef(found[:, 0, 1:10, 0].T) - np.eye(9)
    assert np.max(np.abs(correlations)) <= 4.5 / math.sqrt(len(found))


def test_black_and_white_stay():
    images = np.random.default_rng(1).integers(0, 2, (2000, 5, 5, 1)).astype(np.float32)
    assert np.array_equal(draw_pixels(KEY, images), images)
    assert np.array_equal(binarise(images, KEY), images)


@given(st.integers(1, 30), st.integers(0, 30), st.integers(0, 30))
def test_rows_of_a_set_are_drawn_alike_wherever_they_are_drawn(count, first, more):
    """Rows from `place` on, alone, are those of the whole set: a pure function of key and position."""
    images = grey(count)
    whole = draw_pixels(KEY, images)
    rows = slice(min(first, count - 1), min(first, count - 1) + more + 1)
    assert np.array_equal(draw_pixels(KEY, images[rows], rows.start), whole[rows])
    assert np.array_equal(binarise(images, KEY), whole)


def test_a_pixel_does_not_depend_on_others_but_on_its_key_and_place():
    images = grey(200)
    changed = images.copy()
    changed[::2, 0] = 1 - changed[::2, 0]
    same = images == changed
    assert np.array_equal(draw_pixels(KEY, images)[same], draw_pixels(KEY, changed)[same])
    half = np.full((200, 3, 4, 1), 0.5, np.float32)
    draws = [draw_pixels(KEY, half), draw_pixels(mg.random.key(6), half), draw_pixels(KEY, half, 200)]
    for i in range(3):  # independent fair coins agree in half of the pixels
        for j in range(i):
            assert abs(np.mean(draws[i] == draws[j]) - 0.5) <= 5 * 0.5 / math.sqrt(half.size)


def test_the_whole_set_is_drawn_block_by_block(monkeypatch):
    images = grey(50)
    monkeypatch.setattr(module, "blocks_of", lambda images: [slice(0, 7), slice(7, 30), slice(30, 50)])
    found = binarise(images, KEY)
    assert np.array_equal(found, draw_pixels(KEY, images))
    assert found.dtype == np.float32


@pytest.mark.parametrize(("value", "said"), [(1.5, "0 to 1.5"), (-0.25, "-0.25 to 1"), (math.nan, "nan to nan")])
def test_values_that_are_no_probabilities_are_refused(value, said):
    images = np.tile(np.array([0.0, 1.0], np.float32), (20, 3, 1))[..., None]
    images[13, 2, 1, 0] = value
    images[13, 2, 0, 0] = max(0.0, min(1.0, images[13, 2, 0, 0]))
    with pytest.raises(DataError, match=rf"only images in \[0, 1\] can be binarised.*, got {said}$"):
        binarise(images, KEY)
