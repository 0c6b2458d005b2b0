"""minigrad/collectives/sums.py: the bits of sums over processes, and how much is sent."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minigrad import backends
from minigrad.collectives import all_sum, owned_nodes, sum_shards
from minigrad.collectives.group import current
from minigrad.collectives.shards import divide
from minigrad.collectives.sums import SMALL, sum_over
from tests.support.collectives import on_ranks, tree_sum, watched

SHARDS = 8
SHAPES = [(), (1,), (3,), (7,), (2, 5), (SMALL // 4 - 1,), (SMALL // 4,), (SMALL // 4 + 1,), (41, 97), (0,), (3, 0)]


def bits(x):
    """The bits of a float32 array: -0.0 is not 0.0."""
    return np.asarray(x).view(np.int32).tolist()


def terms_of(shape, scale=1.0):
    """Random terms of very different sizes, so that their order matters."""
    rng = np.random.default_rng(math.prod(shape))
    size = 10.0 ** rng.uniform(-4, 4, (SHARDS, *shape))
    return (rng.standard_normal((SHARDS, *shape)) * size * scale).astype(np.float32)


def sum_in_shards(terms, workers):
    """The sums over all shards that each of the processes gets."""
    return on_ranks(
        lambda r: sum_shards([tree_sum(list(terms[first:last])) for first, last in owned_nodes(SHARDS)], SHARDS),
        workers,
    )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_sum_over_shards_has_the_same_bits_on_any_number_of_processes(shape):
    terms = terms_of(shape)
    expected = tree_sum(list(terms))
    for workers in range(1, SHARDS + 1):
        for found in sum_in_shards(terms, workers):
            assert np.shape(found) == shape and found.dtype == np.float32
            assert bits(found) == bits(expected), workers


def test_the_order_matters_for_these_terms():
    terms = terms_of((97,))
    assert bits(tree_sum(list(terms))) != bits(np.sum(terms, axis=0)) != bits(tree_sum(list(terms[::-1])))


@pytest.mark.parametrize("shape", [(), (5,), (SMALL, 2)], ids=str)
@pytest.mark.parametrize("workers", [1, 2, 3, 5, 7])
def test_a_sum_over_processes_is_the_same_on_all(shape, workers):
    terms = terms_of(shape)[:workers]
    found = on_ranks(lambda r: all_sum(terms[r]), workers)
    assert all(bits(each) == bits(tree_sum(list(terms))) for each in found)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.complex128, np.int64])
def test_other_dtypes(dtype):
    terms = (np.random.default_rng(2).standard_normal((3, 300)) * 100).astype(dtype)
    for found in on_ranks(lambda r: all_sum(terms[r]), 3):
        np.testing.assert_array_equal(found, tree_sum(list(terms)), strict=True)


def test_arrays_that_are_not_contiguous():
    terms = np.random.default_rng(3).standard_normal((3, 60, 50))
    for ways in ([lambda x: x.T, np.asfortranarray, lambda x: x[::-1, ::2]], [lambda x: x[:, 1:]] * 3):
        arrays = [way(x) for way, x in zip(ways, terms, strict=True)]
        arrays = [np.resize(a, arrays[0].shape) if a.shape != arrays[0].shape else a for a in arrays]
        for found in on_ranks(lambda r, arrays=arrays: all_sum(arrays[r]), 3):
            np.testing.assert_array_equal(found, tree_sum([np.array(a) for a in arrays]))


@pytest.mark.parametrize("workers", range(1, SHARDS + 1))
@pytest.mark.parametrize("length", [10_007, 30_000])
def test_a_process_sends_at_most_twice_the_bytes_of_a_large_sum(workers, length):
    terms = np.ones((SHARDS, length), np.float32)

    def sent(r):
        with watched() as exchanges:
            sum_shards([tree_sum(list(terms[a:b])) for a, b in owned_nodes(SHARDS)], SHARDS)
        return exchanges

    for r, exchanges in enumerate(on_ranks(sent, workers)):
        nodes = len(divide([(0, SHARDS)], workers)[r])
        assert len(exchanges) == (1 if workers == 1 else 2)  # a reduce-scatter and an all-gather
        total = sum(map(sum, exchanges))
        rounds = 4 * (nodes + 1) * workers  # a piece is at most one element longer than another
        assert total <= 2 * terms[0].nbytes + rounds
        assert abs(total - (nodes + 1) * (workers - 1) / workers * terms[0].nbytes) <= rounds


def test_a_small_sum_takes_one_exchange():
    def sent(r, length):
        with watched() as exchanges:
            all_sum(np.ones(length, np.float32))
        return exchanges

    assert on_ranks(lambda r: sent(r, SMALL // 4), 2) == [[[0, SMALL]], [[SMALL, 0]]]
    assert [len(each) for each in on_ranks(lambda r: sent(r, SMALL // 4 + 1), 2)] == [2, 2]


@pytest.mark.parametrize("length", [3, 5000])
@pytest.mark.parametrize("workers", [1, 3])
def test_a_sum_is_new_memory_and_leaves_its_terms_alone(length, workers):
    def check(r):
        parts = [np.full(length, r + 1.0) for _ in divide([(0, 3)], workers)[r]]
        total = sum_over(current(), backends.get("cpu"), divide([(0, 3)], workers), parts, (0, 3))
        assert not any(np.shares_memory(total, part) for part in parts)
        assert all((part == r + 1).all() for part in parts)
        total[...] = np.nan  # nobody else sees it
        return True

    assert all(on_ranks(check, workers))
