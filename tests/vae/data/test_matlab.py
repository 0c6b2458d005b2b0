"""vae/data/matlab.py: matrices written by SciPy, whole and damaged; a damaged file never ends the process."""

import functools
import struct
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from vae.data import DataError
from vae.data.matlab import NUMBER_TYPES, read_matlab

RNG = np.random.default_rng(0)
ARRAYS = {
    "small": np.array([[7]], np.uint8),
    "data": RNG.random((30, 5)),
    "a_name_of_some_length": RNG.integers(-9, 9, (3, 400), np.int16),
    "text": "not a matrix",
    "flags": RNG.random((4, 4)) < 0.5,
    "last": RNG.random((8, 8)).astype(np.float32),
}
NAMES = [name for name in ARRAYS if name != "text"]


@functools.cache
def written(compressed: bool) -> bytes:
    """The content of a file with all arrays."""
    with tempfile.TemporaryDirectory() as folder:
        savemat(Path(folder) / "x.mat", ARRAYS, do_compression=compressed)
        return (Path(folder) / "x.mat").read_bytes()


def read(content: bytes) -> dict[str, np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.mat"
        path.write_bytes(content)
        try:
            return read_matlab(path, lambda headers: NAMES)
        except DataError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
            raise


@pytest.mark.parametrize("compressed", [False, True])
def test_matrices_are_read_as_they_were_saved(compressed: bool) -> None:
    found = read(written(compressed))
    assert list(found) == NAMES
    for name in NAMES:
        np.testing.assert_array_equal(found[name], ARRAYS[name])
        assert found[name].dtype == (np.uint8 if name == "flags" else ARRAYS[name].dtype)


def test_the_choice_sees_all_headers(tmp_path: Path) -> None:
    path, seen = tmp_path / "x.mat", {}
    path.write_bytes(written(True))

    def choose(headers: dict) -> list[str]:
        seen.update(headers)
        return ["last", "small"]

    assert list(read_matlab(path, choose)) == ["last", "small"]
    assert seen["data"] == ((30, 5), "double") and seen["a_name_of_some_length"] == ((3, 400), "int16")
    assert {name: kind for name, (_, kind) in seen.items()}["text"] == "char" and set(seen) == set(ARRAYS)


def element(order: str, kind: int, payload: bytes) -> bytes:
    """An element as the format defines it: type, size, data, padding."""
    return struct.pack(f"{order}II", kind, len(payload)) + payload + b"\0" * (-len(payload) % 8)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compressed", [False, True])
def test_doubles_that_matlab_stores_as_bytes_are_read(order: str, compressed: bool) -> None:
    """MATLAB stores whole numbers in the smallest type, which SciPy never writes; and in the machine's byte order."""
    start = b"MATLAB 5.0".ljust(124) + struct.pack(f"{order}H", 0x100) + {"<": b"IM", ">": b"MI"}[order]
    content = start
    for name in NAMES:
        flags = element(order, 6, struct.pack(f"{order}II", 6, 0))  # double
        shape = element(order, 5, struct.pack(f"{order}ii", 3, 2))
        body = flags + shape + element(order, 1, name.encode()) + element(order, 2, bytes(range(6)))
        matrix = element(order, 14, body)
        zipped = zlib.compress(matrix)
        content += struct.pack(f"{order}II", 15, len(zipped)) + zipped if compressed else matrix
    for x in read(content).values():
        np.testing.assert_array_equal(x, [[0, 3], [1, 4], [2, 5]])
        assert x.dtype.kind == "f" or x.dtype == np.uint8  # SciPy keeps the stored type


@pytest.mark.parametrize("code", sorted({*range(256)} - NUMBER_TYPES))
def test_a_type_of_numbers_that_does_not_exist_is_refused(code: int) -> None:
    """SciPy itself crashes on most of them: this is what ends the process if the check is missing."""
    content = written(False)
    tag = struct.pack("<II", 9, 30 * 5 * 8)  # doubles
    assert content.count(tag) == 1
    with pytest.raises(DataError, match=f"is damaged: it holds numbers of the unknown type {code}$"):
        read(content.replace(tag, struct.pack("<II", code, 30 * 5 * 8)))


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    savemat(tmp_path / "x.mat", {"data": np.full((2, 2), 1j)})
    with pytest.raises(DataError, match=r"x\.mat is not a MATLAB 5 file, or is damaged: it holds complex numbers"):
        read_matlab(tmp_path / "x.mat", lambda headers: ["data"])


@pytest.mark.parametrize("compressed", [False, True])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_short_is_refused(compressed: bool, share: float) -> None:
    content = written(compressed)
    with pytest.raises(DataError, match=r"is not a MATLAB 5 file, or is damaged: ."):
        read(content[: int(share * len(content))])


@pytest.mark.parametrize("compressed", [False, True])
@settings(max_examples=300)
@given(data=st.data())
def test_a_changed_byte_never_does_worse_than_an_error(compressed: bool, data) -> None:
    changed = bytearray(written(compressed))
    for at in data.draw(st.lists(st.integers(0, len(changed) - 1), min_size=1, max_size=3)):
        changed[at] = data.draw(st.integers(0, 255))
    try:
        found = read(bytes(changed))
    except DataError:
        return
    assert list(found) == NAMES


@pytest.mark.parametrize("content", [b"", b"\0" * 200, b"some text " * 20, b"MATLAB 5.0" + b" " * 114 + b"\0\2IM"])
def test_a_file_of_another_kind_is_refused(content: bytes) -> None:
    with pytest.raises(DataError, match=r"damaged: its first 128 bytes are not those of MATLAB 5 to 7\.2"):
        read(content)


def test_a_missing_file_and_a_missing_array_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.mat .*No such file"):
        read_matlab(tmp_path / "x.mat", lambda headers: [])
    (tmp_path / "x.mat").write_bytes(written(True))
    with pytest.raises(DataError, match="damaged: 'other'"):
        read_matlab(tmp_path / "x.mat", lambda headers: ["other"])


def test_without_scipy_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(
        DataError, match=r"is a MATLAB file, which needs SciPy: pip install 'minigrad-autodiff\[omniglot\]'"
    ):
        read(written(True))
