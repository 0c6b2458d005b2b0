"""minigrad/program/cpu/recycling.py: the memory of a result is used again, but never while anybody can see it."""

from __future__ import annotations

import copy
import ctypes
import gc
import pickle
import threading
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad.backends.numpy.backend import BACKEND
from minigrad.program.cpu import recycling
from minigrad.program.cpu.recycling import MOST, Buffer, Pool, alias
from minigrad.program.graph import Kind
from minigrad.program.tuning import Tuning

pytestmark = pytest.mark.skipif(recycling._NOBODY < 0, reason="references cannot be counted here")

KIND = Kind((6, 4), np.dtype("f8"))


def make():
    return Buffer(BACKEND, KIND, 64)


def test_a_buffer_is_aligned_and_shown_by_its_array():
    buffer = make()
    array = buffer.array()
    assert (array.shape, array.dtype) == KIND and array.ctypes.data == buffer.address and buffer.address % 64 == 0
    assert array.flags.c_contiguous and array.flags.writeable and array.flags.aligned


def test_memory_is_free_before_and_after_somebody_sees_it():
    buffer = make()
    assert buffer.is_free() and buffer.is_free()
    array = buffer.array()
    assert not buffer.is_free()
    other = buffer.array()
    del array
    assert not buffer.is_free()
    del other
    assert buffer.is_free()


class Array(np.ndarray):
    """A class of arrays of a user."""


class Interface:
    """Shares an array by NumPy's protocol."""

    def __init__(self, array):
        self.array = array
        self.__array_interface__ = array.__array_interface__


def leave_a_cycle(array):
    found = [array]
    found.append(found)


def raise_and_keep(array):
    try:
        raise ValueError
    except ValueError as error:
        return error


SEEN = {
    "a view": lambda a: a[1:, ::-2],
    "a view of a view": lambda a: a[1:].T[0],
    "one element as an array": lambda a: a[2, 3, ...],
    "another shape": lambda a: a.reshape(-1),
    "another dtype": lambda a: a.view(np.int32),
    "another class": lambda a: a.view(Array),
    "a view of another class": lambda a: a.view(Array)[1:].view(np.ndarray),
    "a masked array": lambda a: np.ma.masked_array(a, copy=False),
    "a record array": lambda a: a.view([("a", "f8"), ("b", "f8")])["b"],
    "the real part": lambda a: a.view(complex).imag,
    "strides": lambda a: np.lib.stride_tricks.as_strided(a, (2, 2), (8, 8)),
    "windows": lambda a: np.lib.stride_tricks.sliding_window_view(a, 2, axis=0),
    "broadcast": lambda a: np.broadcast_to(a, (2, 6, 4)),
    "the base": lambda a: a.base,
    "a memoryview": memoryview,
    "data": lambda a: a.data,
    "a slice of a memoryview": lambda a: memoryview(a)[2:],
    "a memoryview cast": lambda a: memoryview(a).cast("B"),
    "a buffer of a pickle": pickle.PickleBuffer,
    "buffers of a pickle": lambda a: (lambda kept: (pickle.dumps(a, 5, buffer_callback=kept.append), kept))([]),
    "an array of a buffer": lambda a: np.frombuffer(a, np.uint8),
    "ctypes from a buffer": lambda a: (ctypes.c_char * 8).from_buffer(a),
    "a ctypes pointer": lambda a: a.ctypes.data_as(ctypes.c_void_p),
    "ctypes": lambda a: np.ctypeslib.as_ctypes(a),
    "a DLPack capsule": lambda a: a.__dlpack__(),
    "DLPack": np.from_dlpack,
    "the array interface": lambda a: np.asarray(Interface(a)),
    "an object with the array interface": Interface,
    "an iterator": iter,
    "a flat iterator": lambda a: a.flat,
    "NumPy's iterator": lambda a: np.nditer(a),
    "a list": lambda a: [a],
    "an array of arrays": lambda a: np.array([a, None], object)[:1],
    "a generator": lambda a: (x for x in [a]),
    "a function": lambda a: lambda: a,
    "a method": lambda a: a.sum,
    "an unreachable cycle": leave_a_cycle,
    "an error's traceback": raise_and_keep,
}


