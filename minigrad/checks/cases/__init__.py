"""One or more cases for every primitive and every public array function: the function, a plain formula, arguments.

`python -m minigrad.checks` and the test suite put every case through every oracle; a new operation needs a line here
(and one in tests/calls, for hypothesis to vary it) and no other test to have its derivatives checked. Formulas are
NumPy's own, or naive loops, and holomorphic around the arguments (so |x| is ±x by the sign of its real part), which is
what the complex step needs.
"""

from minigrad.checks.cases import constants, conv, elementwise, indexing, linalg, reduce, shape  # noqa: F401 (register)
from minigrad.checks.cases.registry import CASES, Case

__all__ = ["CASES", "Case"]
