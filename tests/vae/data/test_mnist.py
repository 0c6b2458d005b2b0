"""vae/data/mnist.py and places.py: sets of four IDX files, in a folder or fetched."""

import gzip
import hashlib
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vae.data import DataError, load
from vae.data.mnist import FILES, MNIST, PUBLISHED, load_published
from vae.data.places import cache_root, find_file

TRAIN = np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)
TEST = np.random.default_rng(1).integers(0, 256, (2, 4, 3), np.uint8)
ARRAYS = {
    "train-images-idx3-ubyte": TRAIN,
    "train-labels-idx1-ubyte": np.array([4, 0, 9, 1, 7], np.uint8),
    "t10k-images-idx3-ubyte": TEST,
    "t10k-labels-idx1-ubyte": np.array([3, 3], np.uint8),
}


def pack(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + bytes(array)


def write(folder: Path, zipped: bool = False, **changed: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in ARRAYS.items():
        payload = pack(changed.get(name.split("-ubyte")[0].replace("-", "_"), array))
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(payload))
        else:
            (folder / name).write_bytes(payload)
    return folder


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("below", [False, True])
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_a_users_own_files_are_read(tmp_path: Path, name: str, zipped: bool, below: bool) -> None:
    write(tmp_path / name if below else tmp_path, zipped)
    ds = load(name, data_dir=tmp_path)
    assert ds.name == name
    np.testing.assert_array_equal(ds.train, (TRAIN / np.float32(255))[..., None])
    np.testing.assert_array_equal(ds.test[1, 2, 1, 0], np.float32(TEST[1, 2, 1]) / np.float32(255))
    assert ds.train_labels.tolist() == [4, 0, 9, 1, 7]
    assert ds.test_labels.tolist() == [3, 3]
    assert not ds.binary
    assert "not as published (SHA-256 differs: train-images" in ds.source


@pytest.mark.parametrize(("name", "below"), [("mnist", "MNIST/raw"), ("fashion-mnist", "FashionMNIST/raw")])
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_the_folder_layout_of_torchvision_is_recognised(tmp_path: Path, name: str, below: str, depth: int) -> None:
    write(tmp_path / "MNIST/raw", train_images_idx3=TRAIN)
    write(tmp_path / "FashionMNIST/raw", train_images_idx3=255 - TRAIN)
    ds = load(name, data_dir=tmp_path.joinpath(*below.split("/")[:depth]))
    np.testing.assert_array_equal(ds.train[..., 0], (TRAIN if name == "mnist" else 255 - TRAIN) / np.float32(255))


@pytest.mark.parametrize("zipped", [False, True])
def test_file_names_with_a_dot_are_recognised(tmp_path: Path, zipped: bool) -> None:
    for path in list(write(tmp_path, zipped).iterdir()):
        path.rename(tmp_path / path.name.replace("-idx", ".idx"))
    assert load("mnist", data_dir=tmp_path).train_labels.tolist() == [4, 0, 9, 1, 7]


def test_published_files_are_recognised(tmp_path: Path) -> None:
    sha256 = {name: hashlib.sha256(pack(array)).hexdigest() for name, array in ARRAYS.items()}
    published = replace(MNIST, sha256=sha256)
    ds = load_published("mnist", published, write(tmp_path, zipped=True))
    assert ds.source == f"{MNIST.title} from {tmp_path}."


def test_the_cache_is_used_and_checked(tmp_path: Path) -> None:
    sha256 = {name: hashlib.sha256(pack(array)).hexdigest() for name, array in ARRAYS.items()}
    published = replace(MNIST, sha256=sha256, mirrors=())
    write(tmp_path / "mnist", zipped=True)
    ds = load_published("mnist", published, cache_dir=tmp_path)
    np.testing.assert_array_equal(ds.train, (TRAIN / np.float32(255))[..., None])
    write(tmp_path / "mnist", zipped=True, t10k_images_idx3=TEST[::-1])
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz: wrong content, expected SHA"):
        load_published("mnist", published, cache_dir=tmp_path)


@pytest.mark.parametrize("part", ["train", "t10k"])
def test_images_and_labels_must_have_the_same_number(tmp_path: Path, part: str) -> None:
    write(tmp_path, **{f"{part}_labels_idx1": np.zeros(7, np.uint8)})
    with pytest.raises(DataError, match=rf"{part}-images.* holds \d images but .*{part}-labels.* 7"):
        load("mnist", data_dir=tmp_path)


@pytest.mark.parametrize("missing", ARRAYS)
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    (write(tmp_path) / missing).unlink()
    with pytest.raises(
        DataError, match=rf"no file {missing} or {missing}\.gz in {tmp_path} or its subfolders mnist, MNIST/raw"
    ):
        load("mnist", data_dir=tmp_path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path) / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(DataError, match=rf"{path} has bytes left over"):
        load("mnist", data_dir=tmp_path)


def test_published_sets_list_every_file_and_two_mirrors() -> None:
    for published in PUBLISHED.values():
        assert sorted(published.sha256) == sorted(f for files in FILES.values() for f in files)
        assert all(len(bytes.fromhex(digest)) == 32 for digest in published.sha256.values())
        assert len(published.mirrors) == 2


def test_the_location_of_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("VAE_DATA", raising=False)
    assert cache_root() == Path("/home/somebody/.cache/minigrad-vae")
    monkeypatch.setenv("VAE_DATA", "~/data")
    assert cache_root() == Path("/home/somebody/data")
    assert cache_root("here") == Path("here")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere, where x\.bin should be, is not a folder"):
        find_file(tmp_path / "nowhere", ("sub",), "x.bin")
