"""NumPy functions that are not offered, and what to write instead.

Errors about traced values give this advice, and `python -m minigrad.checks --numpy` prints it beside what is offered. A
public function of NumPy is either offered under its own name or stands here. Names in `numpy.linalg` and `numpy.fft`
begin with `linalg.` and `fft.`.
"""

from __future__ import annotations

_ADVICE = {
    # elementwise
    "heaviside": "mg.where(x1 == 0, x2, 1.0 * (x1 > 0))",
    "float_power": "mg.power(mg.astype(x1, 'float64'), x2)",
    "ldexp": "x1 * 2.0**x2",
    "fix": "mg.trunc",
    "divmod": "x1 // x2 and x1 % x2",
    "modf": "x - mg.trunc(x) and mg.trunc(x)",
    "frexp": "mg.floor(mg.log2(mg.abs(x))) for the exponent",
    "spacing": "np.spacing(x.value)",
    "unwrap": "x - 2π · mg.cumsum of the jumps in mg.rint(mg.diff(x) / 2π)",
    "i0": "a custom operation with its rule: README.md shows one",
    "piecewise": "mg.select",
    # shapes and selections
    "diagflat": "mg.diag(mg.ravel(x))",
    "row_stack": "mg.vstack",
    "r_": "mg.concatenate, or mg.asarray for numbers",
    "c_": "mg.column_stack, or mg.concatenate along axis -1",
    "insert": "mg.concatenate of the parts before and after",
    "resize": "mg.tile and a slice, or mg.pad",
    "trim_zeros": "a slice x[first:last], since the shape would depend on the values",
    "choose": "mg.select, or mg.take_along_axis of mg.stack(choices)",
    "compress extract": "x[mask]",
    "ascontiguousarray asfortranarray asanyarray asarray_chkfinite require": "mg.asarray",
    "array": "mg.asarray, also of nested lists of traced values",
    "vander": "x[:, None] ** powers",
    "apply_along_axis apply_over_axes": "operations along an axis, or mg.stack over slices",
    # sums and statistics
    "nanargmax": "mg.argmax(mg.where(mg.isnan(x), -np.inf, x))",
    "nanargmin": "mg.argmin(mg.where(mg.isnan(x), np.inf, x))",
    "bincount": "mg.sum(mg.where(x[:, None] == np.arange(n), weights[:, None], 0), 0)",
    "histogram histogram2d histogramdd": "smooth weights of the bins, since counts have no derivative",
    "unique": "mg.unique_values, or mg.unique_all for indices and counts",
    "intersect1d setdiff1d setxor1d union1d": "mg.sort: the shape would depend on the values",
    "histogram_bin_edges": "mg.linspace(mg.min(x), mg.max(x), bins + 1)",
    "sort_complex": "mg.sort, of real arrays",
    "argpartition": "mg.argsort",
    # polynomials
    "polyval": "mg.sum(p * x[..., None] ** np.arange(len(p))[::-1], -1)",
    "polyadd": "p + q, padded to one length with mg.pad",
    "polysub": "p - q, padded to one length with mg.pad",
    "polymul": "mg.convolve(p, q)",
    "polyder": "p[:-1] * np.arange(len(p) - 1, 0, -1)",
    "polyint": "mg.append(p / np.arange(len(p), 0, -1), 0)",
    "polyfit": "mg.solve(a.T @ a, a.T @ y) with a = x[:, None] ** np.arange(degree, -1, -1)",
    "poly polydiv roots": "coefficients and roots as plain arrays",
    # linear algebra
    "linalg.tensorsolve linalg.tensorinv": "mg.solve or mg.inv of a reshaped to a matrix",
    "linalg.cond": "mg.norm(x) * mg.norm(mg.inv(x))",
}

REFUSED: dict[str, str] = {name: advice for names, advice in _ADVICE.items() for name in names.split()}
"""Functions that could have a derivative, with what to use instead."""

NO_DERIVATIVE = frozenset(
    # truth values
    "allclose array_equal array_equiv isclose isneginf isposinf isreal iscomplex "
    # positions and orders
    "argwhere flatnonzero lexsort digitize unravel_index ravel_multi_index "
    # integers and bits
    "gcd lcm bitwise_count packbits unpackbits".split()
)
"""Functions of arrays whose results change in steps, if at all: outside of programs, NumPy computes them for traced
values from the plain arrays."""

NO_ARRAY_FUNCTION = frozenset(
    # new arrays and indices
    "identity indices tri diag_indices diag_indices_from ix_ mask_indices "
    "tril_indices tril_indices_from triu_indices triu_indices_from bartlett blackman hamming hanning kaiser "
    "fromfunction frombuffer fromfile fromiter fromregex fromstring asmatrix bmat "
    # in place
    "copyto fill_diagonal place put put_along_axis putmask "
    # shapes, dtypes and memory
    "ndim shape size common_type iscomplexobj isfortran isnat isrealobj isscalar "
    "issubdtype iterable may_share_memory min_scalar_type mintypecode promote_types shares_memory typename "
    "einsum_path nested_iters frompyfunc "
    # text, files, dates and settings
    "array2string array_repr array_str base_repr binary_repr format_float_positional format_float_scientific "
    "genfromtxt load loadtxt save savetxt savez savez_compressed busday_count busday_offset datetime_as_string "
    "datetime_data is_busday get_include get_printoptions set_printoptions printoptions getbufsize setbufsize geterr "
    "seterr geterrcall seterrcall info show_config show_runtime test linalg.test fft.test".split()
)
"""Functions that create arrays from numbers, write into them, or are about something else than their elements."""


def advise(name: str) -> str:
    """What to write instead of a NumPy function that is not offered, to follow an error message; "" if unknown."""
    return f": use {REFUSED[name]}" if name in REFUSED else ""
