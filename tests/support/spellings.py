"""How PyTorch, JAX and HIPS/autograd spell each operation: a table to compare by, and a dictionary for who knows them.

    row(name, spelling, *arguments, params=(…), torch=…, jax=…, autograd=…)

A spelling is the path of a function, `"nn.functional.elu"`, or a function of a namespace and arrays. That in second
place is in NumPy's names and holds for minigrad and for every peer that is not named after it (`peers` says where paths
begin); `None` says that a peer does not have this, or raises. An argument is (shape, how to draw it), and `params`
follow the arrays. What a peer has but gets wrong, like autograd's `repeat`, is in `test_peer_differences`.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigrad.checks.cases.formulas import phases_to_kernel
from minigrad.checks.cases.registry import apart, between, definite, regular, signed
from tests.support.peers import Spelling


@dataclass(frozen=True)
class Row:
    """One operation. `name` is its own, then what is special after a slash."""

    name: str
    spelling: str | Callable
    arguments: tuple[tuple, ...] = ()
    constants: Sequence[np.ndarray] = ()  # arrays it needs but has no derivative in, after the arguments
    params: Sequence[Any] = ()  # what follows the arrays
    backward_only: Sequence[str] = ()  # peers that have no forward mode for it
    own: dict[str, Spelling] = field(default_factory=dict)  # of those who spell it otherwise

    @property
    def operation(self) -> str:
        return self.name.split("/")[0]

    def generator(self, purpose: str) -> np.random.Generator:
        return np.random.default_rng(zlib.crc32(f"{self.name}: {purpose}".encode()))

    def draw(self) -> tuple[np.ndarray, ...]:
        rng = self.generator("arguments")
        return tuple(np.asarray(draw(rng, shape), np.float64) for shape, draw in self.arguments)


ROWS: dict[str, Row] = {}


def row(
    name: str,
    spelling: str | Callable,
    *arguments: tuple,
    constants: Sequence[np.ndarray] = (),
    params: Sequence[Any] = (),
    backward_only: Sequence[str] = (),
    **own: Spelling,
) -> None:
    """Add an operation."""
    assert name not in ROWS, f"two rows are called {name}"
    ROWS[name] = Row(name, spelling, arguments, constants, params, backward_only, own)


V, M, CUBE = ((4,), signed), ((3, 4), signed), ((2, 3, 4), signed)
BACKWARD = {"backward_only": ["autograd"]}

# Elementwise, of one array

for _name in "negative reciprocal square exp expm1 sin cos tan arctan sinh cosh tanh abs absolute".split():
    row(_name, _name, M)
for _name in "sqrt log log2".split():
    row(_name, _name, ((3, 4), between(0.6, 3)))
for _name in "log1p arcsin arccos".split():
    row(_name, _name, ((3, 4), between(-0.4, 0.4)))
row("sigmoid", "sigmoid", M, jax="nn.sigmoid", autograd="scipy.special.expit", **BACKWARD)
row("softplus", "softplus", M, torch="nn.functional.softplus", jax="nn.softplus", autograd=None)
row("log_sigmoid", "log_sigmoid", M, torch="nn.functional.logsigmoid", jax="nn.log_sigmoid", autograd=None)
row("erf", "erf", M, jax="scipy.special.erf", autograd="scipy.special.erf", **BACKWARD)
row("relu", "relu", M, jax="nn.relu", autograd=lambda autograd, x: autograd.numpy.maximum(x, 0.0))
row("leaky_relu", "leaky_relu", M, params=[0.2], torch="nn.functional.leaky_relu", jax="nn.leaky_relu", autograd=None)
row("elu", "elu", M, params=[0.5], torch="nn.functional.elu", jax="nn.elu", autograd=None)
row(
    "gelu",
    "gelu",
    M,
    torch=lambda torch, x: torch.nn.functional.gelu(x, approximate="tanh"),  # its default is the form with erf
    jax="nn.gelu",
    autograd=None,
)
row("clip", "clip", ((3, 4), apart(0.16)), params=[-1.0, 1.0])
row("clip/one-sided", "clip", ((3, 4), apart(0.16)), params=[None, 1.0], autograd=None)
for _name in "sign floor ceil".split():
    row(_name, lambda xp, x, name=_name: x * getattr(xp, name)(x), M)
row("rint", lambda xp, x: x * xp.rint(x), M, torch=lambda torch, x: x * torch.round(x))
row(
    "stop_gradient",
    lambda xp, x: x * xp.stop_gradient(x),
    M,
    torch=lambda torch, x: x * x.detach(),
    jax=lambda jax, x: x * jax.lax.stop_gradient(x),
    autograd=None,
)
for _p in (2, 3, 0.5, 1, 0, -1, -1.5):
    row(f"power/{_p}", lambda xp, x, p: x**p, ((3, 4), between(0.6, 2)), params=[_p])
row("power/of a negative", lambda xp, x: x**3, ((3, 4), between(-2, -0.6)))
row("power/number to the", lambda xp, x: 2.0**x, M)

# Elementwise, of several arrays that broadcast

for _name in "add subtract multiply divide arctan2 logaddexp".split():
    row(_name, _name, M, M)
    row(f"{_name}/broadcast", _name, ((3, 1), signed), V)
row("hypot", "hypot", M, V, **BACKWARD)
row("power", "power", ((3, 1), between(0.6, 2)), ((4,), between(-1.5, 2)), torch="pow")
for _name in "maximum minimum".split():
    row(_name, _name, ((3, 4), apart(0)), ((4,), apart(0.14)))
row("where", lambda xp, x1, x2: xp.where(x1 > 0, x1 * x2, x2 * x2), M, V)
row(
    "clip/arrays",
    "clip",
    ((3, 4), apart(0)),
    ((4,), lambda rng, shape: apart(0.14)(rng, shape) - 0.9),
    ((3, 1), lambda rng, shape: apart(0.07)(rng, shape) + 0.9),
    autograd=None,
)
row(
    "gaussian_sample",
    lambda xp, mean, log_std, noise: mean + xp.exp(log_std) * noise,
    V,
    V,
    M,
    minigrad="gaussian_sample",
)

# Shapes

row("reshape", "reshape", M, params=[(2, -1)])
row("ravel", "ravel", M)
row("transpose", "transpose", CUBE, params=[(-1, 0, -2)], torch="permute", autograd=None)
row("transpose/reversed", lambda xp, x: x.T, M)
row("swapaxes", "swapaxes", CUBE, params=[0, -1])
row("moveaxis", "moveaxis", ((2, 3, 4, 2), signed), params=[(0, -1, 1), (-1, 1, 0)])
row("expand_dims", "expand_dims", M, params=[-2], torch="unsqueeze")
row("squeeze", "squeeze", ((2, 3, 1), signed), params=[-1])
row("broadcast_to", "broadcast_to", ((3, 1), signed), params=[(2, 3, 4)], autograd=None)
row(
    "astype",
    lambda xp, x: x * xp.astype(xp.astype(x, "float32"), "float64"),
    M,
    torch=lambda torch, x: x * x.float().double(),
    autograd=None,
)
row("copy", lambda xp, x: x * xp.copy(x), M, torch=lambda torch, x: x * torch.clone(x), autograd=None)
for _name in "zeros_like ones_like".split():
    row(_name, lambda xp, x, name=_name: x * (x + getattr(xp, name)(x)), M)
row("concatenate", lambda xp, *xs: xp.concatenate(xs, -1), ((2, 3), signed), ((2, 1), signed), ((2, 2), signed))
row("concatenate/itself", lambda xp, x: xp.concatenate([x, 2 * x, x * x]), M)
row("stack", lambda xp, *xs: xp.stack(xs, -2), M, M)
for _name, _cuts in {"split": 2, "split/at indices": (1, 3)}.items():
    row(
        _name,
        lambda xp, x, cuts: xp.split(x, cuts, 1)[1],
        M,
        params=[_cuts],
        torch=lambda torch, x, cuts: torch.tensor_split(x, cuts, 1)[1],
    )
row("flip", "flip", M, params=[(0, 1)], autograd=None)
row("roll", "roll", M, params=[(1, -4), (0, 1)], autograd=None)
row("roll/one axis", "roll", M, params=[-3, 1])
row("repeat", "repeat", M, params=[3, 0], torch="repeat_interleave")
row("repeat/last axis", "repeat", M, params=[3, -1], torch="repeat_interleave", autograd=None)
row("tile", "tile", M, params=[(2, 1, 3)])
row("tril", "tril", CUBE, params=[1])
row("triu", "triu", CUBE, params=[-1])
for _mode, _torchs in {"constant": "constant", "edge": "replicate", "reflect": "reflect", "wrap": "circular"}.items():
    row(
        f"pad/{_mode}",
        "pad",
        M,
        params=[((1, 2), (0, 3)), _mode],
        torch=lambda torch, x, widths, mode, own=_torchs: torch.nn.functional.pad(x[None], (0, 3, 1, 2), own)[0],
        **({} if _mode == "constant" else {"autograd": None}),
    )

# Indexing

REPEATED = np.array([0, 0, 2, 0])
ORDER = np.array([[2, 0, 0], [1, 1, 0], [3, 0, 3]])
MASK = np.array([[True, False], [False, True], [True, True]])

row("getitem", lambda xp, x: x[1:, None, ..., -1] * x[0, 1:, :2, None], ((3, 2, 3), signed))
row("getitem/step", lambda xp, x: x[::-2, 1], ((5, 3), signed), torch=lambda torch, x: torch.flip(x, (0,))[::2, 1])
row("getitem/repeated", lambda xp, x, i: x[i], M, constants=[REPEATED])
row("getitem/repeated pairs", lambda xp, x, i: x[i, :, i - 1], ((3, 2, 3), signed), constants=[REPEATED])
row("getitem/mask", lambda xp, x, mask: x[mask], ((3, 2, 2), signed), constants=[MASK])
row(
    "take",
    "take",
    M,
    constants=[REPEATED],
    params=[1],
    torch=lambda torch, x, i, axis: torch.index_select(x, axis, i),
    autograd=None,
)
row("take/raveled", "take", M, constants=[ORDER], autograd=None)
row("take_along_axis", "take_along_axis", M, constants=[ORDER], params=[1], torch="take_along_dim", autograd=None)
row("diag", "diag", V, params=[-1])
row("diag/of a matrix", "diag", ((3, 3), signed), params=[1])
row("diag/of a matrix that is not square", "diag", M, params=[1], autograd=None)
row("diagonal", "diagonal", ((3, 3), signed), params=[0, -1, -2])
row("diagonal/of any axes", "diagonal", CUBE, params=[-1, -1, 0], autograd=None)
row("trace", "trace", M)

# Reductions

APART = ((3, 4), apart(0))
ZEROS = ((2, 4), lambda rng, shape: signed(rng, shape) * [[1, 0, 1, 1], [0, 1, 1, 0]])

for _name in "sum mean prod".split():
    row(_name, _name, M)
    row(f"{_name}/axis", _name, M, params=[1])
for _name in "sum mean".split():
    row(f"{_name}/axes", _name, CUBE, params=[(0, -1)])
row("prod/of zeros", "prod", ZEROS, params=[1], autograd=None)
for _name in "var std".split():
    row(
        _name,
        _name,
        M,
        params=[1],
        torch=lambda torch, x, axis, name=_name: getattr(torch, name)(x, axis, correction=0),  # its default is n − 1
    )
    row(f"{_name}/ddof", lambda xp, x, name=_name: getattr(xp, name)(x, ddof=1), M, torch=_name)
for _name in "max min".split():
    row(_name, _name, APART)
    row(f"{_name}/axis", _name, APART, params=[1], torch=f"a{_name}")
row("cumsum", "cumsum", M, params=[1])
row("cumprod", "cumprod", M, params=[1], autograd=None)
row("cumprod/of zeros", "cumprod", ZEROS, params=[1], autograd=None)
row("logsumexp", "logsumexp", M, params=[1], jax="scipy.special.logsumexp", autograd="scipy.special.logsumexp")
row("softmax", "softmax", M, params=[0], jax="nn.softmax", autograd=None)
row("log_softmax", "log_softmax", M, params=[0], jax="nn.log_softmax", autograd=None)
row("sort", "sort", APART, params=[1], torch=lambda torch, x, axis: torch.sort(x, axis).values, autograd=None)
row("sort/vector", "sort", ((5,), apart(0)), torch="msort")
row("norm", "norm", M, torch="linalg.norm", jax="numpy.linalg.norm", autograd="numpy.linalg.norm")
for _p in (1, 2, 3, 2.5, -1, math.inf, -math.inf):
    row(
        f"norm/{_p}",
        "norm",
        ((3, 4), apart(0.1)),
        params=[_p, 1],
        torch="linalg.norm",
        jax="numpy.linalg.norm",
        autograd="numpy.linalg.norm" if _p in (2, 3, 2.5) else None,
    )

# Linear algebra

MATMULS = {
    "matrices": ((2, 3), (3, 4)),
    "row": ((3,), (3, 2)),
    "column": ((2, 3), (3,)),
    "vectors": ((3,), (3,)),
    "batch left": ((2, 2, 3), (3, 2)),
    "batch right": ((2, 3), (2, 3, 2)),
    "batches broadcast": ((2, 1, 2, 3), (3, 3, 1)),
}
EINSUMS = {
    "ij,jk->ik": ((2, 3), (3, 4)),
    "ij,jk,kl": ((2, 3), (3, 2), (2, 2)),
    "ij,k->ik": ((2, 3), (2,)),
    "ij,ij->i": ((3, 1), (3, 4)),
    "...ij,...jk->...ik": ((2, 1, 2, 3), (3, 3, 2)),
    "ij->j": ((2, 3),),
    "ji": ((2, 3),),
    "ii": ((3, 3),),
    "ii->i": ((3, 3),),
    "iji,jkk->kj": ((2, 3, 2), (3, 2, 2)),
}
for _what, _shapes in MATMULS.items():
    row(f"matmul/{_what}", "matmul", *[(shape, signed) for shape in _shapes])
for _subscripts, _shapes in EINSUMS.items():
    row(
        f"einsum/{_subscripts}",
        lambda xp, *xs, subscripts=_subscripts: xp.einsum(subscripts, *xs),
        *[(shape, signed) for shape in _shapes],
        **({"autograd": None} if "ii" in _subscripts or "iji" in _subscripts else {}),
    )
row("dot", "dot", V, V)
row("dot/matrices", "dot", M, ((4, 2), signed), torch="mm")
row("tensordot", "tensordot", CUBE, ((3, 4, 2), signed), params=[2])
row("tensordot/axes", "tensordot", CUBE, ((4, 2, 3), signed), params=[((0, -1), (1, 0))])
row("outer", "outer", V, ((3,), signed))


def linalg(name: str, operation: str, *arguments: tuple) -> None:
    """What minigrad has at its top and the peers have in a namespace `linalg`."""
    own = {"torch": f"linalg.{operation}", **dict.fromkeys(("jax", "autograd"), f"numpy.linalg.{operation}")}
    row(name, operation, *arguments, **own, **BACKWARD)


REGULAR = ((2, 3, 3), regular)
linalg("inv", "inv", REGULAR)
linalg("det", "det", REGULAR)
linalg("solve", "solve", REGULAR, ((2, 3, 2), signed))
linalg("solve/vector", "solve", ((3, 3), regular), ((3,), signed))
row(
    "slogdet",
    lambda xp, a: xp.slogdet(a)[1],
    REGULAR,
    torch=lambda torch, a: torch.linalg.slogdet(a)[1],
    jax=lambda jax, a: jax.numpy.linalg.slogdet(a)[1],
    autograd=lambda autograd, a: autograd.numpy.linalg.slogdet(a)[1],
    **BACKWARD,
)


def of_symmetric(cholesky: Callable, a: Any, swapaxes: Callable) -> Any:
    """Where A is symmetric by construction, all agree on the derivative; see `test_peer_conventions` for the rest."""
    return cholesky(a + swapaxes(a, -1, -2))


row(
    "cholesky",
    lambda xp, a: of_symmetric(xp.cholesky, a, xp.swapaxes),
    ((2, 3, 3), definite),
    torch=lambda torch, a: of_symmetric(torch.linalg.cholesky, a, torch.swapaxes),
    jax=lambda jax, a: of_symmetric(jax.numpy.linalg.cholesky, a, jax.numpy.swapaxes),
    autograd=lambda autograd, a: of_symmetric(autograd.numpy.linalg.cholesky, a, autograd.numpy.swapaxes),
    **BACKWARD,
)

# Convolutions: PyTorch's images are (N, C, H, W) and its kernels (F, C, k, k); JAX can be told


def torch_conv(torch: Any, x: Any, w: Any, stride: Any, pads: Any) -> Any:
    (top, bottom), (left, right) = pads
    padded = torch.nn.functional.pad(x.permute(0, 3, 1, 2), (left, right, top, bottom))
    return torch.nn.functional.conv2d(padded, w.permute(3, 2, 0, 1), stride=stride).permute(0, 2, 3, 1)


def jax_conv(jax: Any, x: Any, w: Any, stride: Any, padding: Any) -> Any:
    strides = (stride, stride) if isinstance(stride, int) else stride
    pads = ((padding, padding),) * 2 if isinstance(padding, int) else padding
    pads = pads.upper() if isinstance(pads, str) else pads
    return jax.lax.conv_general_dilated(x, w, strides, pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))


CONVOLUTIONS = {  # height and width of images and of kernels, stride, padding, and the rows and columns that adds
    "1×1": ((3, 4), (1, 1), 1, "same", ((0, 0), (0, 0))),
    "3×3 same": ((3, 4), (3, 3), 1, "same", ((1, 1), (1, 1))),
    "5×5 same": ((4, 3), (5, 5), 1, "same", ((2, 2), (2, 2))),
    "2×2 same": ((3, 3), (2, 2), 1, "same", ((0, 1), (0, 1))),
    "3×3 valid": ((5, 4), (3, 3), 1, "valid", ((0, 0), (0, 0))),
    "3×3 same, stride 2": ((4, 6), (3, 3), 2, "same", ((0, 1), (0, 1))),
    "3×3 same, stride 2, odd sizes": ((5, 7), (3, 3), 2, "same", ((1, 1), (1, 1))),
    "3×2, strides 2 and 1": ((6, 4), (3, 2), (2, 1), ((1, 0), (0, 2)), ((1, 0), (0, 2))),
    "2×3 valid, stride 3": ((6, 7), (2, 3), 3, "valid", ((0, 0), (0, 0))),
    "3×3, padding 3": ((3, 3), (3, 3), 1, 3, ((3, 3), (3, 3))),
}
for _what, (_size, _kernel, _stride, _padding, _pads) in CONVOLUTIONS.items():
    row(
        f"conv2d/{_what}",
        "conv2d",
        ((2, *_size, 2), signed),
        ((*_kernel, 2, 3), signed),
        params=[_stride, _padding],
        torch=lambda torch, x, w, stride, padding, pads=_pads: torch_conv(torch, x, w, stride, pads),
        jax=jax_conv,
        autograd=None,
    )


def autograd_conv(autograd: Any, x: Any, w: Any) -> Any:
    axes, summed = ([1, 2], [0, 1]), ([3], [2])
    y = autograd.scipy.signal.convolve(x, w[::-1, ::-1], axes=axes, dot_axes=summed, mode="valid")  # (N, F, H, W)
    return autograd.numpy.transpose(y, (0, 2, 3, 1))


row(
    "conv2d/valid",
    lambda mg, x, w: mg.conv2d(x, w, padding="valid"),
    ((2, 4, 3, 2), signed),
    ((3, 2, 2, 3), signed),
    torch=None,
    jax=None,
    autograd=autograd_conv,
    **BACKWARD,
)


def torch_depth_to_space(torch: Any, x: Any, factor: int = 2) -> Any:
    """PyTorch's order of channels is (C, factor, factor), ours (factor, factor, C)."""
    theirs = x.permute(0, 3, 1, 2).unflatten(1, (factor**2, -1)).swapaxes(1, 2).flatten(1, 2)
    return torch.nn.functional.pixel_shuffle(theirs, factor).permute(0, 2, 3, 1)


