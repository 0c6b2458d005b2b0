"""vae/data/folder.py: a folder of pictures."""

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vae.data import DataError, Dataset, load

GREY = np.random.default_rng(0).integers(0, 256, (5, 7), np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)


def write(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


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


def test_adding_removing_or_renaming_pictures_moves_no_other(tmp_path: Path) -> None:
    """Pictures keep their part when the others are renamed, 100 are added and one is removed."""
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


def test_the_order_of_a_folders_listing_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


# Backgrounds


def write_icons(folder: Path, ink: int, count: int = 40, opaque: int = 0) -> np.ndarray:
    """Writes pictures drawn in one ink on a transparent background; returns their alpha (N, H, W, 1) in [0, 1]."""
    rng = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    alphas = rng.choice(np.array([0, 0, 128, 255], np.uint8), (count, 6, 5, 1))
    alphas[:opaque] = 255
    for i, alpha in enumerate(alphas):
        write(folder / f"{i:02}.png", np.concatenate([np.full((6, 5, 3), ink, np.uint8), alpha], axis=2))
    return alphas / 255


def all_images(ds: Dataset) -> list[bytes]:
    """All images of both parts, as sorted bytes."""
    return sorted((x * 255).round().astype(np.uint8).tobytes() for x in np.concatenate([ds.train, ds.test]))


@pytest.mark.parametrize(
    ("ink", "background", "name"), [(0, 255, "white"), (255, 0, "black"), (20, 255, "white"), (240, 0, "black")]
)
def test_ink_on_a_transparent_background_stays_visible(tmp_path: Path, ink: int, background: int, name: str) -> None:
    """If alpha were dropped, black ink on a transparent background would be black everywhere."""
    alpha = write_icons(tmp_path, ink)
    ds = load(tmp_path)
    shown = (ink * alpha + background * (1 - alpha)).round().astype(np.uint8).repeat(3, axis=3)
    assert all_images(ds) == sorted(x.tobytes() for x in shown)
    assert ds.notes[0] == f"Transparent, composited on {name}: 40 of 40 pictures."


def test_the_whole_folder_gets_one_background(tmp_path: Path) -> None:
    """Even if a few pictures cannot be seen on it: a picture's background follows from the set alone."""
    write_icons(tmp_path / "dark", 0, 30)
    write_icons(tmp_path / "light", 255, 10)
    ds = load(tmp_path)
    assert ds.notes[0] == "Transparent, composited on white: 40 of 40 pictures."
    assert ds.notes[-1] == "Blank, with a single value: 10 of 40 images."


def test_opaque_pictures_do_not_choose_the_background(tmp_path: Path) -> None:
    write_icons(tmp_path, 255, 40, opaque=30)
    assert load(tmp_path).notes[0] == "Transparent, composited on black: 10 of 40 pictures."


def test_a_set_of_identical_images_is_reported(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_icons(tmp_path / part, 90, 20, opaque=20)
    ds = load(tmp_path)
    assert ds.notes[-1] == "All 40 images are the same, and blank: there is nothing to learn."


# Classes and parts


def test_class_folders_are_labels(tmp_path: Path) -> None:
    for i, label in enumerate(("b", "a", "c/deep")):
        (tmp_path / label).mkdir(parents=True)
        for j in range(10):
            write(tmp_path / label / f"{j}.png", np.full((5, 7), 100 * i + j, np.uint8))
    ds = load(tmp_path)
    assert ds.classes == ("a", "b", "c/deep")
    for images, labels in ((ds.train, ds.train_labels), (ds.test, ds.test_labels)):
        inks = (images[:, 0, 0, 0] * 255).round()
        np.testing.assert_array_equal(labels, np.choose((inks // 100).astype(int), [1, 0, 2]))
    assert ds.source.startswith(f"30 pictures of 3 classes, one per folder, from {tmp_path}")


def test_folder_names_that_are_not_utf8_are_printed_too(tmp_path: Path) -> None:
    for i, name in enumerate((b"a", b"\xff")):
        folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        folder.mkdir()
        write(folder / "1.png", np.full((5, 7), 90 + 80 * i, np.uint8))
    assert load(tmp_path).notes[0].encode() == b"Labels: 0 a, 1 ?."


def test_folders_named_train_and_test_are_the_split(tmp_path: Path) -> None:
    for part, inks in (("train", range(20, 40)), ("test", range(5))):
        for ink in inks:
            folder = tmp_path / part / ("even", "odd")[ink % 2]
            folder.mkdir(parents=True, exist_ok=True)
            write(folder / f"{ink}.png", np.array([[ink, 255]], np.uint8))
    ds = load(tmp_path)
    for images, labels, inks in ((ds.train, ds.train_labels, range(20, 40)), (ds.test, ds.test_labels, range(5))):
        seen = (images[:, 0, 0, 0] * 255).round().astype(int)
        assert sorted(seen) == list(inks)
        np.testing.assert_array_equal(labels, seen % 2)
    assert ds.source == f"25 pictures of 2 classes, one per folder, from {tmp_path}."


def test_test_pictures_without_classes_have_no_labels(tmp_path: Path) -> None:
    for i, name in enumerate(("train/a", "train/b", "test")):
        (tmp_path / name).mkdir(parents=True)
        write(tmp_path / name / "1.png", np.full((5, 7), 90 + 80 * i, np.uint8))
    ds = load(tmp_path)
    assert (ds.train_labels.tolist(), ds.test_labels, ds.classes) == ([0, 1], None, ("a", "b"))


# Kinds


def test_grey_pictures_among_colour_ones_become_colour_and_are_reported(tmp_path: Path) -> None:
    for i in range(9):
        write(tmp_path / f"{i}.png", np.roll(COLOUR if i % 3 else GREY, i))
    ds = load(tmp_path)
    greys = [np.roll(GREY, i)[..., None].repeat(3, axis=2).tobytes() for i in (0, 3, 6)]
    assert set(greys) <= set(all_images(ds))
    assert ds.notes == ("Grey, taken as colour (R = G = B) like the others: 3 of 9 pictures.",)


def test_grey_pictures_saved_as_colour_are_reported(tmp_path: Path) -> None:
    for i in range(9):
        write(tmp_path / f"{i}.png", np.roll(GREY, i)[..., None].repeat(3, axis=2))
    ds = load(tmp_path)
    assert ds.train.shape[1:] == (5, 7, 3)
    assert ds.notes == ("All pictures are grey but saved as colour (R = G = B): each pixel counts three times.",)


def test_8_bit_pictures_among_16_bit_ones_keep_their_values(tmp_path: Path) -> None:
    for i in range(6):
        write(tmp_path / f"{i}.png", np.roll(GREY, i) if i % 2 else np.roll(GREY, i).astype(np.uint16) * 257)
    assert all_images(load(tmp_path)) == sorted(np.roll(GREY, i).tobytes() for i in range(6))


def test_float_pictures_are_treated_like_float_arrays(tmp_path: Path) -> None:
    for i in range(6):
        write(tmp_path / f"{i}.tif", np.roll(GREY, i) / np.float32(255))
    ds = load(tmp_path)
    assert all_images(ds) == sorted(np.roll(GREY, i).tobytes() for i in range(6))
    assert ds.notes == ()
    write(tmp_path / "0.tif", GREY * np.float32(0.7))
    with pytest.raises(DataError, match=r"train has values from \S+ to \S+, expected 0 to 1.* 255 for 8 bits"):
        load(tmp_path)
    write(tmp_path / "0.tif", GREY)
    with pytest.raises(DataError, match="mixes pictures of float32 and uint8: save all with 8 bits"):
        load(tmp_path)


def test_dark_pictures_are_reported(tmp_path: Path) -> None:
    """Masks of 0 and 1 saved as grey pictures are nearly black: in a picture, white is 255."""
    for i in range(6):
        write(tmp_path / f"{i}.png", (np.roll(GREY, i) > 127).astype(np.uint8))
    ds = load(tmp_path)
    assert ds.train.max() == np.float32(1) / np.float32(255)
    dark = f"{tmp_path}: the largest value is 1 of 255, so images are dark; if 1 is white, rescale them."
    assert ds.notes == (dark,)


def test_remarks_on_pictures_are_counted(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    for i in range(9):
        options = {"exif": exif} if i < 2 else {}
        write(tmp_path / f"{i}.png", np.roll(GREY, i), **options)
    Image.fromarray(GREY).save(tmp_path / "9.gif", save_all=True, append_images=[Image.fromarray(GREY.T.reshape(5, 7))])
    (tmp_path / "notes.txt").touch()
    assert load(tmp_path).notes == (
        f"Skipped in {tmp_path}: 1 .txt.",
        "Turned upright by their EXIF orientation: 2 of 10 pictures.",
        "Reduced to the first frame or page, or an icon's largest size: 1 of 10 pictures.",
    )


# What is refused


def test_different_sizes_are_refused_and_counted(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for i in range(9):
        write(tmp_path / f"{i}.png", np.roll(GREY, i)[: 4 if i == 5 else None])
    for i in range(3):
        write(tmp_path / "b" / f"{i}.png", np.ascontiguousarray(GREY.T))
    said = r"different sizes, 8 of 7×5 \(0\.png, …\), 3 of 5×7 \(b/0\.png, …\), 1 of 7×4 \(5\.png, …\): resize all"
    with pytest.raises(DataError, match=said):
        load(tmp_path)
    for i in range(2, 5):
        write(tmp_path / f"x{i}.png", GREY[:i, :i])
    with pytest.raises(DataError, match=", 3 more sizes: resize all"):
        load(tmp_path)


def test_pictures_of_other_sizes_are_not_kept_in_memory(tmp_path: Path) -> None:
    for i in range(30):
        write(tmp_path / f"{i:02}.png", np.zeros((1000, 1000 + i), np.uint8))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="27 more sizes"):
            load(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_unreadable_pictures_are_named_and_counted(tmp_path: Path) -> None:
    for i in range(9):
        write(tmp_path / f"{i}.png", np.roll(GREY, i))
    (tmp_path / "3.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"3\.png cannot be read as a picture: it is empty: remove or replace"):
        load(tmp_path)
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:-40])
    with pytest.raises(DataError, match=r"1\.png cannot be read .* \(and 1 more of 9 cannot\): remove or replace"):
        load(tmp_path)


def test_too_few_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no readable pictures; it has no files"):
        load(tmp_path)
    write(tmp_path / "a.png", GREY)
    with pytest.raises(DataError, match="has 1 image and no test part"):
        load(tmp_path)


def test_loading_takes_little_more_memory_than_the_images(tmp_path: Path) -> None:
    """The bytes that were read, the images as float32, and nothing else of that size."""
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (40, 400, 500), np.uint8)):
        write(tmp_path / f"{i}.png", pixels, compress_level=0)
    whole = 4 * 40 * 400 * 500
    load(tmp_path)
    tracemalloc.start()
    try:
        load(tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.25 * whole + 2**23
