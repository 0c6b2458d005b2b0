"""NumPy's signatures that `inspect` cannot read, and positional calls of every function and method we share with it.

`FUNCTIONS[name]` is (required arguments, tuples of optional positional arguments, one tuple per call); `METHODS[name]`
is the same without the array itself.
"""

from __future__ import annotations

import numpy as np

F32, F64 = np.float32, np.float64
X = np.random.default_rng(1).normal(size=(2, 3, 4))
Y = np.random.default_rng(2).normal(size=(2, 3, 4))
M = np.random.default_rng(3).normal(size=(3, 4))
V = np.random.default_rng(4).normal(size=5)
A = M @ M.T + np.eye(3)
TURNING = np.array([[1.0, 2, 0], [-2, 1, 0.5], [0.3, 0, 2]])  # with complex eigenvalues
SMALL = 0.3 * np.tanh(X)  # in the domain of arcsin
POSITIVE = 0.5 + np.abs(X)
ORDER = np.argsort(X, 1)

UNARY = "x, /, out=None, *, where=True, casting='same_kind', order='K', dtype=None, subok=True, signature=None"
BINARY = f"x1, x2{UNARY[1:]}"
SIGNATURES = {
    "arange": "start_or_stop, /, stop=None, step=1, *, dtype=None, device=None, like=None",
    "asarray": "a, dtype=None, order=None, *, device=None, copy=None, like=None",
    "can_cast": "from_, to, casting='safe'",
    "empty": "shape, dtype=None, order='C', *, device=None, like=None",
    "empty_like": "prototype, /, dtype=None, order='K', subok=True, shape=None, *, device=None",
    "result_type": "*arrays_and_dtypes",
    "zeros": "shape, dtype=None, order='C', *, device=None, like=None",
    "concatenate": "arrays, /, axis=0, out=None, *, dtype=None, casting='same_kind'",
    "dot": "a, b, out=None",
    "einsum": "subscripts, *operands, out=None, dtype=None, order='K', casting='safe', optimize=False",
    "concat": "arrays, /, axis=0, out=None, *, dtype=None, casting='same_kind'",
    "from_dlpack": "x, /, *, device=None, copy=None",
    "matmul": f"{BINARY}, axes=None, axis=None, keepdims=False",
    "pad": "array, pad_width, mode='constant', *, constant_values=None, end_values=None, stat_length=None, "
    "reflect_type=None",
    "inner": "a, b, /",
    "matvec": f"{BINARY}, axes=None, axis=None, keepdims=False",
    "vdot": "a, b, /",
    "vecdot": f"{BINARY}, axes=None, axis=None, keepdims=False",
    "vecmat": f"{BINARY}, axes=None, axis=None, keepdims=False",
    "where": "condition, x=None, y=None, /",
}
"""As documented: built-in functions have a signature only from NumPy 2.4 on, functions with **kwargs never do."""

METHOD_SIGNATURES = {
    "all": "axis=None, out=None, keepdims=False, *, where=None",
    "any": "axis=None, out=None, keepdims=False, *, where=None",
    "argmax": "axis=None, out=None, *, keepdims=False",
    "argmin": "axis=None, out=None, *, keepdims=False",
    "argsort": "axis=-1, kind=None, order=None, *, stable=None",
    "astype": "dtype, order='K', casting='unsafe', subok=True, copy=True",
    "clip": "min=None, max=None, out=None",
    "conj": "",
    "conjugate": "",
    "copy": "order='C'",
    "cumprod": "axis=None, dtype=None, out=None",
    "cumsum": "axis=None, dtype=None, out=None",
    "diagonal": "offset=0, axis1=0, axis2=1",
    "dot": "b, out=None",
    "flatten": "order='C'",
    "max": "axis=None, out=None, keepdims=False, initial=None, where=None",
    "mean": "axis=None, dtype=None, out=None, keepdims=False, *, where=None",
    "min": "axis=None, out=None, keepdims=False, initial=None, where=None",
    "nonzero": "",
    "prod": "axis=None, dtype=None, out=None, keepdims=False, initial=None, where=None",
    "ravel": "order='C'",
    "reshape": "*shape, order='C', copy=None",
    "squeeze": "axis=None",
    "std": "axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=None, mean=None",
    "sum": "axis=None, dtype=None, out=None, keepdims=False, initial=None, where=None",
    "swapaxes": "axis1, axis2",
    "take": "indices, axis=None, out=None, mode='raise'",
    "to_device": "device, /, *, stream=None",
    "trace": "offset=0, axis1=0, axis2=1, dtype=None, out=None",
    "transpose": "*axes",
    "var": "axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=None, mean=None",
}

