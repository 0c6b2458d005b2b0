"""Elementwise formulas in C++, of which kernels are generated: one element of a result from one of each operand.

An operation states its formula with its other traits (`minigrad.core.traits`). The operands are called a, b and c;
`real` stands for the type that is computed in, and `natural` for the integers without a sign of as many bits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

TYPES = {
    np.dtype(np.bool_): "bool",
    np.dtype(np.int32): "int",
    np.dtype(np.int64): "long long",
    np.dtype(np.float32): "float",
    np.dtype(np.float64): "double",
}
"""Dtypes that kernels are generated for, and what they are called in C++."""

NATURAL = {np.dtype(np.int32): "word", np.dtype(np.int64): "wide"}
REALS = np.dtype(np.float32), np.dtype(np.float64)


class Formula(NamedTuple):
    """C++ by the kind of numbers an operation computes with; None where no kernel is generated.

    `costly` formulas take about as long as eight additions. One that `selects` has a condition c as its first operand.
    """

    real: str | None = None  # of float32 and float64
    integer: str | None = None  # of int32 and int64; in C++ only integers without a sign may wrap around
    truth: str | None = None  # of numbers of any dtype; the result is true or false
    of_reals: bool = False  # whether `truth` is of float32 and float64 only
    bits: str | None = None  # of integers, and of true and false
    converts: bool = False  # the result is the operand, in another dtype or at another place
    costly: bool = False
    selects: bool = False

    def source(self, within: np.dtype, dtype: np.dtype) -> str | None:
        """The C++ of a result of `dtype` that is computed in another (or the same); None where there is none."""
        if within not in TYPES or dtype not in TYPES:
            return None
        if self.converts:
            return "a"
        if self.bits:
            return self.bits if within == dtype and within not in REALS else None
        if dtype == np.bool_:
            return self.truth if within in REALS or not self.of_reals else None
        if within in NATURAL:
            return self.integer and self.integer.replace("natural", NATURAL[within])
        return self.real if within in REALS else None


def numbers(real: str, integer: str) -> Formula:
    """Cheap arithmetic of real numbers and of integers."""
    return Formula(real, integer)


def reals(source: str, costly: bool = True) -> Formula:
    """A function of real numbers."""
    return Formula(source, costly=costly)


def truth(source: str, of_reals: bool = False) -> Formula:
    """A comparison, or another question about numbers."""
    return Formula(truth=source, of_reals=of_reals)


def bits(source: str) -> Formula:
    """An operation on the bits of integers, or on booleans."""
    return Formula(bits=source)


CONVERSION = Formula(converts=True)
