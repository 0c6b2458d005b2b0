"""A mistake for each claim of vae/lecture/slides/s16_deconvolution.py, which must make it fail."""

import numpy as np

import minigrad as mg
from vae.lecture.slides import s16_deconvolution


def _flipped(monkeypatch):
    """Kernels turned around, as convolutions in mathematics have them."""
    naive, transposed = s16_deconvolution.naive, s16_deconvolution.transposed
    monkeypatch.setattr(s16_deconvolution, "naive", lambda x, w, b, top: naive(x, w[::-1, ::-1], b, top))
    monkeypatch.setattr(s16_deconvolution, "transposed", lambda x, v, pad: transposed(x, v[::-1, ::-1], pad))


def _taps_upwards(monkeypatch):
    """v[r + (k − 1) + 2j] for − 2j."""
    right = s16_deconvolution.phases
    monkeypatch.setattr(s16_deconvolution, "phases", lambda v: right(v)[::-1, ::-1])


def _phases_exchanged(monkeypatch):
    """Columns before rows among the four pixels."""

    def wrong(v):
        w = right(v)
        return w.reshape(*w.shape[:3], 2, 2, -1).swapaxes(3, 4).reshape(w.shape)

    right = s16_deconvolution.phases
    monkeypatch.setattr(s16_deconvolution, "phases", wrong)


def _phases_innermost(monkeypatch):
    """Channel 4c + 2r + r′, the order in which other libraries shuffle pixels."""
    right = mg.depth_to_space

    def wrong(x):
        return right(x.reshape(*x.shape[:3], -1, 4).swapaxes(3, 4).reshape(x.shape))

    monkeypatch.setattr(mg, "depth_to_space", wrong)


def _by_columns(monkeypatch):
    """The reshape as Fortran would do it."""

    def wrong(x):
        n, height, width, channels = x.shape
        return np.reshape(x, (n, 2 * height, 2 * width, channels // 4), order="F")

    monkeypatch.setattr(s16_deconvolution, "reshaped", wrong)


PLANTED = {
    "strided_convolution": _flipped,
    "deconvolution_is_transposed": _taps_upwards,
    "adjoints": _phases_exchanged,
    "pullback": _flipped,
    "right_permutation": _phases_innermost,
    "simple_reshape": _by_columns,
}