def torch_space_to_depth(torch: Any, x: Any, factor: int = 2) -> Any:
    theirs = torch.nn.functional.pixel_unshuffle(x.permute(0, 3, 1, 2), factor)
    return theirs.unflatten(1, (-1, factor**2)).swapaxes(1, 2).flatten(1, 2).permute(0, 2, 3, 1)


def jax_depth_to_space(jax: Any, x: Any, factor: int = 2) -> Any:
    """n h w (i j c) -> n (h i) (w j) c, as einops writes it."""
    n, h, w, c = x.shape
    phases = x.reshape(n, h, w, factor, factor, c // factor**2)
    return jax.numpy.einsum("nhwijc->nhiwjc", phases).reshape(n, h * factor, w * factor, -1)


row(
    "depth_to_space",
    "depth_to_space",
    ((2, 2, 3, 8), signed),
    torch=torch_depth_to_space,
    jax=jax_depth_to_space,
    autograd=None,
)
row(
    "depth_to_space/3",
    "depth_to_space",
    ((1, 2, 1, 18), signed),
    params=[3],
    torch=torch_depth_to_space,
    jax=jax_depth_to_space,
    autograd=None,
)
row("space_to_depth", "space_to_depth", ((2, 4, 6, 2), signed), torch=torch_space_to_depth, jax=None, autograd=None)
row(
    "deconv2d",
    "deconv2d",
    ((1, 3, 2, 2), signed),
    ((3, 3, 2, 8), signed),
    torch=lambda torch, x, w: torch_depth_to_space(torch, torch_conv(torch, x, w, 1, ((1, 1), (1, 1)))),
    jax=lambda jax, x, w: jax_depth_to_space(jax, jax_conv(jax, x, w, 1, "same")),
    autograd=None,
)

# The same as one transposed convolution with a kernel of 2k, whose taps `PHASES` picks from those of w (slide 16)

PHASES = np.stack([phases_to_kernel(tap.reshape(3, 3, 2, 8), 3).ravel() for tap in np.eye(3 * 3 * 2 * 8)])


def torch_transposed_conv(torch: Any, x: Any, w: Any, phases: Any) -> Any:
    whole = (w.ravel() @ phases).reshape(6, 6, 2, 2).permute(2, 3, 0, 1)  # (C, F, 2k, 2k)
    y = torch.nn.functional.conv_transpose2d(x.permute(0, 3, 1, 2), whole, stride=2, padding=2)
    return y.permute(0, 2, 3, 1)


def jax_transposed_conv(jax: Any, x: Any, w: Any, phases: Any) -> Any:
    whole = (w.ravel() @ phases).reshape(6, 6, 2, 2)[::-1, ::-1]  # JAX turns no kernel over
    pads, layout = ((3, 3), (3, 3)), ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_transpose(x, whole, (2, 2), pads, dimension_numbers=layout)


row(
    "deconv2d/as a transposed convolution",
    lambda mg, x, w, phases: mg.deconv2d(x, w),
    ((1, 3, 2, 2), signed),
    ((3, 3, 2, 8), signed),
    constants=[PHASES],
    torch=torch_transposed_conv,
    jax=jax_transposed_conv,
    autograd=None,
)
