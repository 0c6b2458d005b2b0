"""minigrad/collectives/threads.py: threads as a group, their errors, and that nobody waits for ever."""

from __future__ import annotations

import signal
import threading
import time

import numpy as np
import pytest

from minigrad import backends
from minigrad.collectives import PeerError, all_sum, current, rank, run_in_threads, size
from tests.support.collectives import on_ranks


def exchange(arrays):
    """What the others send: arrays[r] goes to process r."""
    received = [np.empty_like(array) for array in arrays]
    current().exchange(backends.get("cpu"), arrays, received)
    return received


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_are_ordered_by_rank(workers):
    assert run_in_threads(lambda: (rank(), size()), workers) == [(r, workers) for r in range(workers)]
    assert size() == 1


@pytest.mark.parametrize("shape", [(1,), (2, 3), (0,)])
def test_everybody_gets_what_is_sent_to_it(shape):
    found = on_ranks(lambda r: exchange([np.full(shape, 10 * r + to) for to in range(3)]), 3)
    for r, received in enumerate(found):
        for sender in {0, 1, 2} - {r}:
            np.testing.assert_array_equal(received[sender], np.full(shape, 10 * sender + r))


def test_arrays_may_be_changed_after_an_exchange():
    def f(r):
        found = []
        sent = np.zeros(2)
        for step in range(50):
            sent[...] = 10 * step + r
            found.append(exchange([sent, sent])[1 - r][0])
        return found

    zero, one = on_ranks(f, 2)
    assert zero == [10 * step + 1 for step in range(50)] and one == [10 * step for step in range(50)]


def test_values_are_shared_by_rank():
    assert (
        on_ranks(lambda r: [current().share({"r": r}), current().share(r * r)], 3)
        == [[[{"r": 0}, {"r": 1}, {"r": 2}], [0, 1, 4]]] * 3
    )


@pytest.mark.parametrize("failing", [0, 2])
@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_in_one_thread_stops_the_others_and_is_raised(failing, kind):
    told = []

    def f(r):
        if r == failing:
            all_sum(1.0)
            raise kind("full disk")
        try:
            all_sum(1.0)
            all_sum(np.ones(3))
        except PeerError as error:
            told.append(str(error))
            raise

    started = time.monotonic()
    with pytest.raises(kind, match="full disk"):
        on_ranks(f, 3)
    assert told == ["another thread of the group has stopped"] * 2
    assert time.monotonic() - started < 10


def test_of_several_errors_the_first_is_raised_even_after_a_peer_error():
    def f(r):
        if r == 2:
            raise ValueError("the cause")
        try:
            all_sum(1.0)
        except PeerError:
            if r == 1:
                raise RuntimeError("while cleaning up") from None
            raise

    with pytest.raises((ValueError, RuntimeError)) as caught:
        on_ranks(f, 3)
    assert not isinstance(caught.value, PeerError)


@pytest.mark.parametrize("waiting", [0, 1])
def test_nobody_waits_for_a_thread_that_has_ended(waiting):
    with pytest.raises(PeerError, match="another thread of the group has ended"):
        on_ranks(lambda r: [all_sum(1.0) for _ in range(2 + (r == waiting))], 3)


def test_later_exchanges_fail_too_and_a_new_group_works():
    def f(r):
        if r == 1:
            raise ValueError("gone")
        for _ in range(3):
            with pytest.raises(PeerError):
                current().share(r)

    with pytest.raises(ValueError, match="gone"):
        on_ranks(f, 2)
    assert on_ranks(lambda r: float(all_sum(r + 1.0)), 2) == [3, 3]


def test_stop_reports_and_stops_the_others():
    told = []

    def f(r):
        if r == 0:
            return current().stop(3, "full disk", told.append)
        with pytest.raises(PeerError):
            all_sum(1.0)
        return current().stop(1, None, told.append)

    assert on_ranks(f, 2) == [3, 1] and told == ["full disk"]


def test_ctrl_c_stops_the_threads():
    """The main thread waits for them; they stop at their next exchange."""
    stopped, deadline = [], time.monotonic() + 10

    def work():
        try:
            while time.monotonic() < deadline:
                all_sum(1.0)
                if rank() == 0 and not stopped:
                    stopped.append("asked")
                    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        except PeerError:
            stopped.append(rank())

    with pytest.raises(KeyboardInterrupt):
        run_in_threads(work, 2)
    while len(stopped) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert sorted(map(str, stopped)) == ["0", "1", "asked"]
