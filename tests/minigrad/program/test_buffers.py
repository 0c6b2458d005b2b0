"""minigrad/program/buffers.py: lifetimes, placement without overlaps, donated arguments, and address ranges."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.backends.numpy.backend import BACKEND
from minigrad.program.buffers import (
    FOREVER,
    Life,
    Memory,
    allocate,
    array_at,
    find_overwrites,
    fit,
    lifetimes,
    share_buffers,
    span,
)
from minigrad.program.graph import Kind
from minigrad.program.tuning import Tuning

F8 = np.dtype(np.float64)
KINDS = [Kind((n,), F8) for n in (1, 2, 3, 3)]


def test_a_buffer_lives_until_its_last_reader_or_forever():
    lives = lifetimes(KINDS, {1: 0, 2: 1, 3: 4}, reads=[(1, 3), (1, 1), (2, 4), (0, 9)], results=[3, 0])
    assert lives == {1: Life(16, 0, 3), 2: Life(24, 1, 4), 3: Life(24, 4, FOREVER)}


def test_a_result_takes_over_the_buffer_of_an_operand_that_it_alone_reads_last():
    lives = {1: Life(8, 0, 1), 2: Life(8, 1, 3), 3: Life(8, 3, FOREVER), 4: Life(8, 2, 4)}
    shared, homes = share_buffers(lives, [(2, 1), (4, 2), (3, 2), (5, 3), (3, 0)])
    assert shared == {1: Life(8, 0, FOREVER), 4: Life(8, 2, 4)}  # 4 is computed while 2 is still needed
    assert homes == {2: 1, 3: 1}


def test_an_unread_buffer_lives_while_it_is_computed():
    assert lifetimes(KINDS, {0: 5}, [], []) == {0: Life(8, 5, 5)}


sizes = st.one_of(st.integers(0, 300), st.integers(4000, 9000))


@st.composite
def some_lives(draw):
    lives = {}
    for key in range(draw(st.integers(1, 25))):
        born = draw(st.integers(0, 12))
        dies = draw(st.one_of(st.integers(born, 14), st.just(FOREVER)))
        lives[key] = Life(draw(sizes), born, dies)
    return lives


@given(lives=some_lives(), alignment=st.sampled_from([1, 16, 64]), smallest=st.sampled_from([0, 200, 1 << 12, 1 << 20]))
def test_buffers_that_live_at_the_same_time_do_not_overlap(lives, alignment, smallest):
    """At no time do two buffers share a byte, and none ends beyond the block."""
    offsets, size = fit(lives, Tuning(alignment=alignment, smallest_search=smallest))
    assert offsets.keys() == lives.keys()
    for key, (bytes, _, _) in lives.items():
        assert offsets[key] % alignment == 0 and 0 <= offsets[key] and offsets[key] + bytes <= size
    for (a, one), (b, other) in itertools.combinations(lives.items(), 2):
        if one.born <= other.dies and other.born <= one.dies:
            ends = offsets[a] + max(1, one.bytes), offsets[b] + max(1, other.bytes)
            assert ends[0] <= offsets[b] or ends[1] <= offsets[a]


@pytest.mark.parametrize("bytes", [64, 8192])
def test_a_chain_takes_two_buffers(bytes):
    """Each result is read only by the next one."""
    lives = {i: Life(bytes, i, i + 1) for i in range(20)}
    offsets, size = fit(lives, Tuning())
    assert size == 2 * bytes
    assert all(offsets[i] != offsets[i + 1] for i in range(19))


def test_a_large_buffer_goes_into_a_gap_that_fits():
    tuning = Tuning(alignment=1, smallest_search=0)
    lives = {"a": Life(50, 0, 9), "b": Life(40, 0, 3), "c": Life(30, 0, 9), "d": Life(20, 4, 9), "e": Life(20, 4, 9)}
    offsets, size = fit(lives, tuning)
    assert (offsets["a"], offsets["b"], offsets["c"]) == (0, 50, 90)
    assert sorted([offsets["d"], offsets["e"]]) == [50, 70] and size == 120


def test_a_small_buffer_reuses_only_a_place_of_its_size():
    lives = {"a": Life(10, 0, 0), "b": Life(100, 0, 0), "c": Life(10, 1, 1), "d": Life(100, 1, 1), "e": Life(10, 1, 1)}
    offsets, size = fit(lives, Tuning())
    assert offsets["c"] != offsets["e"] and offsets["a"] in (offsets["c"], offsets["e"])
    assert offsets["d"] == offsets["b"] and size == 64 + 128 + 64


def test_no_buffers_need_no_memory():
    assert fit({}, Tuning()) == ({}, 0)


# Donated arguments


def test_each_argument_is_overwritten_by_the_first_output_of_its_kind():
    kinds = [Kind((3,), F8), Kind((3,), F8), Kind((2,), F8), *[Kind((3,), F8)] * 3, Kind((2,), np.dtype(np.float32))]
    always = lambda argument, output: True
    assert find_overwrites(kinds, [3, 3, 4, 5, 6], [0, 1, 2], always) == {3: 0, 4: 1}
    assert find_overwrites(kinds, [3], [], always) == {}


def test_an_argument_that_is_still_read_is_not_overwritten():
    kinds, asked = [Kind((3,), F8)] * 4, []

    def is_done(argument, output):
        asked.append((argument, output))
        return (argument, output) != (0, 2)

    assert find_overwrites(kinds, [2, 3], [0, 1], is_done) == {2: 1, 3: 0}
    assert asked == [(0, 2), (1, 2), (0, 3)]


# Memory


@pytest.mark.parametrize("alignment", [1, 64, 4096])
def test_a_block_is_aligned_and_as_large_as_asked(alignment):
    block = allocate(BACKEND, 100, alignment)
    assert block.nbytes == 100 and BACKEND.address(block) % alignment == 0
    assert allocate(BACKEND, 0, alignment).nbytes == 0


def test_an_array_in_a_block_uses_the_memory_of_the_block():
    block = np.zeros(100, np.uint8)
    x = array_at(block, 16, Kind((2, 3), np.dtype(np.float32)))
    assert x.shape == (2, 3) and x.dtype == np.float32
    x[...] = 1
    np.testing.assert_array_equal(np.flatnonzero(block.reshape(25, 4).any(1)), range(4, 10))


BASE = np.zeros((6, 8))


@pytest.mark.parametrize(
    "array",
    [BASE, BASE[1:3], BASE[:, ::-1], BASE[::-2, 3:5].T, BASE[2, 3, ...], BASE[:0], np.broadcast_to(BASE[0], (9, 8))],
)
def test_the_span_of_an_array(array):
    """From the lowest address of an element to the end of the highest, found by visiting every element."""
    begin = [array[(*index, ...)].__array_interface__["data"][0] for index in np.ndindex(*array.shape)]
    begin = begin or [array.__array_interface__["data"][0]]
    assert span(BACKEND, array) == (min(begin), max(begin) + 8)


def test_memory_adds_up_and_is_printed():
    memory = Memory(1_000_000, 2_500_000, 0, 2_000)
    assert memory.total == 3_502_000
    assert str(memory) == (
        "intermediate 1.000 MB, results 2.500 MB, scratch 0.000 MB, kernels 0.002 MB, total 3.502 MB"
    )