INTEGER = {"left_shift", "right_shift", "bitwise_left_shift", "bitwise_right_shift"}  # functions of integers only

SUMS = [(), (1,), (None, F32), ((0, -1), F64), (1, F32, None), (-1, None, None, True)]
MEANS = [(), (1,), (0, F32), (None, F64, None), ((0, -1), None, None, True)]
SPREADS = [*MEANS[:4], (1, F32, None, 1), (0, None, None, 1, True), ((0, 2), F64, None, 2, False)]
EXTREMES = [(), (1,), ((0, 2), None), (-1, None, True), (None, None, True)]
SCANS = [(), (1,), (-1, F32), (0, F64, None), (None, F32)]
PLACES = [(), (1,), (-1, None)]
SORTS = [(), (0,), (None,), (1, "stable"), (-1, "quicksort", None)]
DIAGONALS = [(), (1,), (-1, 1, 2), (0, 2, 0)]
QUANTILES = [(), (1,), ((0, 2), None), (1, None, False, "lower"), (0, None, False, "linear", True)]
TAKES = [(), (1,), (-1, None), (0, None, "raise")]

METHODS = {
    "all": ((), EXTREMES[:3]),
    "any": ((), EXTREMES[:3]),
    "argmax": ((), PLACES),
    "argmin": ((), PLACES),
    "argsort": ((), [*SORTS[:2], (1, "stable"), (-1, "stable", None)]),
    "astype": ((F32,), [(), ("K",), ("K", "same_kind"), ("K", "unsafe", False), ("K", "unsafe", True, False)]),
    "clip": ((), [(-0.5,), (None, 0.5), (-0.5, 0.5, None)]),
    "conj": ((), [()]),
    "conjugate": ((), [()]),
    "copy": ((), [(), ("C",), ("F",), ("A",), ("K",)]),
    "cumprod": ((), SCANS),
    "cumsum": ((), SCANS),
    "diagonal": ((), DIAGONALS),
    "dot": ((M.T,), [(), (None,)]),
    "flatten": ((), [(), ("C",), ("F",)]),
    "max": ((), EXTREMES),
    "mean": ((), MEANS),
    "min": ((), EXTREMES),
    "nonzero": ((), [()]),
    "prod": ((), SUMS),
    "ravel": ((), [(), ("C",), ("F",)]),
    "reshape": ((), [(6, 4), (-1,), ((4, 6),), (2, -1, 2), ([3, 8],), (np.array([8, 3]),)]),
    "squeeze": ((), [(), (None,), (())]),
    "std": ((), SPREADS),
    "sum": ((), SUMS),
    "swapaxes": ((0, 2), [()]),
    "take": (([0, 1, 1],), TAKES),
    "to_device": (("cpu",), [()]),
    "trace": ((), [*DIAGONALS, (0, 0, 1, F32), (1, 1, 2, None, None)]),
    "transpose": ((), [(), (None,), (1, 0, 2), ((2, 0, 1),), ([0, 2, 1],)]),
    "var": ((), SPREADS),
}

