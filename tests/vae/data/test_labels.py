"""vae/data/labels.py: integer, one-hot and string labels become one whole number per image."""

import numpy as np
import pytest

from vae.data import DataError
from vae.data.labels import to_codes

MARKS = np.array([4, 0, 9, 1, 7])


@pytest.mark.parametrize("dtype", ["i1", ">i4", "u1", "u8", "f4", "f8"])
@pytest.mark.parametrize("shape", [(5,), (5, 1)])
def test_whole_numbers_are_kept(dtype: str, shape: tuple) -> None:
    codes, names = to_codes({"train": MARKS.astype(dtype).reshape(shape)}, "x.npz")
    assert (codes["train"].tolist(), codes["train"].dtype, names) == (MARKS.tolist(), np.int64, None)


@pytest.mark.parametrize("dtype", ["?", "u1", "f4"])
def test_one_hot_rows_become_numbers(dtype: str) -> None:
    codes, _ = to_codes({"train": np.eye(10, dtype=dtype)[MARKS]}, "x.npz")
    assert codes["train"].tolist() == MARKS.tolist()


@pytest.mark.parametrize("dtype", ["U5", "S7"])
def test_strings_are_numbered_in_their_order_over_all_parts(dtype: str) -> None:
    words = np.array(["cat", "ant", "cat", "dog"], dtype)
    codes, names = to_codes({"train": words[:2, None], "test": words[2:]}, "x.npz")
    assert ([x.tolist() for x in codes.values()], names) == ([[1, 0], [1, 2]], ("ant", "cat", "dog"))


@pytest.mark.parametrize(
    ("x", "seen"),
    [
        (np.array([0.5, 1]), r"shape \(2,\) and dtype float64"),
        (np.array([np.nan, 1]), "dtype float64"),
        (np.array([2.0**70, 1]), "dtype float64"),
        (np.array([2**63, 1], np.uint64), "dtype uint64"),
        (np.array([[0, 1], [1, 1]]), r"shape \(2, 2\)"),
        (np.array([[0.3, 0.7]]), r"shape \(1, 2\)"),
        (np.array(3), r"shape \(\)"),
        (np.array([["a", "b"]]), r"shape \(1, 2\)"),
        (np.array([1j]), "dtype complex128"),
    ],
)
def test_other_labels_are_refused(x: np.ndarray, seen: str) -> None:
    with pytest.raises(DataError, match=f"x.npz: train labels have .*{seen}.* expected one whole number or string"):
        to_codes({"train": x}, "x.npz")


def test_strings_beside_numbers_are_refused() -> None:
    with pytest.raises(DataError, match=r"x.npz: labels are strings in test but not in all parts"):
        to_codes({"train": MARKS, "test": np.array(["a"])}, "x.npz")
