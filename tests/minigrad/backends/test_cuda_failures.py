"""Messages when a GPU is out of memory or fails."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.backends.cuda import failures
from tests.support import fake_cupy
from tests.support.fake_cupy import Array, CUBLASError, CUDARuntimeError, OutOfMemoryError


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
    module.exp = fake_cupy.raiser(error)
    gpu(xp=module, from_host=fake_cupy.raiser(error))
    with pytest.raises(
        mg.OutOfMemoryError, match=rf"^exp\(float32\[4, 5\]\): not enough memory on the GPU {what}: use a "
    ):
        mg.exp(Array(4, 5))
    message = rf"^to_device\(float64\[2, 3\], 'cuda'\): not enough memory on the GPU {what}: use a smaller batch$"
    with pytest.raises(MemoryError, match=message):
        mg.to_device({"w": np.ones((2, 3))}, "cuda")
    module.cuda.runtime.memGetInfo = fake_cupy.raiser(CUDARuntimeError(700))
    with pytest.raises(
        mg.OutOfMemoryError, match=r"^exp\(float32\[4, 5\]\): not enough memory on the GPU \((?!.*free)"
    ):
        mg.exp(Array(4, 5))


def test_a_gpu_that_fails(gpu):
    module = fake_cupy.cupy()
    gpu(xp=module)
    module.exp = fake_cupy.raiser(CUDARuntimeError(700))
    with pytest.raises(
        mg.DeviceError, match=r"^exp\(float32\[3\]\): cudaErrorIllegalAddress: .*; the GPU failed, restart the process"
    ):
        mg.exp(Array(3))
    module.exp = fake_cupy.raiser(RuntimeError("not CuPy's"))
    with pytest.raises(RuntimeError, match=r"^not CuPy's$"):
        mg.exp(Array(3))


def test_errors_not_from_the_gpu_are_not_explained():
    for error in (MemoryError("no"), RuntimeError("no"), ValueError("out of memory")):
        assert failures.explain(fake_cupy.cupy(), error, "exp(x)") is None


def test_a_wrong_argument_is_not_reported_as_a_gpu_failure():
    error = type("AxisError", (ValueError,), {"__module__": "cupy.exceptions"})("axis 3 is out of bounds")
    assert failures.explain(fake_cupy.cupy(), error, "sum(x)") is None
