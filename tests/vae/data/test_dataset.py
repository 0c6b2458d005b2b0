"""vae/data/dataset.py: a Dataset is frozen, its arrays are float32, contiguous, read-only, and fit together."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from vae.data import DataError, Dataset
from vae.data.dataset import find_oddities, is_binary

IMAGES = np.linspace(0, 1, 3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5, 1)


def test_arrays_are_float32_contiguous_and_read_only() -> None:
    loose = IMAGES.astype(np.float64).transpose(0, 2, 1, 3)
    ds = Dataset("loose", loose, loose[:1], np.array([1, 2, 3], np.uint8), valid=loose[:2])
    for images in (ds.train, ds.test, ds.valid):
        assert images.dtype == np.float32
        assert images.flags.c_contiguous
        with pytest.raises(ValueError, match="read-only"):
            images[0] = 0
    assert ds.train_labels.dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        ds.train_labels[0] = 0
    np.testing.assert_array_equal(ds.train, loose.astype(np.float32))


def test_the_callers_array_stays_writeable() -> None:
    mine = IMAGES.copy()
    Dataset("mine", mine, mine)
    mine[0] = 0.5


def test_fields_are_frozen() -> None:
    ds = Dataset("set", IMAGES, IMAGES)
    with pytest.raises(FrozenInstanceError):
        ds.train = IMAGES


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"train": IMAGES[..., 0]}, r"train has shape \(3, 4, 5\)"),
        ({"test": IMAGES[:0]}, r"test has shape \(0, 4, 5, 1\)"),
        ({"test": IMAGES[:, :3]}, r"\(3, 5, 1\), train images have \(4, 5, 1\)"),
        ({"valid": IMAGES[:, :, :2]}, r"valid images"),
        ({"train_labels": np.arange(2)}, r"3 images but labels of shape \(2,\)"),
        ({"test_labels": np.zeros((3, 1), int)}, r"labels of shape \(3, 1\)"),
    ],
)
def test_parts_that_do_not_fit_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Dataset(**({"name": "set", "train": IMAGES, "test": IMAGES} | fields))


def test_is_binary() -> None:
    bits = np.array([0.0, 1.0, -0.0])
    assert is_binary(bits, None, bits)
    assert not is_binary(bits, np.array([0.5]))
    assert not is_binary(np.array([np.nan]))


def test_blank_and_identical_images_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vae.data.blocks.BLOCK", 25)  # one image, or all
    grey = np.full((2, 4, 5, 1), 0.3, np.float32)
    assert find_oddities(Dataset("usual", IMAGES, IMAGES, valid=IMAGES)) == ()
    some = Dataset("some", np.concatenate([IMAGES, grey]), IMAGES, valid=grey / 2)
    assert find_oddities(some) == ("Blank, with a single value: 4 of 10 images.",)
    said = "All 4 images are the same, and blank: there is nothing to learn."
    assert find_oddities(Dataset("blank", grey, grey)) == (said,)
    same = IMAGES[[1, 1]]
    assert find_oddities(Dataset("same", same, same)) == (said.replace(", and blank", ""),)
    assert find_oddities(Dataset("parts differ", same, IMAGES[:1])) == ()
    assert find_oddities(Dataset("parts differ in value", grey, grey / 2)) == (
        "Blank, with a single value: 4 of 4 images.",
    )
