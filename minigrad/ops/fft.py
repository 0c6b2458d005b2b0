"""Fourier transforms, with the names and arguments of `numpy.fft`.

    y_k = Σ_j x_j e^(−2πi·jk/n)        fft; the inverse has +2πi instead, and the factor 1/n

norm="ortho" gives both the factor 1/√n, norm="forward" gives 1/n to fft and none to the inverse. An axis is first cut
to the size that is asked for, or padded with zeros at its end. float16, float32 and complex64 are computed in single
precision. Raises ValueError for a size below 1 or an unknown norm, IndexError for an axis out of range.

All are composed of three linear primitives. `fft` is its own transpose, as its matrix is symmetric. `rfft` takes real
numbers and keeps bins 0 to n/2, of whose conjugates the others consist; `irfft` is its inverse. Each is the transpose
of the other, but for a conjugate and factors of 2.
"""

from __future__ import annotations

import math

import numpy as np

from minigrad.backends import store
from minigrad.core.arguments import check_options, dtype_from, integer, integers, is_several
from minigrad.core.arrays import describe, dtype_of, shape_of
from minigrad.core.batching import batched, shift_axes, shift_axis
from minigrad.core.errors import OperandError, OperandIndexError, OperandTypeError
from minigrad.core.interpreter import find_backend, primitive
from minigrad.core.rules import linear
from minigrad.core.traits import Cut, traits
from minigrad.ops.arrange import roll
from minigrad.ops.complex import conj, is_complex
from minigrad.ops.indexing import getitem
from minigrad.ops.placement import place
from minigrad.ops.shape import normalise_axis, pad_p

__all__ = [
    *"fft ifft rfft irfft hfft ihfft fftn ifftn rfftn irfftn fft2 ifft2 rfft2 irfft2".split(),
    *"fftshift ifftshift fftfreq rfftfreq".split(),
]

# The primitives


@primitive("fft")
def fft_p(b, x, *, axes, inverse, norm, out=None):
    transform = b.xp.fft.ifftn if inverse else b.xp.fft.fftn
    return store(transform(x, axes=axes, norm=norm), out)


@primitive("rfft")
def rfft_p(b, x, *, axis, norm, out=None):
    return store(b.xp.fft.rfft(x, axis=axis, norm=norm), out)


@primitive("irfft")
def irfft_p(b, x, *, n, axis, norm, out=None):
    """n real numbers from the bins k = 0, …, n//2 of their transform."""
    return store(b.xp.fft.irfft(x, n=n, axis=axis, norm=norm), out)


OPPOSITE = {None: "forward", "backward": "forward", "ortho": "ortho", "forward": "backward"}
"""By norm, the norm with which the inverse transform has the same factor."""


