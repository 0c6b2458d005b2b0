"""NumPy: the record of the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.backends.backend import Backend
from minigrad.backends.memory import explain
from minigrad.backends.numpy import convolution, elementwise, fingerprint, indexing, scratch, streams, sums


def _freeze(x: Any) -> Any:
    """A read-only view: it shows changes made through x but allows none."""
    if not isinstance(x, np.ndarray):
        return x
    view = x.view()
    view.flags.writeable = False
    return view


def _position(offset: int, start: Any) -> Any:
    """Where in its stream a draw begins, or each of several draws. Raises ValueError for a negative position."""
    position = offset + start if np.ndim(start) else offset + int(start)
    if np.min(position, initial=0) < 0:
        raise ValueError(f"a draw cannot begin at position {np.min(position)} of its stream: the first is 0")
    return position


def _random_bits(key: np.ndarray, out: np.ndarray, offset: int = 0, start: Any = 0, lane: int = 0) -> None:
    streams.random_bits(np, key, out.shape[-1], _position(offset, start), lane=lane, out=out)


def _make_fill(draw: Callable) -> Callable:
    def fill(key: np.ndarray, out: np.ndarray, offset: int = 0, start: Any = 0) -> None:
        draw(np, key, out.shape[-1], out.dtype, _position(offset, start), out=out)

    return fill


BACKEND = Backend(
    name="numpy",
    device="cpu",
    xp=np,
    array_type=np.ndarray,
    block_bytes=1 << 20,
    threaded=True,
    bfloat16=True,
    asynchronous=False,
    where=elementwise.where,
    erf=elementwise.erf,
    add_at=indexing.add_at,
    random_bits=_random_bits,
    random_uniform=_make_fill(streams.random_uniform),
    random_normal=_make_fill(streams.random_normal),
    matmul=np.matmul,
    sum=sums.sum,
    column_sums=sums.column_sums,
    conv=lambda *args: convolution.conv(BACKEND, *args),
    conv_input=lambda *args: convolution.conv_input(BACKEND, *args),
    conv_kernel=lambda *args: convolution.conv_kernel(BACKEND, *args),
    from_host=np.asarray,
    to_host=np.asarray,
    address=scratch.address,
    freeze=_freeze,
    scratch=scratch.scratch,
    scratch_bytes=scratch.scratch_bytes,
    release=scratch.release_scratch,
    fingerprint=fingerprint.fingerprint,
    explain=explain,
)
