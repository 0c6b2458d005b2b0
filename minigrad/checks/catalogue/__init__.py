"""The catalogue of operations: one entry for every primitive and every public array function.

An entry gives the spellings of the operation (in minigrad, as a plain formula, in PyTorch, JAX and HIPS/autograd), the
distribution of its arguments, cases that are always checked, and a generator of other calls. `python -m
minigrad.checks` and the test suite check every case with every oracle; the tests also generate calls with hypothesis,
and compare with peers where these are installed. A new operation needs an entry here, but no further derivative test.

Formulas are NumPy functions or naive loops, holomorphic around the arguments (|x| is ±x by the sign of the real part),
as the complex step requires.
"""

from minigrad.checks.catalogue import (  # noqa: F401  (each adds its entries when imported)
    arrange,
    calculus,
    collectives,
    complex,
    constants,
    conv,
    decompositions,
    eigenvalues,
    elementwise,
    fft,
    indexing,
    linalg,
    matrix_functions,
    nans,
    order_statistics,
    products,
    random,
    ranges,
    reduce,
    scan,
    shape,
    stacking,
    updates,
)
from minigrad.checks.catalogue.operation import OPERATIONS, Case

CASES: tuple[Case, ...] = tuple(case for entry in OPERATIONS.values() for case in entry.cases)

__all__ = ["CASES", "OPERATIONS", "Case"]
