"""Fixtures for tests of CUDA kernels."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from unittest import mock

import pytest

from minigrad import backends
from minigrad.backends.cuda import failures
from minigrad.backends.cuda.launch import Kernels
from minigrad.backends.numpy.backend import BACKEND as HOST
from tests.support.fake_cupy import Array


@pytest.fixture(scope="module", params=[2, 132], ids=["few processors", "many processors"])
def kernels(request, device):
    """Kernels for a small and for a large number of processors; the latter splits sums over many blocks."""
    return Kernels(device.xp, request.param)


@pytest.fixture
def gpu():
    """A function that registers a device "cuda" with fake_cupy.Array as its arrays, and with these parts."""
    with mock.patch.dict(backends._by_device), mock.patch.dict(backends._by_type):
        backends._by_type.pop(Array, None)

        def make(xp, **parts):
            parts |= {"array_type": Array, "explain": partial(failures.explain, xp)}
            backends._by_device["cuda"] = replace(HOST, name="cupy", device="cuda", xp=xp, **parts)

        yield make
