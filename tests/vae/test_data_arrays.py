"""vae/data/arrays.py and pixels.py: .npy and .npz files of every shape and kind."""

import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vae.data import DataError, load
from vae.data.arrays import read_arrays
from vae.data.pixels import to_images

BYTES = np.random.default_rng(0).integers(0, 256, (20, 6, 5), np.uint8)


def save(path: Path, array: np.ndarray | None = None, **arrays: np.ndarray) -> Path:
    if array is None:
        np.savez(path, **arrays)
    else:
        np.save(path, array)
    return path


# Values and shapes


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6)))
def test_bytes_become_255ths_unless_they_are_bits(x: np.ndarray) -> None:
    images = to_images({"train": x}, "x.npy")["train"]
    expected = x / np.float32(1 if x.max() <= 1 else 255)
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images[..., 0], expected)


def test_bits_are_judged_over_all_parts() -> None:
    dark = np.ones((1, 2, 2), np.uint8)
    images = to_images({"train": BYTES[:, :2, :2], "test": dark}, "x.npz")
    np.testing.assert_array_equal(images["test"], np.float32(1) / np.float32(255))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", "?"])
def test_unit_floats_and_bools_are_kept(dtype: str) -> None:
    x = np.linspace(0, 1, 24).reshape(2, 4, 3).round(dtype == "?").astype(dtype)
    images = to_images({"train": x}, "x.npy")["train"]
    np.testing.assert_array_equal(images[..., 0], x.astype(np.float32))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((3, 4, 5), (3, 4, 5, 1)),
        ((3, 4, 5, 1), (3, 4, 5, 1)),
        ((3, 4, 5, 3), (3, 4, 5, 3)),
        ((3, 784), (3, 28, 28, 1)),
        ((3, 1), (3, 1, 1, 1)),
    ],
)
def test_shapes_become_nhwc(shape: tuple, expected: tuple) -> None:
    x = np.random.default_rng(0).random(shape)
    images = to_images({"train": x}, "x.npy")["train"]
    assert images.shape == expected
    np.testing.assert_array_equal(images.ravel(), x.astype(np.float32).ravel())


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((3, 783)), r"x.npy: train has shape \(3, 783\), expected .* D a square number$"),
        (np.zeros((2, 3, 32, 32)), r"shape \(2, 3, 32, 32\).*move the channels last"),
        (np.zeros((2, 8, 8, 5)), r"shape \(2, 8, 8, 5\).*square number$"),
        (np.zeros(9), r"shape \(9,\)"),
        (np.zeros(()), r"shape \(\)"),
        (np.zeros((0, 28, 28)), r"is empty: shape \(0, 28, 28\)"),
        (np.full((1, 2, 2), -0.5), r"values from -0\.5 to -0\.5, expected 0 to 1"),
        (np.arange(4.0).reshape(1, 2, 2), r"values from 0 to 3, expected 0 to 1"),
        (np.full((1, 2, 2), np.inf), r"values from inf to inf"),
        (np.array([[0.5, np.nan, np.nan, 1]]), "holds 2 NaN"),
        (
            np.zeros((1, 2, 2), np.int64),
            r"dtype int64, expected uint8 \(0 to 255\), bool or floats",
        ),
        (np.zeros((1, 2, 2), complex), "dtype complex128"),
        (np.array([["a"]]), "dtype <U1"),
    ],
)
def test_what_is_wrong_with_an_array_is_said(x: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        to_images({"train": x}, "x.npy")


# Files


def test_one_array_is_split_by_seed(tmp_path: Path) -> None:
    path = save(tmp_path / "some.npy", BYTES)
    ds = load(path, seed=3)
    assert ds.name == "some"
    assert ds.source == f"Read from {path}, a tenth held out by seed 3."
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


def test_bits_in_a_file_are_binary(tmp_path: Path) -> None:
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
        ({"train": BYTES, "test": BYTES, "y_test": np.arange(3)}, r"labels of shape \(3,\)"),
        ({"train": BYTES, "y_train": np.zeros(20)}, "dtype float64, expected one integer"),
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
        with pytest.raises(DataError, match=f"{name} is not a NumPy file of plain arrays") as caught:
            load(path)
    (tmp_path / "some.npy").write_bytes(b"\x80\x04N.")
    with pytest.raises(DataError, match="not a NumPy file") as caught:
        load(tmp_path / "some.npy")
    assert "unsafe" not in str(caught.value)


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
        read_arrays(path)
    except DataError as error:
        assert str(error).startswith(str(path))


def test_members_that_are_no_arrays_are_passed_over(tmp_path: Path) -> None:
    path = save(tmp_path / "some.npz", train=BYTES)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("README.txt", "words")
    assert list(read_arrays(path)) == ["train"]


# Binarised MNIST


def binarized(path: Path, **changes: np.ndarray) -> Path:
    rng = np.random.default_rng(0)
    parts = {part: rng.integers(0, 2, (n, 784), np.uint8) for part, n in PARTS.items()}
    parts["train"] = np.sort(parts["train"], axis=0)  # sorted, as the real one is by class
    parts = {part: x for part, x in (parts | changes).items() if x is not None}
    return save(path / "binarized_mnist.npz", **parts)


PARTS = {"train": 40, "valid": 10, "test": 12}


@pytest.mark.parametrize("below", ["", "binarized_mnist"])
def test_binarized_mnist_is_whole_and_in_random_order(tmp_path: Path, below: str) -> None:
    (tmp_path / below).mkdir(exist_ok=True)
    with np.load(binarized(tmp_path / below)) as file:
        arrays = dict(file)
    ds = load("binarized-mnist", data_dir=tmp_path)
    assert ds.binary
    for part in PARTS:
        images = getattr(ds, part)
        assert images.shape == (PARTS[part], 28, 28, 1)
        rows = images.reshape(-1, 784).astype(np.uint8)
        assert not np.array_equal(rows, arrays[part])
        np.testing.assert_array_equal(rows[np.lexsort(rows.T)], arrays[part][np.lexsort(arrays[part].T)])


def test_binarized_mnist_may_lie_in_the_cache_folder(tmp_path: Path) -> None:
    binarized(tmp_path)
    assert len(load("binarized-mnist", cache_dir=tmp_path, size=(5, 4)).train) == 5
    with pytest.raises(DataError, match=r"no file binarized_mnist\.npz in "):
        load("binarized-mnist", data_dir=Path(__file__).parent)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"valid": None}, "has no array valid, it has train, test"),
        ({"test": np.full((3, 784), 2, np.uint8)}, r"test has shape \(3, 784\) and dtype uint8"),
        ({"test": np.zeros((3, 28, 28), np.uint8)}, r"\(3, 28, 28\).*784 zeros and ones"),
        ({"train": np.zeros((0, 784), np.uint8)}, r"train has shape \(0, 28, 28, 1\)"),
    ],
)
def test_another_file_of_that_name_is_refused(tmp_path: Path, changes: dict, message: str) -> None:
    binarized(tmp_path, **changes)
    with pytest.raises(DataError, match=message):
        load("binarized-mnist", data_dir=tmp_path)


def test_a_path_is_looked_for_in_data_dir_too(tmp_path: Path) -> None:
    save(tmp_path / "some.npy", BYTES)
    assert load("some.npy", data_dir=tmp_path).name == "some"
    with pytest.raises(DataError, match=re.escape(f"other.npy or {tmp_path / 'other.npy'}")):
        load("other.npy", data_dir=tmp_path)
