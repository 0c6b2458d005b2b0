"""Fingerprints on both devices change when an element changes or two are exchanged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import minigrad as mg
from minigrad.backends.numpy.fingerprint import SMALL, WORDS

DTYPES = ["bool", "int8", "uint32", "float16", "float32", "float64", "complex128"]


@pytest.fixture(params=["cpu", "device"])
def where(request):
    """The backend of the host, and that of a device with kernels."""
    return mg.backends.get("cpu") if request.param == "cpu" else request.getfixturevalue("device")


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_changed_element_alters_the_fingerprint(where, dtype):
    for shape in ((7,), (3, 5), (2 * WORDS + 3,)):
        x = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
        before = where.fingerprint(where.from_host(x))
        assert where.fingerprint(where.from_host(x.copy())) == before
        for at in {0, x.size // 2, x.size - 1}:
            changed = x.copy()
            changed.flat[at] = 1 - changed.flat[at] if dtype != "bool" else not changed.flat[at]
            assert where.fingerprint(where.from_host(changed)) != before


def test_signs_and_order_alter_the_fingerprint(where):
    x = np.arange(1.0, 2 * WORDS + 2)
    seen = {where.fingerprint(where.from_host(v)) for v in (x, -x, x[::-1].copy(), np.roll(x, 1), np.roll(x, WORDS))}
    assert len(seen) == 5
    blocks = np.arange(2 * WORDS, dtype=np.float32)
    swapped = np.roll(blocks, WORDS)  # whole blocks of words
    assert where.fingerprint(where.from_host(blocks)) != where.fingerprint(where.from_host(swapped))
    zeros = np.zeros(3)
    assert where.fingerprint(where.from_host(zeros)) != where.fingerprint(where.from_host(-zeros))


@given(arrays.arrays(np.float32, st.tuples(st.integers(0, 5), st.integers(0, 5)), elements=st.floats(width=32)))
def test_equal_bits_have_equal_fingerprints_on_the_host(x):
    fingerprint = mg.backends.get("cpu").fingerprint
    wide = np.repeat(x, 2, axis=1)
    assert fingerprint(wide[:, ::2]) == fingerprint(x)
    assert 0 <= fingerprint(np.resize(x, SMALL)) < 2**64


def test_a_broadcast_axis_is_read_once():
    fingerprint = mg.backends.get("cpu").fingerprint
    x = np.arange(6.0)
    assert fingerprint(np.broadcast_to(x, (2**40, 6))) == fingerprint(x[None])