FUNCTIONS = {
    **{name: ((X,), [()]) for name in "abs absolute exp expm1 negative sin cos tan sinh cosh tanh square".split()},
    **{name: ((X,), [()]) for name in "real imag conj conjugate".split()},
    **{name: ((X,), [()]) for name in "sign floor ceil rint isnan isinf isfinite logical_not arctan".split()},
    **{name: ((SMALL,), [()]) for name in "arcsin arccos log1p".split()},
    **{name: ((POSITIVE,), [()]) for name in "sqrt log log2 reciprocal".split()},
    **{name: ((X, Y), [()]) for name in "add subtract multiply divide maximum minimum hypot arctan2 logaddexp".split()},
    **{name: ((X, Y), [()]) for name in "equal not_equal less less_equal greater greater_equal".split()},
    **{name: ((X, Y), [()]) for name in "logical_and logical_or logical_xor".split()},
    **{name: ((X > 0, Y > 0), [()]) for name in "bitwise_and bitwise_or bitwise_xor".split()},
    "invert": ((X > 0,), [()]),
    "all": ((X,), EXTREMES),
    "angle": ((X,), [(), (True,)]),
    "any": ((X,), EXTREMES),
    "count_nonzero": ((X,), [(), (1,), ((0, 2),), (None,)]),
    "nonzero": ((X,), [()]),
    "power": ((POSITIVE, Y), [()]),
    "matmul": ((X, M.T), [()]),
    "argmax": ((X,), PLACES),
    "argmin": ((X,), PLACES),
    "argsort": ((X,), SORTS[:4]),
    "asarray": ((X,), [(), (F32,), (F32, None)]),
    "astype": ((X, F32), [()]),
    "broadcast_to": ((X, (2, 2, 3, 4)), [(), (False,)]),
    "cholesky": ((A,), [()]),
    "clip": ((X,), [(-0.5, 0.5), (None, 0.5), (-0.5, None, None)]),
    "concatenate": (((X, Y),), [(), (1,), (None,), (-1, None)]),
    "copy": ((X,), [(), ("C",), ("F", False)]),
    "cumprod": ((X,), SCANS),
    "cumsum": ((X,), SCANS),
    "det": ((A,), [()]),
    "diag": ((V,), [(), (1,), (-2,)]),
    "diagonal": ((X,), DIAGONALS),
    "dot": ((X, M.T), [(), (None,)]),
    "eig": ((TURNING,), [()]),
    "eigh": ((A,), [("L",)]),
    "eigvals": ((TURNING,), [()]),
    "eigvalsh": ((A,), [(), ("L",)]),
    "einsum": (("ijk,lk->il", X, M), [()]),
    "expand_dims": ((X, 1), [()]),
    "flip": ((X,), [(), (1,), ((0, 2),)]),
    "from_dlpack": ((X,), [()]),
    "inv": ((A,), [()]),
    "lstsq": ((M.T, V[:4]), [(None,)]),
    "matrix_norm": ((X,), [()]),
    "matrix_power": ((A, 3), [()]),
    "max": ((X,), EXTREMES),
    "mean": ((X,), MEANS),
    "min": ((X,), EXTREMES),
    "moveaxis": ((X, 0, 2), [()]),
    "multi_dot": (((V[:3], M, M.T),), [()]),
    "norm": ((V,), [(), (2,), (1, 0), (np.inf, 0, True), (3, None, False)]),
    "ones_like": ((X,), [(), (F32,), (np.int8, "K"), (bool, "K", True, None)]),
    "outer": ((V, M), [(), (None,)]),
    "pad": ((X, 1), [(), ("edge",)]),
    "pinv": ((M,), [(), (1e-9,), (None, False)]),
    "prod": ((X,), SUMS),
    "qr": ((M.T,), [(), ("reduced",)]),
    "ravel": ((X,), [(), ("C",), ("F",)]),
    "repeat": ((X, 2), [(), (1,)]),
    "reshape": ((X, (4, 6)), [(), ("C",), ("F",)]),
    "roll": ((X, 2), [(), (1,)]),
    "slogdet": ((A,), [()]),
    "solve": ((A, M), [()]),
    "sort": ((X,), SORTS),
    "split": ((X, 2), [(), (0,), (-1,)]),
    "squeeze": ((X[:, :1],), [(), (1,)]),
    "stack": (((X, Y),), [(), (1,), (-1, None)]),
    "std": ((X,), SPREADS),
    "sum": ((X,), SUMS),
    "svd": ((A,), [(), (True, True), (False, False), (True, False, False)]),
    "svdvals": ((M,), [()]),
    "swapaxes": ((X, 0, 2), [()]),
    "take": ((X, [0, 1, 1]), TAKES),
    "take_along_axis": ((X, ORDER, 1), [()]),
    "tensordot": ((X, Y), [(3,), (((0, 1), (0, 1)),)]),
    "tile": ((X, (2, 1)), [()]),
    "trace": ((X,), [*DIAGONALS, (0, 0, 1, F32), (1, 1, 2, None, None)]),
    "transpose": ((X,), [(), ((1, 0, 2),), ([2, 1, 0],)]),
    "tril": ((M,), [(), (1,), (-1,)]),
    "triu": ((M,), [(), (1,), (-1,)]),
    "var": ((X,), SPREADS),
    "where": ((X > 0, X, Y), [()]),
    "zeros_like": ((X,), [(), (F32,), (np.int8, "K"), (bool, "K", True, None)]),
}

