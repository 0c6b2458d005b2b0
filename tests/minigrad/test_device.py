"""Moving trees between devices, and exchanging arrays with other libraries."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from tests.support import (
    stand_in,  # noqa: F401  (registers itself)
)
from tests.support.environment import optional


def test_to_device_moves_trees():
    params = {"w": np.ones(2), "n": 3, "none": None}
    moved = mg.to_device(params, "stand-in")
    assert mg.device_of(moved["w"]) == "stand-in" and moved["n"] == 3 and moved["none"] is None
    back = mg.to_device(moved, "cpu")
    assert type(back["w"]) is np.ndarray and np.array_equal(back["w"], params["w"])
    assert mg.to_device(params, "cpu")["w"] is params["w"]


def test_a_gpu_is_asynchronous_and_the_host_is_not():
    assert mg.device.is_asynchronous("stand-in") and not mg.device.is_asynchronous("cpu")
    with pytest.raises(ValueError, match="unknown device 'tpu'"):
        mg.device.is_asynchronous("tpu")


def test_without_a_gpu_the_error_says_what_to_do():
    try:
        mg.to_device(np.ones(1), "cuda")
    except mg.DeviceError as error:
        assert "install" in str(error) or "GPU" in str(error)


def test_lists_of_numbers_become_arrays():
    assert mg.sum([1.0, 2.0]) == 3 and mg.add(np.ones(2), [1, 2]).tolist() == [2, 3]


# DLPack


def test_dlpack_in_and_out():
    torch = optional("torch", extra="bench")
    theirs = torch.arange(4, dtype=torch.float64)
    x = mg.from_dlpack(theirs)
    assert type(x) is np.ndarray and mg.asarray(theirs).dtype == np.float64
    theirs[0] = 7
    assert x[0] == 7  # shared memory
    gradient = mg.grad(lambda x: mg.sum(x**2))(x)
    back = torch.from_dlpack(gradient)
    assert back.tolist() == [14, 2, 4, 6]
    back[0] = 1
    assert gradient[0] == 1


def test_asarray(xp):
    assert mg.asarray([[1, 2], [3, 4]]).shape == (2, 2) and mg.asarray(3.0).shape == ()
    x = xp.ones(2)
    assert mg.asarray(x) is x
    assert float(mg.grad(lambda x: mg.sum(mg.asarray(x)))(x)[0]) == 1
    with pytest.raises(TypeError, match="does not support DLPack"):
        mg.from_dlpack([1.0])
