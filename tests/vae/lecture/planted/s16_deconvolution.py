"""A mistake for each claim of vae/lecture/slides/s16_deconvolution.py, which must make it fail."""

import numpy as np

import minigrad as mg
from vae.lecture.slides import s16_deconvolution


def _flip_kernels(monkeypatch):
    """Kernels turned around, as convolutions in mathematics have them."""
    naive_conv, transposed_conv = s16_deconvolution.naive_conv, s16_deconvolution.transposed_conv
    monkeypatch.setattr(s16_deconvolution, "naive_conv", lambda x, w, b, top: naive_conv(x, w[::-1, ::-1], b, top))
    monkeypatch.setattr(s16_deconvolution, "transposed_conv", lambda x, v, pad: transposed_conv(x, v[::-1, ::-1], pad))


def _reverse_taps(monkeypatch):
    """v[r + (k − 1) + 2j] for − 2j."""
    right = s16_deconvolution.phase_kernels
    monkeypatch.setattr(s16_deconvolution, "phase_kernels", lambda v: right(v)[::-1, ::-1])


def _swap_phases(monkeypatch):
    """Columns before rows among the four pixels."""

    def wrong(v):
        w = right(v)
        return w.reshape(*w.shape[:3], 2, 2, -1).swapaxes(3, 4).reshape(w.shape)

    right = s16_deconvolution.phase_kernels
    monkeypatch.setattr(s16_deconvolution, "phase_kernels", wrong)


def _put_phases_innermost(monkeypatch):
    """Channel 4c + 2r + r′, the order in which other libraries shuffle pixels."""
    right = mg.depth_to_space

    def wrong(x):
        return right(x.reshape(*x.shape[:3], -1, 4).swapaxes(3, 4).reshape(x.shape))

    monkeypatch.setattr(mg, "depth_to_space", wrong)


def _reshape_by_columns(monkeypatch):
    """The reshape as Fortran would do it."""

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
