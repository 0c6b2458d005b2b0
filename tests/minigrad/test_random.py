"""Keys and draws: pure functions of (key, position), distributions, errors.

The bits of the streams are tested in backends/test_numpy_streams.py and test_cuda_streams.py.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from tests.support.transfer import to_host

DRAWS = {
    "bits": lambda key, shape, **k: mg.random.bits(key, shape, **k),
    "uniform": lambda key, shape, **k: mg.random.uniform(key, shape, **k),
    "uniform float64": lambda key, shape, **k: mg.random.uniform(key, shape, np.float64, **k),
    "normal": lambda key, shape, **k: mg.random.normal(key, shape, **k),
    "normal float64": lambda key, shape, **k: mg.random.normal(key, shape, np.float64, **k),
    "bernoulli": lambda key, shape, **k: mg.random.bernoulli(key, shape, p=0.3, **k),
}


@pytest.fixture(scope="session")
def key(on_device):
    return on_device(mg.random.key(7))


# Keys


def test_a_key_is_two_words():
    assert mg.random.key(0).tolist() == [0, 0] and mg.random.key(0).dtype == np.uint32
    assert mg.random.key(2**32 + 5).tolist() == [5, 1] and mg.random.key(2**64 - 1).tolist() == [2**32 - 1] * 2
    assert mg.random.key(np.int64(3)).tolist() == [3, 0]


@given(seed=st.integers(0, 2**64 - 1), n=st.integers(0, 20), i=st.integers(0, 2**32 - 1))
def test_split_and_fold_in_give_new_keys(seed, n, i, on_device):
    """All keys differ, also from the original; a longer split starts with the shorter one; both are deterministic."""
    key = on_device(mg.random.key(seed))
    keys = to_host(mg.random.split(key, n))
    assert keys.shape == (n, 2) and keys.dtype == np.uint32
    folded = to_host(mg.random.fold_in(key, i))
    assert folded.shape == (2,) and folded.dtype == np.uint32
    everything = [tuple(k) for k in (*keys, folded, to_host(key))]
    assert len(set(everything)) == len(everything)
    assert np.array_equal(keys, to_host(mg.random.split(key, n + 3))[:n])
    assert np.array_equal(folded, to_host(mg.random.fold_in(key, np.uint32(i))))


def test_folding_in_different_numbers_gives_different_keys(key):
    folded = {tuple(to_host(mg.random.fold_in(key, i)).tolist()) for i in range(1000)}
    assert len(folded) == 1000


def test_split_gives_two_by_default(key):
    first, second = to_host(mg.random.split(key))
    assert not np.array_equal(first, second)


# Draws


@pytest.mark.parametrize("name", DRAWS)
@given(seed=st.integers(0, 2**64 - 1), shape=st.lists(st.integers(0, 5), max_size=3), data=st.data())
def test_a_draw_is_a_function_of_key_and_position(name, seed, shape, data, on_device):
    """A draw is reproducible, independent of the shape, and can be drawn in parts."""
    draw, key, size = DRAWS[name], on_device(mg.random.key(seed)), math.prod(shape)
    whole = to_host(draw(key, tuple(shape)))
    assert whole.shape == tuple(shape)
    assert np.array_equal(whole, to_host(draw(key, list(shape))))
    assert np.array_equal(whole.ravel(), to_host(draw(key, size)))
    begin = data.draw(st.integers(0, size))
    assert np.array_equal(whole.ravel()[begin:], to_host(draw(key, (size - begin,), offset=begin)))


def test_only_draws_have_names_of_numpy_draws():
    names = {name for name in {*dir(np.random), *dir(np.random.Generator)} if not name.startswith("_")}
    assert names.intersection(dir(mg.random)) == {"normal", "uniform"}


def test_dtypes(key):
    found = {name: str(draw(key, (2,)).dtype) for name, draw in DRAWS.items()}
    assert found == {
        "bits": "uint32",
        "uniform": "float32",
        "uniform float64": "float64",
        "normal": "float32",
        "normal float64": "float64",
        "bernoulli": "bool",
    }
    assert mg.random.bernoulli(key, (2,), np.float32).dtype == np.float32
    assert mg.random.bernoulli(key, (2,), dtype="int8").dtype == np.int8


def test_draws_are_on_the_device_of_the_key(key, backend):
    for draw in DRAWS.values():
        assert mg.device_of(draw(key, (3,))) == backend.device
    assert mg.device_of(mg.random.split(key)) == mg.device_of(mg.random.fold_in(key, 1)) == backend.device


def test_distributions(key):
    """Means, variances and frequencies lie within five standard errors."""
    n = 40_000
    uniform = to_host(mg.random.uniform(key, n, np.float64))
    assert 0 <= uniform.min() and uniform.max() < 1
    assert abs(uniform.mean() - 1 / 2) < 5 * math.sqrt(1 / 12 / n)
    normal = to_host(mg.random.normal(key, n, np.float64))
    assert abs(normal.mean()) < 5 / math.sqrt(n) and abs(normal.var() - 1) < 5 * math.sqrt(2 / n)
    assert abs(np.mean(normal**4) - 3) < 5 * math.sqrt(96 / n)
    assert abs(np.mean(normal[::2] * normal[1::2])) < 5 / math.sqrt(n / 2)  # uncorrelated Box–Muller pairs
    for p in (0.0, 0.3, 1.0):
        drawn = to_host(mg.random.bernoulli(key, n, p=p))
        assert abs(drawn.mean() - p) <= 5 * math.sqrt(p * (1 - p) / n)


def test_bernoulli_with_an_array_of_probabilities(key, xp):
    p = xp.asarray([0.0, 0.5, 1.0])
    drawn = to_host(mg.random.bernoulli(key, (1000, 3), p=p))
    assert not drawn[:, 0].any() and drawn[:, 2].all() and 400 < drawn[:, 1].sum() < 600
    assert np.array_equal(drawn[:, 1], to_host(mg.random.uniform(key, (1000, 3)))[:, 1] < 0.5)


# Derivatives


def test_draws_are_constants_of_a_derivative(key, xp):
    def f(x):
        noise = mg.random.normal(key, (3,), np.float64)
        kept = mg.random.bernoulli(mg.random.fold_in(key, 1), (3,), np.float64, p=0.5)
        return mg.sum(x * noise * kept)

    expected = mg.random.normal(key, (3,), np.float64) * mg.random.bernoulli(
        mg.random.fold_in(key, 1), (3,), np.float64
    )
    assert np.array_equal(to_host(mg.grad(f)(xp.ones(3))), to_host(expected))
    x = xp.asarray(0.5)
    assert float(mg.grad(lambda p: p + mg.sum(mg.random.bernoulli(key, (4,), np.float64, p=p)))(x)) == 1


# Errors


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda k: mg.random.key(-1), ValueError, r"random.key: a seed must be in 0 … 2\*\*64 − 1, got -1"),
        (lambda k: mg.random.key(2**64), ValueError, "random.key: a seed must be in"),
        (lambda k: mg.random.key(1.5), TypeError, "random.key: a seed must be an integer, got 1.5"),
        (lambda k: mg.random.key(True), TypeError, "random.key: a seed must be an integer, got True"),
        (
            lambda k: mg.random.normal(3, (2,)),
            TypeError,
            r"random.normal: a key must be uint32\[2\], from random.key, split or fold_in, got 3",
        ),
        (
            lambda k: mg.random.normal(k[None], (2,)),
            TypeError,
            r"random.normal: a key must be uint32\[2\].*uint32\[1, 2\]",
        ),
        (
            lambda k: mg.random.split(k.astype(np.int64)),
            TypeError,
            r"random.split: a key must be uint32\[2\].*int64\[2\]",
        ),
        (lambda k: mg.random.normal(k, (-1,)), ValueError, "random.normal: shape and offset must be integers ≥ 0"),
        (lambda k: mg.random.normal(k, (2.5,)), TypeError, "random.normal: an entry of the shape must be an integer"),
        (
            lambda k: mg.random.uniform(k, (2,), offset=-1),
            ValueError,
            "random.uniform: shape and offset must be integers ≥ 0",
        ),
        (
            lambda k: mg.random.normal(k, (2,), dtype=int),
            TypeError,
            "random.normal: the dtype must be float32, float64 or bfloat16, got int64",
        ),
        (
            lambda k: mg.random.uniform(k, (2,), "float16"),
            TypeError,
            "random.uniform: the dtype must be float32, float64 or bfloat16",
        ),
        (lambda k: mg.random.bits(k, (2,), np.int32), TypeError, "random.bits: the dtype must be uint32, got int32"),
        (
            lambda k: mg.random.split(k, -1),
            ValueError,
            "random.split: the number of keys must be an integer ≥ 0, got -1",
        ),
        (lambda k: mg.random.split(k, 1.5), TypeError, "random.split: the number of keys must be an integer, got 1.5"),
        (
            lambda k: mg.random.fold_in(k, -1),
            ValueError,
            r"random.fold_in: the number must be in 0 … 2\*\*32 − 1, got -1",
        ),
        (lambda k: mg.random.fold_in(k, 2**32), ValueError, "random.fold_in: the number must be in"),
        (lambda k: mg.random.fold_in(k, 1.5), TypeError, "random.fold_in: the number must be one integer, got 1.5"),
        (
            lambda k: mg.random.fold_in(k, np.arange(2)),
            TypeError,
            r"random.fold_in: the number must be one integer, got int64\[2\]",
        ),
        (
            lambda k: mg.random.bernoulli(k, (3,), p=np.full((2, 3), 0.5)),
            ValueError,
            r"random.bernoulli: p float64\[2, 3\] does not broadcast to the shape \(3,\)",
        ),
    ],
)
def test_mistakes_are_named(make, kind, message):
    with pytest.raises(kind, match=message):
        make(mg.random.key(0))
