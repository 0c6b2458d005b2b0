"""vae/data/arrays.py: .npy, .npz and IDX files, the names of their arrays, and the binarised MNIST."""

import gzip
import io
import re
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vae.data import DataError, arrays, load
from vae.data.arrays import list_arrays, read_arrays

BYTES = np.random.default_rng(0).integers(0, 256, (20, 6, 5), np.uint8)


def save(path: Path, array: np.ndarray | None = None, **arrays: np.ndarray) -> Path:
    if array is None:
        np.savez(path, **arrays)
    else:
        np.save(path, array)
    return path


# Files


def test_one_array_is_split_by_seed(tmp_path: Path) -> None:
    path = save(tmp_path / "some.npy", BYTES)
    ds = load(path, seed=3)
    assert ds.name == "some"
    assert ds.source == f"Read from {path}, about a tenth held out with seed 3."
    assert ds.train.shape[1:] == ds.test.shape[1:] == (6, 5, 1)
    assert len(ds.train) > len(ds.test) >= 1
    both = np.concatenate([ds.train, ds.test])[..., 0] * 255
    seen = {image.round().astype(np.uint8).tobytes() for image in both}
    assert seen == {image.tobytes() for image in BYTES}
    np.testing.assert_array_equal(load(path, seed=3).test, ds.test)
    assert not np.array_equal(load(path, seed=4).test, ds.test)
    assert ds.train_labels is None


@pytest.mark.parametrize("prefix", ["", "x_"])
def test_named_parts_and_labels_are_used(tmp_path: Path, prefix: str) -> None:
    parts = {f"{prefix}train": BYTES[:12], f"{prefix}test": BYTES[12:17]}
    parts |= {f"{prefix}valid": BYTES[17:], "y_train": np.arange(12), "test_labels": np.arange(5)}
    ds = load(save(tmp_path / "some.npz", **parts))
    for images, rows in ((ds.train, BYTES[:12]), (ds.test, BYTES[12:17]), (ds.valid, BYTES[17:])):
        np.testing.assert_array_equal(images[..., 0], rows / np.float32(255))
    assert ds.train_labels.tolist() == list(range(12))
    assert ds.test_labels.tolist() == list(range(5))


@pytest.mark.parametrize("name", ["train", "x_train", "anything"])
def test_a_single_array_in_an_npz_is_split(tmp_path: Path, name: str) -> None:
    ds = load(save(tmp_path / "some.npz", **{name: BYTES}))
    assert len(ds.train) + len(ds.test) == 20 and len(ds.train) > len(ds.test) >= 1


def test_labels_follow_their_images_when_a_part_is_held_out(tmp_path: Path) -> None:
    x = np.arange(30, dtype=np.uint8)[:, None, None].repeat(4, axis=2)
    ds = load(save(tmp_path / "some.npz", x_train=x, y_train=np.arange(30)))
    for images, labels in ((ds.train, ds.train_labels), (ds.test, ds.test_labels)):
        np.testing.assert_array_equal((images[:, 0, 0, 0] * 255).round(), labels)


def test_zeros_and_ones_in_a_file_are_binary(tmp_path: Path) -> None:
    bits = BYTES > 127
    for x in (bits, bits.astype(np.uint8), bits.astype(np.float64)):
        ds = load(save(tmp_path / "bits.npy", x))
        assert ds.binary
        assert set(np.unique(ds.train)) == {0, 1}
    assert not load(save(tmp_path / "grey.npy", bits * 0.5)).binary


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": BYTES, "b": BYTES}, "holds arrays a, b: name the images train and test"),
        ({}, r"holds arrays \(none\)"),
        ({"train": BYTES, "test": BYTES[:, :4]}, r"test images have \(H, W, C\) = \(4, 5, 1\)"),
        ({"train": BYTES, "y_train": np.arange(3)}, "20 images but 3 labels"),
        ({"train": BYTES, "test": BYTES, "y_test": np.arange(3)}, "20 images but 3 labels"),
        ({"train": BYTES[:1]}, "has 1 image and no test part"),
    ],
)
def test_an_npz_that_does_not_fit_is_refused(tmp_path: Path, arrays: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(save(tmp_path / "some.npz", **arrays))


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    for name in ("some.npy", "some.npz"):
        path = tmp_path / name
        with open(path, "wb") as file:
            write = np.savez if name.endswith("z") else np.save
            write(file, np.array([{}], dtype=object))
        said = f"{name} is not a NumPy file of plain arrays: it holds Python objects, .* save strings as x.astype"
        with pytest.raises(DataError, match=said):
            load(path)
    (tmp_path / "some.npy").write_bytes(b"\x80\x04N.")
    with pytest.raises(DataError, match="not a NumPy file") as caught:
        load(tmp_path / "some.npy")
    assert "unsafe" not in str(caught.value)


def refuse_to_open(*given) -> None:
    raise PermissionError(13, "Permission denied")


def test_unreadable_files_are_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "a.npy", BYTES)
    monkeypatch.setattr(arrays, "open", refuse_to_open, raising=False)
    with pytest.raises(DataError, match=r"a.npy cannot be read: Permission denied$"):
        load(tmp_path / "a.npy")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_files_are_refused_in_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    buffer = io.BytesIO()
    data.draw(st.sampled_from([np.save, np.savez_compressed]))(buffer, BYTES)
    content = bytearray(buffer.getvalue())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.npy"
    path.write_bytes(content)
    try:
        read_arrays(path, list_arrays(path))
    except DataError as error:
        assert str(error).startswith(str(path))


