"""CuPy: an NVIDIA GPU. The only file that imports cupy, and only when a CuPy array or the word "cuda" turns up."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from minigrad.backends.backend import Backend, DeviceError, Recorder, stored
from minigrad.backends.cuda import diagnosis, failures
from minigrad.backends.cuda.codegen import PRELUDE, THREADS
from minigrad.backends.cuda.launch import Kernels, source

BRANCHES = 8  # of a graph, side by side


def load() -> Backend:
    """The CuPy backend, for the GPU that is current now and has just compiled and run two kernels.

    Raises DeviceError, saying what to install or change, where there is none that can.
    """
    wheel = diagnosis.the_wheel()
    try:
        import cupy

        diagnosis.check(cupy, wheel)
    except DeviceError:
        raise
    except Exception as error:  # a broken package may raise anything
        raise DeviceError(diagnosis.of_cupy(error, wheel)) from None
    backend, runtime = _backend(cupy), cupy.cuda.runtime
    return backend if runtime.getDeviceCount() == 1 else replace(backend, guard=_guard(runtime.getDevice()))


def _guard(home: int) -> Callable[[Any], None]:
    """A function that refuses arrays of other GPUs than number `home`."""

    def guard(array: Any) -> None:
        if array.device.id != home:
            raise DeviceError(
                f"{array.dtype}{list(array.shape)} is on cuda:{array.device.id} and minigrad computes on one GPU at a "
                f"time, here cuda:{home}: copy it there with x.copy() while that is CuPy's current device, or choose "
                "the GPU for everything with CUDA_VISIBLE_DEVICES"
            )

    return guard


def _backend(cupy: Any) -> Backend:
    import cupyx
    from cupyx.scipy.special import erf

    raising = partial(cupyx.errstate, linalg="raise")
    return made(cupy, erf, cupy.cuda.Device().attributes["MultiProcessorCount"], raising)


def made(
    cupy: Any,
    erf: Any,
    processors: int,
    raising: Callable[[], AbstractContextManager] = nullcontext,
    name: str = "cupy",
    device: str = "cuda",
) -> Backend:
    """The backend of CuPy, or of what stands in for it in tests, on a device with so many multiprocessors.

    Within `raising()`, cuSOLVER's failures raise LinAlgError, as NumPy's do; else CuPy does not ask for them.
    """
    kernels = Kernels(cupy, processors)
    weights = cupy.asarray(np.random.Generator(np.random.PCG64(0)).integers(1, 2**63, 4096, dtype=np.uint64) * 2 + 1)

    def freeze(x):
        return x.copy() if isinstance(x, cupy.ndarray) else x  # CuPy has no read-only arrays

    def fingerprint(x):
        raw = cupy.ascontiguousarray(x).reshape(-1).view(cupy.uint8)
        words = cupy.pad(raw, (0, -len(raw) % (4 * len(weights)))).view(cupy.uint32).reshape(-1, len(weights))
        rows = (words * weights).sum(axis=1)  # uint32 · uint64: see the NumPy twin
        turns = cupy.arange(1, 2 * len(rows), 2, dtype=cupy.uint64) * np.uint64(0x9E3779B97F4A7C15)
        return int((rows * (turns | np.uint64(1))).sum())

    def where(condition, x1, x2, out=None):
        condition = np.bool_(condition) if isinstance(condition, bool) else condition  # CuPy asks it for its astype
        return stored(cupy.where(condition, x1, x2), out)

    def add_at(target, index, values):
        if target.dtype.kind == "c":  # there are no atomic additions of complex numbers
            cupy.add.at(target.real, index, cupy.real(values))
            cupy.add.at(target.imag, index, cupy.imag(values))
        elif target.dtype == np.float16:  # where 2048 + 1 is 2048
            wide = target.astype(np.float32)
            cupy.add.at(wide, index, cupy.asarray(values, np.float32))
            target[...] = wide
        else:
            cupy.add.at(target, index, values)

    return Backend(
        name=name,
        device=device,
        xp=_mended(cupy, raising),
        array_type=cupy.ndarray,
        block_bytes=kernels.block_bytes,
        threaded=False,
        asynchronous=True,
        where=where,
        erf=lambda x, out=None: erf(x, out=out),
        add_at=add_at,
        random_bits=kernels.random_bits,
        random_uniform=kernels.random_uniform,
        random_normal=kernels.random_normal,
        matmul=lambda x1, x2, out=None: cupy.matmul(x1, x2, out=out),
        sum=kernels.sum,
        column_sums=kernels.column_sums,
        conv=kernels.conv,
        conv_input=kernels.conv_input,
        conv_kernel=kernels.conv_kernel,
        from_host=cupy.asarray,
        to_host=cupy.asnumpy,
        address=lambda x: x.data.ptr,
        freeze=freeze,
        scratch=kernels.scratch,  # CuPy's own pool keeps memory
        held=lambda: 0,
        fingerprint=fingerprint,
        explain=partial(failures.explain, cupy),
        recorder=_recorder(cupy, kernels),
    )


def _mended(cupy: Any, raising: Callable[[], AbstractContextManager]) -> ModuleType:
    """CuPy's names, but for those that do something else than NumPy's (in CuPy 14.2)."""

    def written(function):  # `min` refuses `out` (cupy#9032), scans return something else than `out`
        return lambda x, axis=None, out=None, **how: stored(function(x, axis=axis, **how), out)

    def strict(function):
        def called(*args):
            with raising():
                return function(*args)

        return called

    def solve(a, b):  # CuPy's does not broadcast stacks
        stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a, b = (cupy.broadcast_to(x, (*stack, *x.shape[-2:])) for x in (a, b))
        with raising():
            return cupy.linalg.solve(a, b)

    def clip(x, low, high, out=None):  # CuPy's takes neither numbers nor complex arrays
        if isinstance(x, cupy.ndarray) and x.dtype.kind != "c":
            return cupy.clip(x, low, high, out=out)
        return cupy.minimum(cupy.maximum(x, low), high, out=out)

    def concatenate(
        arrays, axis=0, out=None
    ):  # CuPy's copies a list of addresses from the host, which no graph records
        if out is None:
            return cupy.concatenate(arrays, axis)
        begin = 0
        for x in arrays:
            out[(slice(None),) * axis + (slice(begin, begin + x.shape[axis]),)] = x
            begin += x.shape[axis]
        return out

    xp, linalg = ModuleType("cupy"), ModuleType("cupy.linalg")
    linalg.__dict__.update(vars(cupy.linalg))
    linalg.inv, linalg.cholesky, linalg.solve = strict(cupy.linalg.inv), strict(cupy.linalg.cholesky), solve
    xp.__dict__.update(vars(cupy))
    xp.min, xp.cumsum, xp.cumprod = map(written, (cupy.min, cupy.cumsum, cupy.cumprod))
    xp.clip, xp.concatenate, xp.linalg = clip, concatenate, linalg
    return xp


@contextmanager
def _nothing_thrown_away():
    """No garbage is collected: memory, graphs and modules that nobody needs are given back some other time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _side_by_side(cupy: Any, level: Sequence[Callable[[], None]], streams: Sequence[Any]) -> list[Any]:
    """Calls the functions on streams, of which the first is current: it waits for the others. Returns the events."""
    (stream, *others), new = streams[: len(level)], partial(cupy.cuda.Event, disable_timing=True)
    begun, ended = stream.record(new()) if others else None, []
    for number, other in enumerate(others, 1):
        other.wait_event(begun)
        with other:
            for function in level[number :: len(others) + 1]:
                function()
        ended.append(other.record(new()))
    for function in level[:: len(others) + 1]:
        function()
    for event in ended:
        stream.wait_event(event)
    return [begun, *ended]


