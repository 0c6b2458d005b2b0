"""The result of a gradient check: each entry, each tensor, and the verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

TOLERANCE = 1e-7  # of a tensor's largest gradient entry
COARSE = 1e-4  # in every tensor, an error of this relative size must be detectable despite rounding
ADJOINT_TOLERANCE = 1e-12


class Coordinate(NamedTuple):
    """One gradient entry of a parameter tensor (or one directional derivative), by reverse mode and by differences."""

    name: str
    index: tuple[int, ...]
    reverse: float
    difference: float
    relative: float  # |difference − reverse| / largest gradient entry of the tensor
    uncertainty: float = 0.0  # a bound on the difference's own error, relative to the same

    @property
    def decided(self) -> bool:
        """Whether the difference is accurate to the tolerance."""
        return self.uncertainty <= TOLERANCE

    @property
    def wrong(self) -> bool:
        """Whether the two differ by more than the tolerance and by more than the difference's own error."""
        return not self.relative <= max(TOLERANCE, self.uncertainty)


@dataclass(frozen=True)
class TensorReport:
    """What the check found for one parameter tensor."""

    name: str
    shape: tuple[int, ...]
    coordinates: int
    kinks: int  # stencils that straddled a kink
    redrawn: int  # coordinates replaced because every sufficiently accurate stencil did
    max_relative_error: float  # over the entries that are decided or wrong
    undecided: int = 0  # entries that agree, but whose difference is less accurate than the tolerance
    uncertainty: float = 0.0  # the largest of its entries
    seen: bool = True  # whether some entry's difference is accurate to COARSE


@dataclass(frozen=True)
class GradientReport:
    """Everything the check found."""

    tensors: tuple[TensorReport, ...]
    directions: TensorReport
    adjoint_gap: float
    coordinates: tuple[Coordinate, ...]

    @property
    def max_relative_error(self) -> float:
        return find_worst([t.max_relative_error for t in (*self.tensors, self.directions)])

    @property
    def passed(self) -> bool:
        return self.verdict == "passed"

    @property
    def verdict(self) -> str:
        """passed, FAILED, or undecided: no error was found, but in some tensor no difference is accurate to COARSE."""
        every = (*self.tensors, self.directions)
        unseen = [not t.seen and t.max_relative_error == math.inf for t in every]
        right = [t.max_relative_error <= TOLERANCE for t in every]
        if not (self.adjoint_gap <= ADJOINT_TOLERANCE and all(a or b for a, b in zip(right, unseen))):
            return "FAILED"
        return "undecided" if any(unseen) else "passed"

    @property
    def undecided(self) -> int:
        """The number of entries that agree, but whose difference is less accurate than the tolerance."""
        return sum(t.undecided for t in (*self.tensors, self.directions))

    def to_dict(self) -> dict[str, Any]:
        """The report for JSON; infinite or NaN errors become None."""
        return {
            "parameters": [
                {
                    "name": t.name,
                    "shape": list(t.shape),
                    "coordinates": t.coordinates,
                    "kinks": t.kinks,
                    "redrawn": t.redrawn,
                    "undecided": t.undecided,
                    "uncertainty": as_json_number(t.uncertainty),
                    "max_relative_error": as_json_number(t.max_relative_error),
                }
                for t in self.tensors
            ],
            "directions": {
                "count": self.directions.coordinates,
                "kinks": self.directions.kinks,
                "undecided": self.directions.undecided,
                "max_relative_error": as_json_number(self.directions.max_relative_error),
            },
            "adjoint_gap": as_json_number(self.adjoint_gap),
            "tolerance": TOLERANCE,
            "adjoint_tolerance": ADJOINT_TOLERANCE,
            "max_relative_error": as_json_number(self.max_relative_error),
            "passed": self.passed,
            "verdict": self.verdict,
        }


def find_worst(errors: list[float]) -> float:
    """The largest error; NaN if one is NaN (`max` might miss it), infinite if there are none."""
    return float(np.max(errors)) if errors else math.inf


def as_json_number(x: float) -> float | None:
    """x, or None (null) where JSON has no number for it."""
    return x if math.isfinite(x) else None
