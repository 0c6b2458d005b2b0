"""Devices that do not mix, trees that move between them, and arrays of other libraries."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from unittest import mock

import numpy as np
import pytest

import minigrad as mg
from minigrad import backends
from minigrad.backends.cuda import backend as ours
from minigrad.backends.cuda import failures
from minigrad.backends.numpy.backend import BACKEND as HOST
from tests.support import (
    fake_cupy,
    stand_in,  # noqa: F401  (registers itself)
)
from tests.support.fake_cupy import Array, CUBLASError, CUDARuntimeError, OutOfMemoryError
from tests.support.world import optional


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


def test_numbers_that_change_their_dtype_stay_numbers():
    """As an optimiser's rate does, before it meets parameters that may be anywhere."""
    there = mg.to_device(np.ones(2, np.float32), "elsewhere")
    for number in (2.0, np.float64(2), np.int64(2)):
        halved = mg.multiply(there, mg.astype(number, np.float32) / 4)
        assert (mg.device_of(halved), halved.dtype) == ("elsewhere", np.float32)
    x = np.ones(2)
    assert mg.astype(x, np.float64) is not x  # an array is copied


def test_to_device_moves_trees():
    params = {"w": np.ones(2), "n": 3, "none": None}
    moved = mg.to_device(params, "elsewhere")
    assert mg.device_of(moved["w"]) == "elsewhere" and moved["n"] == 3 and moved["none"] is None
    back = mg.to_device(moved, "cpu")
    assert type(back["w"]) is np.ndarray and np.array_equal(back["w"], params["w"])
    assert mg.to_device(params, "cpu")["w"] is params["w"]


def test_a_gpu_is_asynchronous_and_the_host_is_not():
    assert mg.device.is_asynchronous("elsewhere") and not mg.device.is_asynchronous("cpu")
    with pytest.raises(ValueError, match="unknown device 'tpu'"):
        mg.device.is_asynchronous("tpu")


def test_without_a_gpu_the_error_says_what_to_do():
    try:
        mg.to_device(np.ones(1), "cuda")
    except mg.DeviceError as error:
        assert "install" in str(error) or "GPU" in str(error)


def test_unknown_devices_and_arrays():
    with pytest.raises(ValueError, match="unknown device 'gpu': use 'cpu' or 'cuda'"):
        mg.to_device(np.ones(1), "gpu")
    with pytest.raises(ValueError, match=r"unknown device 'cuda:1': .*; choose a GPU with CUDA_VISIBLE_DEVICES"):
        mg.to_device(np.ones(1), "cuda:1")
    with pytest.raises(TypeError, match=r"not an array: builtins.str; pass a NumPy or CuPy array or a number"):
        mg.sin("1.0")
    for stranger in (np.ma.masked_array([1.0]), object(), {"a": 1.0}):
        with pytest.raises(TypeError, match=r"not an array: .*; pass a NumPy or CuPy array or a number"):
            backends.backend_of((stranger,))


def test_lists_of_numbers_become_arrays():
    assert mg.sum([1.0, 2.0]) == 3 and mg.add(np.ones(2), [1, 2]).tolist() == [2, 3]


# GPUs that are pretended


@pytest.fixture
def gpu():
    """Makes fake_cupy.Array an array of a device "cuda" with these parts."""
    with mock.patch.dict(backends._by_device), mock.patch.dict(backends._by_type):
        backends._by_type.pop(Array, None)

        def make(xp, **parts):
            parts |= {"array_type": Array, "explain": partial(failures.explain, xp)}
            backends._by_device["cuda"] = replace(HOST, name="cupy", device="cuda", xp=xp, **parts)

        yield make


