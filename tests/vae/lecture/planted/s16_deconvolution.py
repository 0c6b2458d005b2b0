"""A mistake for each claim of vae/lecture/slides/s16_deconvolution.py; the claim must fail with it."""

import numpy as np

import minigrad as mg
from vae.lecture.slides import s16_deconvolution


def _flip_kernels(monkeypatch):
    """Flipped kernels, as in the mathematical definition of a convolution."""
    naive_conv, transposed_conv = s16_deconvolution.naive_conv, s16_deconvolution.transposed_conv
    monkeypatch.setattr(s16_deconvolution, "naive_conv", lambda x, w, b, top: naive_conv(x, w[::-1, ::-1], b, top))
    monkeypatch.setattr(s16_deconvolution, "transposed_conv", lambda x, v, pad: transposed_conv(x, v[::-1, ::-1], pad))


def _reverse_taps(monkeypatch):
    """v[r + (k − 1) + 2j] for v[r + (k − 1) − 2j]."""
    right = s16_deconvolution.phase_kernels
    monkeypatch.setattr(s16_deconvolution, "phase_kernels", lambda v: right(v)[::-1, ::-1])


def _swap_phases(monkeypatch):
    """Channel 2r′ + r for 2r + r′: columns before rows."""

    def wrong(v):
        w = right(v)
        return w.reshape(*w.shape[:3], 2, 2, -1).swapaxes(3, 4).reshape(w.shape)

    right = s16_deconvolution.phase_kernels
    monkeypatch.setattr(s16_deconvolution, "phase_kernels", wrong)


def _put_phases_innermost(monkeypatch):
    """Channel 4c + 2r + r′, the order of pixel shuffle in other libraries."""
    right = mg.depth_to_space

    def wrong(x):
        return right(x.reshape(*x.shape[:3], -1, 4).swapaxes(3, 4).reshape(x.shape))

    monkeypatch.setattr(mg, "depth_to_space", wrong)


def _reshape_by_columns(monkeypatch):
    """The reshape in column-major order."""

    def wrong(x):
        n, height, width, channels = x.shape
        return np.reshape(x, (n, 2 * height, 2 * width, channels // 4), order="F")

    monkeypatch.setattr(s16_deconvolution, "reshape_row_major", wrong)


PLANTED = {
    "strided_convolution": _flip_kernels,
    "deconvolution_is_transposed": _reverse_taps,
    "adjoints": _swap_phases,
    "pullback": _flip_kernels,
    "right_permutation": _put_phases_innermost,
    "simple_reshape": _reshape_by_columns,
}
