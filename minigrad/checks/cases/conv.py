"""Convolution, its two adjoints, and the lecture's deconvolution."""

from __future__ import annotations

import minigrad as mg
from minigrad.checks.cases import formulas
from minigrad.checks.cases.registry import case, signed
from minigrad.core.interpreter import primitives

_PADS = ((1, 0), (0, 2))
CONVOLUTIONS = {"": (1, 1), "stride": (2, 1)}
for _what, _stride in CONVOLUTIONS.items():
    _end = f"/{_what}" if _what else ""
    _out = ((4 + 1 - 3) // _stride[0] + 1, (3 + 2 - 2) // _stride[1] + 1)
    _how = {"stride": _stride, "pads": _PADS}
    case(
        f"conv{_end}",
        lambda x, w, how=_how: primitives["conv"](x, w, **how),
        lambda x, w, how=_how: formulas.convolve(x, w, **how),
        ((2, 4, 3, 2), signed),
        ((3, 2, 2, 3), signed),
    )
    case(
        f"conv_input{_end}",
        lambda d, w, how=_how: primitives["conv_input"](d, w, **how, size=(4, 3)),
        lambda d, w, how=_how: formulas.convolve_input(d, w, **how, size=(4, 3)),
        ((2, *_out, 3), signed),
        ((3, 2, 2, 3), signed),
    )
    case(
        f"conv_kernel{_end}",
        lambda x, d, how=_how: primitives["conv_kernel"](x, d, **how, kernel=(3, 2)),
        lambda x, d, how=_how: formulas.convolve_kernel(x, d, **how, kernel=(3, 2)),
        ((2, 4, 3, 2), signed),
        ((2, *_out, 3), signed),
    )
case(
    "conv2d",
    mg.conv2d,
    lambda x, w: formulas.convolve(x, w, (1, 1), ((1, 1), (1, 1))),
    ((1, 3, 4, 2), signed),
    ((3, 3, 2, 2), signed),
)
case(
    "conv2d/no images",
    mg.conv2d,
    lambda x, w: formulas.convolve(x, w, (1, 1), ((1, 1), (1, 1))),
    ((0, 3, 4, 2), signed),
    ((3, 3, 2, 2), signed),
)
case(
    "conv2d/thin",
    mg.conv2d,
    lambda x, w: formulas.convolve(x, w, (1, 1), ((1, 1), (1, 1))),
    ((2, 3, 3, 3), signed),
    ((3, 3, 3, 1), signed),
)


case(
    "deconv2d",
    mg.deconv2d,
    lambda x, w: formulas.shuffle(formulas.convolve(x, w, (1, 1), ((1, 1), (1, 1))), 2),
    ((1, 3, 2, 2), signed),
    ((3, 3, 2, 4), signed),
)
case("depth_to_space", mg.depth_to_space, lambda x: formulas.shuffle(x, 2), ((1, 2, 3, 8), signed))
case("depth_to_space/3", lambda x: mg.depth_to_space(x, 3), lambda x: formulas.shuffle(x, 3), ((2, 1, 2, 9), signed))
case("space_to_depth", mg.space_to_depth, lambda x: formulas.unshuffle(x, 2), ((1, 4, 2, 3), signed))