@pytest.mark.parametrize("how", SEEN)
def test_memory_is_not_free_while_it_is_seen_by(how):
    gc.collect()
    gc.disable()
    try:
        buffer = make()
        seen = SEEN[how](buffer.array())
        assert not buffer.is_free()
        del seen
        gc.collect()
        assert buffer.is_free()
    finally:
        gc.enable()


UNSEEN = {
    "a copy": lambda a: a.copy(),
    "a number": lambda a: a[0, 0],
    "a pickle": pickle.dumps,
    "a deep copy": copy.deepcopy,
    "bytes": bytes,
    "a list of numbers": lambda a: a.tolist(),
    "a weak reference": weakref.ref,
    "a weak reference to a view": lambda a: weakref.ref(a[1:]),
    "a key of a dictionary of weak references": lambda a: weakref.WeakValueDictionary({0: a}),
    "a description": lambda a: (a.shape, a.strides, a.dtype, repr(a), a.flags.writeable),
}


@pytest.mark.parametrize("how", UNSEEN)
def test_memory_is_free_when_only_this_is_left(how):
    buffer = make()
    buffer.array()[...] = 0
    kept = UNSEEN[how](buffer.array())
    assert buffer.is_free(), kept


def test_a_weak_reference_to_the_base_can_see_the_memory_again():
    buffer = make()
    reference = weakref.ref(buffer.array().base)
    assert reference() is not None
    assert not buffer.is_free()
    del reference
    assert buffer.is_free()


class Asks:
    """Asks, whenever it is copied or pickled, whether a buffer is free."""

    def __init__(self, buffer):
        self.buffer, self.answers = buffer, []

    def __reduce__(self):
        self.answers.append(self.buffer.is_free())
        return int, ()


@pytest.mark.parametrize("work", [pickle.dumps, copy.deepcopy])
def test_memory_is_not_free_while_it_is_copied_or_pickled(work):
    buffer = make()
    asks = Asks(buffer)
    work([buffer.array(), asks])
    assert asks.answers == [False]
    assert buffer.is_free()


def test_memory_is_not_free_while_another_thread_sees_it():
    buffer, begin, end = make(), threading.Event(), threading.Event()

    def look(array):
        begin.set()
        end.wait()
        del array

    thread = threading.Thread(target=look, args=[buffer.array()])
    thread.start()
    begin.wait()
    assert not buffer.is_free()
    end.set()
    thread.join()
    del thread
    assert buffer.is_free()


def test_memory_outlives_its_buffer():
    buffer = make()
    array = buffer.array()
    array[...] = 7
    del buffer
    gc.collect()
    np.empty(24)[...] = 0
    assert np.all(array == 7)


def test_where_references_cannot_be_counted_nothing_is_free(monkeypatch):
    monkeypatch.setattr(recycling.sys.implementation, "name", "pypy")
    assert recycling._count_nobody() == -1
    monkeypatch.undo()
    monkeypatch.setattr(recycling.sys, "_is_gil_enabled", lambda: False, raising=False)
    assert recycling._count_nobody() == -1
    monkeypatch.setattr(recycling, "_NOBODY", -1)
    assert not make().is_free()


# The pool


def test_addresses_repeat_when_results_are_dropped():
    pool = Pool(BACKEND, 64)
    first = pool.take(0, KIND)
    assert pool.take(0, KIND) is first
    array = first.array()
    second = pool.take(0, KIND)
    assert second is not first
    del array
    assert pool.take(0, KIND) is first


def test_slots_share_no_memory():
    pool = Pool(BACKEND, 64)
    a, b = pool.take(0, KIND).array(), pool.take(1, KIND).array()
    assert not np.shares_memory(a, b)


