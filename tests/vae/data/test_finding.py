"""vae/data/finding.py: which files of a folder are pictures, of which part and class."""

import os
from pathlib import Path

import pytest

from vae.data import DataError
from vae.data.finding import find_pictures, picture_suffixes


def create_files(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def labels(root: Path) -> dict[str, list[tuple[str, str]]]:
    """Part -> (path below root, class) of each picture."""
    parts = find_pictures(root).parts
    return {part: [(str(path.relative_to(root)), label) for path, label in files] for part, files in parts.items()}


def test_suffixes_are_those_that_pillow_reads() -> None:
    suffixes = picture_suffixes()
    assert suffixes >= {".png", ".jpg", ".jpeg", ".jfif", ".pgm", ".ppm", ".pbm", ".bmp", ".gif", ".tif", ".webp"}
    assert ".mpo" in suffixes
    assert not suffixes & {".pdf", ".eps", ".mpg", ".h5", ".wmf", ".npy", ".txt"}


def test_folders_are_classes_however_deep(tmp_path: Path) -> None:
    create_files(tmp_path, "Greek/alpha/2.png", "Greek/alpha/1.png", "Greek/beta/1.PGM", "Latin/a/1.jfif", "cover.png")
    assert labels(tmp_path) == {
        "train": [
            ("Greek/alpha/1.png", "Greek/alpha"),
            ("Greek/alpha/2.png", "Greek/alpha"),
            ("Greek/beta/1.PGM", "Greek/beta"),
            ("Latin/a/1.jfif", "Latin/a"),
            ("cover.png", "."),
        ]
    }


def test_folders_that_hold_all_pictures_are_no_classes(tmp_path: Path) -> None:
    create_files(tmp_path, "set/images/a.png", "set/images/b.png")
    assert {label for _, label in labels(tmp_path)["train"]} == {"."}


@pytest.mark.parametrize("names", [("train", "test", "val"), ("Training", "Testing", "validation")])
@pytest.mark.parametrize("below", ["", "archive/"])
def test_folders_named_train_and_test_are_parts(tmp_path: Path, names: tuple[str, ...], below: str) -> None:
    create_files(tmp_path, *(f"{below}{name}/{c}/{i}.png" for name in names for c in ("cat", "dog") for i in range(2)))
    parts = labels(tmp_path)
    assert list(parts) == ["train", "test", "valid"]
    for part, name in zip(parts, names, strict=True):
        assert parts[part] == [(f"{below}{name}/{c}/{i}.png", c) for c in ("cat", "dog") for i in range(2)]


def test_pictures_outside_the_parts_are_reported(tmp_path: Path) -> None:
    create_files(tmp_path, "train/1.png", "test/1.png", "cover.png", "extra/1.png")
    found = find_pictures(tmp_path)
    assert sum(map(len, found.parts.values())) == 2
    assert found.notes == [f"Skipped in {tmp_path}: 2 pictures outside the folders train, test."]


@pytest.mark.parametrize("others", [("bus", "car"), ("test",)])
def test_a_class_may_be_called_train(tmp_path: Path, others: tuple[str, ...]) -> None:
    create_files(tmp_path, "train/1.png", *(f"{name}/1.txt" if name == "test" else f"{name}/1.png" for name in others))
    assert list(labels(tmp_path)) == ["train"]


def test_skipped_files_are_counted_by_suffix(tmp_path: Path) -> None:
    create_files(tmp_path, "1.png", "a.TXT", "b/c.txt", "d.heic", "README", ".hidden.png", "b/.DS_Store", "Thumbs.db")
    create_files(tmp_path, "__MACOSX/1.png", ".git/1.png", "._1.png", "desktop.ini")
    found = find_pictures(tmp_path)
    assert [path.name for path, _ in found.parts["train"]] == ["1.png"]
    assert found.notes == [f"Skipped in {tmp_path}: 2 .txt, 1 .heic, 1 without suffix."]


def test_a_folder_with_the_name_of_a_picture_is_a_folder(tmp_path: Path) -> None:
    create_files(tmp_path, "a.png/1.png", "b.png/1.png", "b.png/2.png")
    assert [label for _, label in labels(tmp_path)["train"]] == ["a.png", "b.png", "b.png"]
    (tmp_path / "empty.png").mkdir()
    assert len(labels(tmp_path)["train"]) == 3


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    create_files(tmp_path, "set/a/1.png", "else/2.png")
    for at, to in (("set/a/up", ".."), ("set/a/self", "."), ("set/b", "../else")):
        (tmp_path / at).symlink_to(to, target_is_directory=True)
    assert labels(tmp_path / "set") == {"train": [("a/1.png", "a"), ("b/2.png", "b")]}


def test_named_pipes_are_not_opened(tmp_path: Path) -> None:
    create_files(tmp_path, "1.png")
    os.mkfifo(tmp_path / "2.png")
    assert len(labels(tmp_path)["train"]) == 1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "it has no files"),
        (("a.txt", "b.txt", "c.heic"), "it has 2 .txt, 1 .heic$"),
        (("x.npy", "y.npy"), "it has 2 .npy; name one of its .npy or .npz files itself"),
        (("raw/train-images-idx3-ubyte",), "for MNIST's files use --data mnist --data-dir"),
    ],
)
def test_a_folder_without_pictures_is_refused(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=f"holds no readable pictures; .*{message}"):
        find_pictures(create_files(tmp_path, *names))


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = Path.iterdir

    def refuse(path: Path):
        if path.name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return listing(path)

    create_files(tmp_path, "open/1.png", "closed/1.png")
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataError, match="closed cannot be read: Permission denied"):
        find_pictures(tmp_path)
