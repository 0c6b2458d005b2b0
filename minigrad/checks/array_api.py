"""Where minigrad differs from the Python array API standard, https://data-apis.org/array-api/2024.12.

Everything else of that version has the standard's name, arguments and meaning, which the tests check against
`array_api_strict`. With plain arrays, a difference is a TypeError, never another result, but for `linalg.pinv`.
"""

from __future__ import annotations

DIFFERENCES = {
    # functions
    "sign": "real arrays only; for complex numbers, x / abs(x)",
    "linalg.qr": 'mode "reduced" only, since the other columns of Q have no derivative',
    "linalg.svd": "full_matrices=False unless the matrices are square, since other vectors have no derivative",
    # traced values
    "linalg.pinv(x)": "of nearly singular matrices: rtol is 1e-15 by default, as in NumPy, not max(M, N)·ε",
    "x[index] = value, x += y": "raise for traced values: mg.at(x)[index].set(value), x = x + y",
    "float(x), complex(x), x.__dlpack__()": "raise for traced values, whose derivative they would lose",
    "x[mask], nonzero, unique_all, …": "raise inside mg.jit and mg.vmap, where the shape would depend on values",
    "x > 0, zeros(3), …": "plain NumPy or CuPy arrays, whose own namespace is NumPy's or CuPy's",
}
"""By function or expression, how it differs."""