def test_members_that_are_no_arrays_are_ignored(tmp_path: Path) -> None:
    path = save(tmp_path / "some.npz", train=BYTES)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("README.txt", "words")
    assert list_arrays(path) == ["train"]
    assert len(load(path).train) + len(load(path).test) == 20


# What people have


def test_names_of_medmnist_and_labels_in_a_column(tmp_path: Path) -> None:
    marks = np.arange(20, dtype=np.uint8)[:, None] % 3
    parts = {"train": slice(12), "val": slice(12, 15), "test": slice(15, 20)}
    arrays = {f"{part}_images": BYTES[rows] for part, rows in parts.items()}
    ds = load(save(tmp_path / "some.npz", **arrays, **{f"{part}_labels": marks[rows] for part, rows in parts.items()}))
    assert (len(ds.train), len(ds.valid), len(ds.test)) == (12, 3, 5)
    assert ds.test_labels.tolist() == marks[15:, 0].tolist()
    assert ds.notes == ()


@pytest.mark.parametrize("names", [("images", "labels"), ("X", "y"), ("data", "target"), ("x_train", "y_train")])
def test_images_and_their_labels_are_split_together(tmp_path: Path, names: tuple[str, str]) -> None:
    x = np.arange(30, dtype=np.uint8)[:, None, None].repeat(4, axis=2)
    ds = load(save(tmp_path / "some.npz", **dict(zip(names, (x, np.arange(30)), strict=True))))
    for images, labels in ((ds.train, ds.train_labels), (ds.test, ds.test_labels)):
        np.testing.assert_array_equal((images[:, 0, 0, 0] * 255).round(), labels)


def test_a_validation_part_replaces_a_missing_test_part(tmp_path: Path) -> None:
    ds = load(save(tmp_path / "some.npz", train=BYTES[:15], x_val=BYTES[15:], y_val=np.arange(5)))
    np.testing.assert_array_equal(ds.test[..., 0], BYTES[15:] / np.float32(255))
    assert ds.test_labels.tolist() == list(range(5))
    assert (ds.valid, ds.notes) == (None, ("There is no test part: the validation part is used as test part.",))


def test_unused_arrays_are_reported(tmp_path: Path) -> None:
    path = save(tmp_path / "some.npz", train=BYTES, x_train=BYTES[:3], weights=np.zeros(20), y_test=np.zeros(3))
    assert load(path).notes == (f"{path}: unused arrays: x_train, weights, y_test.",)


def test_unused_arrays_are_not_read(tmp_path: Path) -> None:
    """For example the pickled objects beside the images of dSprites."""
    path = tmp_path / "some.npz"
    np.savez(path, metadata=np.array([{}], dtype=object), imgs=BYTES > 127, latents_classes=np.zeros((20, 6)))
    ds = load(path)
    assert ds.train.shape[1:] == (6, 5, 1)
    assert ds.notes == (f"{path}: unused arrays: metadata, latents_classes.",)


def test_labels_that_name_no_class_are_ignored_and_reported(tmp_path: Path) -> None:
    path = save(tmp_path / "some.npz", train=BYTES[:15], test=BYTES[15:], y_train=np.full((15, 3), 0.5))
    ds = load(path)
    assert (ds.train_labels, ds.test_labels) == (None, None)
    assert len(ds.notes) == 1
    assert ds.notes[0].startswith(f"Labels are not used: {path}: train labels have shape (15, 3) and dtype float64, ")


