"""Time of single convolution layers and of their two adjoints, beside PyTorch.

The layers are those of `vae.models.conv`: stride-2 convolutions 1→32 and 32→64, and the stride-1 ones of the lecture's
deconvolutions, 64→128 on 7×7 and 32→4 on 14×14, all 3×3 and "same". Each is timed alone: forward, the adjoint in the
images and the adjoint in the kernel. minigrad runs the primitive in a captured program (`mg.jit`), over all threads,
and eagerly; PyTorch runs contiguous and channels-last. Before timing, results must agree to 1e-4 of the largest entry.
`ratio` is minigrad's captured median over that of PyTorch's better layout.

    python benchmarks/conv.py
    python benchmarks/conv.py --batch 32 --rounds 50
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from common import ABSENT, fix_threads, import_peer, machine_facts, make_parser, measure, parse_options, positive, ratio
from report import report

import minigrad as mg

torch = import_peer("torch")
TOLERANCE = 1e-4


class Layer(NamedTuple):
    """A 3×3 convolution of square images."""

    size: int
    channels: int
    features: int
    stride: int

    def __str__(self) -> str:
        return f"{self.channels}→{self.features}, {self.size}×{self.size}, stride {self.stride}"


LAYERS = (Layer(28, 1, 32, 2), Layer(14, 32, 64, 2), Layer(7, 64, 128, 1), Layer(14, 32, 4, 1))
KINDS = ("forward", "in images", "in kernel")


def our_call(layer: Layer, kind: str, x: np.ndarray, w: np.ndarray, g: np.ndarray, captured: bool) -> Callable[[], Any]:
    """minigrad's call of a layer or of one of its adjoints. A layer is linear, so an adjoint runs no forward pass."""

    def forward(x: Any, w: Any, g: Any) -> Any:
        return mg.conv2d(x, w, layer.stride)

    def in_images(x: Any, w: Any, g: Any) -> Any:
        return mg.grad(lambda x: mg.sum(mg.stop_gradient(g) * mg.conv2d(x, w, layer.stride)))(x)

    def in_kernel(x: Any, w: Any, g: Any) -> Any:
        return mg.grad(lambda w: mg.sum(mg.stop_gradient(g) * mg.conv2d(x, w, layer.stride)))(w)

    f = {"forward": forward, "in images": in_images, "in kernel": in_kernel}[kind]
    run = mg.jit(f) if captured else f
    return lambda: run(x, w, g)


def their_call(layer: Layer, kind: str, x: np.ndarray, w: np.ndarray, g: np.ndarray, last: bool) -> Callable[[], Any]:
    """PyTorch's call of the same."""
    form = torch.channels_last if last else torch.contiguous_format

    def tensor(a, axes):
        return torch.tensor(np.ascontiguousarray(a.transpose(axes))).contiguous(memory_format=form)

    images, kernel, back = tensor(x, (0, 3, 1, 2)), tensor(w, (3, 2, 0, 1)), tensor(g, (0, 3, 1, 2))
    padding = 1 if layer.stride == 1 else 0
    if layer.stride == 2:  # "same" pads at the bottom and right
        images = torch.nn.functional.pad(images, (0, 1, 0, 1)).contiguous(memory_format=form)
    steps = (layer.stride,) * 2, (padding,) * 2, (1, 1)
    if kind == "forward":
        return lambda: torch.nn.functional.conv2d(images, kernel, stride=layer.stride, padding=padding)
    wanted = [kind == "in images", kind == "in kernel", False]
    backward = torch.ops.aten.convolution_backward
    return lambda: backward(back, images, kernel, None, *steps, False, (0, 0), 1, wanted)[wanted.index(True)]


def to_our_layout(layer: Layer, kind: str, result: Any) -> np.ndarray:
    """PyTorch's result as NHWC, or as HWIO for a kernel; without padding."""
    axes = (2, 3, 1, 0) if kind == "in kernel" else (0, 2, 3, 1)
    array = result.detach().numpy().transpose(axes)
    return array[:, : layer.size, : layer.size] if kind == "in images" else array


def run_case(layer: Layer, kind: str, batch: int, rounds: int) -> dict[str, Any]:
    rng, out = np.random.default_rng(0), layer.size // layer.stride
    x = rng.standard_normal((batch, layer.size, layer.size, layer.channels), np.float32)
    w = rng.standard_normal((3, 3, layer.channels, layer.features), np.float32)
    g = rng.standard_normal((batch, out, out, layer.features), np.float32)
    competitors = {name: our_call(layer, kind, x, w, g, name == "minigrad") for name in ("minigrad", "minigrad eager")}
    peers = ("PyTorch", "PyTorch channels-last")
    if torch:
        competitors |= {who: their_call(layer, kind, x, w, g, who != "PyTorch") for who in peers}
        expected = competitors["minigrad"]()
        for who in peers:
            result = to_our_layout(layer, kind, competitors[who]())
            if not np.abs(result - expected).max() <= TOLERANCE * np.abs(expected).max():
                raise SystemExit(f"{layer}, {kind}: {who} differs from minigrad")
    case: dict[str, Any] = measure(competitors, rounds)
    case |= {who: ABSENT for who in peers if who not in case}
    return case | {"ratio": ratio(case, "minigrad", peers)}


def main() -> None:
    parser = make_parser("conv", __doc__, rounds=20)
    parser.add_argument("--batch", type=positive, default=128, help="images at a time (default: 128)")
    options = parse_options(parser)
    results: dict[str, Any] = {"machine": machine_facts(options.threads, ("minigrad", "torch"))}
    with fix_threads(options.threads):
        for layer in LAYERS:
            for kind in KINDS:
                case = f"{layer}, {kind}"
                print(f"{case} …", file=sys.stderr, flush=True)
                results[case] = run_case(layer, kind, options.batch, options.rounds)
    report("conv", f"Convolution layers at batch {options.batch}", results, options)


if __name__ == "__main__":
    main()
