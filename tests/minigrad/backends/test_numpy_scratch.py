"""Scratch memory is kept between calls, private to a thread, and counted."""

from __future__ import annotations

import threading

import numpy as np

from minigrad.backends.numpy.scratch import KEPT, LINE, address, release_scratch, scratch, scratch_bytes


def test_memory_is_kept_under_its_name_and_grows():
    small = scratch("test", (3, 4), np.float32)
    assert small.shape == (3, 4) and small.dtype == np.float32 and address(small) % LINE == 0
    assert address(scratch("test", (2,), np.float64)) == address(small)  # for any dtype
    assert not np.may_share_memory(small, scratch("another test", (3, 4), np.float32))
    large = scratch("test", (1000,), np.float64)
    assert large.size == 1000 and address(scratch("test", (5,), np.int8)) == address(large)


def test_each_thread_has_its_own_memory_and_all_is_counted():
    mine, before, theirs, counted = scratch("test", (100,), np.float64), scratch_bytes(), [], []

    def work():
        theirs.append(scratch("test", (100_000,), np.float64))
        counted.append(scratch_bytes())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not np.may_share_memory(mine, theirs[0])
    assert counted[0] - before >= 800_000
    theirs.clear()
    assert scratch_bytes() <= before


def test_large_arrays_are_not_kept():
    small, before = scratch("test", (100,), np.int8), scratch_bytes()
    large = scratch("test", (KEPT + 1,), np.int8)
    assert large.nbytes == KEPT + 1 and address(large) % LINE == 0 and scratch_bytes() == before
    assert address(scratch("test", (1,), np.int8)) == address(small)


def test_release_frees_the_memory_of_all_threads():
    ready, released, found = threading.Event(), threading.Event(), []

    def work():
        mine = scratch("test", (1000,), np.float64)
        mine[:] = 1
        ready.set()
        released.wait()
        found.append(mine.sum())  # an array in use is left alone

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait()
    scratch("test", (1000,), np.float64)
    assert scratch_bytes() >= 16_000
    release_scratch()
    kept = scratch_bytes()
    released.set()
    thread.join()
    assert kept == 0 and found == [1000]
    assert scratch("test", (1000,), np.float64).size == 1000
