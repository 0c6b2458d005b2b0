"""Convert labels in any of the usual forms to one int64 per image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .dataset import DataError


def to_codes(labels: dict[str, NDArray], file: str) -> tuple[dict[str, NDArray[np.int64]], tuple[str, ...] | None]:
    """The labels of each part of a set as int64 (N,), and, if they were strings, the names of the numbers.

    Accepts whole numbers of any dtype or strings, of shape (N,) or (N, 1), and one-hot rows (N, K). Raises DataError.
    """
    flat = {part: _flatten(x) for part, x in labels.items()}
    words = {part: x for part, x in flat.items() if x.dtype.kind in "US" and x.ndim == 1}
    if words and len(words) < len(flat):
        raise DataError(f"{file}: labels are strings in {', '.join(words)} but not in all parts")
    if words:
        text = {part: np.char.decode(x, "utf-8", "replace") if x.dtype.kind == "S" else x for part, x in words.items()}
        names = sorted({str(name) for x in text.values() for name in np.unique(x)})
        return {part: np.searchsorted(names, x).astype(np.int64) for part, x in text.items()}, tuple(names)
    return {part: _to_int(x, labels[part], f"{file}: {part}") for part, x in flat.items()}, None


def _flatten(x: NDArray) -> NDArray:
    if x.ndim == 2 and x.shape[1] == 1:
        return x[:, 0]
    if x.ndim == 2 and x.dtype.kind in "biuf" and ((x == 0) | (x == 1)).all() and (x.sum(1) == 1).all():
        return x.argmax(1)
    return x


def _to_int(x: NDArray, given: NDArray, label: str) -> NDArray[np.int64]:
    if x.ndim == 1 and x.dtype.kind in "biuf":
        with np.errstate(invalid="ignore"):  # NaN and infinity become an arbitrary int, which differs
            codes = x.astype(np.int64)
        if (codes == x).all():
            return codes
    raise DataError(
        f"{label} labels have shape {given.shape} and dtype {given.dtype}, expected one whole number or string per "
        "image, or one-hot rows"
    )
