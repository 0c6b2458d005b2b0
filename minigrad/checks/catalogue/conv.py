"""Convolution, its two adjoints, and the lecture's deconvolution, with any kernel, stride and padding that fit."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minigrad.checks.catalogue import formulas
from minigrad.checks.catalogue.choose import Choose, Shape
from minigrad.checks.catalogue.operation import Example, at, movement, operation


class Problem(NamedTuple):
    """The shapes of a convolution, its stride and its padding."""

    x: Shape
    w: Shape
    y: Shape
    how: dict


def any_problem(choose: Choose) -> Problem:
    """Images, kernel, stride and padding of a random convolution in which the kernel fits."""
    kernel = tuple(choose.integer(1, 4) for _ in range(2))
    stride = tuple(choose.integer(1, 3) for _ in range(2))
    pads = tuple((choose.integer(0, 3), choose.integer(0, 3)) for _ in range(2))
    size = [choose.integer(max(1, k - sum(p)), 5) for k, p in zip(kernel, pads)]
    channels, features = choose.one_of([1, 2, 4]), choose.integer(1, 3)
    return problem((choose.side(2), *size, channels), (*kernel, channels, features), stride, pads)


def problem(x: Shape, w: Shape, stride: tuple, pads: tuple) -> Problem:
    """The problem for images and a kernel of these shapes."""
    out = [(n + sum(p) - k) // s + 1 for n, k, s, p in zip(x[1:3], w[:2], stride, pads)]
    return Problem(x, w, (x[0], *out, w[3]), {"stride": stride, "pads": pads})


OPERANDS = {"conv": ("x", "w"), "conv_input": ("y", "w"), "conv_kernel": ("x", "y")}


def convolution(name: str, what: str, problem: Problem) -> Example:
    """A call of one of the three primitives."""
    extra = {"conv_input": {"size": problem.x[1:3]}, "conv_kernel": {"kernel": problem.w[:2]}}.get(name, {})
    return at(what, *[getattr(problem, part) for part in OPERANDS[name]], named=problem.how | extra)


FIXED = {
    "": problem((2, 4, 3, 2), (3, 2, 2, 3), (1, 1), ((1, 0), (0, 2))),
    "stride": problem((2, 4, 3, 2), (3, 2, 2, 3), (2, 1), ((1, 0), (0, 2))),
}
for _name, _formula in {
    "conv": formulas.convolve,
    "conv_input": formulas.convolve_input,
    "conv_kernel": formulas.convolve_kernel,
}.items():
    operation(
        _name,
        lambda choose, name=_name: convolution(name, "", any_problem(choose)),
        *[convolution(_name, what, one) for what, one in FIXED.items()],
        formula=_formula,
    )

# conv2d, with stride and padding in every form that it accepts


def make_pair(stride: Any) -> tuple:
    return (stride, stride) if isinstance(stride, int) else stride


def resolve_padding(size: Any, kernel: Any, stride: Any, padding: Any) -> tuple:
    """A padding as ((top, bottom), (left, right)); "same" gives ⌈n/s⌉ rows out, an odd row goes to the bottom."""
    if padding == "same":
        totals = [max((-(-n // s) - 1) * s + k - n, 0) for n, s, k in zip(size, make_pair(stride), kernel)]
        return tuple((t // 2, t - t // 2) for t in totals)
    width = 0 if padding == "valid" else padding
    return ((width, width),) * 2 if isinstance(width, int) else width


def convolve(x, w, stride=1, padding="same"):
    return formulas.convolve(x, w, make_pair(stride), resolve_padding(x.shape[1:3], w.shape[:2], stride, padding))


def any_conv2d(choose: Choose) -> Example:
    one = any_problem(choose)
    stride = one.how["stride"][0] if choose.boolean() else one.how["stride"]
    padding = choose.one_of(["same", "valid", 2, one.how["pads"]])
    size = [max(n, k) for n, k in zip(one.x[1:3], one.w[:2])] if padding == "valid" else one.x[1:3]
    return at("", (one.x[0], *size, one.x[3]), one.w, params=(stride, padding))


def torch_conv(torch: Any, x: Any, w: Any, stride: Any = 1, padding: Any = "same") -> Any:
    """PyTorch takes images (N, C, H, W) and kernels (F, C, k, k)."""
    (top, bottom), (left, right) = resolve_padding(x.shape[1:3], w.shape[:2], stride, padding)
    padded = torch.nn.functional.pad(x.permute(0, 3, 1, 2), (left, right, top, bottom))
    return torch.nn.functional.conv2d(padded, w.permute(3, 2, 0, 1), stride=stride).permute(0, 2, 3, 1)


def jax_conv(jax: Any, x: Any, w: Any, stride: Any = 1, padding: Any = "same") -> Any:
    pads = ((padding, padding),) * 2 if isinstance(padding, int) else padding
    pads = pads.upper() if isinstance(pads, str) else pads
    return jax.lax.conv_general_dilated(x, w, make_pair(stride), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def autograd_conv(autograd: Any, x: Any, w: Any, stride: Any, padding: Any) -> Any:
    """For stride 1 without padding only, which is all HIPS/autograd offers."""
    axes, summed = ([1, 2], [0, 1]), ([3], [2])
    y = autograd.scipy.signal.convolve(x, w[::-1, ::-1], axes=axes, dot_axes=summed, mode="valid")  # (N, F, H, W)
    return autograd.numpy.transpose(y, (0, 2, 3, 1))


COMPARED = {  # height and width of images and of kernels, stride, padding
    "1×1": ((3, 4), (1, 1), 1, "same"),
    "3×3 same": ((3, 4), (3, 3), 1, "same"),
    "5×5 same": ((4, 3), (5, 5), 1, "same"),
    "2×2 same": ((3, 3), (2, 2), 1, "same"),
    "3×3 valid": ((5, 4), (3, 3), 1, "valid"),
    "3×3 same, stride 2": ((4, 6), (3, 3), 2, "same"),
    "3×3 same, stride 2, odd sizes": ((5, 7), (3, 3), 2, "same"),
    "3×2, strides 2 and 1": ((6, 4), (3, 2), (2, 1), ((1, 0), (0, 2))),
    "2×3 valid, stride 3": ((6, 7), (2, 3), 3, "valid"),
    "3×3, padding 3": ((3, 3), (3, 3), 1, 3),
}
operation(
    "conv2d",
    any_conv2d,
    at("", (1, 3, 4, 2), (3, 3, 2, 2)),
    at("no images", (0, 3, 4, 2), (3, 3, 2, 2)),
    at("thin", (2, 3, 3, 3), (3, 3, 3, 1)),
    formula=convolve,
    compared=(
        *[at(what, (2, *size, 2), (*kernel, 2, 3), params=how) for what, (size, kernel, *how) in COMPARED.items()],
        at("valid", (2, 4, 3, 2), (3, 2, 2, 3), params=(1, "valid"), autograd=autograd_conv),
    ),
    torch=torch_conv,
    jax=jax_conv,
    autograd=None,
    backward_only=("autograd",),
)

# Depth and space


def any_phases(choose: Choose, deep: bool) -> Example:
    """Images whose channels (`deep`), or else rows and columns, are multiples of a factor."""
    k = choose.integer(1, 3)
    n, h, w, channels = choose.side(2), *(choose.integer(1, 2) for _ in range(3))
    return at("", (n, h, w, k**2 * channels) if deep else (n, k * h, k * w, channels), params=(k,))


def torch_depth_to_space(torch: Any, x: Any, factor: int = 2) -> Any:
    """PyTorch orders channels as (C, factor, factor), minigrad as (factor, factor, C)."""
    theirs = x.permute(0, 3, 1, 2).unflatten(1, (factor**2, -1)).swapaxes(1, 2).flatten(1, 2)
    return torch.nn.functional.pixel_shuffle(theirs, factor).permute(0, 2, 3, 1)


def torch_space_to_depth(torch: Any, x: Any, factor: int = 2) -> Any:
    theirs = torch.nn.functional.pixel_unshuffle(x.permute(0, 3, 1, 2), factor)
    return theirs.unflatten(1, (-1, factor**2)).swapaxes(1, 2).flatten(1, 2).permute(0, 2, 3, 1)


def jax_depth_to_space(jax: Any, x: Any, factor: int = 2) -> Any:
    """n h w (i j c) -> n (h i) (w j) c in the notation of einops."""
    n, h, w, c = x.shape
    phases = x.reshape(n, h, w, factor, factor, c // factor**2)
    return jax.numpy.einsum("nhwijc->nhiwjc", phases).reshape(n, h * factor, w * factor, -1)


movement(
    "depth_to_space",
    lambda choose: any_phases(choose, deep=True),
    at("", (1, 2, 3, 8)),
    at("3", (2, 1, 2, 9), params=(3,)),
    formula=lambda x, factor=2: formulas.shuffle(x, factor),
    compared=("", at("3, two channels", (1, 2, 1, 18), params=(3,))),
    torch=torch_depth_to_space,
    jax=jax_depth_to_space,
    autograd=None,
)
movement(
    "space_to_depth",
    lambda choose: any_phases(choose, deep=False),
    at("", (1, 4, 2, 3)),
    formula=lambda x, factor=2: formulas.unshuffle(x, factor),
    compared=("",),
    torch=torch_space_to_depth,
    jax=None,
    autograd=None,
)

# Deconvolution


def any_deconv2d(choose: Choose) -> Example:
    k, factor, features = choose.one_of([1, 3]), choose.integer(1, 2), choose.integer(1, 2)
    n, h, w, channels = choose.side(), *(choose.integer(1, 3) for _ in range(3))
    shapes = (n, h, w, channels), (k, k, channels, factor**2 * features)
    return at("", *shapes, params=(factor,))


# deconv2d as one transposed convolution with a 2k×2k kernel; `PHASES` maps w to that kernel (slide 16)

PHASES = np.stack([formulas.phases_to_kernel(tap.reshape(3, 3, 2, 8), 3).ravel() for tap in np.eye(3 * 3 * 2 * 8)])


def torch_transposed_conv(torch: Any, x: Any, w: Any, phases: Any) -> Any:
    whole = (w.ravel() @ phases).reshape(6, 6, 2, 2).permute(2, 3, 0, 1)  # (C, F, 2k, 2k)
    y = torch.nn.functional.conv_transpose2d(x.permute(0, 3, 1, 2), whole, stride=2, padding=2)
    return y.permute(0, 2, 3, 1)


def jax_transposed_conv(jax: Any, x: Any, w: Any, phases: Any) -> Any:
    whole = (w.ravel() @ phases).reshape(6, 6, 2, 2)[::-1, ::-1]  # JAX does not flip the kernel
    pads, layout = ((3, 3), (3, 3)), ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_transpose(x, whole, (2, 2), pads, dimension_numbers=layout)


operation(
    "deconv2d",
    any_deconv2d,
    at("", (1, 3, 2, 2), (3, 3, 2, 4)),
    formula=lambda x, w, factor=2: formulas.shuffle(convolve(x, w), factor),
    compared=(
        at("two features", (1, 3, 2, 2), (3, 3, 2, 8)),
        at(
            "as a transposed convolution",
            (1, 3, 2, 2),
            (3, 3, 2, 8),
            constants=(PHASES,),
            spelled=lambda mg, x, w, phases: mg.deconv2d(x, w),
            formula=lambda x, w, phases: formulas.shuffle(convolve(x, w), 2),
            torch=torch_transposed_conv,
            jax=jax_transposed_conv,
            autograd=None,
        ),
    ),
    torch=lambda torch, x, w: torch_depth_to_space(torch, torch_conv(torch, x, w)),
    jax=lambda jax, x, w: jax_depth_to_space(jax, jax_conv(jax, x, w)),
    autograd=None,
)
