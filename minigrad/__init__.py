"""minigrad: reverse- and forward-mode automatic differentiation you can read in an afternoon.

>>> import minigrad as mg, numpy as np
>>> loss = lambda w: mg.sum(mg.tanh(w) ** 2)
>>> mg.grad(loss)(np.array([0.0, 1.0]))
array([0.        , 0.63970001])

To read the code, or to add to it, start with the docstring of `minigrad.core`.
"""

import sys as _sys

from minigrad import checks, collectives, core, random
from minigrad.backends import DeviceError, OutOfMemoryError
from minigrad.core import tree
from minigrad.core.checkpoint import checkpoint
from minigrad.core.custom import custom_derivative
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
from minigrad.ops import CONVENTIONS
from minigrad.ops.activations import elu, gelu, leaky_relu, log_sigmoid, logaddexp, relu, sigmoid, softplus
from minigrad.ops.arithmetic import (
    abs,
    absolute,
    add,
    clip,
    divide,
    maximum,
    minimum,
    multiply,
    negative,
    reciprocal,
    square,
    subtract,
)
from minigrad.ops.arrange import concatenate, flip, pad, repeat, roll, split, stack, tile, tril, triu
from minigrad.ops.comparisons import (
    bitwise_and,
    bitwise_or,
    bitwise_xor,
    ceil,
    equal,
    floor,
    greater,
    greater_equal,
    invert,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    not_equal,
    rint,
    sign,
    stop_gradient,
    where,
)
from minigrad.ops.conv import conv2d, deconv2d, depth_to_space, space_to_depth
from minigrad.ops.extremes import argmax, argmin, argsort, max, min, sort
from minigrad.ops.functions import (
    arccos,
    arcsin,
    arctan,
    arctan2,
    cos,
    cosh,
    erf,
    exp,
    expm1,
    hypot,
    log,
    log1p,
    log2,
    power,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
)
from minigrad.ops.gaussian import gaussian_sample
from minigrad.ops.indexing import diag, diagonal, nonzero, take, take_along_axis
from minigrad.ops.inverses import cholesky, det, inv, slogdet, solve
from minigrad.ops.linalg import dot, einsum, matmul, outer, tensordot
from minigrad.ops.methods import install as _install
from minigrad.ops.reduce import all, any, count_nonzero, sum
from minigrad.ops.scan import cumprod, cumsum, prod
from minigrad.ops.shape import (
    astype,
    broadcast_to,
    copy,
    expand_dims,
    moveaxis,
    ones_like,
    ravel,
    reshape,
    squeeze,
    swapaxes,
    transpose,
    zeros_like,
)
from minigrad.ops.softmax import log_softmax, logsumexp, softmax
from minigrad.ops.statistics import mean, norm, std, var
from minigrad.program import CaptureError, Program, cond, jit, release_memory, scan, trace, while_loop
from minigrad.show.draw import draw

# fmt: off
__all__ = [
    "CONVENTIONS", "CaptureError", "DeviceError", "EscapedTracerError", "MissingRuleError", "MutationError",
    "OperandError", "OperandIndexError", "OperandTypeError", "OutOfMemoryError", "Program", "Tape", "Tracer", "abs",
    "absolute", "add", "all", "any", "arccos", "arcsin", "arctan", "arctan2", "argmax", "argmin", "argsort", "asarray",
    "astype", "bitwise_and", "bitwise_or", "bitwise_xor", "broadcast_to", "ceil", "checkpoint", "checks", "cholesky",
    "clip", "collectives", "concatenate", "cond", "conv2d", "copy", "core", "cos", "cosh", "count_nonzero", "cumprod",
    "cumsum", "custom_derivative", "deconv2d", "depth_to_space", "det", "device_of", "diag", "diagonal", "divide",
    "dot", "draw", "einsum", "elu", "equal", "erf", "exp", "expand_dims", "expm1", "flip", "floor", "from_dlpack",
    "gaussian_sample", "gelu", "grad", "greater", "greater_equal", "hessian", "hvp", "hypot", "inv", "invert",
    "isfinite", "isinf", "isnan", "jacobian", "jit", "jvp", "leaky_relu", "less", "less_equal", "linearize", "log",
    "log1p", "log2", "log_sigmoid", "log_softmax", "logaddexp", "logical_and", "logical_not", "logical_or",
    "logical_xor", "logsumexp", "matmul", "max", "maximum", "mean", "min", "minimum", "moveaxis", "multiply",
    "negative", "nonzero", "norm", "not_equal", "ones_like", "outer", "pad", "power", "prod", "random", "ravel",
    "reciprocal", "release_memory", "relu", "repeat", "reshape", "rint", "roll", "scan", "sigmoid", "sign", "sin",
    "sinh", "slogdet", "softmax", "softplus", "solve", "sort", "space_to_depth", "split", "sqrt", "square", "squeeze",
    "stack", "std", "stop_gradient", "subtract", "sum", "swapaxes", "take", "take_along_axis", "tan", "tanh",
    "tensordot", "tile", "to_device", "trace", "transpose", "tree", "tril", "triu", "value_and_grad", "var", "vjp",
    "vmap", "where", "while_loop", "zeros_like",
]
# fmt: on

__version__ = "0.1.0"

_install(_sys.modules[__name__])
