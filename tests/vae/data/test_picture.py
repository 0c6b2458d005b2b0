"""vae/data/picture.py: pictures of every format, depth, colour space, transparency and orientation."""

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from vae.data.picture import ORIENTATION, PictureError, measure_picture, read_picture

GREY = np.random.default_rng(0).integers(0, 256, (5, 7), np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
ALPHA = np.random.default_rng(2).integers(0, 256, (5, 7, 1), np.uint8)


def write(path: Path, pixels: np.ndarray | Image.Image, **options: object) -> Path:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    picture.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".PNG", ".ppm"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR])
def test_pictures_are_read_unchanged(tmp_path: Path, suffix: str, pixels: np.ndarray) -> None:
    picture = read_picture(path := write(tmp_path / f"a{suffix}", pixels))
    np.testing.assert_array_equal(picture.pixels, pixels.reshape(5, 7, -1))
    assert (picture.transparency, picture.remarks) == (None, ())
    assert measure_picture(path) == (5, 7)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_pictures_are_close(tmp_path: Path, suffix: str) -> None:
    smooth = np.add.outer(np.arange(16), np.arange(16)).astype(np.uint8) * 6
    picture = read_picture(write(tmp_path / f"a{suffix}", smooth, quality=95))
    np.testing.assert_allclose(picture.pixels[..., 0], smooth, atol=0.03 * 255)


