"""The errors that operations and derivatives raise; those of devices are in `minigrad.backends`."""

from __future__ import annotations


class EscapedTracerError(RuntimeError):
    """A traced value was used after (or outside of) the derivative it belongs to."""


class MissingRuleError(NotImplementedError):
    """A primitive has no derivative rule for this mode."""


class MutationError(ValueError):
    """An array that a pending derivative needs was changed in place."""


class OperandError(ValueError):
    """An operation got arrays it cannot work on; the message has the operation, shapes and dtypes."""


class OperandTypeError(TypeError):
    """An operation got something of the wrong type or dtype."""


class OperandIndexError(IndexError):
    """An index, or an axis, is out of range."""
