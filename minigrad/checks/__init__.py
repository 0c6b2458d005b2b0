"""How do you know a gradient is right? Ask somebody who does not use the rules.

`check_grads` compares both modes with five-point differences and with each other, to any order. The oracles are small
functions that stand alone; none shares code with the rules they test. A function with a kink inside the difference's
stencil cannot be judged there: `decisions` sees that a comparison came out differently, so kinks are reported as kinks
and never mistaken for (or hidden behind) a wrong gradient. `debug_nans` names the operation that made the first NaN.
"""

from minigrad.checks.checker import GradientError, KinkError, check_grads
from minigrad.checks.kinks import KINKS, decisions
from minigrad.checks.nans import NanError, debug_nans
from minigrad.checks.oracles import Difference, adjoint_gap, five_point

__all__ = [
    "KINKS",
    "Difference",
    "GradientError",
    "KinkError",
    "NanError",
    "adjoint_gap",
    "check_grads",
    "debug_nans",
    "decisions",
    "five_point",
]
