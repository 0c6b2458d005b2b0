"""minigrad/collectives/group.py: the current group, a group of one, and pretended exchanges."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from minigrad import backends
from minigrad.collectives import all_gather, all_sum, current, join, rank, reduce_scatter, size
from minigrad.collectives.group import ALONE, rehearse
from tests.support.collectives import on_ranks, watched


class Member:
    """A group that cannot send."""

    def __init__(self, rank, size):
        self.rank, self.size, self.share, self.stop = rank, size, None, None


def test_without_a_group_there_is_one_process():
    assert current() is ALONE and (rank(), size()) == (0, 1)
    assert ALONE.share({"a": 1}) == [{"a": 1}]
    ALONE.exchange(backends.get("cpu"), [None], [None])


@pytest.mark.parametrize(("code", "message"), [(0, None), (3, "full disk")])
def test_one_process_reports_its_message_and_keeps_its_code(code, message):
    told = []
    assert ALONE.stop(code, message, told.append) == code
    assert told == ([] if message is None else [message])


def test_groups_nest_and_end_with_their_block():
    with join(Member(1, 3)) as outer:
        with pytest.raises(KeyError), join(Member(4, 5)):
            assert (rank(), size()) == (4, 5)
            raise KeyError
        assert current() is outer and (rank(), size()) == (1, 3)
    assert current() is ALONE


def test_another_thread_is_not_in_the_group():
    found = []
    with join(Member(1, 3)):
        thread = threading.Thread(target=lambda: found.append(size()))
        thread.start()
        thread.join()
    assert found == [1]


@pytest.mark.parametrize("shape", [(), (3,), (3, 5), (3, 0), (3, 2000)])
def test_a_rehearsal_sends_nothing_and_has_the_right_shapes(shape):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)

    def rehearsed(r):
        with watched() as sent, rehearse():
            results = [all_sum(x), all_gather(x), reduce_scatter(x) if shape else None]
        return results, sent

    real = on_ranks(lambda r: [all_sum(x), all_gather(x), reduce_scatter(x) if shape else None], 3)
    for (pretended, sent), expected in zip(on_ranks(rehearsed, 3), real, strict=True):
        assert sent == []
        for a, b in zip(pretended, expected, strict=True):
            assert np.shape(a) == np.shape(b) and getattr(a, "dtype", None) == getattr(b, "dtype", None)


def test_a_rehearsal_can_share():
    def shared(r):
        with rehearse():
            return rank(), size(), current().share(r)

    assert on_ranks(shared, 2) == [(0, 2, [0, 1]), (1, 2, [0, 1])]