def _recorder(cupy: Any, kernels: Kernels) -> Recorder:
    """CUDA graphs: the BLAS library cannot be recorded in one, all else that programs launch can."""

    def compiled(text: str) -> Callable:
        streams = source("streams.cu") if "_at<" in text else ""  # for noise
        module = cupy.RawModule(code=streams + PRELUDE + text, options=("-std=c++17",))
        functions: dict[str, Callable] = {}

        def launch(name: str, blocks: int, arrays: Sequence[Any]) -> None:
            if name not in functions:
                functions[name] = module.get_function(name)
            functions[name]((blocks, 1, 1), (THREADS, 1, 1), tuple(arrays))

        return launch

    streams: list[Any] = []  # on which work is recorded, by one thread at a time
    recording = threading.Lock()

    def record(levels: Sequence[Sequence[Callable[[], None]]]) -> tuple[Callable[[], None], int]:
        kept, events, pool = [], [], cupy.get_default_memory_pool()  # another allocator may be one that gets recorded

        def memory(size: int) -> Any:
            """Memory that nobody else gets as long as the graph may be launched, nor what runs beside in it."""
            kept.append(pool.malloc(size))
            return kept[-1]

        with recording, _nothing_thrown_away(), cupy.cuda.using_allocator(memory):
            streams[:] = streams or [cupy.cuda.Stream(non_blocking=True) for _ in range(BRANCHES)]
            with streams[0]:
                streams[0].begin_capture()
                try:
                    for level in levels:
                        events += _side_by_side(cupy, level, streams)
                    graph = streams[0].end_capture()
                except BaseException:
                    with suppress(Exception):  # what broke the recording is the error to tell of
                        streams[0].end_capture()
                    streams.clear()
                    raise

        recorded = graph, kept  # which lives as long
        return lambda: recorded[0].launch(cupy.cuda.get_current_stream()), sum(pointer.mem.size for pointer in kept)

    return Recorder(kernels.matmul, compiled, record)
