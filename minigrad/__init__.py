"""minigrad: reverse- and forward-mode automatic differentiation you can read in an afternoon.

>>> import minigrad as mg, numpy as np
>>> loss = lambda w: mg.sum(mg.tanh(w) ** 2)
>>> mg.grad(loss)(np.array([0.0, 1.0]))
array([0.        , 0.63970001])

To read the code, or to add to it, start with the docstring of `minigrad.core`.
"""

import sys as _sys

from numpy import (
    bool,
    complex64,
    complex128,
    e,
    float32,
    float64,
    inf,
    int8,
    int16,
    int32,
    int64,
    nan,
    newaxis,
    pi,
    uint8,
    uint16,
    uint32,
    uint64,
)

from minigrad import checks, collectives, core, linalg, random
from minigrad.backends import DeviceError, OutOfMemoryError
from minigrad.core import tree
from minigrad.core.checkpoint import checkpoint
from minigrad.core.custom_derivative import custom_derivative
from minigrad.core.errors import (
    EscapedTracerError,
    MissingRuleError,
    MutationError,
    OperandError,
    OperandIndexError,
    OperandTypeError,
)
from minigrad.core.interpreter import Tracer
from minigrad.core.matrices import hessian, hvp, jacobian, linearize
from minigrad.core.tape import Tape
from minigrad.core.transforms import grad, jvp, value_and_grad, vjp
from minigrad.core.vmap import vmap
from minigrad.device import asarray, device_of, from_dlpack, to_device
from minigrad.ops import CONVENTIONS, fft
from minigrad.ops.activations import elu, gelu, leaky_relu, log_sigmoid, logaddexp, logaddexp2, relu, sigmoid, softplus
from minigrad.ops.arithmetic import (
    abs,
    absolute,
    add,
    clip,
    copysign,
    divide,
    fabs,
    fmax,
    fmin,
    fmod,
    maximum,
    minimum,
    multiply,
    negative,
    nextafter,
    positive,
    reciprocal,
    remainder,
    round,
    square,
    subtract,
)
from minigrad.ops.arrange import (
    concatenate,
    delete,
    flip,
    fliplr,
    flipud,
    pad,
    repeat,
    roll,
    rot90,
    split,
    stack,
    tile,
    tril,
    triu,
)
from minigrad.ops.calculus import convolve, correlate, diff, ediff1d, gradient, interp, trapezoid
from minigrad.ops.comparisons import (
    bitwise_and,
    bitwise_or,
    bitwise_xor,
    ceil,
    equal,
    floor,
    floor_divide,
    greater,
    greater_equal,
    invert,
    isfinite,
    isinf,
    isnan,
    left_shift,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    not_equal,
    right_shift,
    rint,
    select,
    sign,
    signbit,
    stop_gradient,
    trunc,
    where,
)
from minigrad.ops.complex import conj, conjugate, imag, real, real_if_close
from minigrad.ops.conv import conv2d, deconv2d, depth_to_space, space_to_depth
from minigrad.ops.covariance import corrcoef, cov
from minigrad.ops.creation import arange, empty, empty_like, eye, ones, zeros
from minigrad.ops.decompositions import eigh, eigvalsh, svd, svdvals
from minigrad.ops.dtypes import broadcast_shapes, can_cast, finfo, iinfo, isdtype, result_type
from minigrad.ops.eigenvalues import eig, eigvals
from minigrad.ops.extremes import argmax, argmin, argsort, max, min, ptp, searchsorted, sort
from minigrad.ops.functions import (
    angle,
    arccos,
    arccosh,
    arcsin,
    arcsinh,
    arctan,
    arctan2,
    arctanh,
    cbrt,
    cos,
    cosh,
    degrees,
    erf,
    exp,
    exp2,
    expm1,
    hypot,
    log,
    log1p,
    log2,
    log10,
    power,
    radians,
    sin,
    sinc,
    sinh,
    sqrt,
    tan,
    tanh,
)
from minigrad.ops.gaussian import gaussian_sample
from minigrad.ops.indexing import diag, diagonal, nonzero, take, take_along_axis
from minigrad.ops.inverses import cholesky, det, inv, slogdet, solve
from minigrad.ops.linalg import dot, einsum, matmul, matrix_transpose, multi_dot, outer, tensordot
from minigrad.ops.matrix_functions import expm, lstsq, matrix_power, pinv
from minigrad.ops.methods import install as _install
from minigrad.ops.namespace import VERSIONS as _VERSIONS
from minigrad.ops.namespace import __array_namespace_info__
from minigrad.ops.nans import (
    nan_to_num,
    nancumprod,
    nancumsum,
    nanmax,
    nanmean,
    nanmin,
    nanprod,
    nanstd,
    nansum,
    nanvar,
)
from minigrad.ops.order_statistics import (
    median,
    nanmedian,
    nanpercentile,
    nanquantile,
    partition,
    percentile,
    quantile,
)
from minigrad.ops.products import cross, inner, kron, matvec, vdot, vecdot, vecmat
from minigrad.ops.qr import qr
from minigrad.ops.ranges import full, full_like, geomspace, linspace, logspace, meshgrid
from minigrad.ops.reduce import all, any, count_nonzero, sum
from minigrad.ops.scan import cumprod, cumsum, cumulative_prod, cumulative_sum, prod
from minigrad.ops.sets import isin, unique_all, unique_counts, unique_inverse, unique_values
from minigrad.ops.shape import (
    astype,
    broadcast_arrays,
    broadcast_to,
    copy,
    expand_dims,
    moveaxis,
    ones_like,
    ravel,
    reshape,
    rollaxis,
    squeeze,
    swapaxes,
    transpose,
    zeros_like,
)
from minigrad.ops.softmax import log_softmax, logsumexp, softmax
from minigrad.ops.stacking import (
    append,
    array_split,
    atleast_1d,
    atleast_2d,
    atleast_3d,
    block,
    column_stack,
    dsplit,
    dstack,
    hsplit,
    hstack,
    unstack,
    vsplit,
    vstack,
)
from minigrad.ops.statistics import average, matrix_norm, mean, norm, std, var
from minigrad.ops.updates import at
from minigrad.program import CaptureError, Program, cond, jit, release_memory, scan, trace, while_loop
from minigrad.show.draw import draw

