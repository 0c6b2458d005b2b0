"""The first NaN: which operation made it, where, and on the way forward or back."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from minigrad.core.interpreter import Interpreter, backend_beside, concrete
from minigrad.core.origin import Origin


class NanError(ArithmeticError):
    """An operation made a NaN."""


class debug_nans(Interpreter):
    """Context manager: the first operation whose result has a NaN raises NanError.

    The message names the primitive, the user's line, and whether it arose in the forward or the backward pass.
    """

    def process(self, primitive: Any, args: Sequence[Any], params: dict[str, Any]) -> Any:
        y = self.parent.process(primitive, args, params)
        value = concrete(y)
        if getattr(value, "dtype", None) is not None and value.dtype.kind in "fc":
            if bool(backend_beside(value).xp.isnan(value).any()):
                made_by = _node_being_pulled()
                where = made_by or str(Origin(primitive.name))
                way = (
                    f"backward pass of {where}, in its rule's '{primitive.name}'"
                    if made_by
                    else f"forward pass: {where}"
                )
                raise NanError(f"the first NaN arose in the {way}")
        return y


def _node_being_pulled() -> str | None:
    """The tape entry whose rule is running, if a backward pass is."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name in ("pulled", "_walk") and frame.f_globals.get("__name__") == "minigrad.core.reverse":
            return str(frame.f_locals["node"].origin)
        frame = frame.f_back
    return None
