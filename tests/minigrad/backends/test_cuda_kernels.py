"""The CUDA kernels against their NumPy twins: on the host through a shim, on a GPU with `--backend cupy`.

What is asked of both is the same. Tiles are 64 or 128 wide, so most of these shapes leave them partly empty.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.backends.cuda.launch import Kernels
from minigrad.backends.numpy import backend as host
from minigrad.backends.numpy import convolution, streams
from tests.support import cuda_shim

HOST = host.BACKEND
DTYPES = st.sampled_from([np.float32, np.float64])
ROUNDING = {np.float32: 2e-6, np.float64: 4e-15}


@pytest.fixture(scope="module", params=[2, 132], ids=["few processors", "many processors"])
def kernels(request, device):
    """Kernels that think of a small and of a large device: the latter splits sums over many blocks."""
    return Kernels(device.xp, request.param)


def agree(ours, expected, scale):
    """Equal but for rounding in sums of numbers of about this size."""
    assert ours.shape == expected.shape and ours.dtype == expected.dtype
    assert np.all(np.abs(ours - expected) <= ROUNDING[expected.dtype.type] * scale), np.abs(ours - expected).max()


@st.composite
def convolutions(draw):
    """Images, a kernel, and what a convolution of them needs; few channels and many, padding on one side or both."""
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    pads = tuple((draw(st.integers(0, k)), draw(st.integers(0, k))) for k in kernel)
    size = tuple(draw(st.integers(max(1, k - sum(p)), 9)) for k, p in zip(kernel, pads))
    channels = st.one_of(st.integers(1, 12), st.sampled_from([16, 33, 64, 70, 130]))
    n, c, f = draw(st.integers(1, 4)), draw(channels), draw(channels)
    rng, dtype = np.random.default_rng(draw(st.integers(0, 99))), draw(DTYPES)
    x, w = rng.standard_normal((n, *size, c)).astype(dtype), rng.standard_normal((*kernel, c, f)).astype(dtype)
    d = rng.standard_normal((n, *convolution.out_size(size, kernel, stride, pads), f)).astype(dtype)
    return x, w, d, stride, pads


@given(made=convolutions())
@settings(max_examples=120)
def test_convolutions(kernels, device, made):
    x, w, d, stride, pads = made
    x_there, w_there, d_there = map(device.from_host, (x, w, d))
    there = kernels.conv(x_there, w_there, stride, pads)
    agree(device.to_host(there), convolution.conv(HOST, x, w, stride, pads), w[..., 0].size)
    there = kernels.conv_input(d_there, w_there, stride, pads, x.shape[1:3])
    agree(device.to_host(there), convolution.conv_input(HOST, d, w, stride, pads, x.shape[1:3]), w[:, :, 0].size)
    there = kernels.conv_kernel(x_there, d_there, stride, pads, w.shape[:2])
    agree(device.to_host(there), convolution.conv_kernel(HOST, x, d, stride, pads, w.shape[:2]), 4 + d[..., 0].size)


@given(made=convolutions(), relu=st.booleans(), biased=st.booleans(), factor=st.integers(1, 3))
def test_what_happens_to_a_convolution_on_its_way_out(kernels, device, made, relu, biased, factor):
    x, w, _, stride, pads = made
    w = np.repeat(w, factor**2, axis=3)
    bias = np.random.default_rng(0).standard_normal(w.shape[3]).astype(w.dtype) if biased else None
    there = kernels.conv(
        device.from_host(x),
        device.from_host(w),
        stride,
        pads,
        bias=None if bias is None else device.from_host(bias),
        relu=relu,
        factor=factor,
    )
    y = convolution.conv(HOST, x, w, stride, pads)
    y = y if bias is None else y + bias
    y = mg.depth_to_space(np.maximum(y, 0) if relu else y, factor)
    agree(device.to_host(there), y, w[..., 0].size)


@given(
    m=st.sampled_from([1, 3, 63, 64, 65, 130]),
    n=st.sampled_from([1, 2, 64, 97, 131]),
    k=st.sampled_from([1, 7, 8, 9, 200, 333]),
    turned=st.tuples(st.booleans(), st.booleans()),
    dtype=DTYPES,
    begin=st.integers(0, 3),
)
def test_products_of_matrices_however_they_lie(kernels, device, m, n, k, turned, dtype, begin):
    rng = np.random.default_rng(m * n * k)
    shapes = [(m, k), (k, n)]
    arrays = [rng.standard_normal(s[::-1] if t else s).astype(dtype) for s, t in zip(shapes, turned)]
    there = [device.from_host(a) for a in arrays]
    arrays, there = ([a.T if t else a for a, t in zip(some, turned)] for some in (arrays, there))
    inner = slice(min(begin, k - 1), None)  # a part of a matrix: four numbers of it do not lie on a word's border
    ours = kernels.matmul(there[0][:, inner], there[1][inner])
    agree(device.to_host(ours), arrays[0][:, inner] @ arrays[1][inner], 4 + k)


def test_products_of_stacks_and_of_nothing(kernels, device):
    rng = np.random.default_rng(0)
    for a, b in [((3, 4, 5), (5, 6)), ((4, 5), (2, 1, 5, 3)), ((0, 4), (4, 2)), ((3, 0), (0, 2)), ((2, 3), (3, 0))]:
        x1, x2 = rng.standard_normal(a), rng.standard_normal(b)
        agree(device.to_host(kernels.matmul(device.from_host(x1), device.from_host(x2))), x1 @ x2, 20)


@given(rows=st.integers(0, 700), count=st.sampled_from([1, 3, 31, 32, 33, 100]), dtype=DTYPES)
def test_column_sums(kernels, device, rows, count, dtype):
    x = np.random.default_rng(rows).standard_normal((rows, count)).astype(dtype)
    agree(device.to_host(kernels.column_sums(device.from_host(x))), x.sum(0, dtype=dtype), 10 + rows)


@given(
    shape=st.lists(st.sampled_from([1, 2, 5, 300, 2100]), min_size=1, max_size=3).filter(lambda s: np.prod(s) < 10**5),
    count=st.integers(0, 3),
    dtype=DTYPES,
)
def test_sums_over_the_last_axes(kernels, device, shape, count, dtype):
    x = np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)
    axes = tuple(range(max(0, len(shape) - count), len(shape)))
    ours = device.to_host(kernels.sum(device.from_host(x), axes))
    agree(np.asarray(ours), np.asarray(x.sum(axes, dtype=dtype)), 10 + x.size)


def test_what_is_given_is_filled(kernels, device):
    """`out` of any layout, and operands of two dtypes."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 5, 5, 6)), rng.standard_normal((3, 3, 6, 7)).astype(np.float32)
    expected = convolution.conv(HOST, x, w, (1, 1), ((1, 1), (1, 1)))
    for out in (np.empty((2, 5, 5, 7)), np.empty((7, 5, 5, 2)).T):
        there = device.from_host(out) if out.flags.c_contiguous else device.from_host(out.T).T
        made = kernels.conv(device.from_host(x), device.from_host(w), (1, 1), ((1, 1), (1, 1)), there)
        assert made is there
        agree(device.to_host(made), expected, 54)


