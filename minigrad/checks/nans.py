"""Finds the operation that produced the first NaN, in the forward or the backward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigrad.core.arrays import is_inexact
from minigrad.core.interpreter import Interpreter, concrete, find_backend
from minigrad.core.origin import Origin
from minigrad.core.reverse import current_entry


class NanError(ArithmeticError):
    """An operation produced a NaN."""


class debug_nans(Interpreter):
    """Context manager: the first operation whose result has a NaN raises NanError.

    The message names the primitive, the user's line, and the pass (forward or backward).
    """

    def process(self, primitive: Any, args: Sequence[Any], params: dict[str, Any]) -> Any:
        y = self.parent.process(primitive, args, params)
        value = concrete(y)
        if hasattr(value, "dtype") and is_inexact(value):
            if bool(find_backend(value).xp.isnan(value).any()):
                entry = current_entry()
                if entry is None:
                    raise NanError(f"the first NaN arose in the forward pass: {Origin(primitive.name)}")
                raise NanError(
                    f"the first NaN arose in the backward pass of {entry.origin}, in '{primitive.name}' of its rule"
                )
        return y
