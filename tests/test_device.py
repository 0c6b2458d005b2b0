"""Devices that do not mix, trees that move between them, and arrays of other libraries."""

from __future__ import annotations

import elsewhere  # noqa: F401  (registers itself)
import numpy as np
import pytest

import minigrad as mg
from minigrad import backends


def test_arrays_of_two_devices_do_not_mix():
    here, there = np.ones(2), mg.to_device(np.ones(2), "elsewhere")
    assert (mg.device_of(here), mg.device_of(there)) == ("cpu", "elsewhere")
    message = (
        r"two devices: float64\[2\] on cpu \(numpy\), float64\[2\] on elsewhere \(elsewhere\); move .* mg.to_device"
    )
    for f in (
        lambda: mg.add(here, there),
        lambda: mg.grad(lambda x: mg.sum(x * there))(here),
        lambda: mg.jvp(lambda x: mg.sum(x * there), (here,), (here,)),
    ):
        with pytest.raises(mg.DeviceError, match=message):
            f()
    with pytest.raises(mg.DeviceError):
        mg.concatenate([there, here])


def test_numbers_go_with_any_device():
    there = mg.to_device(np.ones(2, np.float32), "elsewhere")
    for number in (2, 2.0, np.float32(2), np.float64(2)):
        assert mg.device_of(mg.multiply(there, number)) == "elsewhere"
        assert mg.device_of(mg.grad(lambda x, n=number: mg.sum(n * x / n - n**x))(there)) == "elsewhere"
    assert mg.multiply(there, 2.0).dtype == np.float32
    assert mg.device_of(3.0) == "cpu"


def test_to_device_moves_trees():
    params = {"w": np.ones(2), "n": 3, "none": None}
    moved = mg.to_device(params, "elsewhere")
    assert mg.device_of(moved["w"]) == "elsewhere" and moved["n"] == 3 and moved["none"] is None
    back = mg.to_device(moved, "cpu")
    assert type(back["w"]) is np.ndarray and np.array_equal(back["w"], params["w"])
    assert mg.to_device(params, "cpu")["w"] is params["w"]


def test_without_a_gpu_the_error_says_what_to_do():
    try:
        mg.to_device(np.ones(1), "cuda")
    except mg.DeviceError as error:
        assert "install" in str(error) or "GPU" in str(error)


def test_unknown_devices_and_arrays():
    with pytest.raises(ValueError, match="unknown device 'gpu': use 'cpu' or 'cuda'"):
        mg.to_device(np.ones(1), "gpu")
    with pytest.raises(TypeError, match=r"not an array: builtins.str; pass a NumPy or CuPy array or a number"):
        mg.sin("1.0")
    for stranger in (np.ma.masked_array([1.0]), object(), {"a": 1.0}):
        with pytest.raises(TypeError, match=r"not an array: .*; pass a NumPy or CuPy array or a number"):
            backends.backend_of((stranger,))


def test_lists_of_numbers_become_arrays():
    assert mg.sum([1.0, 2.0]) == 3 and mg.add(np.ones(2), [1, 2]).tolist() == [2, 3]


# DLPack


def test_dlpack_in_and_out():
    torch = pytest.importorskip("torch", reason="PyTorch is an optional peer")
    theirs = torch.arange(4, dtype=torch.float64)
    x = mg.from_dlpack(theirs)
    assert type(x) is np.ndarray and mg.asarray(theirs).dtype == np.float64
    theirs[0] = 7
    assert x[0] == 7  # one memory
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
    with pytest.raises(TypeError, match="does not offer DLPack"):
        mg.from_dlpack([1.0])
