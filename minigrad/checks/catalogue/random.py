"""Random draws: any part of a stream, in any shape, equals the same part of the whole stream."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from minigrad.backends.numpy import streams
from minigrad.backends.streams import DRAW, FOLD_IN, SPLIT
from minigrad.checks.catalogue.choose import Choose
from minigrad.checks.catalogue.operation import Example, at, constant

KEY = np.array([1, 2], np.uint32)


def any_key(choose: Choose) -> tuple[np.ndarray]:
    return (np.array([choose.integer(0, 2**32 - 1) for _ in range(2)], np.uint32),)


def any_part(choose: Choose, *dtypes: str) -> Example:
    named = {"shape": choose.shape(), "dtype": np.dtype(choose.one_of(dtypes)), "offset": choose.integer(0, 9)}
    start = choose.integer(0, 9)
    return at("", constants=any_key(choose), params=(start,), named=named)


def slice_stream(stream: Callable) -> Callable:
    """The formula of a draw: it generates the stream from 0 and drops the first `start` + `offset` numbers."""

    def formula(key, start, shape, dtype, offset):
        kind, begin = () if stream is streams.random_bits else (dtype,), start + offset
        return stream(np, key, begin + math.prod(shape), *kind)[begin:].reshape(shape)

    return formula


_DRAWS = {"bits": ("uint32",), "uniform": ("float64", "float32"), "normal": ("float64", "float32")}
for _name, _dtypes in _DRAWS.items():
    constant(
        f"random_{_name}",
        lambda choose, dtypes=_dtypes: any_part(choose, *dtypes),
        at("", params=(2,), named={"shape": (2, 3), "dtype": np.dtype(_dtypes[0]), "offset": 1}),
        formula=slice_stream(getattr(streams, f"random_{_name}")),
        constants=(KEY,),
    )


def any_rows(choose: Choose) -> Example:
    draw = choose.one_of([*_DRAWS])
    named = {"shape": choose.shape(), "dtype": np.dtype(choose.one_of(_DRAWS[draw])), "offset": choose.integer(0, 9)}
    rows = choose.integer(1, 4)
    keys = np.array([any_key(choose)[0] for _ in range(rows)])
    starts = np.array([choose.integer(0, 9) for _ in range(rows)])
    return at("", constants=(keys, starts), named={"draw": draw, **named, "lane": DRAW})


def slice_streams(keys, starts, draw, lane, **named):
    """The formula of draws with several keys: one after the other."""
    one = slice_stream(getattr(streams, f"random_{draw}"))
    return np.stack([one(key, start, **named) for key, start in zip(keys, starts)])


constant(
    "random_rows",
    any_rows,
    at("", named={"draw": "normal", "shape": (2, 3), "dtype": np.dtype("float32"), "offset": 1, "lane": DRAW}),
    formula=slice_streams,
    constants=(np.array([KEY, KEY + 1, KEY], np.uint32), np.array([0, 2, 5])),
)


def any_split(choose: Choose) -> Example:
    count = choose.integer(0, 4)
    return at("", constants=any_key(choose), named={"count": count})


def any_fold(choose: Choose) -> Example:
    i = choose.integer(0, 2**32 - 1)
    return at("", constants=any_key(choose), params=(i,))


constant(
    "random_split",
    any_split,
    at("", named={"count": 3}),
    formula=lambda key, count: streams.random_bits(np, key, 2 * count, lane=SPLIT).reshape(count, 2),
    constants=(KEY,),
)
constant(
    "random_fold_in",
    any_fold,
    at("", params=(5,)),
    formula=lambda key, i: streams.random_bits(np, key, 2, 4 * i, lane=FOLD_IN),
    constants=(KEY,),
)