# NumPy's second names
acos, acosh, asin, asinh, atan, atan2, atanh = arccos, arccosh, arcsin, arcsinh, arctan, arctan2, arctanh
amax, amin, around, concat, permute_dims, pow = max, min, round, concatenate, transpose, power
bitwise_invert = bitwise_not = invert
bitwise_left_shift, bitwise_right_shift = left_shift, right_shift
deg2rad, mod, rad2deg, true_divide = radians, remainder, degrees, divide

# fmt: off
__all__ = [
    "CONVENTIONS", "CaptureError", "DeviceError", "EscapedTracerError", "MissingRuleError", "MutationError",
    "OperandError", "OperandIndexError", "OperandTypeError", "OutOfMemoryError", "Program", "Tape", "Tracer", "abs",
    "absolute", "acos", "acosh", "add", "all", "amax", "amin", "angle", "any", "append", "arange", "arccos", "arccosh",
    "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "argmax", "argmin", "argsort", "around", "array_split",
    "asarray", "asin", "asinh", "astype", "at", "atan", "atan2", "atanh", "atleast_1d", "atleast_2d", "atleast_3d",
    "average", "bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_not", "bitwise_or",
    "bitwise_right_shift", "bitwise_xor", "block", "bool", "broadcast_arrays", "broadcast_shapes", "broadcast_to",
    "can_cast", "cbrt", "ceil", "checkpoint", "checks", "cholesky", "clip", "collectives", "column_stack", "complex64",
    "complex128", "concat", "concatenate", "cond", "conj", "conjugate", "conv2d", "convolve", "copy", "copysign",
    "core", "corrcoef", "correlate", "cos", "cosh", "count_nonzero", "cov", "cross", "cumprod", "cumsum",
    "cumulative_prod", "cumulative_sum", "custom_derivative", "deconv2d", "deg2rad", "degrees", "delete",
    "depth_to_space", "det", "device_of", "diag", "diagonal", "diff", "divide", "dot", "draw", "dsplit", "dstack", "e",
    "ediff1d", "eig", "eigh", "eigvals", "eigvalsh", "einsum", "elu", "empty", "empty_like", "equal", "erf", "exp",
    "exp2", "expand_dims", "expm", "expm1", "eye", "fabs", "fft", "finfo", "flip", "fliplr", "flipud", "float32",
    "float64", "floor", "floor_divide", "fmax", "fmin", "fmod", "from_dlpack", "full", "full_like", "gaussian_sample",
    "gelu", "geomspace", "grad", "gradient", "greater", "greater_equal", "hessian", "hsplit", "hstack", "hvp", "hypot",
    "iinfo", "imag", "inf", "inner", "int8", "int16", "int32", "int64", "interp", "inv", "invert", "isdtype",
    "isfinite", "isin", "isinf", "isnan", "jacobian", "jit", "jvp", "kron", "leaky_relu", "left_shift", "less",
    "less_equal", "linalg", "linearize", "linspace", "log", "log1p", "log2", "log10", "log_sigmoid", "log_softmax",
    "logaddexp", "logaddexp2", "logical_and", "logical_not", "logical_or", "logical_xor", "logspace", "logsumexp",
    "lstsq", "matmul", "matrix_norm", "matrix_power", "matrix_transpose", "matvec", "max", "maximum", "mean", "median",
    "meshgrid", "min", "minimum", "mod", "moveaxis", "multi_dot", "multiply", "nan", "nan_to_num", "nancumprod",
    "nancumsum", "nanmax", "nanmean", "nanmedian", "nanmin", "nanpercentile", "nanprod", "nanquantile", "nanstd",
    "nansum", "nanvar", "negative", "newaxis", "nextafter", "nonzero", "norm", "not_equal", "ones", "ones_like",
    "outer", "pad", "partition", "percentile", "permute_dims", "pi", "pinv", "positive", "pow", "power", "prod", "ptp",
    "qr", "quantile", "rad2deg", "radians", "random", "ravel", "real", "real_if_close", "reciprocal", "release_memory",
    "relu", "remainder", "repeat", "reshape", "result_type", "right_shift", "rint", "roll", "rollaxis", "rot90",
    "round", "scan", "searchsorted", "select", "sigmoid", "sign", "signbit", "sin", "sinc", "sinh", "slogdet",
    "softmax", "softplus", "solve", "sort", "space_to_depth", "split", "sqrt", "square", "squeeze", "stack", "std",
    "stop_gradient", "subtract", "sum", "svd", "svdvals", "swapaxes", "take", "take_along_axis", "tan", "tanh",
    "tensordot", "tile", "to_device", "trace", "transpose", "trapezoid", "tree", "tril", "triu", "true_divide", "trunc",
    "uint8", "uint16", "uint32", "uint64", "unique_all", "unique_counts", "unique_inverse", "unique_values", "unstack",
    "value_and_grad", "var", "vdot", "vecdot", "vecmat", "vjp", "vmap", "vsplit", "vstack", "where", "while_loop",
    "zeros", "zeros_like",
]
# fmt: on

__version__ = "0.1.0"
__array_api_version__ = _VERSIONS[-1]

_install(_sys.modules[__name__])
