"""Wrong calls raise one sentence that names the operation, the shapes or dtypes seen, and what to do."""

from __future__ import annotations

import re

import numpy as np
import pytest

import minigrad as mg
from minigrad.core.tree import TreeError

X, I, K = np.ones((2, 3)), np.arange(3), np.array([0, 0], np.uint32)
IMAGES, KERNEL = np.ones((1, 4, 4, 2)), np.ones((3, 3, 2, 4))
F = r"float64\[2, 3\]"


def index(i):
    return lambda: mg.grad(lambda x: mg.sum(x[i]))(X)


OPERATIONS = {
    # shapes
    "add": (lambda: mg.add(X, np.ones(4)), ValueError, rf"add\({F}, float64\[4\]\)"),
    "where": (lambda: mg.where(X > 0, X, np.ones(4)), ValueError, rf"where\(bool\[2, 3\], {F}, float64\[4\]\)"),
    "matmul": (
        lambda: mg.matmul(X, X),
        ValueError,
        f"matmul: the last axis of {F} must be as long as the second-to-last",
    ),
    "matmul of a number": (lambda: mg.matmul(2.0, X), ValueError, "matmul: .*2.0"),
    "dot": (lambda: mg.dot(X, X), ValueError, f"axes .* of {F} and .* of {F} differ in length"),
    "tensordot": (lambda: mg.tensordot(X, X, 3), ValueError, f"tensordot: axes=3 is too many for {F}"),
    "concatenate": (lambda: mg.concatenate([X, np.ones((3, 4))]), ValueError, rf"concatenate\({F}, float64\[3, 4\]"),
    "concatenate no arrays": (lambda: mg.concatenate([]), ValueError, "concatenate: needs at least one array"),
    "stack": (lambda: mg.stack([X, I]), ValueError, rf"stack: needs arrays of the same shape, got {F}, int64\[3\]"),
    "reshape": (lambda: mg.reshape(X, (4, 2)), ValueError, rf"reshape\({F}, shape=\(4, 2\)\)"),
    "reshape with -1": (lambda: mg.reshape(X, (-1, 4)), ValueError, f"reshape: {F} of 6 elements does not fit"),
    "reshape with two -1": (lambda: mg.reshape(X, (-1, -1)), ValueError, "reshape: .* does not fit"),
    "squeeze": (lambda: mg.squeeze(X, 0), ValueError, f"squeeze: axis 0 of {F} is longer than 1"),
    "broadcast_to": (lambda: mg.broadcast_to(X, (3, 2)), ValueError, rf"broadcast_to\({F}, shape=\(3, 2\)\)"),
    "split": (lambda: mg.split(X, 2, 1), ValueError, f"split: axis 1 of {F} does not divide into 2 equal parts"),
    "roll": (lambda: mg.roll(X, (1, 2), (0, 1, 0)), ValueError, "roll: shift .* and axis .* differ in length"),
    "tile": (lambda: mg.tile(X, -1), ValueError, "-1"),
    "repeat": (
        lambda: mg.repeat(X, -1),
        ValueError,
        f"repeat: needs an integer ≥ 0, or one for each .* {re.escape('float64[6]')}",
    ),
    "repeat each": (
        lambda: mg.repeat(X, [1, 2], 1),
        ValueError,
        rf"repeat: .*3 elements along axis 1 of {F}, got \[1, 2\]",
    ),
    "pad": (lambda: mg.pad(X, -1), ValueError, "pad: widths are integers ≥ 0, got -1"),
    "pad by a float": (lambda: mg.pad(X, 1.5), ValueError, "pad: widths are integers ≥ 0, got 1.5"),
    "pad too many": (lambda: mg.pad(X, ((1, 1),) * 3), ValueError, f"pad: widths .* do not fit the axes of {F}"),
    "pad mode": (lambda: mg.pad(X, 1, "ramp"), ValueError, "pad: mode 'ramp' is unknown; use constant, edge"),
    "diag": (
        lambda: mg.diag(np.ones((2, 2, 2))),
        ValueError,
        r"diag: needs a vector or a matrix, got float64\[2, 2, 2\]",
    ),
    "tril": (lambda: mg.tril(np.ones(2)), ValueError, r"tril and triu need matrices .* float64\[2\]"),
    "inv": (lambda: mg.inv(X), ValueError, f"inv: needs square matrices in the last two axes, got {F}"),
    "solve": (lambda: mg.solve(np.eye(2), np.ones(3)), ValueError, r"solve\(float64\[2, 2\], float64\[3, 1\]\)"),
    "singular": (lambda: mg.inv(np.zeros((2, 2))), np.linalg.LinAlgError, r"inv\(float64\[2, 2\]\): Singular"),
    "indefinite": (
        lambda: mg.cholesky(-np.eye(2)),
        np.linalg.LinAlgError,
        r"cholesky\(float64\[2, 2\]\): Matrix is not",
    ),
    "take_along_axis": (
        lambda: mg.take_along_axis(X, I, 0),
        ValueError,
        f"take_along_axis: {F} and .* differ in number of axes",
    ),
    "max of an empty array": (lambda: mg.max(np.ones(0)), ValueError, r"max\(float64\[0\]"),
    "gaussian_sample": (
        lambda: mg.gaussian_sample(X, X, np.ones(3)),
        ValueError,
        rf"gaussian_sample: .* {F}.*float64\[3\]",
    ),
    "gaussian_sample mismatch": (
        lambda: mg.gaussian_sample(np.ones(4), X, X),
        ValueError,
        r"gaussian_sample: .*float64\[4\]",
    ),
    # einsum
    "einsum count": (lambda: mg.einsum("ij,jk->ik", X), ValueError, "einsum: 'ij,jk->ik' needs 2 operands, got 1"),
    "einsum lengths": (lambda: mg.einsum("ij,jk", X, X), ValueError, "einsum: 'ij,jk': axis 'j' has lengths 3 and 2"),
    "einsum diagonal": (lambda: mg.einsum("ii", X), ValueError, f"einsum: 'ii': axes 'i' of {F} differ"),
    "einsum letters": (lambda: mg.einsum("ijk->k", X), ValueError, f"einsum: 'ijk' of 'ijk->k' does not fit {F}"),
    "einsum result": (lambda: mg.einsum("ij->iz", X), ValueError, "einsum: the result of 'ij->iz' must name letters"),
    "einsum result twice": (lambda: mg.einsum("ij->ii", X), ValueError, "einsum: the result .* each once"),
    "einsum without subscripts": (
        lambda: mg.einsum(X, X),
        ValueError,
        "einsum: needs a subscripts string .* list",
    ),
    "einsum of lists": (lambda: mg.einsum(X, [0, 1, 2]), ValueError, f"einsum: 'ABC' of 'ABC' does not fit {F}"),
    # axes
    "sum axis": (lambda: mg.sum(X, 2), IndexError, "sum: axis 2 is out of range for an array of 2 dimensions"),
    "sum twice": (lambda: mg.sum(X, (0, -2)), IndexError, r"sum: axis \(0, -2\) names an axis twice"),
    "sum axis as a string": (lambda: mg.sum(X, "a"), TypeError, "sum: an axis must be an integer, got 'a'"),
    "argmax": (lambda: mg.argmax(X, 3), IndexError, "argmax: axis 3 is out of range"),
    "transpose": (lambda: mg.transpose(X, (0,)), IndexError, f"transpose: axes .* each of the 2 axes of {F} once"),
    "transpose twice": (lambda: mg.transpose(X, (0, 0)), IndexError, "transpose: .* twice"),
    "moveaxis": (lambda: mg.moveaxis(X, (0, 1), (0,)), IndexError, "moveaxis: .* same number of distinct axes"),
    "expand_dims": (lambda: mg.expand_dims(X, 5), IndexError, "expand_dims: axis 5 is out of range"),
    "concatenate axis": (lambda: mg.concatenate([X], 5), IndexError, "concatenate: axis 5 is out of range"),
    "diagonal": (lambda: mg.diagonal(np.ones(3)), IndexError, "diagonal: axis 1 is out of range"),
    "diagonal of one axis": (
        lambda: mg.diagonal(X, 0, 1, -1),
        IndexError,
        f"diagonal: axes 1 and -1 of {F} are the same",
    ),
    # indices
    "index": (index(5), IndexError, rf"slice\({F}, index=\(5,\)\)"),
    "indices": (index((0, 0, 0)), IndexError, "too many indices"),
    "indices with arrays": (index(([0], 0, 0)), IndexError, f"too many indices: 3 for {F} of 2 dimensions"),
    "index by floats": (
        index(np.ones(2)),
        IndexError,
        "an index must have an integer or boolean dtype, not .'float64'",
    ),
    "index by a string": (index("a"), IndexError, "slice.*'a'"),
    "mask": (index(np.ones(3, bool)), IndexError, rf"boolean index of shape \(3,\) does not match \(2,\) of {F}"),
    "True": (index(True), IndexError, "a single True or False as an index is not supported"),
    "two ellipses": (index((..., [0], ...)), IndexError, "one ellipsis"),
    "index arrays": (index(([0, 1], [0, 1, 2])), IndexError, r"index arrays of shapes \(2,\), \(3,\) do not broadcast"),
    "take": (lambda: mg.take(X, [5], 1), IndexError, "index 5 is out of bounds for axis 1 with size 3"),
    # dtypes
    "reshape to floats": (
        lambda: mg.reshape(X, (2.0, 3)),
        TypeError,
        "reshape: an entry of the shape must be .* got 2.0",
    ),
    "astype": (lambda: mg.astype(X, "nonsense"), TypeError, "astype: .*nonsense"),
    "astype of complex": (
        lambda: mg.astype(X * 1j, float),
        TypeError,
        r"astype: complex128\[2, 3\] has imaginary parts",
    ),
    "sign of complex": (lambda: mg.sign(X * 1j), TypeError, r"sign\(complex128\[2, 3\]\): .* divide them by mg.abs"),
    "quantile of complex": (
        lambda: mg.quantile(X * 1j, 0.5),
        TypeError,
        r"quantile: real arrays only, got complex128\[2, 3\]",
    ),
    "erf of complex": (lambda: mg.erf(X * 1j), TypeError, r"erf\(complex128\[2, 3\]\): .*real"),
    "norm 0": (lambda: mg.norm(np.ones(2), 0), ValueError, "norm: ord=0 is not supported; use None"),
    "sin of a string": (lambda: mg.sin("a"), TypeError, "sin.*'a'.*: not an array: builtins.str"),
    "asarray": (
        lambda: mg.asarray([[1], [1, 2]]),
        TypeError,
        "asarray: list .* is not an array of numbers",
    ),
    "asarray of traced values of several shapes": (
        lambda: mg.grad(lambda x: mg.asarray([[x, x], [x]]))(1.0),
        ValueError,
        r"stack: needs arrays of the same shape, got float64\[2\], float64\[1\]",
    ),
    "asarray of a string": (
        lambda: mg.asarray("abc"),
        TypeError,
        "asarray: str 'abc' is not an array of numbers",
    ),
    # convolutions
    "conv2d": (lambda: mg.conv2d(X, X), ValueError, rf"conv2d: needs images \(N, H, W, C\) .* got {F} and {F}"),
    "conv2d channels": (
        lambda: mg.conv2d(IMAGES, np.ones((3, 3, 3, 1))),
        ValueError,
        r"conv2d: needs images .* got .*, 2\] and .*, 3, 1\]",
    ),
    "conv2d stride": (
        lambda: mg.conv2d(IMAGES, KERNEL, 0),
        ValueError,
        "conv2d: stride must be a positive integer .* got 0",
    ),
    "conv2d strides": (lambda: mg.conv2d(IMAGES, KERNEL, (1, 2, 3)), ValueError, "conv2d: stride must be"),
    "conv2d padding": (
        lambda: mg.conv2d(IMAGES, KERNEL, 1, "full"),
        ValueError,
        "conv2d: padding must be 'same', 'valid'",
    ),
    "conv2d negative padding": (lambda: mg.conv2d(IMAGES, KERNEL, 1, -1), ValueError, "conv2d: padding must be"),
    "conv2d size": (
        lambda: mg.conv2d(IMAGES[:, :2], KERNEL, 1, "valid"),
        ValueError,
        r"conv2d: a kernel \(3, 3\) does not fit",
    ),
    "depth_to_space": (lambda: mg.depth_to_space(np.ones((1, 2, 2, 3))), ValueError, "depth_to_space: needs images"),
    "space_to_depth": (lambda: mg.space_to_depth(np.ones((1, 3, 2, 3))), ValueError, "space_to_depth: needs images"),
    "deconv2d": (
        lambda: mg.deconv2d(IMAGES, np.ones((3, 3, 2, 5))),
        ValueError,
        "deconv2d: kernels need 2²·F output channels",
    ),
}

