"""vae/data/idx.py: the IDX reader accepts files that are right to the byte and refuses all others."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae.data import DataError
from vae.data.idx import parse_idx, read_bytes

HERE = Path("some-idx3-ubyte")
SHAPES = st.lists(st.integers(0, 4), min_size=1, max_size=4)


def pack(array: np.ndarray, code: int = 8) -> bytes:
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + bytes(array)


@given(SHAPES, st.integers(0, 2**32))
def test_packed_arrays_are_parsed(shape: list[int], seed: int) -> None:
    array = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    np.testing.assert_array_equal(parse_idx(pack(array), array.ndim, HERE), array)


@given(SHAPES, st.data())
def test_every_shorter_or_longer_file_is_refused(shape: list[int], data: st.DataObject) -> None:
    payload = pack(np.zeros(shape, np.uint8))
    cut = data.draw(st.integers(0, len(payload) - 1))
    for damaged in (payload[:cut], payload + bytes(1 + cut)):
        with pytest.raises(DataError, match=r"some-idx3-ubyte (is cut short|has bytes left over)"):
            parse_idx(damaged, len(shape), HERE)


@given(st.binary(max_size=40))
def test_any_bytes_are_parsed_or_refused_in_one_line(payload: bytes) -> None:
    try:
        array = parse_idx(payload, 1, HERE)
    except DataError as error:
        assert "\n" not in str(error)
    else:
        assert pack(array) == payload


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"\x00\x01\x08\x01\x00\x00\x00\x00", "is not an IDX file: it begins with 00 01 08 01"),
        (b"\x00\x00\x07\x01\x00\x00\x00\x00", "is not an IDX file"),
        (b"<!DOCTYPE html>", "is not an IDX file"),
        (pack(np.zeros((1, 4), np.uint8), 0x0D), "holds float32 values, expected uint8"),
        (pack(np.zeros(3, np.uint8)), "has 1 axes, expected 2"),
        (pack(np.zeros((2, 2), np.uint8))[:-1], r"shape \(2, 2\) needs 16 bytes, it has 15"),
        (b"\x00\x00\x08\x02" + b"\xff" * 8, r"is cut short: shape \(4294967295, 4294967295\)"),
    ],
)
def test_errors_say_what_is_wrong(payload: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_idx(payload, 2, HERE)


def test_compression_is_recognised_by_content_not_by_name(tmp_path: Path) -> None:
    for name, content in (("raw.gz", b"content"), ("zipped", gzip.compress(b"content"))):
        (tmp_path / name).write_bytes(content)
        assert read_bytes(tmp_path / name) == b"content"
        assert read_bytes(tmp_path / name, limit=3) == b"con"


@pytest.mark.parametrize("damage", ["cut", "flip", "tail"])
def test_damaged_gzip_is_refused(tmp_path: Path, damage: str) -> None:
    zipped = bytearray(gzip.compress(np.random.default_rng(0).bytes(1000)))
    if damage == "cut":
        del zipped[-20:]
    elif damage == "flip":
        zipped[500] ^= 0xFF
    else:
        zipped += b"tail"
    path = tmp_path / "damaged.gz"
    path.write_bytes(zipped)
    with pytest.raises(DataError, match=r"damaged\.gz is a damaged gzip file"):
        read_bytes(path)


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere cannot be read: No such file"):
        read_bytes(tmp_path / "nowhere")
