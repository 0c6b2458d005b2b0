"""bfloat16 arrays, and comparing them with float32 results rounded once. Imported by host tests that need ml_dtypes."""

from __future__ import annotations

import numpy as np

from tests.support.environment import optional

ml_dtypes = optional("ml_dtypes", extra="test")

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
ROUNDING = 2.0**-8  # the largest relative error of one rounding


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(BFLOAT16)


def count_units(found, truth):
    """How many bfloat16 numbers lie between the elements of two arrays, at most."""
    assert np.shape(found) == np.shape(truth) and found.dtype == truth.dtype == BFLOAT16
    numbers = [np.asarray(x).view(np.int16).astype(np.int64) for x in (found, truth)]
    places = [np.where(n < 0, -(n & 0x7FFF), n) for n in numbers]  # in the order of the numbers
    both_nan = np.isnan(found) & np.isnan(truth)
    return int(np.max(np.where(both_nan, 0, np.abs(places[0] - places[1])), initial=0))


def assert_same(found, truth):
    """Equal dtypes, shapes and bits; NaN equals NaN."""
    found, truth = np.asarray(found), np.asarray(truth)
    assert (found.dtype, found.shape) == (truth.dtype, truth.shape)
    assert np.array_equal(found.astype(np.complex128), truth.astype(np.complex128), equal_nan=True)


def round_off(wide):
    """A float32 array rounded; others as they are."""
    wide = np.asarray(wide)
    return wide.astype(BFLOAT16) if wide.dtype == np.float32 else wide


def assert_near(found, wide, units):
    """Within so many roundings, relative to the largest element, of a float32 result; in bfloat16."""
    found, truth = np.asarray(found), round_off(wide)
    assert (found.dtype, found.shape) == (truth.dtype, truth.shape)
    found, truth = found.astype(np.complex128), truth.astype(np.complex128)
    with np.errstate(invalid="ignore"):
        off = np.where((found == truth) | (np.isnan(found) & np.isnan(truth)), 0, np.abs(found - truth))
    largest = max(1.0, float(np.max(np.abs(truth[np.isfinite(truth)]), initial=0.0)))
    assert np.max(off, initial=0.0) <= units * ROUNDING * largest