def test_arrays_of_two_gpus_do_not_mix(gpu):
    gpu(xp=fake_cupy.cupy(count=2), guard=ours._guard(0))
    here, there = Array(3), Array(2, 3, gpu=1)
    message = (
        r"^float32\[2, 3\] is on cuda:1 and minigrad computes on one GPU at a time, here cuda:0: copy it there with"
    )
    for f in (
        lambda: mg.add(here, there),
        lambda: mg.add(there, there),
        lambda: mg.grad(lambda x: mg.sum(x * there))(here),
        lambda: mg.jit(mg.add)(here, there),
        lambda: mg.to_device(there, "cuda"),
        lambda: mg.device_of(there),
    ):
        with pytest.raises(mg.DeviceError, match=message):
            f()
    assert mg.device_of(here) == "cuda" and Array not in backends._by_type  # so that every one is looked at
    with pytest.raises(
        mg.DeviceError, match=r"two devices: float64\[2\] on cpu \(numpy\), float32\[3\] on cuda \(cupy\)"
    ):
        mg.add(np.ones(2), here)


def test_one_gpu_is_not_looked_at_twice(gpu):
    gpu(xp=fake_cupy.cupy())
    assert mg.device_of(Array(3)) == "cuda" and backends._by_type[Array].device == "cuda"


def test_what_is_no_array_of_cupy(gpu):
    gpu(xp=fake_cupy.cupy())
    stream = type("Stream", (), {"__module__": "cupy.cuda.stream"})()
    with pytest.raises(TypeError, match=r"not an array: cupy.cuda.stream.Stream; pass"):
        mg.sin(stream)


@pytest.mark.parametrize(
    "error, what",
    [
        (OutOfMemoryError(8 * 2**30, 2**30), r"\(asked for 8 GiB, 2 GiB of 140 GiB free\)"),
        (OutOfMemoryError(2**30, 0, 2**29), r"\(asked for 1 GiB, 2 GiB of 140 GiB free, CuPy may take 512 MiB\)"),
        (CUDARuntimeError(2), r"\(cudaErrorMemoryAllocation: out of memory, 2 GiB of 140 GiB free\)"),
        (CUBLASError("CUBLAS_STATUS_ALLOC_FAILED"), r"\(CUBLAS_STATUS_ALLOC_FAILED, 2 GiB of 140 GiB free\)"),
    ],
)
def test_a_gpu_out_of_memory(gpu, error, what):
    module = fake_cupy.cupy()
    module.exp = fake_cupy.raising(error)
    gpu(xp=module, from_host=fake_cupy.raising(error))
    with pytest.raises(
        mg.OutOfMemoryError, match=rf"^exp\(float32\[4, 5\]\): not enough memory on the GPU {what}: use a "
    ):
        mg.exp(Array(4, 5))
    message = rf"^to_device\(float64\[2, 3\], 'cuda'\): not enough memory on the GPU {what}: use a smaller batch$"
    with pytest.raises(MemoryError, match=message):
        mg.to_device({"w": np.ones((2, 3))}, "cuda")
    module.cuda.runtime.memGetInfo = fake_cupy.raising(CUDARuntimeError(700))
    with pytest.raises(
        mg.OutOfMemoryError, match=r"^exp\(float32\[4, 5\]\): not enough memory on the GPU \((?!.*free)"
    ):
        mg.exp(Array(4, 5))


def test_a_gpu_that_fails(gpu):
    module = fake_cupy.cupy()
    gpu(xp=module)
    module.exp = fake_cupy.raising(CUDARuntimeError(700))
    with pytest.raises(
        mg.DeviceError, match=r"^exp\(float32\[3\]\): cudaErrorIllegalAddress: .*; the GPU failed, start anew"
    ):
        mg.exp(Array(3))
    module.exp = fake_cupy.raising(RuntimeError("not CuPy's"))
    with pytest.raises(RuntimeError, match=r"^not CuPy's$"):
        mg.exp(Array(3))


def test_a_host_out_of_memory():
    x = np.broadcast_to(np.ones(1), (2**30, 2**26))  # 2⁵⁹ bytes, if they were written out
    message = (
        r"^multiply\(float64\[1073741824, 67108864\], float64\[1073741824, 67108864\]\): not enough memory here "
        r"\(asked for 524,288 TiB\): use a smaller batch$"
    )
    for f in (mg.multiply, mg.grad(lambda x, y: mg.sum(x * y))):
        with pytest.raises(mg.OutOfMemoryError, match=message):
            f(x, x)


# DLPack


def test_dlpack_in_and_out():
    torch = optional("torch", extra="bench")
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
