"""Memory: what a run holds, and where arrays are."""

from __future__ import annotations

from typing import Any, NamedTuple

from minigrad.backends import Backend


class Memory(NamedTuple):
    """Bytes that a run holds beside its arguments."""

    intermediate: int  # one block, reused over and over
    results: int  # handed out; those over donated arguments take none
    scratch: int  # for one part at a time, all threads together
    kernels: int  # what kernels of all programs keep for their next call (the columns of a convolution), so far

    @property
    def total(self) -> int:
        return sum(self)

    def __str__(self) -> str:
        return ", ".join(
            f"{name} {bytes / 1e6:.3f} MB" for name, bytes in (*self._asdict().items(), ("total", self.total))
        )


def span(backend: Backend, array: Any) -> tuple[int, int]:
    """The addresses from and to which an array's elements lie."""
    begin = backend.address(array)
    steps = [(n - 1) * stride for n, stride in zip(array.shape, array.strides, strict=True)] if array.size else []
    return begin + sum(min(s, 0) for s in steps), begin + sum(max(s, 0) for s in steps) + array.dtype.itemsize
