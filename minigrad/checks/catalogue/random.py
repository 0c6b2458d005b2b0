"""Random draws: any part of a stream, in any shape, equals the same part of the whole stream."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from minigrad.backends.numpy import streams
from minigrad.backends.streams import FOLD_IN, SPLIT
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


for _name, _dtypes in {
    "random_bits": ("uint32",),
    "random_uniform": ("float64", "float32"),
    "random_normal": ("float64", "float32"),
}.items():
    constant(
        _name,
        lambda choose, dtypes=_dtypes: any_part(choose, *dtypes),
        at("", params=(2,), named={"shape": (2, 3), "dtype": np.dtype(_dtypes[0]), "offset": 1}),
        formula=slice_stream(getattr(streams, _name)),
        constants=(KEY,),
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