def test_the_names_of_labels_are_reported(tmp_path: Path) -> None:
    words = np.array(["cat", "ant"] * 10)
    ds = load(save(tmp_path / "some.npz", images=BYTES, labels=words))
    assert (ds.classes, ds.notes) == (("ant", "cat"), ("Labels: 0 ant, 1 cat.",))
    many = load(save(tmp_path / "some.npz", x=np.arange(30.0).reshape(30, 1, 1) / 29, y=np.arange(30).astype(str)))
    assert many.notes[0].endswith(" 22 29, 23 3, ….")


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("name", ["letters-train-images-idx3-ubyte", "train-images.idx3-ubyte"])
def test_an_idx_file_by_its_path_and_the_labels_beside_it(tmp_path: Path, name: str, suffix: str) -> None:
    images, marks = np.arange(30, dtype=np.uint8)[:, None, None].repeat(4, axis=2), np.arange(30, dtype=np.uint8)
    path = tmp_path / (name + suffix)
    zipped = gzip.compress if suffix else bytes
    path.write_bytes(zipped(bytes([0, 0, 8, 3]) + struct.pack(">3I", *images.shape) + images.tobytes()))
    assert load(path).train_labels is None
    beside = tmp_path / path.name.replace("images", "labels").replace("idx3", "idx1")
    beside.write_bytes(zipped(bytes([0, 0, 8, 1]) + struct.pack(">I", 30) + marks.tobytes()))
    ds = load(path)
    for part, labels in ((ds.train, ds.train_labels), (ds.test, ds.test_labels)):
        np.testing.assert_array_equal((part[:, 0, 0, 0] * 255).round(), labels)
    path.write_bytes(b"\0\0\x08")
    with pytest.raises(DataError, match="is cut short: 3 bytes are not an IDX header"):
        load(path)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, ">f8"])
def test_loading_takes_little_more_memory_than_the_images(tmp_path: Path, dtype: str) -> None:
    """The array of the file, the images as float32, and nothing else of that size."""
    path = save(tmp_path / "some.npy", np.random.default_rng(0).integers(0, 2, (2000, 64, 64)).astype(dtype))
    whole = 4 * 2000 * 64 * 64
    file = 0 if dtype == np.float32 else path.stat().st_size
    load(path)
    tracemalloc.start()
    try:
        load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < whole + file + 2**24


# Binarised MNIST


def write_binarized(path: Path, **changes: np.ndarray) -> Path:
    rng = np.random.default_rng(0)
    parts = {part: rng.integers(0, 2, (n, 784), np.uint8) for part, n in PARTS.items()}
    parts["train"] = np.sort(parts["train"], axis=0)  # sorted, as the real one is by class
    parts = {part: x for part, x in (parts | changes).items() if x is not None}
    return save(path / "binarized_mnist.npz", **parts)


PARTS = {"train": 40, "valid": 10, "test": 12}


@pytest.mark.parametrize("below", ["", "binarized_mnist"])
def test_binarized_mnist_is_whole_and_in_random_order(tmp_path: Path, below: str) -> None:
    (tmp_path / below).mkdir(exist_ok=True)
    with np.load(write_binarized(tmp_path / below)) as file:
        arrays = dict(file)
    ds = load("binarized-mnist", data_dir=tmp_path)
    assert ds.binary
    for part in PARTS:
        images = getattr(ds, part)
        assert images.shape == (PARTS[part], 28, 28, 1)
        rows = images.reshape(-1, 784).astype(np.uint8)
        assert not np.array_equal(rows, arrays[part])
        np.testing.assert_array_equal(rows[np.lexsort(rows.T)], arrays[part][np.lexsort(arrays[part].T)])


def test_binarized_mnist_may_be_in_the_cache_folder(tmp_path: Path) -> None:
    write_binarized(tmp_path)
    assert len(load("binarized-mnist", cache_dir=tmp_path, size=(5, 4)).train) == 5
    with pytest.raises(DataError, match=r"no file binarized_mnist\.npz in "):
        load("binarized-mnist", data_dir=Path(__file__).parent)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"valid": None}, "has no array valid, it has train, test"),
        ({"test": np.full((3, 784), 2, np.uint8)}, r"test has shape \(3, 784\) and dtype uint8"),
        ({"test": np.zeros((3, 28, 28), np.uint8)}, r"\(3, 28, 28\).*784 zeros and ones"),
        ({"train": np.zeros((0, 784), np.uint8)}, r"train is empty: shape \(0, 784\)"),
    ],
)
def test_another_file_of_that_name_is_refused(tmp_path: Path, changes: dict, message: str) -> None:
    write_binarized(tmp_path, **changes)
    with pytest.raises(DataError, match=message):
        load("binarized-mnist", data_dir=tmp_path)


def test_a_path_is_looked_for_in_data_dir_too(tmp_path: Path) -> None:
    save(tmp_path / "some.npy", BYTES)
    assert load("some.npy", data_dir=tmp_path).name == "some"
    with pytest.raises(DataError, match=re.escape(f"other.npy or {tmp_path / 'other.npy'}")):
        load("other.npy", data_dir=tmp_path)