FUNCTIONS |= {
    **{name: ((X,), [()]) for name in "exp2 cbrt arcsinh degrees radians sinc fabs positive fliplr flipud".split()},
    **{name: ((X,), [()]) for name in "trunc unstack matrix_transpose rad2deg deg2rad asinh atan".split()},
    **{name: ((SMALL,), [()]) for name in "arctanh asin acos atanh".split()},
    **{name: ((1 + POSITIVE,), [()]) for name in "arccosh acosh log10".split()},
    **{name: ((X, Y), [()]) for name in "logaddexp2 fmax fmin remainder fmod mod floor_divide true_divide".split()},
    **{name: ((X, Y), [()]) for name in "atan2 vecdot".split()},
    **{name: ((V,), [()]) for name in "atleast_1d atleast_2d atleast_3d ediff1d".split()},
    **{name: (((X, Y),), [()]) for name in "vstack hstack dstack column_stack".split()},
    **{name: ((X, parts), [()]) for name, parts in {"vsplit": 2, "hsplit": 3, "dsplit": [1, 3]}.items()},
    **{name: ((X,), EXTREMES) for name in "amax amin ptp nanmax nanmin".split()},
    **{name: ((X,), SUMS) for name in "nansum nanprod".split()},
    **{name: ((X,), SCANS) for name in "nancumsum nancumprod".split()},
    **{name: ((X,), SPREADS) for name in "nanvar nanstd".split()},
    **{name: ((X,), [(), (1,), (1, None, False, True)]) for name in "median nanmedian".split()},
    **{name: ((X, 0.3), QUANTILES) for name in "quantile nanquantile".split()},
    **{name: ((X, 30.0), QUANTILES) for name in "percentile nanpercentile".split()},
    **{name: ((X,), [(), (1,), (-1, None)]) for name in "round around".split()},
    **{name: ((V, M[0]), [(), ("same",), ("full",), ("valid",)]) for name in "convolve correlate".split()},
    **{name: ((X > 0,), [()]) for name in "bitwise_invert bitwise_not".split()},
    "append": ((X, V), [(), (None,)]),
    "array_split": ((X, 2), [(), (1,)]),
    "average": ((X,), [(), (1,), (1, POSITIVE), (0, POSITIVE, True)]),
    "block": ((M,), [()]),
    "concat": (((X, Y),), [(), (1,), (None,), (-1, None)]),
    "corrcoef": ((M,), [(), (M[:1],), (None, False)]),
    "cov": ((M,), [(), (M[0],), (None, False), (None, True, True), (None, True, False, 0)]),
    "cross": ((A, M[:, 1:]), [(), (0, 1, 0), (1, 1, 1, 0)]),
    "delete": ((X, [0]), [(), (1,)]),
    "diff": ((X,), [(), (2,), (1, 0), (1, -1, X, Y)]),
    "full": (((2, 5), V), [(), (F32,), (None, "C")]),
    "full_like": ((X, 2.0), [(), (F32,), (np.int8, "K"), (None, "K", True, None)]),
    "geomspace": ((POSITIVE, 1 + POSITIVE), [(), (5,), (4, False), (4, True, F32), (4, True, None, -1)]),
    "gradient": ((X[:, :, :2],), [(), (2.0,), (0.5, 1.0, 2.0)]),
    "inner": ((X, M), [()]),
    "interp": ((V, np.linspace(-2, 2, 6), Y.ravel()[:6]), [(), (0.5, -1.0), (None, None, 3.0)]),
    "kron": ((M, V), [()]),
    "linspace": ((V, V[::-1]), [(), (5,), (4, False, True), (4, True, False, F32), (4, True, False, None, -1)]),
    "logspace": ((V, V[::-1]), [(), (5,), (4, False), (4, True, 2.0), (4, True, 2.0, F32, -1)]),
    "matvec": ((X, M[0]), [()]),
    "meshgrid": ((V, M[0]), [()]),
    "nan_to_num": ((X,), [(), (True,), (True, 0.5, 2.0, -2.0)]),
    "nanmean": ((X,), MEANS),
    "partition": ((X, (0, 1, 2, 3)), [(), (-1,), (2, "introselect", None)]),
    "permute_dims": ((X,), [(), ((1, 0, 2),)]),
    "pow": ((POSITIVE, Y), [()]),
    "real_if_close": ((X,), [(), (1000,)]),
    "rollaxis": ((X, 2), [(), (1,)]),
    "rot90": ((X,), [(), (2,), (-1, (1, 2))]),
    "searchsorted": ((np.sort(V), X), [(), ("right",), ("left", None)]),
    "select": (((X > 0, X < -0.5), (X, Y)), [(), (0.5,)]),
    "trapezoid": ((X,), [(), (M[0],), (None, 0.5), (Y, 1.0, 1)]),
    "vdot": ((X, Y), [()]),
    "vecmat": ((M[:, 0], M), [()]),
}

