"""Gradient checks: derivatives are compared with computations that use none of the rules.

`check_grads` compares both modes with five-point differences and with each other, to any order. The oracles are small
independent functions; none shares code with the rules it tests. Differences mean nothing where a kink lies inside their
stencil: `decisions` detects that a comparison came out differently there, so that a kink is reported as a kink, and is
neither mistaken for a wrong gradient nor hides one. `debug_nans` names the operation that produced the first NaN.

`python -m minigrad.checks` compares every operation with every oracle.
"""

from minigrad.checks.checker import GradientError, KinkError, check_grads
from minigrad.checks.kinks import decisions, one_sided_gap
from minigrad.checks.nans import NanError, debug_nans
from minigrad.checks.oracles import (
    adjoint_gap,
    complex_step,
    differences,
    float32_ulps,
    second_order_gap,
    taylor_slopes,
)
from minigrad.checks.report import Report
from minigrad.checks.stencil import Difference, five_point

__all__ = [
    "Difference",
    "GradientError",
    "KinkError",
    "NanError",
    "Report",
    "adjoint_gap",
    "check_grads",
    "complex_step",
    "debug_nans",
    "decisions",
    "differences",
    "five_point",
    "float32_ulps",
    "one_sided_gap",
    "second_order_gap",
    "taylor_slopes",
]