def _scale_inner(x, n, axis, factor):
    """x, with the bins k = 0, …, n//2 along an axis, times a factor in all bins but 0 and n/2."""
    weights = np.full(n // 2 + 1, factor, np.finfo(dtype_of(x)).dtype)
    weights[0] = 1
    if n % 2 == 0:
        weights[-1] = 1
    return x * find_backend(x).from_host(weights.reshape([-1 if a == axis else 1 for a in range(len(shape_of(x)))]))


def _transpose_rfft(g, x, axis, norm):
    """x̄_j = Re Σ_k g_k e^(−2πi·jk/n): irfft of ḡ, which would count inner bins twice."""
    n = x.shape[axis]
    return irfft_p(conj(_scale_inner(g, n, axis, 0.5)), n=n, axis=axis, norm=OPPOSITE[norm])


def _transpose_irfft(g, n, axis, norm):
    """y_j = Σ_k c_k Re(x_k e^(2πi·jk/n)), so x̄_k = c_k Σ_j g_j e^(2πi·jk/n); c_k is 2 in inner bins, else 1."""
    return conj(_scale_inner(rfft_p(g, axis=axis, norm=OPPOSITE[norm]), n, axis, 2))


linear(fft_p, x=lambda g, axes, inverse, norm: fft_p(g, axes=axes, inverse=inverse, norm=norm))
linear(rfft_p, x=_transpose_rfft)
linear(irfft_p, x=_transpose_irfft)


def _axes(params):
    return params["axes"] if "axes" in params else (params["axis"],)


def _cuts_along_other_axes(operands, result, params):
    yield from (Cut((axis,), axis) for axis in range(len(result)) if axis not in _axes(params))


def _flops(operands, result, params):
    """5 n log₂ n for n points, as usual for comparisons of implementations (Frigo and Johnson 2005)."""
    points = max(operands[0], result, key=math.prod)
    return int(5 * math.prod(points) * sum(math.log2(points[axis]) for axis in _axes(params)))


for _p in (fft_p, rfft_p, irfft_p):
    traits(_p, cuts=_cuts_along_other_axes, flops=_flops)
batched(fft_p, axes=shift_axes)
batched(rfft_p, axis=shift_axis)
batched(irfft_p, axis=shift_axis)

# Sizes, axes and norms


def _read(operation, a, s, axes, norm, out):
    """(sizes, axes counted from 0, norm), checked, with the defaults filled in."""
    check_options(operation, out=out)
    if norm not in OPPOSITE:
        raise OperandError(f"{operation}: norm={norm!r} is unknown; use 'backward', 'ortho' or 'forward'")
    s = None if s is None else integers(s, f"{operation}: a size")
    if axes is None:
        axes = range(len(shape_of(a))) if s is None else range(-len(s), 0)
    places = [normalise_axis(axis, len(shape_of(a)), operation) for axis in (axes if is_several(axes) else (axes,))]
    lengths = [shape_of(a)[axis] for axis in places]
    if s is not None and len(s) != len(places):
        raise OperandError(f"{operation}: s={s} and axes={axes} differ in length")
    sizes = lengths if s is None else [length if n == -1 else n for n, length in zip(s, lengths)]
    return sizes, places, norm or "backward"


def _one(n, operation):
    """The sizes of a transform along one axis, where −1 does not stand for all points."""
    return None if n is None else (_positive(n, operation),)


def _positive(n, operation):
    if integer(n, f"{operation}: n") < 1:
        raise OperandError(f"{operation}: n must be at least 1, got {n}")
    return n


def _check_size(n, axis, a, operation):
    if n < 1:
        raise OperandError(
            f"{operation}: needs at least one point along axis {axis}, got n={n} for {describe(a)}: give another size"
        )


def _resize(a, n, axis):
    """a cut to the length n along an axis, or padded with zeros at its end."""
    length = shape_of(a)[axis]
    if n > length:
        return pad_p(a, widths=tuple((0, n - length if i == axis else 0) for i in range(len(shape_of(a)))))
    return a if n == length else getitem(a, (slice(None),) * axis + (slice(n),))


# Along any axes


def _over_axes(operation, a, sizes, axes, norm, inverse):
    """The complex transform over any axes."""
    if len(set(axes)) < len(axes):  # an axis is transformed as often as it is named, the last one first
        for n, axis in reversed([*zip(sizes, axes)]):
            a = _over_axes(operation, a, [n], [axis], norm, inverse)
        return a
    for n, axis in zip(sizes, axes):
        _check_size(n, axis, a, operation)
        a = _resize(a, n, axis)
    return fft_p(a, axes=tuple(axes), inverse=inverse, norm=norm) if axes else a


def _fftn(operation, a, s, axes, norm, out, inverse=False):
    return _over_axes(operation, a, *_read(operation, a, s, axes, norm, out), inverse)


def _rfftn(operation, a, s, axes, norm, out):
    sizes, axes, norm = _read(operation, a, s, axes, norm, out)
    if is_complex(a):
        raise OperandTypeError(f"{operation}: real arrays only, got {describe(a)}: use mg.fft.fft, or take mg.real")
    _check_axes(axes, operation)
    _check_size(sizes[-1], axes[-1], a, operation)
    y = rfft_p(_resize(a, sizes[-1], axes[-1]), axis=axes[-1], norm=norm)
    return _over_axes(operation, y, sizes[:-1], axes[:-1], norm, inverse=False)


def _irfftn(operation, a, s, axes, norm, out):
    sizes, axes, norm = _read(operation, a, s, axes, norm, out)
    _check_axes(axes, operation)
    n, axis = 2 * (sizes[-1] - 1) if s is None else sizes[-1], axes[-1]
    _check_size(n, axis, a, operation)
    x = _over_axes(operation, a, sizes[-2::-1], axes[-2::-1], norm, inverse=True)  # NumPy's order: the first axis first
    return irfft_p(_resize(x, n // 2 + 1, axis), n=n, axis=axis, norm=norm)


def _check_axes(axes, operation):
    if not axes:
        raise OperandIndexError(f"{operation}: needs at least one axis")


# The functions of numpy.fft


def fft(a, n=None, axis=-1, norm=None, out=None):
    """The Fourier transform along an axis, of n points (by default as many as there are).

    >>> import minigrad as mg, numpy as np
    >>> power = lambda x: mg.sum(mg.abs(mg.fft.fft(x)) ** 2)
    >>> mg.grad(power)(np.array([1.0, -2.0, 0.5]))  # 2·n·x, by Parseval's theorem
    array([  6., -12.,   3.])
    """
    return _fftn("fft", a, _one(n, "fft"), (axis,), norm, out)


def ifft(a, n=None, axis=-1, norm=None, out=None):
    """The inverse of `fft`."""
    return _fftn("ifft", a, _one(n, "ifft"), (axis,), norm, out, inverse=True)


def rfft(a, n=None, axis=-1, norm=None, out=None):
    """The first n//2 + 1 bins of the Fourier transform of a real array; the others are conjugates of these.

    Raises TypeError for a complex array.
    """
    return _rfftn("rfft", a, _one(n, "rfft"), (axis,), norm, out)


def irfft(a, n=None, axis=-1, norm=None, out=None):
    """The inverse of `rfft`: n real numbers, 2·(length − 1) by default.

    The imaginary parts of bin 0, and of bin n/2 of an even n, are not used; their derivatives are 0.
    """
    return _irfftn("irfft", a, _one(n, "irfft"), (axis,), norm, out)


def hfft(a, n=None, axis=-1, norm=None, out=None):
    """The real Fourier transform, of length n, of a Hermitian signal (a₋ⱼ = āⱼ), whose first half is a."""
    return _irfftn("hfft", conj(a), _one(n, "hfft"), (axis,), OPPOSITE.get(norm, norm), out)


def ihfft(a, n=None, axis=-1, norm=None, out=None):
    """The inverse of `hfft`."""
    return conj(_rfftn("ihfft", a, _one(n, "ihfft"), (axis,), OPPOSITE.get(norm, norm), out))


def fftn(a, s=None, axes=None, norm=None, out=None):
    """The Fourier transform over axes (all by default) of the sizes s, where −1 stands for the length of an axis."""
    return _fftn("fftn", a, s, axes, norm, out)


def ifftn(a, s=None, axes=None, norm=None, out=None):
    """The inverse of `fftn`."""
    return _fftn("ifftn", a, s, axes, norm, out, inverse=True)


def rfftn(a, s=None, axes=None, norm=None, out=None):
    """`rfft` over the last of several axes, then `fft` over the others."""
    return _rfftn("rfftn", a, s, axes, norm, out)


def irfftn(a, s=None, axes=None, norm=None, out=None):
    """The inverse of `rfftn`."""
    return _irfftn("irfftn", a, s, axes, norm, out)


def fft2(a, s=None, axes=(-2, -1), norm=None, out=None):
    """`fftn` over two axes, by default the last."""
    return _fftn("fft2", a, s, axes, norm, out)


def ifft2(a, s=None, axes=(-2, -1), norm=None, out=None):
    """The inverse of `fft2`."""
    return _fftn("ifft2", a, s, axes, norm, out, inverse=True)


def rfft2(a, s=None, axes=(-2, -1), norm=None, out=None):
    """`rfftn` over two axes, by default the last."""
    return _rfftn("rfft2", a, s, axes, norm, out)


def irfft2(a, s=None, axes=(-2, -1), norm=None, out=None):
    """The inverse of `rfft2`."""
    return _irfftn("irfft2", a, s, axes, norm, out)


def fftshift(x, axes=None):
    """The bins rolled along axes (all by default) so that bin 0 is in the middle."""
    return _roll_half("fftshift", x, axes, lambda n: n // 2)


def ifftshift(x, axes=None):
    """The inverse of `fftshift`."""
    return _roll_half("ifftshift", x, axes, lambda n: -(n // 2))


def _roll_half(operation, x, axes, by):
    axes = range(len(shape_of(x))) if axes is None else axes if is_several(axes) else (axes,)
    axes = [normalise_axis(axis, len(shape_of(x)), operation) for axis in axes]
    return roll(x, [by(shape_of(x)[axis]) for axis in axes], axes)


def fftfreq(n, d=1.0, device=None, *, dtype=None):
    """The frequencies of the n bins of `fft` for samples d apart, in cycles per unit of d: a plain array."""
    return _place_frequencies("fftfreq", np.fft.fftfreq(_positive(n, "fftfreq"), d), device, dtype)


def rfftfreq(n, d=1.0, device=None, *, dtype=None):
    """The frequencies of the n//2 + 1 bins of `rfft` for samples d apart: a plain array."""
    return _place_frequencies("rfftfreq", np.fft.rfftfreq(_positive(n, "rfftfreq"), d), device, dtype)


def _place_frequencies(operation, y, device, dtype):
    return place(y if dtype is None else y.astype(dtype_from(dtype, operation)), device, operation)