FUNCTIONS |= {
    **{name: ((X, Y), [()]) for name in "copysign nextafter broadcast_arrays".split()},
    **{name: ((V,), [()]) for name in "cumulative_sum cumulative_prod unique_values unique_all".split()},
    **{name: ((V,), [()]) for name in "unique_counts unique_inverse".split()},
    **{name: ((np.arange(9), np.arange(9) % 4), [()]) for name in sorted(INTEGER)},
    "isin": ((np.rint(2 * X), np.rint(Y)), [(), (False, True)]),
    "signbit": ((X,), [()]),
}

CONSTANT = set("sign floor ceil rint isnan isinf isfinite logical_not equal not_equal less less_equal greater".split())
CONSTANT |= {"greater_equal", "logical_and", "logical_or", "argmax", "argmin", "argsort", "zeros_like", "ones_like"}
CONSTANT |= {"logical_xor", "all", "any", "count_nonzero", "imag"}
CONSTANT |= {"trunc", "floor_divide", "round", "around", "searchsorted", "full_like"}
BITS = {
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "invert",
    "bitwise_invert",
    "bitwise_not",
}  # integers and booleans only
CONSTANT |= {"isin", "signbit", "nextafter"}  # differences of nextafter are rounding
UNIQUE = {"unique_all", "unique_counts", "unique_inverse", "unique_values"}
WITHOUT_ARRAYS = set(
    "arange empty empty_like eye ones zeros broadcast_shapes can_cast finfo iinfo isdtype result_type".split()
)
UNTRACED = {"from_dlpack", "nonzero", "real_if_close", "eig", *UNIQUE}
"""Arrays of other libraries; results whose shape or dtype depends on values; eigenvectors that turn in NumPy."""
NOT_HANDED_OVER = {
    "asarray",
    "astype",
    "from_dlpack",
    "full",
    "nonzero",
    *UNIQUE,
}  # NumPy does not dispatch these to traced values
