"""CuPy: the record of an NVIDIA GPU.

The only file that imports cupy, and only when a CuPy array or the word "cuda" first turns up.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from typing import Any

from minigrad.backends.backend import Backend, DeviceError
from minigrad.backends.cuda import convolution, diagnosis, elementwise, failures, indexing, nccl, streams, sums
from minigrad.backends.cuda.fingerprint import make_fingerprint
from minigrad.backends.cuda.graphs import make_recorder
from minigrad.backends.cuda.launch import Kernels
from minigrad.backends.cuda.namespace import namespace

LOCAL_RANKS = ("MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID")  # set by MPICH, Open MPI and Slurm


def load() -> Backend:
    """The CuPy backend for the current GPU, after two test kernels have compiled and run on it.

    Of several processes that mpiexec or Slurm started on this machine, each gets a GPU of its own as long as there are
    enough, unless the program has chosen another than the first.

    Raises DeviceError, saying what to install or change, if there is no usable GPU.
    """
    wheel = diagnosis.installed_wheel()
    try:
        import cupy

        with suppress(Exception):  # the check says what is wrong
            _choose_gpu(cupy)
        diagnosis.check(cupy, wheel)
    except DeviceError:
        raise
    except Exception as error:  # a broken package may raise anything
        raise DeviceError(diagnosis.explain_import(error, wheel)) from None
    backend, runtime = _backend(cupy), cupy.cuda.runtime
    return backend if runtime.getDeviceCount() == 1 else replace(backend, guard=_make_guard(runtime.getDevice()))


def _choose_gpu(cupy: Any) -> None:
    """Make a GPU of its own the current one of this process: of n GPUs, number r mod n for process r of a machine."""
    rank = next((int(os.environ[name]) for name in LOCAL_RANKS if os.environ.get(name, "").isdigit()), 0)
    if rank and cupy.cuda.runtime.getDevice() == 0:  # a single GPU, or one chosen by the program, stays as it is
        cupy.cuda.runtime.setDevice(rank % cupy.cuda.runtime.getDeviceCount())


def _backend(cupy: Any) -> Backend:
    import cupyx
    from cupyx.scipy.special import erf

    raising = partial(cupyx.errstate, linalg="raise")
    return make_backend(cupy, erf, cupy.cuda.Device().attributes["MultiProcessorCount"], raising)


def _make_guard(home: int) -> Callable[[Any], None]:
    """A function that raises DeviceError for arrays on any GPU but number `home`."""

    def guard(array: Any) -> None:
        if array.device.id != home:
            raise DeviceError(
                f"{array.dtype}{list(array.shape)} is on cuda:{array.device.id} and minigrad computes on one GPU at a "
                f"time, here cuda:{home}: copy it there with x.copy() while that is CuPy's current device, or choose "
                "the GPU for everything with CUDA_VISIBLE_DEVICES"
            )

    return guard


def make_backend(
    cupy: Any,
    erf: Callable,
    processors: int,
    raising: Callable[[], AbstractContextManager] = nullcontext,
    name: str = "cupy",
    device: str = "cuda",
) -> Backend:
    """The backend of CuPy, or of its replacement in tests, on a device with this many multiprocessors (`processors`).

    Inside `raising()`, cuSOLVER failures raise LinAlgError, as in NumPy; by default CuPy ignores them.
    """
    kernels = Kernels(cupy, processors)
    return Backend(
        name=name,
        device=device,
        xp=namespace(cupy, raising),
        array_type=cupy.ndarray,
        block_bytes=kernels.block_bytes,
        threaded=False,
        bfloat16=False,
        asynchronous=True,
        where=partial(elementwise.where, cupy),
        erf=lambda x, out=None: erf(x, out=out),
        add_at=partial(indexing.add_at, cupy),
        random_bits=partial(streams.random_bits, kernels),
        random_uniform=partial(streams.random_uniform, kernels),
        random_normal=partial(streams.random_normal, kernels),
        matmul=lambda x1, x2, out=None: cupy.matmul(x1, x2, out=out),
        sum=partial(sums.sum, kernels),
        column_sums=partial(sums.column_sums, kernels),
        conv=partial(convolution.conv, kernels),
        conv_input=partial(convolution.conv_input, kernels),
        conv_kernel=partial(convolution.conv_kernel, kernels),
        from_host=cupy.asarray,
        to_host=cupy.asnumpy,
        address=lambda x: x.data.ptr,
        freeze=lambda x: x.copy() if isinstance(x, cupy.ndarray) else x,  # CuPy has no read-only arrays
        scratch=kernels.scratch,
        scratch_bytes=lambda: 0,  # scratch comes from CuPy's memory pool
        release=lambda: cupy.get_default_memory_pool().free_all_blocks(),
        fingerprint=make_fingerprint(cupy),
        explain=partial(failures.explain, cupy),
        recorder=make_recorder(cupy, kernels),
        connect=partial(nccl.connect, cupy),
    )
