"""Read matrices of real numbers from a MATLAB 5 file, through SciPy.

SciPy (1.17) crashes, instead of raising an error, if damage has changed the type of an array's numbers to one that does
not exist (scipy/scipy#25349). So the header of every array is checked first.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from numpy.typing import NDArray

from minigrad.interrupts import defer_signals

from .dataset import DataError

NUMERIC = ("double", "single", "logical", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
NUMERIC_CLASSES = range(6, 16)  # their codes in an array's header
NUMBER_TYPES = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13}  # int8 to uint32, single, double, int64, uint64
COMPRESSED, COMPLEX = 15, 0x800
HEAD = 1 << 12  # bytes that hold the header of any array here: flags, shape, name, type of the numbers

#: shape and class of each array by its name
Headers = dict[str, tuple[tuple[int, ...], str]]


def read_matlab(path: Path, choose: Callable[[Headers], list[str]]) -> dict[str, NDArray]:
    """The arrays that `choose` names, as they were saved; it must name only those of a class in NUMERIC.

    `choose` sees the headers of all arrays before any is read, and may raise DataError. Raises DataError for a file
    that is damaged, of another format, or holds complex numbers, and if SciPy is missing.
    """
    try:
        with defer_signals():  # a signal during the import would look like a broken module
            from scipy.io import loadmat, whosmat
    except ImportError:
        install = "pip install 'minigrad-autodiff[omniglot]'"
        raise DataError(f"{path} is a MATLAB file, which needs SciPy: {install}") from None
    try:
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", UserWarning)  # SciPy only warns of an array that it cannot read
            _check_types(file)
            file.seek(0)
            names = choose({name: (tuple(map(int, shape)), kind) for name, shape, kind in whosmat(file)})
            file.seek(0)
            arrays = loadmat(file, variable_names=names)
            return {name: arrays[name] for name in names}
    except DataError:
        raise
    except MemoryError as error:
        raise DataError(f"{path} is damaged, or does not fit into memory: {error}") from None
    except Exception as error:  # SciPy, zlib and struct raise their own kinds
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path} is not a MATLAB 5 file, or is damaged: {reason}") from None


def _check_types(file: BinaryIO) -> None:
    """Raises ValueError or struct.error unless each numeric array of the file is real and of a type that exists."""
    start = file.read(128)
    order = {b"IM": "<", b"MI": ">"}.get(start[126:])
    if order is None or start[124:126] != struct.pack(f"{order}H", 0x100):
        raise ValueError("its first 128 bytes are not those of MATLAB 5 to 7.2")
    while tag := file.read(8):
        kind, size = struct.unpack(f"{order}II", tag)
        body = file.tell()
        head = file.read(min(size, HEAD))
        if kind == COMPRESSED:
            head = zlib.decompressobj().decompress(head, HEAD)[8:]  # without the tag of the array
        _check_type(head, order)
        file.seek(body + size)


def _check_type(head: bytes, order: str) -> None:
    """Check the header of one array: flags, shape, name, and the tag of its numbers."""
    (flags,) = struct.unpack_from(f"{order}I", head, 8)
    if flags & 0xFF not in NUMERIC_CLASSES:
        return
    if flags & COMPLEX:
        raise ValueError("it holds complex numbers")
    at = 16
    for _ in ("shape", "name"):
        at = _read_tag(head, at, order)[1]
    kind, _ = _read_tag(head, at, order)
    if kind not in NUMBER_TYPES:
        raise ValueError(f"it holds numbers of the unknown type {kind}")


def _read_tag(head: bytes, at: int, order: str) -> tuple[int, int]:
    """(type of the element at this position, position of the next one)."""
    kind, size = struct.unpack_from(f"{order}II", head, at)
    if kind >> 16:  # up to four bytes of data lie in the tag itself
        return kind & 0xFFFF, at + 8
    return kind, at + 8 + (size + 7) // 8 * 8
