"""The stand-in GPU: `CUPY` is CuPy's namespace over a class of NumPy arrays that cannot be mixed with host arrays.

It finds mistakes without a GPU: an operation that mixes in a host array, relies on 0-d results being NumPy scalars,
reads uninitialized memory, or cannot be captured in a CUDA graph (see cuda_shim/runtime.py). Kernels are compiled
from their source and run. `mg.to_device(x, "stand-in")` moves arrays here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from minigrad import backends
from minigrad.backends.cuda.backend import make_backend
from minigrad.backends.numpy.backend import BACKEND as HOST
from tests.support import cuda_shim
from tests.support.cuda_shim import nccl, runtime

WRITERS = {
    np.copyto,
    np.put,
    np.putmask,
    np.place,
    np.fill_diagonal,
    np.put_along_axis,
}  # into their first argument
BOOL = np.dtype(bool)
EMPTY = {np.empty, np.empty_like}
WAITING = {np.nonzero, np.flatnonzero, np.argwhere, np.unique, np.extract, np.compress, np.array_equal, np.allclose}
WAITING |= {np.concatenate, np.stack}  # CuPy copies a list of addresses from the host
LACKING = set(
    """False_ ScalarType True_ asmatrix block bmat busday_count busday_offset busdaycalendar bytes_ char character
    clongdouble complex256 core ctypeslib datetime64 datetime_as_string datetime_data dtypes einsum_path emath errstate
    f2py flexible float128 frompyfunc fromregex geomspace get_include getbufsize geterr geterrcall histogram_bin_edges
    info insert is_busday isnat little_endian longdouble ma matrix matvec memmap nanpercentile nanquantile ndenumerate
    nditer nested_iters object_ polyder polydiv polyint rec recarray record sctypeDict setbufsize seterr seterrcall
    show_runtime spacing str_ strings test timedelta64 typecodes unstack vecdot vecmat void""".split()
)
"""Names of NumPy that CuPy 14.2 lacks."""
BLAS = {np.matmul, np.dot, np.tensordot, np.einsum, np.inner, np.vdot, np.vecdot}
BLAS |= {np.matvec, np.vecmat} if hasattr(np, "matvec") else set()  # of NumPy 2.2


class Array(np.ndarray):
    """An array of the stand-in GPU. `base` is the Array that this one is a view of, as on any backend."""

    parent = None
    memory = None  # set on arrays that own it; see `_memory` for views

    @property
    def base(self):
        return self.parent if isinstance(self.parent, Array) else None

    @property
    def data(self):
        memory = _memory(self)
        place = self.__cuda_array_interface__["data"][0]
        return runtime.MemoryPointer(memory, place - runtime.MemoryPointer(memory, 0).ptr)

    @property
    def __cuda_array_interface__(self):
        return np.ndarray.__array_interface__.__get__(self)  # the address for kernels

    def _raise_attribute_error(self):
        raise AttributeError("CuPy's arrays do not have this attribute")

    __array_interface__ = __index__ = property(_raise_attribute_error)

    def __array_finalize__(self, source):
        if isinstance(source, Array) and np.may_share_memory(_plain(self), _plain(source)):
            self.parent = source

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        if any(hasattr(x, "__array_ufunc__") and not isinstance(x, (np.ndarray, np.generic)) for x in inputs):
            return NotImplemented  # traced values handle it
        if ufunc in BLAS:
            runtime.refuse_while_capturing(f"cuBLAS: {ufunc.__name__}")
        if method == "at":
            if inputs[0].dtype.kind == "c":
                raise TypeError(f"cupy.{ufunc.__name__}.at does not take complex numbers")
            return _write(ufunc.at, inputs, kwargs)
        if out is None:
            return _make(getattr(ufunc, method), inputs, kwargs)
        _write(getattr(ufunc, method), inputs, {**kwargs, "out": out})
        return out[0] if len(out) == 1 else out

    def __array_function__(self, function, types, args, kwargs):
        if not all(issubclass(kind, np.ndarray) for kind in types):
            return NotImplemented
        if function in BLAS or function.__module__.startswith("numpy.linalg"):
            runtime.refuse_while_capturing(f"cuBLAS: {function.__name__}")
        if function in WAITING or (function is np.where and len(args) == 1):
            runtime.refuse_while_capturing(function.__name__)
        if function is np.min and kwargs.get("out") is not None:
            raise TypeError("operand type(s) all returned NotImplemented")  # cupy#9032
        if function is np.linalg.solve and args[0].shape[:-1] != args[1].shape[:-1]:
            raise ValueError("a must have (..., M, M) shape and b must have (..., M, K)")
        if function in WRITERS:
            return _write(function, args, kwargs)
        made = _make(function, args, kwargs)
        return made.view() if function in (np.cumsum, np.cumprod) else made  # CuPy does not return `out` itself

    def __getitem__(self, index):
        _refuse_mask(index)
        whole = index if isinstance(index, tuple) else (index,)
        if not any(i is ... for i in whole):
            whole = (*whole, ...)  # a single element is a view too
        return _make(np.ndarray.__getitem__, (self, whole), {})

    def __setitem__(self, index, value):
        if not np.isscalar(value):
            _refuse_mask(index)
        _write(np.ndarray.__setitem__, (self, index, value), {})

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    def get(self):
        return asnumpy(self)


def _method(name: str) -> Callable:
    """A method of arrays on this device."""
    method = getattr(np.ndarray, name)

    def call(self, *args, **kwargs):
        if name in ("dot", "nonzero", "compress"):
            runtime.refuse_while_capturing(name)
        return (_write if name in _WRITING_METHODS else _make)(method, (self, *args), kwargs)

    return call


def _host_method(name: str) -> Callable:
    """A method that copies numbers to the host."""
    method = getattr(np.ndarray, name)

    def call(self, *args):
        runtime.refuse_while_capturing(name)
        return method(_plain(self), *args)

    return call


_WRITING_METHODS = "fill partition put sort".split()
_OTHER_METHODS = """all any argmax argmin argpartition argsort astype byteswap choose clip compress conj conjugate copy
    cumprod cumsum diagonal dot flatten max mean min nonzero prod ravel repeat reshape round searchsorted squeeze std
    sum swapaxes take trace transpose var view""".split()
for _name in _WRITING_METHODS + _OTHER_METHODS:
    setattr(Array, _name, _method(_name))
for _name in "__bool__ __complex__ __float__ __format__ __int__ __repr__ __str__ item tobytes tolist".split():
    setattr(Array, _name, _host_method(_name))
Array.T = property(lambda self: self.transpose())
Array.mT = property(lambda self: self.swapaxes(-1, -2))


# Work: done now, or recorded in the graph that is being captured


def _make(function: Callable, args: tuple, kwargs: dict[str, Any], admit: bool = False) -> Any:
    """The result of a function: views of its arguments, or new arrays. `admit` accepts host arrays."""
    if kwargs.get("out") is not None:
        _write(function, args, kwargs)
        return kwargs["out"]
    sources: list[Array] = []
    given, options, graph = _unwrap(args, admit, sources), _unwrap(kwargs, admit, sources), runtime.capturing()
    if graph is None:
        results = _wrap(function(*given, **options), sources)
    else:
        work = partial(function, *given, **options)
        results = _wrap(_run_on_garbage(work), sources)
    if function in EMPTY or graph is not None:
        targets = [x if isinstance(x, Array) and x.parent is None else None for x in _leaves(results)]
        new = [x for x in targets if x is not None]
        for x in new:
            _fill_with_garbage(_plain(x))
        if new and function not in EMPTY:
            rerun = partial(_rerun, work, [None if x is None else _plain(x) for x in targets])
            graph.record(rerun, map(_memory, [*sources, *new]))
    return results


def _write(function: Callable, args: tuple, kwargs: dict[str, Any]) -> None:
    """Runs or records a function that writes into some of its arguments."""
    arrays: list[Array] = []
    given, options, graph = _unwrap(args, False, arrays), _unwrap(kwargs, False, arrays), runtime.capturing()
    work = partial(function, *given, **options)
    if graph is None:
        work()
    else:
        graph.record(work, map(_memory, arrays))


def _run_on_garbage(work: partial) -> Any:
    """A result of the right shapes and dtypes, from arguments that may be garbage."""
    with np.errstate(all="ignore"):
        try:
            return work()
        except IndexError:  # garbage indices are out of range, 0 is not
            zeros = lambda x: np.zeros_like(x) if isinstance(x, np.ndarray) and x.dtype.kind in "iu" else x
            return work.func(*_map(zeros, work.args), **_map(zeros, work.keywords))


def _rerun(work: Callable, targets: list[np.ndarray | None]) -> None:
    for target, value in zip(targets, _leaves(work())):
        if target is not None:
            target[...] = value


def _fill_with_garbage(x: np.ndarray) -> None:
    """Fills an array with NaN, 0x7f7f… or True, to mark it as uninitialized."""
    if x.dtype.kind in "fc":
        x[...] = np.nan
    else:
        x[...] = True if x.dtype == bool else np.frombuffer(b"\x7f" * x.itemsize, x.dtype)[0]


def _refuse_mask(index: Any) -> None:
    if runtime.capturing() and any(getattr(i, "dtype", type(i)) in (bool, BOOL) for i in _leaves(index)):
        runtime.refuse_while_capturing("indexing with a mask")


# Arrays in arguments and results


def _plain(x: np.ndarray) -> np.ndarray:
    return np.ndarray.view(x, np.ndarray)


def _memory(x: Array) -> runtime.Memory:
    while isinstance(x.parent, Array):
        x = x.parent
    return x.memory


def _leaves(x: Any) -> list[Any]:
    if isinstance(x, dict):
        x = list(x.values())
    return [leaf for item in x for leaf in _leaves(item)] if isinstance(x, (tuple, list)) else [x]


def _arrays(x: Any) -> list[Array]:
    return [leaf for leaf in _leaves(x) if isinstance(leaf, Array)]


def _map(f: Callable, x: Any) -> Any:
    if isinstance(x, (tuple, list)):
        return type(x)([_map(f, i) for i in x])
    return {k: _map(f, v) for k, v in x.items()} if isinstance(x, dict) else f(x)


def _unwrap(x: Any, admit: bool, found: list[Array]) -> Any:
    """Plain arrays in place of those of the device, which are added to `found`. Raises TypeError for a host array
    unless `admit`."""
    kind = type(x)
    if kind is Array:
        found.append(x)
        return _plain(x)
    if kind is tuple or kind is list:
        return kind([_unwrap(i, admit, found) for i in x])
    if kind is dict:
        return {k: _unwrap(v, admit, found) for k, v in x.items()}
    if kind is np.ndarray and not admit:
        raise TypeError(f"a host array in an operation on the device: {x.dtype}{list(x.shape)}")
    return x


def _wrap(x: Any, sources: list[Array]) -> Any:
    """The inverse of `_unwrap`: views of `sources` keep their parent, other arrays (0-d ones too) get memory here."""
    if isinstance(x, (tuple, list)):
        return (list if isinstance(x, list) else tuple)([_wrap(i, sources) for i in x])
    if not isinstance(x, (np.ndarray, np.generic)):
        return x
    if isinstance(x, np.ndarray) and x.base is not None:
        for source in reversed(sources):
            if np.may_share_memory(x, _plain(source)):
                y = np.ndarray.view(x, Array)
                y.parent = source
                return y
    return _new(np.asarray(x))


def _new(x: np.ndarray) -> Array:
    """A copy in memory of the current allocator."""
    memory, offset = runtime.allocate(x.nbytes)
    strides = None if x.flags.c_contiguous else np.empty_like(x).strides
    y = np.ndarray.__new__(Array, x.shape, x.dtype, memory.raw, offset, strides)
    y.memory = memory
    np.copyto(_plain(y), x)
    return y


# CuPy's names


def asnumpy(x: Any) -> np.ndarray:
    """A copy on the host."""
    runtime.refuse_while_capturing("asnumpy")
    return np.array(_plain(x) if isinstance(x, Array) else x)


def erf(x: Any, out: Any = None) -> Any:
    """The error function, as in cupyx.scipy.special."""
    return _make(HOST.erf, (x,), {"out": out})


class RawModule(cuda_shim.RawModule):
    """Kernels whose launches can be captured, and that raise after a write just outside of an array."""

    def get_function(self, name: str) -> Callable:
        return partial(_launch, super().get_function(name))


def _launch(kernel: cuda_shim.Kernel, grid: tuple[int, ...], block: tuple[int, ...], args: tuple) -> None:
    run, arrays = kernel.bind(grid, block, args), _arrays(args)
    kept = [(_plain(x), _memory(x).raw) for x in arrays]

    def work():
        run()
        for _, raw in kept:
            runtime.check_guards(raw, kernel.name)

    graph = runtime.capturing()
    work() if graph is None else graph.record(work, map(_memory, arrays))


def _same_array(x: Any, y: Any) -> bool:
    """Whether two arrays have the same address, shape, strides and dtype."""
    return isinstance(y, Array) and x.__cuda_array_interface__ == y.__cuda_array_interface__


def _maker(function: Callable) -> Callable:
    """A function that creates arrays, or copies them from the host."""

    def make(*args, **kwargs):
        given = args[0] if args else None
        if function in (np.array, np.asarray, np.ascontiguousarray) and not _arrays(given):
            runtime.refuse_while_capturing("copying from the host")
        made = _make(function, args, kwargs, admit=True)
        return given if function is not np.array and _same_array(made, given) else made

    return make


CUPY = SimpleNamespace(**{n: getattr(np, n) for n in dir(np) if not n.startswith("_") and n not in LACKING})
for _name in "zeros empty ones full arange eye linspace asarray array ascontiguousarray zeros_like".split():
    setattr(CUPY, _name, _maker(getattr(np, _name)))
CUPY.where = lambda condition, *xs: np.where(condition.astype(bool, copy=False), *xs)
CUPY.lib = SimpleNamespace(stride_tricks=SimpleNamespace(as_strided=_maker(np.lib.stride_tricks.as_strided)))
CUPY.ndarray, CUPY.RawModule, CUPY.asnumpy = Array, RawModule, asnumpy
CUPY.cuda = SimpleNamespace(**{**vars(runtime), "nccl": nccl, "runtime": nccl.GPUS})
CUPY.get_default_memory_pool = lambda: runtime.DEFAULT_POOL


BACKEND = make_backend(CUPY, erf, processors=2, name="stand-in", device="stand-in")
backends._by_device["stand-in"] = BACKEND
backends._by_type[Array] = BACKEND