def encode_png(kind: int, depth: int, size: tuple[int, int], rows: list[bytes], clear: bytes = b"") -> bytes:
    """A PNG of a colour type and depth that Pillow does not write; `clear` is the transparent value."""
    chunks = {b"IHDR": struct.pack(">2I5B", *size, depth, kind, 0, 0, 0), b"tRNS": clear}
    chunks |= {b"IDAT": zlib.compress(b"".join(b"\0" + row for row in rows)), b"IEND": b""}
    parts = (
        struct.pack(">I", len(x)) + name + x + struct.pack(">I", zlib.crc32(name + x))
        for name, x in chunks.items()
        if x or name == b"IEND"
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def encode_16_bit_png(pixels: np.ndarray, clear: tuple[int, ...] = ()) -> bytes:
    """(H, W, C) as a PNG of 16 bits a channel."""
    kind = {2: 4, 3: 2, 4: 6}[pixels.shape[2]]
    rows = [row.astype(">u2").tobytes() for row in pixels]
    return encode_png(kind, 16, pixels.shape[1::-1], rows, np.array(clear, ">u2").tobytes())


# Transparency


def blend(pixels: np.ndarray, alpha: np.ndarray, background: int) -> np.ndarray:
    """Pixels with alpha in 0…255 composited on a grey background."""
    return pixels * (alpha / 255) + background * (1 - alpha / 255)


def assert_shows(path: Path, pixels: np.ndarray, alpha: np.ndarray) -> None:
    ink, transparency, _ = read_picture(path)
    white = np.iinfo(ink.dtype).max
    np.testing.assert_allclose(ink * (255 / white), blend(pixels, alpha, 0), atol=0.51 * 255 / white)
    np.testing.assert_allclose((ink + transparency) * (255 / white), blend(pixels, alpha, 255), atol=0.51 * 255 / white)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("pixels", [GREY[..., None], COLOUR])
def test_ink_and_transparency_are_returned_separately(tmp_path: Path, suffix: str, pixels: np.ndarray) -> None:
    assert_shows(write(tmp_path / f"a{suffix}", np.concatenate([pixels, ALPHA], axis=2)), pixels, ALPHA)


def test_a_palette_with_alpha(tmp_path: Path) -> None:
    palette = Image.fromarray(COLOUR).quantize(35)
    path = write(tmp_path / "a.png", palette, transparency=bytes([0, 100] + [255] * 33))
    alpha = np.choose(np.minimum(np.asarray(palette), 2), [0, 100, 255])[..., None]
    assert_shows(path, np.asarray(palette.convert("RGB")), alpha)


@pytest.mark.parametrize(
    ("pixels", "clear"),
    [(GREY, int(GREY[2, 3])), (COLOUR, tuple(map(int, COLOUR[2, 3]))), (GREY > 127, 1)],
)
def test_a_transparent_colour(tmp_path: Path, pixels: np.ndarray, clear: object) -> None:
    path = write(tmp_path / "a.png", pixels, transparency=clear)
    shown = (pixels * np.uint8(255) if pixels.dtype == bool else pixels).reshape(5, 7, -1)
    assert_shows(path, shown, 255 * (shown != shown[2, 3] if pixels.dtype != bool else shown == 0).any(2)[..., None])


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("value", [0, 1, "last"])
def test_a_transparent_grey_level_at_low_depths(tmp_path: Path, depth: int, value: int | str) -> None:
    last = 2**depth - 1
    value = last if value == "last" else value
    greys = np.arange(16).reshape(1, 16) % (last + 1)
    bits = np.unpackbits(greys[..., None].astype(np.uint8), axis=2)[..., -depth:].reshape(1, -1)
    content = encode_png(0, depth, (16, 1), [np.packbits(bits).tobytes()], struct.pack(">H", value))
    (tmp_path / "a.png").write_bytes(content)
    assert_shows(tmp_path / "a.png", greys[..., None] * (255 / last), 255 * (greys != value)[..., None])


def test_a_transparent_16_bit_colour(tmp_path: Path) -> None:
    deep = COLOUR.astype(np.uint16) * 257
    (tmp_path / "a.png").write_bytes(encode_16_bit_png(deep, tuple(deep[2, 3])))
    assert_shows(tmp_path / "a.png", COLOUR, 255 * (deep != deep[2, 3]).any(2)[..., None])


def test_a_transparent_16_bit_grey_level(tmp_path: Path) -> None:
    deep = GREY.astype(np.uint16) * 200 + 7
    path = write(tmp_path / "a.png", deep, transparency=int(deep[2, 3]))
    assert_shows(path, deep[..., None] * (255 / 65535), 255 * (deep != deep[2, 3])[..., None])


def test_an_opaque_alpha_channel_is_dropped(tmp_path: Path) -> None:
    opaque = np.concatenate([COLOUR, np.full_like(ALPHA, 255)], axis=2)
    picture = read_picture(write(tmp_path / "a.png", opaque))
    np.testing.assert_array_equal(picture.pixels, COLOUR)
    assert picture.transparency is None


# Depth and colour


@pytest.mark.parametrize(("suffix", "mode"), [(".png", "<u2"), (".tif", "<u2"), (".tif", ">u2"), (".pgm", "<u2")])
def test_16_bit_grey_pictures(tmp_path: Path, suffix: str, mode: str) -> None:
    deep = GREY.astype(np.uint16) * 200 + 7
    picture = Image.frombytes("I;16" if mode == "<u2" else "I;16B", (7, 5), deep.astype(mode).tobytes())
    pixels = read_picture(write(tmp_path / f"a{suffix}", picture)).pixels
    assert pixels.dtype == np.uint16
    np.testing.assert_array_equal(pixels[..., 0], deep)


def test_a_pgm_of_ten_bits_reaches_white(tmp_path: Path) -> None:
    ten = np.array([[0, 1, 512, 1023]], ">u2")
    (tmp_path / "a.pgm").write_bytes(b"P5 4 1 1023\n" + ten.tobytes())
    np.testing.assert_allclose(read_picture(tmp_path / "a.pgm").pixels[..., 0] / 65535, ten / 1023, atol=1e-5)


def test_1_bit_pictures(tmp_path: Path) -> None:
    pixels = read_picture(write(tmp_path / "a.png", GREY > 127)).pixels
    np.testing.assert_array_equal(pixels[..., 0], (GREY > 127) * 255)


@pytest.mark.parametrize("suffix", [".png", ".ppm"])
def test_16_bit_colour_is_read_as_8_bits_and_reported(tmp_path: Path, suffix: str) -> None:
    deep = COLOUR.astype(np.uint16) * 257
    ppm = b"P6 7 5 65535\n" + deep.astype(">u2").tobytes()
    (tmp_path / f"a{suffix}").write_bytes(encode_16_bit_png(deep) if suffix == ".png" else ppm)
    picture = read_picture(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(picture.pixels, COLOUR)
    assert picture.remarks == ("reduced",)


@pytest.mark.parametrize("pixels", [GREY[..., None], COLOUR])
def test_16_bit_pictures_with_alpha(tmp_path: Path, pixels: np.ndarray) -> None:
    deep = np.concatenate([pixels, ALPHA], axis=2).astype(np.uint16) * 257
    (tmp_path / "a.png").write_bytes(encode_16_bit_png(deep))
    assert_shows(tmp_path / "a.png", pixels, ALPHA)
    assert read_picture(tmp_path / "a.png").remarks == ("reduced",)


@pytest.mark.parametrize("mode", ["CMYK", "LAB"])
def test_other_colour_spaces_become_rgb(tmp_path: Path, mode: str) -> None:
    smooth = np.linspace(40, 200, 35).reshape(5, 7, 1) + np.array([0, 10, 20])
    picture = Image.fromarray(smooth.astype(np.uint8))
    if mode == "LAB":
        from PIL import ImageCms

        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        picture = ImageCms.profileToProfile(picture, *profiles, outputMode="LAB")
    else:
        picture = picture.convert(mode)
    np.testing.assert_allclose(read_picture(write(tmp_path / "a.tif", picture)).pixels, smooth, atol=6)


def test_a_palette_of_greys_is_grey(tmp_path: Path) -> None:
    grey = Image.fromarray(GREY).convert("P")
    np.testing.assert_array_equal(read_picture(write(tmp_path / "a.png", grey)).pixels, GREY[..., None])
    colour = Image.fromarray(COLOUR).quantize(35)
    assert read_picture(write(tmp_path / "b.png", colour)).pixels.shape == (5, 7, 3)
    same = Image.fromarray(np.repeat(GREY[..., None], 3, axis=2))
    assert read_picture(write(tmp_path / "c.png", same)).pixels.shape == (5, 7, 3)


# Orientation and frames


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    smooth = Image.fromarray(np.add.outer(np.arange(24) * 4, np.arange(16) * 9).astype(np.uint8)).convert("RGB")
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = write(tmp_path / f"a{suffix}", smooth, exif=exif, **({} if suffix == ".tif" else {"quality": 98}))
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    upright = np.asarray(smooth.transpose(turn[orientation]) if orientation > 1 else smooth)
    picture = read_picture(path)
    np.testing.assert_allclose(picture.pixels, upright, atol=8)
    assert picture.remarks == (("turned",) if orientation > 1 else ())
    assert measure_picture(path) == upright.shape[:2]
    with Image.open(path) as opened:  # as Pillow itself does it
        np.testing.assert_array_equal(picture.pixels, np.asarray(ImageOps.exif_transpose(opened).convert("RGB")))


@pytest.mark.parametrize("suffix", [".gif", ".tif", ".png", ".webp"])
def test_the_first_frame_is_read_and_further_ones_are_reported(tmp_path: Path, suffix: str) -> None:
    frames = [Image.fromarray(np.roll(GREY, i)) for i in range(3)]
    lossless = {"lossless": True} if suffix == ".webp" else {}
    path = write(tmp_path / f"a{suffix}", frames[0], save_all=True, append_images=frames[1:], **lossless)
    picture = read_picture(path)
    np.testing.assert_array_equal(picture.pixels[..., 0], GREY)
    assert picture.remarks == ("frames",)


def test_the_largest_size_of_an_icon_is_read_and_others_are_reported(tmp_path: Path) -> None:
    square = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    picture = read_picture(write(tmp_path / "a.ico", square, sizes=[(16, 16), (32, 32)]))
    np.testing.assert_array_equal(picture.pixels, square)
    assert picture.remarks == ("frames",)
    assert read_picture(write(tmp_path / "b.ico", square, sizes=[(32, 32)])).remarks == ()


# What cannot be read


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "it is empty"), (b"words", "its format is unknown"), (b"\x89PNG\r\n\x1a\n garbage", "")],
)
def test_a_damaged_picture_is_named(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    for read in (read_picture, measure_picture):
        with pytest.raises(PictureError, match=rf"a\.png cannot be read as a picture: {why}"):
            read(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".tif", ".webp", ".bmp", ".ppm"])
def test_a_picture_cut_short_is_refused(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(PictureError, match=rf"a\{suffix} cannot be read as a picture: ."):
        read_picture(path)


@pytest.mark.parametrize("limit", [20, 34])  # beyond twice the limit Pillow raises an error, below it warns
def test_a_picture_of_too_many_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit // (2 if limit == 34 else 1))
    with pytest.raises(PictureError, match=r"a\.png cannot be read as a picture: it has more than \d+ pixels"):
        read_picture(write(tmp_path / "a.png", GREY))


def test_a_link_to_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(PictureError, match=r"a\.png cannot be read as a picture: No such file"):
        read_picture(tmp_path / "a.png")


def test_damaged_metadata_gives_no_warning(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", GREY)
    content = bytearray(path.read_bytes())
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for at in range(len(content) - 60, len(content)):
            path.write_bytes(content[:at] + b"\x07" + content[at + 1 :])
            try:
                read_picture(path)
            except PictureError as error:
                assert "\n" not in str(error)
    assert seen == []
