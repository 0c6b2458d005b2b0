"""The catalogue of operations: one entry for every primitive and every public array function.

An entry says how the operation is spelled (by minigrad, in a plain formula, by PyTorch, JAX and HIPS/autograd), where
its arguments come from, which cases of it are always checked, and how to choose any other call. `python -m
minigrad.checks` and the test suite put every case through every oracle; the tests also let hypothesis choose calls, and
compare with peers where these are installed. A new operation needs an entry here, and no other test of its derivatives.

Formulas are NumPy's own, or naive loops, and holomorphic around the arguments (so |x| is ±x by the sign of its real
part), which is what the complex step needs.
"""

from minigrad.checks.catalogue import (  # noqa: F401  (each adds its entries)
    arrange,
    constants,
    conv,
    elementwise,
    indexing,
    linalg,
    random,
    reduce,
    scan,
    shape,
)
from minigrad.checks.catalogue.operation import OPERATIONS, Case

CASES: tuple[Case, ...] = tuple(case for entry in OPERATIONS.values() for case in entry.cases)

__all__ = ["CASES", "OPERATIONS", "Case"]
