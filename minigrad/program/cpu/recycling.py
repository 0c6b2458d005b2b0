"""Memory of results, reused once nobody can see it any more.

A result is a view of a *handle*, an array of bytes. Every view of the result has the handle as its base, and whatever
shares its memory by the buffer protocol or DLPack holds such a view. So the memory is free when only the pool refers to
the handle. That relies on the reference counts of CPython with its GIL; elsewhere, memory is never reused.
"""

from __future__ import annotations

import sys
import weakref
from ctypes import c_char

import numpy as np

from minigrad.backends import Backend
from minigrad.program.buffers import allocate, array_at
from minigrad.program.graph import Kind

MOST = 3  # buffers kept for a result: one that is read, one that is written, and one that the user keeps


class _Memory:
    """The owner of a handle's memory. It is not an array, or it would be the base of the views itself."""

    def __init__(self, block: np.ndarray):
        self.block = block
        self.__array_interface__ = block.__array_interface__


class Buffer:
    """Memory for one result."""

    def __init__(self, backend: Backend, kind: Kind, alignment: int):
        self._kind = kind
        self._handle = np.asarray(_Memory(allocate(backend, kind.bytes, alignment)))
        self.address = backend.address(self._handle)

    def array(self) -> np.ndarray:
        """The result, to be handed out."""
        return array_at(self._handle, 0, self._kind)

    def is_free(self) -> bool:
        """Whether nobody can see the memory."""
        return _references(self) <= _NOBODY and not weakref.getweakrefcount(self._handle)


def _references(buffer: Buffer) -> int:
    return sys.getrefcount(buffer._handle)


def _count_nobody() -> int:
    """The references to a handle that nobody sees; −1 where they cannot be counted."""
    if sys.implementation.name != "cpython" or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return -1
    probe = Buffer.__new__(Buffer)
    probe._handle = np.empty(1, np.uint8)
    return _references(probe)


_NOBODY = _count_nobody()


class Pool:
    """The buffers of a program's results, by slot."""

    def __init__(self, backend: Backend, alignment: int):
        self._backend, self._alignment = backend, alignment
        self._buffers: dict[int, list[Buffer]] = {}

    def take(self, slot: int, kind: Kind) -> Buffer:
        """The first buffer that nobody sees, so that addresses repeat from run to run; a new one if there is none."""
        buffers = self._buffers.setdefault(slot, [])
        for buffer in buffers:
            if buffer.is_free():
                return buffer
        buffers.append(Buffer(self._backend, kind, self._alignment))
        if len(buffers) > MOST:
            del buffers[0]
        return buffers[-1]

    def release(self) -> None:
        """Keep no memory; that of results lives as long as they do."""
        self._buffers.clear()


def alias(address: int, kind: Kind) -> np.ndarray:
    """An array at an address that does not keep its memory alive: it may only be used while somebody else does."""
    if not kind.bytes:
        return np.empty(kind.shape, kind.dtype)
    return np.frombuffer((c_char * kind.bytes).from_address(address), kind.dtype).reshape(kind.shape)
