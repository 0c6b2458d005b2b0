"""Scratch memory is kept between calls, private to a thread, and counted."""

from __future__ import annotations

import threading

import numpy as np

from minigrad.backends.numpy.scratch import LINE, address, scratch, scratch_bytes


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