@given(
    offset=st.one_of(st.integers(0, 20), st.integers(2**33, 2**40)),
    start=st.integers(0, 9),
    size=st.one_of(st.integers(1, 700), st.integers(16_000, 17_000)),  # the latter: of more counters than threads
    kind=st.sampled_from(["bits", "uniform", "normal"]),
    dtype=DTYPES,
)
def test_draws_are_the_same_bits(device, offset, start, size, kind, dtype):
    key = np.array([12345, 678], np.uint32)
    if kind == "bits":
        expected = streams.random_bits(np, key, size, offset + start)
    else:
        expected = getattr(streams, f"random_{kind}")(np, key, size, dtype, offset + start)
    draw, there = getattr(Kernels(device.xp, 1), f"random_{kind}"), device.from_host(key)
    for begin in (start, device.from_host(np.array(start))):
        out = device.from_host(np.zeros(size + 1, expected.dtype))
        draw(there, out[1:], offset, begin)  # not on a word's border
        assert np.array_equal(device.to_host(out)[1:].view(np.uint8), expected.view(np.uint8))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ten_to_the_seventh_normals_are_the_same_bits(device, dtype):
    """On a GPU; a tenth of them on the host."""
    size = 10**7 if device.name == "cupy" else 10**6
    key = mg.random.key(2026)
    there = mg.random.normal(device.from_host(key), (size,), dtype)
    assert np.array_equal(device.to_host(there), mg.random.normal(key, (size,), dtype))


def everything(device, dtype, processors):
    """Bytes of what every kernel makes, and the names of the kernels that were launched."""
    kernels, rng, made = Kernels(device.xp, processors), np.random.default_rng(0), []
    new = lambda *shape: device.from_host(rng.standard_normal(shape).astype(dtype))
    for c, f in ((6, 70), (8, 8), (1, 5), (9, 4)):
        x, w, strides, pads = new(3, 7, 6, c), new(3, 3, c, f), (2, 1), ((1, 1), (0, 1))
        y = kernels.conv(x, w, strides, pads, bias=new(f), relu=True)
        made += [y, kernels.conv_input(y, w, strides, pads, (7, 6)), kernels.conv_kernel(x, y, strides, pads, (3, 3))]
    x1, x2 = new(70, 300), new(300, 80)
    copied = lambda x: device.xp.ascontiguousarray(x.T).T
    made += [kernels.matmul(a, b) for a in (x1, copied(x1)) for b in (x2, copied(x2))]
    made += [kernels.column_sums(new(500, 40)), kernels.sum(new(2, 5000), (1,)), kernels.sum(new(3, 3), (0, 1))]
    key = device.from_host(np.array([1, 2], np.uint32))
    for kind, out in (("bits", np.uint32), ("uniform", dtype), ("normal", dtype)):
        made.append(device.xp.empty(1000, out))
        getattr(kernels, f"random_{kind}")(key, made[-1], 3)
    return [device.to_host(array).tobytes() for array in made], set(kernels._functions)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("processors", [2, 132], ids=["few processors", "many processors"])
def test_two_runs_give_the_same_bits_in_whatever_order_threads_run(device, dtype, processors):
    """A race shows where the order matters; on a GPU, compute-sanitizer's racecheck sees those that do not show."""
    first, names = everything(device, dtype, processors)
    suffix = "f32" if dtype is np.float32 else "f64"
    ours = "conv conv_input conv_kernel matmul_nn matmul_nt matmul_tn matmul_tt conv_few conv_input_few conv_kernel_few"
    ours += " sum_columns sum_rows random_uniform random_normal"
    assert names == {*(f"{name}_{suffix}" for name in ours.split()), "random_bits"}
    for order in cuda_shim.ORDERS:
        with cuda_shim.in_order(order):
            assert everything(device, dtype, processors)[0] == first