def test_a_pool_keeps_a_few_buffers():
    """And forgets the oldest, so that results which a user keeps do not add up."""
    pool = Pool(BACKEND, 64)
    kept = [pool.take(0, KIND).array() for _ in range(10)]
    assert len({array.ctypes.data for array in kept}) == 10 and len(pool._buffers[0]) == MOST
    addresses = {buffer.address for buffer in pool._buffers[0]}
    assert addresses == {array.ctypes.data for array in kept[-MOST:]}
    kept.clear()
    assert pool.take(0, KIND).address in addresses


# Aliases


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i4", "u4", "?", "c16"])
@pytest.mark.parametrize("shape", [(6, 4), (1,), (), (0, 3)])
def test_an_alias_is_an_array_at_an_address(shape, dtype):
    array = np.arange(24).astype(dtype)
    found = alias(array.ctypes.data, Kind(shape, np.dtype(dtype)))
    assert found.shape == shape and found.dtype == dtype and found.flags.c_contiguous
    if found.size:
        np.testing.assert_array_equal(found.reshape(-1), array[: found.size])
        found[...] = 1
        assert array[0] == 1


def test_an_alias_keeps_nothing_alive():
    buffer = make()
    kept = alias(buffer.address, KIND)
    assert buffer.is_free() and kept.shape == (6, 4)


# Programs


def jitted(f):
    return mg.jit(f, tuning=Tuning(small_result=0, worth_compiling=None))


def test_results_that_are_dropped_are_written_over_and_others_are_not():
    f, x = jitted(lambda x: (mg.exp(x), mg.tanh(x) * 2)), np.linspace(-1, 1, 24).reshape(6, 4)
    kept, addresses = [], set()
    for k in range(12):
        first, second = f(x + k)
        addresses.add(first.ctypes.data)
        for array, before in kept:
            np.testing.assert_array_equal(array, before)
        if k % 4 == 3:
            kept.append((memoryview(second[::2]), np.tanh(x + k)[::2] * 2))
    assert len(addresses) <= 2 and len(kept) == 3


def test_results_of_threads_stay_as_they_are():
    f, wrong = jitted(mg.exp), []

    def work(seed):
        rng, kept = np.random.default_rng(seed), []
        for _ in range(200):
            x = rng.normal(size=(6, 4))
            kept = [*kept[-4:], (f(x), np.exp(x))]
            wrong.extend(y for y, expected in kept if not np.array_equal(y, expected))

    threads = [threading.Thread(target=work, args=[seed]) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_results_outlive_their_program():
    f, x = jitted(mg.exp), np.linspace(-1, 1, 24)
    y = f(x)
    del f
    gc.collect()
    np.testing.assert_array_equal(y, np.exp(x))


def test_a_failed_run_frees_the_memory_of_its_results(monkeypatch):
    f, x = jitted(mg.exp), np.linspace(-1, 1, 24)
    address = f(x).ctypes.data
    executor = f.program(x)._executor
    with monkeypatch.context() as patch:
        patch.setattr(executor, "_bind", lambda addresses: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            f(x)
    assert f(x).ctypes.data == address


def test_released_memory_is_that_of_nobody():
    pool = Pool(BACKEND, 64)
    kept = pool.take(0, KIND).array()
    kept[...] = 7
    pool.release()
    others = [pool.take(0, KIND).array() for _ in range(MOST)]
    assert not any(np.shares_memory(kept, other) for other in others) and np.all(kept == 7)


def test_results_stay_as_they_are_when_memory_is_released_between_runs():
    f, x = jitted(lambda x: (mg.exp(x), mg.tanh(x))), np.linspace(-1, 1, 24)
    kept = []
    for k in range(6):
        kept.append((f(x + k), (np.exp(x + k), np.tanh(x + k))))
        f.program(x)._executor.release()
        for found, expected in kept[-2:]:
            np.testing.assert_array_equal(found, expected)
