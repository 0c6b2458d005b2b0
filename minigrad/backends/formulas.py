"""Elementwise formulas in C++, from which kernels are generated: they compute one element of a result from one element
of each operand.

An operation states its formula with its other traits (`minigrad.core.traits`). The operands are called a, b and c;
`real` stands for the type of the computation, and `natural` for the unsigned integer type of the same width.
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
"""Dtypes that kernels are generated for, and their names in C++."""

NATURAL = {np.dtype(np.int32): "word", np.dtype(np.int64): "wide"}
REALS = np.dtype(np.float32), np.dtype(np.float64)


class Formula(NamedTuple):
    """The C++ expressions of an operation, by the kind of its operands; None where no kernel is generated.

    `costly` formulas take about as long as eight additions. If a formula `selects`, its first operand is a condition c.
    """

    real: str | None = None  # of float32 and float64
    integer: str | None = None  # of int32 and int64; in C++ only unsigned integers may wrap around
    truth: str | None = None  # of numbers of any dtype; the result is a bool
    of_reals: bool = False  # whether `truth` is for float32 and float64 only
    bits: str | None = None  # of integers and booleans
    converts: bool = False  # the result is the operand itself, in another dtype or at another index
    costly: bool = False
    selects: bool = False

    def source(self, within: np.dtype, dtype: np.dtype) -> str | None:
        """The C++ expression for a result of `dtype` that is computed in the dtype `within`; None if there is none."""
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
    """Cheap arithmetic on real numbers and on integers."""
    return Formula(real, integer)


def reals(source: str, costly: bool = True) -> Formula:
    """A function of real numbers."""
    return Formula(source, costly=costly)


def truth(source: str, of_reals: bool = False) -> Formula:
    """A comparison, or another predicate of numbers."""
    return Formula(truth=source, of_reals=of_reals)


def bits(source: str) -> Formula:
    """An operation on the bits of integers, or on booleans."""
    return Formula(bits=source)


CONVERSION = Formula(converts=True)
