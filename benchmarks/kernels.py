"""The kernels of a training step one by one, for the roofline of `cpu_gpu`.

Each kernel is captured (`mg.jit`). On a GPU it also runs eagerly, and the faster way counts: a captured program copies
arguments and results, an eager one is launched from Python. A call on a GPU has several sets of arguments, so that
neither launches nor the cache dominate its time. FLOPs are those that `mg.trace` counts: two for each multiply-add of
products and convolutions, else one for each element that an operation reads. Bytes are the minimum: every argument read
once, every result written once.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from common import measure
from conv import LAYERS, Layer
from device import measure_queued, stopwatch_of

import minigrad as mg
from minigrad import backends
from minigrad.ops.conv import conv_input_p, conv_kernel_p, conv_p
from vae.optimisers import adam


class Sizes(NamedTuple):
    """Sizes of the work for a device."""

    copies: int  # sets of arguments
    elements: int  # of kernels without a batch; on the GPU several times its cache
    copied: int  # elements copied, to measure bandwidth
    side: int  # of the large square product


SIZES = {"cpu": Sizes(1, 1 << 20, 1 << 26, 1024), "cuda": Sizes(8, 1 << 26, 1 << 28, 4096)}
SMALL = Sizes(1, 1 << 12, 1 << 16, 64)


class Kernel(NamedTuple):
    """A function of float32 arrays, and their shapes."""

    f: Callable
    shapes: tuple[tuple[int, ...], ...]  # empty: its argument is a key
    copies: int | None = None  # sets of arguments; None: as in Sizes
    updates: int = 0  # this many first arguments are donated and replaced by the results


def kernels(sizes: Sizes, batch: int) -> dict[str, Kernel]:
    """Convolutions and dense products, each with its adjoints, and kernels without products."""
    products = {f"conv {_short(layer)} {kind}": k for layer in LAYERS for kind, k in _convolution(layer, batch).items()}
    for rows, inputs, outputs in ((batch, 784, 400), (batch, 3136, 20)):
        products |= {f"dense {inputs}→{outputs} {kind}": k for kind, k in _dense(rows, inputs, outputs).items()}
    side, many = sizes.side, (sizes.elements,)
    normals = partial(mg.random.normal, shape=many)
    return products | {
        f"product of {side}²": Kernel(mg.matmul, ((side, side),) * 2, copies=1),
        "pixels' ln Q(y|z)": Kernel(lambda y, logits: y * logits - mg.softplus(logits), (many,) * 2, copies=1),
        "Adam": Kernel(_adam, (many,) * 4, copies=1, updates=3),
        "normals": Kernel(normals, (), copies=1),
    }


def _short(layer: Layer) -> str:
    return f"{layer.channels}→{layer.features} on {layer.size}²"


def _convolution(layer: Layer, batch: int) -> dict[str, Kernel]:
    out = layer.size // layer.stride
    x, d = (batch, layer.size, layer.size, layer.channels), (batch, out, out, layer.features)
    w = 3, 3, layer.channels, layer.features
    shared = {"stride": (layer.stride,) * 2, "pads": ((layer.stride % 2, 1),) * 2}  # "same" of even sizes, or stride 1
    return {
        "forward": Kernel(partial(conv_p, **shared), (x, w)),
        "in images": Kernel(partial(conv_input_p, size=x[1:3], **shared), (d, w)),
        "in kernel": Kernel(partial(conv_kernel_p, kernel=(3, 3), **shared), (x, d)),
    }


def _dense(rows: int, inputs: int, outputs: int) -> dict[str, Kernel]:
    x, w, d = (rows, inputs), (inputs, outputs), (rows, outputs)
    return {
        "forward": Kernel(mg.matmul, (x, w)),
        "in inputs": Kernel(lambda d, w: mg.matmul(d, mg.transpose(w)), (d, w)),
        "in weights": Kernel(lambda x, d: mg.matmul(mg.transpose(x), d), (x, d)),
    }


def _adam(parameters: Any, first: Any, second: Any, gradients: Any) -> tuple:
    optimiser = adam()
    state = optimiser.init(parameters)._replace(step=np.int64(100), first=first, second=second)
    parameters, state = optimiser.update(parameters, gradients, state)
    return parameters, state.first, state.second


def roofline(
    device: str, batch: int, rounds: int, threads: int, peak_tflops: float | None = None, small: bool = False
) -> dict[str, Any]:
    """Roofs of a device and the share that kernels reach. Without a known peak, a large product gives it."""
    backend, sizes = backends.get(device), SMALL if small else SIZES[device]
    by_name = kernels(sizes, batch)
    sets = {name: mg.to_device(make_arguments(kernel, sizes), device) for name, kernel in by_name.items()}
    runs = {"copy": _make_copy(backend, sizes.copied, threads)}
    for way in ("jit",) if device == "cpu" else ("jit", "eager"):
        runs |= {f"{name}, {way}": _make_run(kernel, sets[name], way) for name, kernel in by_name.items()}
    times = _measure(backend, runs, rounds)
    bandwidth = times.pop("copy")
    entries = {}
    for name, kernel in by_name.items():
        ways = {way: times[f"{name}, {way}"] for way in ("jit", "eager") if f"{name}, {way}" in times}
        best = min(ways, key=lambda way: ways[way]["median_ms"])
        entries[name] = {"way": best} | _entry(kernel, sets[name], ways[best])
    product = entries[f"product of {sizes.side}²"]
    roofs = {
        "float32_tflops": peak_tflops or _rate(product["flops"], product, 1e12, "minimum_ms"),
        "float32_from": "device properties" if peak_tflops else "the largest product",
        "bandwidth_gbs": _rate(2 * 4 * sizes.copied, bandwidth, 1e9),
    }
    for entry in entries.values():
        attainable = min(roofs["float32_tflops"], entry["intensity"] * roofs["bandwidth_gbs"] / 1e3)
        entry["of_roof"] = round(entry["tflops"] / attainable, 3)
    return {"batch": batch, "roofs": roofs, "copy": bandwidth, "kernels": entries}


def make_arguments(kernel: Kernel, sizes: Sizes) -> list[tuple]:
    """Sets of arguments, on the host."""
    rng = np.random.default_rng(0)
    if not kernel.shapes:
        return [(mg.random.key(0),)]
    return [tuple(rng.random(s, np.float32) for s in kernel.shapes) for _ in range(kernel.copies or sizes.copies)]


def _make_run(kernel: Kernel, sets: list[tuple], way: str) -> Callable[[], Any]:
    """A call for all sets. If captured, it writes its results over those of the previous call, without a copy."""
    if kernel.updates:  # its first arguments are the results of the previous call
        results = [tuple(x.copy() for x in given[: kernel.updates]) for given in sets]
        rest = [given[kernel.updates :] for given in sets]
    else:
        results, rest = [kernel.f(*given) for given in sets], sets

    def apply(results: list, rest: list[tuple]) -> list:
        if not kernel.updates:
            return [kernel.f(*given) for given in rest]
        return [kernel.f(*result, *given) for result, given in zip(results, rest, strict=True)]

    f = mg.jit(apply, donate=0) if way == "jit" else apply

    def run() -> None:
        nonlocal results
        results = f(results, rest)

    return run


def _measure(backend: backends.Backend, runs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, dict[str, Any]]:
    if backend.device == "cpu":
        return measure(runs, rounds, warm_up=1)
    for run in runs.values():
        for _ in range(3):
            run()
    return measure_queued({name: (run, stopwatch_of(backend)) for name, run in runs.items()}, rounds)


def _entry(kernel: Kernel, sets: list[tuple], times: dict[str, Any]) -> dict[str, Any]:
    """Times of one application, FLOPs, bytes, and rates."""
    program = mg.trace(kernel.f)(*sets[0])
    moved = sum(program.kinds[slot].bytes for slot in (*program.inputs, *program.outputs))
    each = {k: v / len(sets) if k.endswith("_ms") else v for k, v in times.items()}
    return each | {
        "flops": program.flops,
        "bytes": moved,
        "intensity": program.flops / moved,
        "tflops": _rate(program.flops, each, 1e12),
        "gbs": _rate(moved, each, 1e9),
    }


def _rate(amount: float, times: dict[str, float], unit: float, which: str = "median_ms") -> float:
    return float(f"{amount / (1e-3 * times[which]) / unit:.4g}")


def _make_copy(backend: backends.Backend, elements: int, threads: int) -> Callable[[], Any]:
    """A call that copies an array on the device; on the host, one part per thread."""
    xp = backend.xp
    source, target = xp.ones(elements, np.float32), xp.empty(elements, np.float32)
    if backend.device == "cuda":
        return lambda: xp.copyto(target, source)
    pool = ThreadPoolExecutor(threads)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    return lambda: list(pool.map(lambda pair: np.copyto(*pair), parts))
