"""vae/data/folder.py: a folder of pictures."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vae.data import DataError, load
from vae.data.folder import read_picture

GREY = np.random.default_rng(0).integers(0, 256, (5, 7), np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
ALPHA = np.random.default_rng(2).integers(0, 256, (5, 7, 1), np.uint8)


def write(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".PNG"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR])
def test_pictures_are_read_as_they_are(tmp_path: Path, suffix: str, pixels: np.ndarray) -> None:
    picture = read_picture(write(tmp_path / f"a{suffix}", pixels))
    np.testing.assert_array_equal(picture, pixels.reshape(5, 7, -1) / np.float32(255))


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_pictures_come_close(tmp_path: Path, suffix: str) -> None:
    smooth = np.add.outer(np.arange(16), np.arange(16)).astype(np.uint8) * 6
    picture = read_picture(write(tmp_path / f"a{suffix}", smooth, quality=95))
    np.testing.assert_allclose(picture[..., 0], smooth / 255, atol=0.03)


def test_alpha_is_dropped(tmp_path: Path) -> None:
    for pixels in (GREY[..., None], COLOUR):
        path = write(tmp_path / "a.png", np.concatenate([pixels, ALPHA], axis=2))
        np.testing.assert_array_equal(read_picture(path), pixels / np.float32(255))


def test_palettes_bits_and_sixteen_bits(tmp_path: Path) -> None:
    palette = Image.fromarray(COLOUR).quantize(35)
    palette.save(tmp_path / "palette.png", transparency=bytes([0, 100] + [255] * 33))
    expected = np.asarray(palette.convert("RGB")) / np.float32(255)
    np.testing.assert_array_equal(read_picture(tmp_path / "palette.png"), expected)
    bits = read_picture(write(tmp_path / "bits.png", GREY > 127))
    np.testing.assert_array_equal(bits[..., 0], GREY > 127)
    deep = GREY.astype(np.uint16) * 200 + 7
    picture = read_picture(write(tmp_path / "deep.png", deep))
    np.testing.assert_allclose(picture[..., 0], deep / 65535, rtol=1e-6)


def test_a_folder_is_split_by_seed(tmp_path: Path) -> None:
    pictures = np.arange(30 * 35, dtype=np.uint16).reshape(30, 5, 7).astype(np.uint8)
    for i in np.random.default_rng(0).permutation(30):
        write(tmp_path / f"{i:02}.png", pictures[i])
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "._00.png").write_text("not a picture either")
    (tmp_path / "folder.png").mkdir()
    ds = load(tmp_path, seed=1)
    assert len(ds.train) > len(ds.test) >= 1
    assert ds.train.shape[1:] == (5, 7, 1)
    assert ds.name == tmp_path.name
    both = np.concatenate([ds.train, ds.test])[..., 0]
    assert {x.tobytes() for x in both} == {(x / np.float32(255)).tobytes() for x in pictures}
    assert not np.array_equal(both, pictures / np.float32(255))
    np.testing.assert_array_equal(load(f"{tmp_path}/", seed=1).test, ds.test)
    assert not np.array_equal(load(tmp_path, seed=2).test, ds.test)


def test_pictures_added_removed_or_renamed_move_no_other(tmp_path: Path) -> None:
    """100 pictures added to 100: what was trained on stays where it was, in the order it had."""
    pictures = np.random.default_rng(0).integers(0, 256, (200, 5, 7), np.uint8)
    for i in range(100):
        write(tmp_path / f"{i}.png", pictures[i])
    before = load(tmp_path, seed=1)
    for i in range(100):
        (tmp_path / f"{i}.png").rename(tmp_path / f"{(i * 37) % 100}-renamed.png")
    renamed = load(tmp_path, seed=1)
    for i in range(100, 200):
        write(tmp_path / f"{i}.png", pictures[i])
    (tmp_path / "7-renamed.png").unlink()
    after = load(tmp_path, seed=1)
    for part in ("train", "test"):
        np.testing.assert_array_equal(getattr(renamed, part), getattr(before, part))
    trained, tested = ({image.tobytes() for image in part} for part in (before.train, before.test))
    assert len(after.train) + len(after.test) == 199
    assert not trained & {image.tobytes() for image in after.test}
    assert not tested & {image.tobytes() for image in after.train}


def test_the_order_a_folder_is_listed_in_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(12):
        write(tmp_path / f"{i}.png", np.roll(GREY, i))
    ds, listing = load(tmp_path), list(tmp_path.iterdir())
    for order in (sorted(listing), sorted(listing, reverse=True)):
        monkeypatch.setattr(Path, "iterdir", lambda _, order=order: iter(order))
        np.testing.assert_array_equal(load(tmp_path).train, ds.train)


def test_black_and_white_pictures_are_binary(tmp_path: Path) -> None:
    for i in range(4):
        write(tmp_path / f"{i}.png", np.roll(GREY, i) > 127)
    assert load(tmp_path).binary


def test_the_first_picture_of_another_size_is_named(tmp_path: Path) -> None:
    for name, pixels in (("a", GREY), ("b", GREY), ("c", GREY.T), ("d", GREY[1:])):
        write(tmp_path / f"{name}.png", np.ascontiguousarray(pixels))
    with pytest.raises(DataError, match=r"c\.png is 5×7 grey, but a\.png is 7×5 grey"):
        load(tmp_path)
    write(tmp_path / "c.png", COLOUR)
    with pytest.raises(DataError, match=r"c\.png is 7×5 colour, but a\.png is 7×5 grey"):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"words", b"\x89PNG\r\n\x1a\n garbage"])
def test_a_damaged_picture_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.png cannot be read as a picture"):
        load(tmp_path)


def test_a_picture_cut_short_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", COLOUR)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"a\.png cannot be read as a picture"):
        load(tmp_path)


def test_float_pictures_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", GREY.astype(np.float32))
    with pytest.raises(DataError, match=r"a\.tif has pixels of dtype float32"):
        load(tmp_path)


def test_too_few_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no pictures \(\.png, \.jpg"):
        load(tmp_path)
    write(tmp_path / "a.png", GREY)
    with pytest.raises(DataError, match="has 1 image and no test part"):
        load(tmp_path)