TRANSFORMS = {
    # arguments
    "integers": (
        lambda: mg.grad(mg.sum)(I),
        TypeError,
        r"grad: derivatives need floating-point arguments, got int64\[3\]: convert it with x.astype\(float\)",
    ),
    "an integer": (lambda: mg.grad(mg.sum)(3), TypeError, "grad: .* got 3: convert it"),
    "a boolean": (lambda: mg.grad(mg.sum)(True), TypeError, "grad: .* got True"),
    "a string": (
        lambda: mg.grad(mg.sum)("a"),
        TypeError,
        "grad: a leaf to differentiate is not an array: builtins.str",
    ),
    "an integer leaf": (lambda: mg.grad(lambda p: p["a"])({"a": 1.0, "b": 2}), TypeError, "grad: .* got 2"),
    "vjp of integers": (lambda: mg.vjp(mg.sin, I), TypeError, "vjp: derivatives need floating-point arguments"),
    "jvp of integers": (
        lambda: mg.jvp(mg.sin, (I,), (I,)),
        TypeError,
        "jvp: derivatives need floating-point arguments",
    ),
    "jacobian of integers": (
        lambda: mg.jacobian(mg.sin)(I),
        TypeError,
        "jacobian: derivatives need .*or exclude it with argnums",
    ),
    "linearize at an integer": (
        lambda: mg.linearize(mg.sin, 3),
        TypeError,
        "linearize: derivatives need floating-point arguments, got 3: .*or use it through a closure",
    ),
    "watching integers": (
        lambda: mg.Tape().watch(3),
        TypeError,
        "Tape.watch: derivatives need floating-point arguments",
    ),
    # argnums
    "argnums": (lambda: mg.grad(mg.sum, 2)(X), ValueError, r"grad: argnums \(2,\) do not fit a call with 1 positional"),
    "argnums twice": (
        lambda: mg.grad(mg.add, (0, -2))(1.0, 2.0),
        ValueError,
        r"grad: argnums \(0, -2\) name an argument twice",
    ),
    "argnums as a string": (
        lambda: mg.grad(mg.sum, "a"),
        TypeError,
        "grad: argnums must be an integer, got 'a'",
    ),
    "argnums as a float": (
        lambda: mg.grad(mg.sum, 0.5),
        TypeError,
        "grad: argnums must be an integer, got 0.5",
    ),
    "jacobian argnums": (lambda: mg.jacobian(mg.sin, argnums=1)(X), ValueError, r"jacobian: argnums \(1,\) do not fit"),
    "hessian argnums": (lambda: mg.hessian(mg.sum, argnums=1)(X), ValueError, "argnums .* do not fit"),
    # results
    "no scalar": (
        lambda: mg.grad(mg.sin)(X),
        ValueError,
        rf"grad: .* real floating-point scalar, got {F}; reduce it with mg.sum or mg.mean, or use mg.vjp",
    ),
    "one element": (lambda: mg.grad(mg.sin)(np.ones(1)), ValueError, r"grad: .* scalar, got float64\[1\]"),
    "a pair": (
        lambda: mg.grad(lambda x: (mg.sum(x), 1))(X),
        TypeError,
        "grad: .* got a tuple; for extra results use has_aux=True",
    ),
    "None": (
        lambda: mg.grad(lambda x: None)(X),
        TypeError,
        "grad: the function returned None; return its scalar result",
    ),
    "a complex number": (
        lambda: mg.grad(lambda x: mg.sum(x * 1j))(X),
        ValueError,
        "grad: .* real floating-point scalar, got complex128",
    ),
    "an integer result": (lambda: mg.grad(mg.argmax)(X), ValueError, r"grad: .* got int64\[\]"),
    "no aux": (
        lambda: mg.grad(mg.sum, has_aux=True)(X),
        TypeError,
        r"grad: with has_aux=True the function must return a pair \(scalar, aux\)",
    ),
    "hessian of no scalar": (lambda: mg.hessian(mg.sin)(X), ValueError, "grad: .* real floating-point scalar"),
    "jacobian of nothing": (lambda: mg.jacobian(lambda x: ())(X), ValueError, "jacobian: there is no array"),
    "jacobian of booleans": (lambda: mg.jacobian(lambda x: x > 0)(X), TypeError, "jacobian: derivatives need floating"),
    "jacobian mode": (
        lambda: mg.jacobian(mg.sin, mode="both"),
        ValueError,
        "jacobian: mode must be 'reverse' or 'forward', got 'both'",
    ),
    # cotangents and tangents
    "cotangent shape": (
        lambda: mg.vjp(mg.sin, X)[1](np.ones(3)),
        ValueError,
        rf"a cotangent must be {F} like the result, got float64\[3\]",
    ),
    "cotangent tree": (
        lambda: mg.vjp(lambda x: (x, x), X)[1](X),
        TreeError,
        r"the cotangent has structure \*, expected tuple",
    ),
    "no cotangent": (lambda: mg.vjp(mg.sin, X)[1](None), TreeError, "the cotangent has structure NoneType"),
    "integer cotangent": (
        lambda: mg.vjp(mg.sin, X)[1](np.ones((2, 3), int)),
        ValueError,
        rf"a cotangent must be {F} .* got int64",
    ),
    "complex cotangent": (
        lambda: mg.vjp(mg.sin, X)[1](X * 1j),
        ValueError,
        rf"a cotangent must be {F} like the result, got complex128\[2, 3\]",
    ),
    "complex tangent": (
        lambda: mg.jvp(mg.sin, (X,), (X * 1j,)),
        ValueError,
        rf"a tangent must be {F} like its argument, got complex128\[2, 3\]",
    ),
    "complex jacobian in reverse mode": (
        lambda: mg.jacobian(lambda x: x * 1j)(X),
        TypeError,
        rf"jacobian: reverse mode, from complex128\[2, 3\] to {F}, gives only the real part .* use mode='forward'",
    ),
    "complex jacobian in forward mode": (
        lambda: mg.jacobian(mg.abs, mode="forward")(X * 1j),
        TypeError,
        rf"jacobian: forward mode, from complex128\[2, 3\] to {F}, gives only .* use mode='reverse'",
    ),
    "hessian of complex": (
        lambda: mg.hessian(lambda z: mg.sum(mg.abs(z)))(X * 1j),
        TypeError,
        r"hessian: real arrays only, got complex128\[2, 3\]",
    ),
    "tangent shape": (
        lambda: mg.jvp(mg.sin, (X,), (np.ones(3),)),
        ValueError,
        rf"a tangent must be {F} like its argument, got float64\[3\]",
    ),
    "tangent tree": (lambda: mg.jvp(mg.sin, (X,), (X, X)), TreeError, "jvp: the tangent has structure tuple"),
    "tangent no tuple": (lambda: mg.jvp(mg.sin, X, X), TypeError, "jvp: primals and tangents must be tuples"),
    "hvp": (lambda: mg.hvp(mg.sum, X, np.ones(3)), ValueError, "a tangent must be"),
    # the tape
    "foreign tape": (
        lambda: mg.Tape().gradient(3.0, X),
        ValueError,
        "Tape.gradient: y and x must be traced by this tape",
    ),
    "loss of derivative to complex": (
        lambda: mg.jvp(lambda x: mg.astype(x * 1j, float), (X,), (X,)),
        TypeError,
        "astype: .*imaginary",
    ),
}


