"""A device that is not there: NumPy arrays that refuse to meet the host's, as CuPy's do.

It finds on any machine what only a GPU would show: an operation that mixes a host array in, or that relies on 0-d
results being NumPy scalars. `mg.to_device(x, "elsewhere")` moves arrays to it.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from minigrad import backends
from minigrad.backends.numpy import BACKEND as HOST


class Array(np.ndarray):
    """Memory of the pretended device. `base` is the Array this one is a view of, as on any backend."""

    parent = None

    @property
    def base(self):
        return self.parent if isinstance(self.parent, Array) else None

    @property
    def __cuda_array_interface__(self):
        return self.__array_interface__  # where kernels find it

    def __array_finalize__(self, source):
        if isinstance(source, Array) and np.may_share_memory(_plain(self), _plain(source)):
            self.parent = source

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        if any(hasattr(x, "__array_ufunc__") and not isinstance(x, (np.ndarray, np.generic)) for x in inputs):
            return NotImplemented  # a traced value knows better
        if out is not None:
            kwargs["out"] = tuple(_open(o) for o in out)
        result = getattr(ufunc, method)(*_open(inputs), **kwargs)
        return out[0] if out is not None and len(out) == 1 else _close(result, inputs)

    def __array_function__(self, function, types, args, kwargs):
        if not all(issubclass(kind, np.ndarray) for kind in types):
            return NotImplemented
        result = function(*_open(args), **_open(kwargs))
        return kwargs["out"] if kwargs.get("out") is not None else _close(result, [*args, *kwargs.values()])

    def __getitem__(self, index):
        return _close(_plain(self)[_open(index)], [self])

    def __setitem__(self, index, value):
        _plain(self)[_open(index)] = _open(value)


def _plain(x: np.ndarray) -> np.ndarray:
    return np.ndarray.view(x, np.ndarray)


def _open(x: Any) -> Any:
    """Plain arrays in place of those from elsewhere. Raises TypeError for an array of the host."""
    if isinstance(x, Array):
        return _plain(x)
    if isinstance(x, np.ndarray):
        raise TypeError(f"a host array met one from elsewhere: {x.dtype}{list(x.shape)}")
    if isinstance(x, (tuple, list)):
        return type(x)(_open(i) for i in x)
    return {k: _open(v) for k, v in x.items()} if isinstance(x, dict) else x


def _close(x: Any, sources: Any = ()) -> Any:
    """The opposite: 0-d results become arrays, and views remember what they are views of."""
    if isinstance(x, tuple):
        return tuple(_close(i, sources) for i in x)
    if isinstance(x, list):
        return [_close(i, sources) for i in x]
    if not isinstance(x, (np.ndarray, np.generic)):
        return x
    y = np.asarray(x).view(Array)
    for source in sources:
        if isinstance(source, Array) and np.may_share_memory(_plain(y), _plain(source)):
            y.parent = source
    return y


def _making(function):
    """A function that makes arrays from nothing, or from the host's."""

    def make(*args, **kwargs):
        return _close(function(*[_plain(a) if isinstance(a, Array) else a for a in args], **kwargs), args)

    return make


_MAKERS = "zeros empty ones full arange eye asarray array ascontiguousarray zeros_like".split()
_WITHIN = SimpleNamespace(**{name: getattr(np, name) for name in dir(np) if not name.startswith("_")})
for _name in _MAKERS:
    setattr(_WITHIN, _name, _making(getattr(np, _name)))

_as_strided = _making(np.lib.stride_tricks.as_strided)
_WITHIN.lib = SimpleNamespace(stride_tricks=SimpleNamespace(as_strided=_as_strided))


def _add_at(target, index, values):
    np.add.at(_plain(target), _open(index), _open(values))


def _erf(x, out=None):
    y = HOST.erf(_open(x), _open(out))
    return _close(y) if out is None else out


BACKEND = replace(
    HOST,
    name="elsewhere",
    device="elsewhere",
    xp=_WITHIN,
    array_type=Array,
    block_bytes=1 << 10,  # small, so that tests work on several pieces
    threaded=False,
    draw_block=2,
    where=lambda condition, x1, x2, out=None: backends.stored(np.where(condition, x1, x2), out),
    erf=_erf,
    add_at=_add_at,
    from_host=lambda x: np.array(x, copy=True).view(Array),
    to_host=lambda x: np.array(_plain(x), copy=True),
    address=lambda x: HOST.address(_plain(x)),
    freeze=lambda x: x.copy() if isinstance(x, Array) else x,
    scratch=lambda name, shape, dtype: _WITHIN.empty(shape, dtype),
    held=lambda: 0,
    fingerprint=lambda x: HOST.fingerprint(_plain(x)),
)
backends._by_device["elsewhere"] = BACKEND
backends._by_type[Array] = BACKEND
