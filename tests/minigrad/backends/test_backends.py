"""Which backend an array belongs to; arrays of two devices, or of two (fake) GPUs, cannot be mixed."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest

import minigrad as mg
from minigrad import backends
from minigrad.backends.cuda import backend as ours
from tests.support import fake_cupy
from tests.support.cuda_shim import runtime
from tests.support.fake_cupy import Array


def test_arrays_of_two_devices_do_not_mix():
    here, there = np.ones(2), mg.to_device(np.ones(2), "stand-in")
    assert (mg.device_of(here), mg.device_of(there)) == ("cpu", "stand-in")
    message = r"two devices: float64\[2\] on cpu \(numpy\), float64\[2\] on stand-in \(stand-in\); move .* mg.to_device"
    for f in (
        lambda: mg.add(here, there),
        lambda: mg.grad(lambda x: mg.sum(x * there))(here),
        lambda: mg.jvp(lambda x: mg.sum(x * there), (here,), (here,)),
    ):
        with pytest.raises(mg.DeviceError, match=message):
            f()
    with pytest.raises(mg.DeviceError):
        mg.concatenate([there, here])


def test_numbers_work_on_any_device():
    there = mg.to_device(np.ones(2, np.float32), "stand-in")
    for number in (2, 2.0, np.float32(2), np.float64(2)):
        assert mg.device_of(mg.multiply(there, number)) == "stand-in"
        assert mg.device_of(mg.grad(lambda x, n=number: mg.sum(n * x / n - n**x))(there)) == "stand-in"
    assert mg.multiply(there, 2.0).dtype == np.float32
    assert mg.device_of(3.0) == "cpu"


def test_numbers_stay_numbers_after_astype():
    """So that an optimiser can cast its learning rate before it meets parameters on any device."""
    there = mg.to_device(np.ones(2, np.float32), "stand-in")
    for number in (2.0, np.float64(2), np.int64(2)):
        halved = mg.multiply(there, mg.astype(number, np.float32) / 4)
        assert (mg.device_of(halved), halved.dtype) == ("stand-in", np.float32)
    x = np.ones(2)
    assert mg.astype(x, np.float64) is not x  # an array is copied


def test_release_memory_releases_it_on_every_device():
    x = np.linspace(-1, 1, 10_000)
    mg.where(x > 0, x, 0.0)
    assert backends.get("cpu").scratch_bytes() >= x.nbytes
    with mock.patch.object(runtime.DEFAULT_POOL, "free_all_blocks") as free:
        backends.release_memory()
    assert backends.get("cpu").scratch_bytes() == 0
    free.assert_called_once_with()


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


def test_arrays_of_two_gpus_do_not_mix(gpu):
    gpu(xp=fake_cupy.cupy(count=2), guard=ours._make_guard(0))
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
    assert mg.device_of(here) == "cuda" and Array not in backends._by_type  # so that every array is checked
    with pytest.raises(
        mg.DeviceError, match=r"two devices: float64\[2\] on cpu \(numpy\), float32\[3\] on cuda \(cupy\)"
    ):
        mg.add(np.ones(2), here)


def test_with_one_gpu_the_device_of_arrays_is_cached(gpu):
    gpu(xp=fake_cupy.cupy())
    assert mg.device_of(Array(3)) == "cuda" and backends._by_type[Array].device == "cuda"


def test_other_objects_of_cupy_are_no_arrays(gpu):
    gpu(xp=fake_cupy.cupy())
    stream = type("Stream", (), {"__module__": "cupy.cuda.stream"})()
    with pytest.raises(TypeError, match=r"not an array: cupy.cuda.stream.Stream; pass"):
        mg.sin(stream)