@pytest.mark.parametrize("mistake", [*OPERATIONS, *TRANSFORMS])
def test_a_wrong_call_raises_one_clear_sentence(mistake):
    """The right class of error, with shapes or dtypes, on one line, and no AttributeError from an inner function."""
    make, kind, message = (OPERATIONS | TRANSFORMS)[mistake]
    with pytest.raises(kind, match=message) as caught:
        make()
    assert len(str(caught.value).strip().splitlines()) == 1


def test_tape_needs_a_scalar_or_a_cotangent():
    with mg.Tape() as tape:
        x = tape.watch(X)
        y = 2 * x
    with pytest.raises(TypeError, match=r"Tape.gradient: y has shape \(2, 3\); give its cotangent, or reduce it"):
        tape.gradient(y, x)
    with pytest.raises(ValueError, match="a cotangent must be"):
        tape.gradient(y, x, cotangent=np.ones(3))


def test_errors_are_subclasses_of_pythons_errors():
    """So that `except ValueError` and the like catch them."""
    assert issubclass(mg.OperandError, ValueError) and issubclass(mg.MutationError, ValueError)
    assert issubclass(mg.OperandTypeError, TypeError) and issubclass(mg.DeviceError, TypeError)
    assert issubclass(mg.OutOfMemoryError, MemoryError)
    assert issubclass(mg.OperandIndexError, IndexError) and issubclass(mg.MissingRuleError, NotImplementedError)
    assert issubclass(mg.EscapedTracerError, RuntimeError) and issubclass(TreeError, ValueError)


def test_errors_inside_a_derivative_name_the_operation_too():
    with pytest.raises(ValueError, match=r"add\(float64\[2, 3\], float64\[4\]\)"):
        mg.grad(lambda x: mg.sum(x + np.ones(4)))(X)
    with pytest.raises(ValueError, match=r"add\(float64\[2, 3\], float64\[4\]\)"):
        mg.jvp(lambda x: x + np.ones(4), (X,), (X,))
    with pytest.raises(ValueError, match=r"matmul: the last axis of float64\[2, 3\]"):
        mg.hessian(lambda x: mg.sum(x @ x))(X)
