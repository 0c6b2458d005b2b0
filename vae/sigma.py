"""The σ of a decoder: how it is set, and e^x for an ln σ that is a number or an array."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import minigrad as mg

SOURCES = ("fixed", "learned", "profiled")


@dataclass(frozen=True)
class Sigma:
    """How the σ of a decoder is set.

    `fixed` at `value`; `learned`, as the parameter ln σ; or `profiled`: the optimum for each batch, with gradients
    through it. Raises ValueError for another source, and for a value that is not positive.
    """

    value: float = 1.0
    source: str = "fixed"

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            raise ValueError(f"unknown σ mode {self.source!r}: use {', '.join(SOURCES)}")
        if not (math.isfinite(self.value) and self.value > 0):
            raise ValueError(f"σ must be a positive number, got {self.value}")


UNIT, LEARNED, PROFILED = Sigma(), Sigma(source="learned"), Sigma(source="profiled")


def exp(x: Any) -> Any:
    """e^x; a Python number stays a Python number, which does not promote float32 arrays."""
    return math.exp(x) if isinstance(x, (int, float)) else mg.exp(x)
