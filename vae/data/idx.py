"""IDX, the format of MNIST: a big-endian header and then the bytes of one array.

    two zero bytes | dtype code | number of axes n | n lengths of 4 bytes | values, row by row

Reading is strict. A file that is cut short, has bytes left over or is of another kind is rejected,
because a lenient loader would return plausible images from the wrong bytes.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .dataset import DataError

DTYPES = {
    0x08: "uint8",
    0x09: "int8",
    0x0B: "int16",
    0x0C: "int32",
    0x0D: "float32",
    0x0E: "float64",
}
GZIP_MAGIC = b"\x1f\x8b"


def read_bytes(path: Path, limit: int = -1) -> bytes:
    """The content of a file, unzipped if it is gzip (by its first bytes, whatever its name).

    limit: stop after this many unzipped bytes, for untrusted files. Raises DataError.
    """
    try:
        with open(path, "rb") as file:
            zipped = file.read(2) == GZIP_MAGIC
        with gzip.open(path) if zipped else open(path, "rb") as file:
            return file.read(limit)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is a damaged gzip file ({error}): get it again") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def parse_idx(payload: bytes, axes: int, path: Path) -> NDArray[np.uint8]:
    """The uint8 array with `axes` axes in an IDX payload; read-only, it shares the payload's memory.

    path is named in errors. Raises DataError unless header and length agree exactly.

    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]), 1, Path("three"))
    array([7, 8, 9], dtype=uint8)
    """
    if len(payload) < 4:
        raise DataError(f"{path} is cut short: {len(payload)} bytes are not an IDX header")
    zero, code, found = struct.unpack(">HBB", payload[:4])
    if zero != 0 or code not in DTYPES:
        raise DataError(f"{path} is not an IDX file: it begins with {payload[:4].hex(' ')}")
    if DTYPES[code] != "uint8":
        raise DataError(f"{path} holds {DTYPES[code]} values, expected uint8")
    if found != axes:
        raise DataError(f"{path} has {found} axes, expected {axes}: is it the right file?")
    start = 4 + 4 * axes
    if len(payload) < start:
        raise DataError(f"{path} is cut short: its header ends after {len(payload)} bytes")
    shape = struct.unpack(f">{axes}I", payload[4:start])
    expected, seen = start + math.prod(shape), len(payload)
    if seen != expected:
        fault = "is cut short" if seen < expected else "has bytes left over"
        raise DataError(f"{path} {fault}: shape {shape} needs {expected} bytes, it has {seen}")
    return np.frombuffer(payload, np.uint8, offset=start).reshape(shape)
