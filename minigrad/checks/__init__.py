"""Gradients are checked against computations that use none of the rules.

`check_grads` compares both modes with five-point differences and with each other, to any order. The oracles are small
functions that stand alone; none shares code with the rules they test. A function with a kink inside the difference's
stencil cannot be judged there: `decisions` sees that a comparison came out differently, so kinks are reported as kinks
and never mistaken for (or hidden behind) a wrong gradient. `debug_nans` names the operation that made the first NaN.

`python -m minigrad.checks` puts every operation through every oracle.
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
