"""The errors that operations and derivatives raise. Device errors are in `minigrad.backends`."""

from __future__ import annotations


class EscapedTracerError(RuntimeError):
    """A traced value was used after, or outside of, the derivative it belongs to."""


class MissingRuleError(NotImplementedError):
    """A primitive has no derivative rule for this mode, or no batching statement for mg.vmap."""


class MutationError(ValueError):
    """An array that a pending derivative needs was changed in place."""


class OperandError(ValueError):
    """The arrays given to an operation do not fit; the message gives the operation, shapes and dtypes."""


class OperandTypeError(TypeError):
    """An argument of an operation has the wrong type or dtype."""


class OperandIndexError(IndexError):
    """An index or an axis is out of range."""
