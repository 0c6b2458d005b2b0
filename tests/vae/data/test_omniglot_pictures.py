"""vae/data/omniglot_pictures.py: one-bit PNG files, in a zip file or a folder, reduced to 28×28."""

import struct
import zipfile
import zlib
from collections.abc import Mapping
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vae.data import DataError
from vae.data.omniglot_pictures import LIMIT, read_pictures

PAPER = np.ones((105, 105), bool)  # white, with a stroke of ink that is not symmetrical
PAPER[10:14, 20:90] = False
PAPER[10:80, 20:27] = False
NAMES = ("Greek/character01/0001_01.png", "Latin/character01/0002_01.png", "Latin/character02/0003_20.png")


def png(paper: np.ndarray, kind: str = "PNG") -> bytes:
    file = BytesIO()
    Image.fromarray(paper).save(file, kind)
    return file.getvalue()


def write_zip(path: Path, files: Mapping[str, np.ndarray | bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, x in files.items():
            archive.writestr(name, x if isinstance(x, bytes) else png(x))
    return path


def write_folder(path: Path, files: Mapping[str, np.ndarray | bytes]) -> Path:
    for name, x in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(x if isinstance(x, bytes) else png(x))
    return path


def average(ink: np.ndarray) -> np.ndarray:
    """The exact mean of each of 28×28 squares of 3.75×3.75 pixels, by the overlap of every pixel with its square."""
    edges = [Fraction(105 * i, 28) for i in range(29)]
    overlap = [[max(0, min(edges[i + 1], j + 1) - max(edges[i], j)) for j in range(105)] for i in range(28)]
    weights = np.array(overlap, float) / 3.75
    return np.array([[(np.outer(rows, columns) * ink).sum() for columns in weights] for rows in weights])


def refuses(path: Path, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_pictures(path, "images_background")
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def random_papers(seed: int, count: int = 3) -> list[np.ndarray]:
    """Black and white pictures with patches of random sizes."""
    rng = np.random.default_rng(seed)
    return [np.kron(rng.random((15, 21)) < 0.7, np.ones((7, 5))).astype(bool) for _ in range(count)]


@given(st.integers(0, 2**32))
def test_a_pixel_is_the_share_of_ink_in_its_square(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    papers = [PAPER, *random_papers(seed, 2)]
    path = write_zip(tmp_path_factory.mktemp("a") / "some.zip", dict(zip(NAMES, papers, strict=True)))
    ink, labels, notes = read_pictures(path, "images_background")
    assert ink.shape == (3, 28, 28, 1) and ink.dtype == np.float32
    assert labels.tolist() == ["Greek", "Latin", "Latin"] and notes == []
    for found, paper in zip(ink, papers, strict=True):
        np.testing.assert_allclose(found[..., 0], average(~paper), atol=1e-6)


@pytest.mark.parametrize("outer", ["", "images_background/"])
def test_a_zip_and_a_folder_hold_the_same_in_any_order(tmp_path: Path, outer: str) -> None:
    files = dict(zip(NAMES, random_papers(1), strict=True))
    expected = read_pictures(write_zip(tmp_path / "a.zip", files), "images_background")
    backwards = {outer + name: files[name] for name in reversed(NAMES)}
    for path in (write_zip(tmp_path / "b.zip", backwards), write_folder(tmp_path / "c", backwards)):
        found = read_pictures(path, "images_background")
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])


def test_other_files_are_counted_and_hidden_ones_ignored(tmp_path: Path) -> None:
    others = {
        "README.txt": b"text",
        "Greek/character01/notes.png": b"text",
        "images_evaluation/Tibetan/character01/0004_01.png": PAPER,
        "__MACOSX/Greek/character01/._0001_01.png": b"text",
        "Greek/.DS_Store": b"text",
    }
    files = {NAMES[0]: PAPER, **others}
    for path in (write_zip(tmp_path / "a.zip", files), write_folder(tmp_path / "b", files)):
        ink, labels, notes = read_pictures(path, "images_background")
        assert len(ink) == 1 and labels.tolist() == ["Greek"]
        assert notes == [f"Skipped in {path}: 3 files that are not ALPHABET/character01/0709_01.png."]


def test_an_archive_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refuses(tmp_path / "empty", "holds no pictures .* but no other files: take images_background.zip from github")
    refuses(write_zip(tmp_path / "a.zip", {"a.txt": b"", "b/c.txt": b""}), "holds no pictures .* but 2 other files")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\3\4" + b"\0" * 100])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    refuses(tmp_path / "a.zip", "is not a zip file, or is damaged: ")


def test_a_large_member_is_refused_by_its_size(tmp_path: Path) -> None:
    bomb = b"\0" * 2**24
    refuses(write_zip(tmp_path / "a.zip", {NAMES[0]: bomb}), f"{NAMES[0]} has {2**24} bytes, more than a black and")
    refuses(write_folder(tmp_path / "b", {NAMES[0]: b"\0" * (LIMIT + 1)}), f"{NAMES[0]} has {LIMIT + 1} bytes")


def header_of(width: int, height: int) -> bytes:
    """A PNG file that claims this size, without pixels."""
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0), b"IDAT", b"IEND")
    parts = [struct.pack(">I", len(x) - 4) + x + struct.pack(">I", zlib.crc32(x)) for x in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (png(PAPER[:28, :30]), "has 30×28 pixels of Pillow's mode 1, expected 105×105 in black and white"),
        (png(PAPER.astype(np.uint8)), "has 105×105 pixels of Pillow's mode L, expected 105×105 in black and white"),
        (png(PAPER, "TIFF"), "cannot be read as a PNG picture: its format is unknown"),
        (png(PAPER)[:70], "cannot be read as a PNG picture: .*truncated"),
        (b"", "cannot be read as a PNG picture: its format is unknown"),
        (header_of(10_000, 10_000), "has 10000×10000 pixels of Pillow's mode 1"),
        (header_of(100_000, 100_000), "cannot be read as a PNG picture: .*decompression bomb"),
    ],
    ids=["size", "mode", "format", "short", "empty", "large", "bomb"],
)
def test_an_unsuitable_picture_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    files = {NAMES[0]: PAPER, NAMES[1]: content}
    for path in (write_zip(tmp_path / "a.zip", files), write_folder(tmp_path / "b", files)):
        refuses(path, f"{NAMES[1]} {message}")


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {NAMES[0]: PAPER, NAMES[1]: PAPER})
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo(NAMES[1]).header_offset + 30 + len(NAMES[1])
    content = bytearray(path.read_bytes())
    content[start + 40] ^= 0xFF
    path.write_bytes(content)
    refuses(path, f"{NAMES[1]} cannot be read as a PNG picture: ")
