"""CUDA C++ on the host: barriers, shuffles, and mistakes that CUDA would not report."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support import cuda_shim
from tests.support.stand_in import BACKEND

if cuda_shim.GXX is None:
    pytest.skip("running kernels on the host needs g++", allow_module_level=True)

SOURCE = r"""
#define ADD(T, name)                                                                            \
    extern "C" __global__ void __launch_bounds__(256) name(const T* x, const T* y, T* out, int n) { \
        const int i = blockIdx.x * blockDim.x + threadIdx.x;                                    \
        if (i < n) out[i] = x[i] + y[i];                                                        \
    }
ADD(float, add)
ADD(double, exp)

template <int TILE>
__device__ void multiply(const float* x, const float* y, float* out, int m, int n, int k) {
    __shared__ float left[TILE][TILE], right[TILE][TILE + 1];
    const int row = blockIdx.y * TILE + threadIdx.y, column = blockIdx.x * TILE + threadIdx.x;
    float sum = 0;
    for (int at = 0; at < k; at += TILE) {
        const int i = at + threadIdx.x, j = at + threadIdx.y;
        left[threadIdx.y][threadIdx.x] = row < m && i < k ? x[row * k + i] : 0;
        right[threadIdx.y][threadIdx.x] = column < n && j < k ? y[j * n + column] : 0;
        __syncthreads();
#pragma unroll
        for (int i = 0; i < TILE; i++) sum += left[threadIdx.y][i] * right[i][threadIdx.x];
        __syncthreads();
    }
    if (row < m && column < n) out[row * n + column] = sum;
}
extern "C" __global__ void matmul(const float* x, const float* y, float* out, int m, int n, int k) {
    multiply<8>(x, y, out, m, n, k);
}

extern "C" __global__ void no_barrier(const float* x, float* out) {
    __shared__ float shared[64];
    shared[threadIdx.x] = x[threadIdx.x];
    out[threadIdx.x] = shared[(threadIdx.x + 63) % 64];  // of the previous thread, which may not have written yet
}
extern "C" __global__ void same_place(const float* x, float* out) { out[0] = x[blockIdx.x]; }

__device__ __forceinline__ float over_warp(float value) {
#pragma unroll
    for (int by = 16; by > 0; by /= 2) value += __shfl_down_sync(0xFFFFFFFF, value, by);
    return value;
}
extern "C" __global__ void row_sums(const float* x, float* out, int n) {
    __shared__ float sums[32];
    float sum = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) sum += x[blockIdx.x * n + i];
    sum = over_warp(sum);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x < 32) {
        sum = over_warp(threadIdx.x < blockDim.x / 32 ? sums[threadIdx.x] : 0);
        if (threadIdx.x == 0) out[blockIdx.x] = sum;
    }
}

extern "C" __global__ void turned(const double* x, double* out) {
    const double mine = x[threadIdx.x];
    __syncwarp();
    out[threadIdx.x] = __shfl_xor_sync(0xFFFFFFFF, mine, 1) + 100 * __shfl_sync(0xFFFFFFFF, mine, 2, 4);
}
extern "C" __global__ void places(unsigned* out) {
    const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    out[block * blockDim.x * blockDim.y * blockDim.z + thread] += 1000 * block + thread;
}
extern "C" __global__ void rounded(const float4* x, float* out, bool negate, unsigned long long* high) {
    const float sum = __fadd_rn(__fmul_rn(x->x, x->y), __fmul_rn(x->z, x->w));
    out[0] = __int_as_float(__float_as_int(sum) ^ (negate ? 1u << 31 : 0));
    high[0] = __umulhi(0xD2511F53, 0xFFFFFFFF);
}

extern "C" __global__ void returns(float* out) {
    if (threadIdx.x > 4) return;
    __syncthreads();
    out[threadIdx.x] = threadIdx.x;
}
extern "C" __global__ void two_barriers() {
    if (threadIdx.x > 4) {
        __syncthreads();
    } else {
        __syncthreads();
    }
}
extern "C" __global__ void half_a_warp() {
    if (threadIdx.x < 16) __syncwarp();
    __syncthreads();
}
extern "C" __global__ void unwritten(float* out, int written) {
    __shared__ float shared[4];
    if (threadIdx.x < written) shared[threadIdx.x] = 1;
    __syncthreads();
    out[4 * blockIdx.x + threadIdx.x] = shared[threadIdx.x];
}
extern "C" __global__ void aligned(const float* x, float* out) { out[0] = ((const float4*)x)->w; }
extern "C" __global__ void beyond(float* out, int i) {
    __shared__ float shared[4];
    shared[i] = i;
    __syncthreads();
    out[0] = shared[i];
}
extern "C" __global__ void nowhere(float* out) { *(float*)(size_t)threadIdx.x = out[0]; }
extern "C" __global__ void absent(float* out) {
    if (threadIdx.x < 3) out[threadIdx.x] = __shfl_down_sync(7, 1.0f, 1);
}
"""
MODULE = cuda_shim.RawModule(code=SOURCE, options=("--std=c++17",))


def run(name, grid, block, *args):
    MODULE.get_function(name)(grid, block, args)


def move(x, dtype=None):
    return BACKEND.from_host(np.asarray(x, dtype))


@pytest.fixture
def random():
    return np.random.default_rng(0)


@pytest.mark.parametrize(("name", "dtype"), [("add", np.float32), ("exp", np.float64)])
def test_threads_without_barriers(random, name, dtype):
    """Both kernels come from a macro; one is named like a C function."""
    x, y = random.normal(size=(2, 1000)).astype(dtype)
    out = move(np.zeros(1000, dtype))
    run(name, (4,), (256,), move(x), move(y), out, np.int32(1000))
    assert np.array_equal(BACKEND.to_host(out), x + y)


@pytest.mark.parametrize(("m", "n", "k"), [(16, 16, 16), (1, 1, 1), (13, 30, 9), (8, 17, 25)])
def test_tiles_in_shared_memory(random, m, n, k):
    x, y = random.normal(size=(m, k)).astype(np.float32), random.normal(size=(k, n)).astype(np.float32)
    out = move(np.zeros((m, n), np.float32))
    run("matmul", (-(-n // 8), -(-m // 8)), (8, 8), move(x), move(y), out, *np.int32([m, n, k]))
    np.testing.assert_allclose(BACKEND.to_host(out), x @ y, rtol=0, atol=1e-5)


@pytest.mark.parametrize("threads", [32, 96, 1024])
def test_sums_over_warps_and_blocks(random, threads):
    x = random.integers(-99, 99, (3, 1234)).astype(np.float32)  # sums are exact
    out = move(np.zeros(3, np.float32))
    run("row_sums", (3,), (threads,), move(x), out, np.int32(1234))
    assert np.array_equal(BACKEND.to_host(out), x.sum(1))


def test_shuffles_read_other_lanes():
    out = move(np.zeros(64))
    run("turned", (1,), (64,), move(np.arange(64.0)), out)
    i = np.arange(64)
    assert np.array_equal(BACKEND.to_host(out), (i ^ 1) + 100 * (i // 4 * 4 + 2))


def test_every_thread_of_every_block_runs_once():
    out = move(np.zeros(24 * 30, np.uint32))
    run("places", (2, 3, 4), (5, 3, 2), out)
    assert np.array_equal(BACKEND.to_host(out), (1000 * np.arange(24)[:, None] + np.arange(30)).ravel())


def test_intrinsics_round_once_each():
    x = np.float32([1 + 2**-12, 1 + 2**-12, -1, 1])
    out, high = move([0], np.float32), move([0], np.uint64)
    run("rounded", (1,), (1,), move(x), out, np.bool_(True), high)
    assert BACKEND.to_host(out) == -(x[0] * x[1] - 1)  # not -(2⁻¹¹ + 2⁻²⁴)
    assert BACKEND.to_host(high) == 0xD2511F53 * 0xFFFFFFFF >> 32


def test_barriers_ignore_threads_that_have_returned():
    out = move(np.full(8, 9, np.float32))
    run("returns", (1,), (8,), out)
    assert BACKEND.to_host(out).tolist() == [0, 1, 2, 3, 4, 9, 9, 9]


@pytest.mark.parametrize("name", ["two_barriers", "half_a_warp"])
def test_divergent_barriers_are_reported(name):
    run(name, (2,), (1,))
    with pytest.raises(cuda_shim.LaunchError, match=r"divergent barrier in block \(0, 0, 0\): thread .* in line"):
        run(name, (2,), (32,))
    test_barriers_ignore_threads_that_have_returned()  # the next launch is unaffected


def test_uninitialized_shared_memory_is_nan():
    out = move(np.zeros((2, 4), np.float32))
    for written in (4, 2):
        run("unwritten", (2,), (4,), out, np.int32(written))
        assert np.isnan(BACKEND.to_host(out)).sum(1).tolist() == [4 - written] * 2
    run("absent", (1,), (32,), out)
    assert np.array_equal(BACKEND.to_host(out)[0, :3], np.float32([1, 1, np.nan]), equal_nan=True)


def test_faults_raise_and_leave_the_next_launch_intact():
    x, out = move(np.arange(8, dtype=np.float32)), move([0], np.float32)
    for _ in range(2):
        run("aligned", (1,), (1,), x[4:], out)
        assert BACKEND.to_host(out) == 7
        with pytest.raises(cuda_shim.LaunchError, match=r"misaligned address, .*, in block \(0, 0, 0\), thread 0"):
            run("aligned", (1,), (1,), x[1:], out)
        run("beyond", (1,), (64,), out, np.int32(3))
        with pytest.raises(cuda_shim.LaunchError, match="index out of bounds"):
            run("beyond", (1,), (64,), out, np.int32(4))
        with pytest.raises(cuda_shim.LaunchError, match="illegal address"):
            run("nowhere", (1,), (64,), out)


def test_arguments_of_another_type_are_refused():
    x, n = move(np.zeros(4, np.float32)), np.int32(4)
    for args, message in (
        ((x, x, x), "add takes 4 arguments, not 3"),
        ((x, x, x, 4), r"argument 3: <class 'int'>, expected a NumPy scalar i4"),
        ((x, x, x, np.int64(4)), "argument 3: int64, expected a NumPy scalar i4"),
        ((x, x, x, np.float32(4)), "argument 3: float32, expected a NumPy scalar i4"),
        ((x, x, move(np.zeros(4)), n), "argument 2: float64 array, expected f4"),
        ((x, np.zeros(4, np.float32), x, n), r"argument 1: .*ndarray.*, expected an array on the device"),
    ):
        with pytest.raises(TypeError, match=message):
            run("add", (1,), (4,), *args)


def test_limits_of_cuda():
    for grid, block, message in (
        ((0,), (1,), r"a grid of \(0,\)"),
        ((1, 65536), (1,), r"a grid of \(1, 65536\)"),
        ((1,), (1, 1, 65), r"a block of \(1, 1, 65\)"),
        ((1,), (32, 33), "more than 1024 threads"),
    ):
        with pytest.raises(cuda_shim.LaunchError, match=message):
            run("two_barriers", grid, block)


def test_sources_that_do_not_compile():
    with pytest.raises(cuda_shim.CompileException, match=r"\.cu:2:.*nothing"):
        cuda_shim.RawModule(code='\nextern "C" __global__ void f() { nothing(); }').get_function("f")
    with pytest.raises(cuda_shim.CompileException, match="no kernel"):
        MODULE.get_function("nothing")


def test_results_of_races_depend_on_the_order():
    x = np.arange(64, dtype=np.float32)
    found = {"no_barrier": set(), "same_place": set(), "turned": set()}
    for order in cuda_shim.ORDERS:
        with cuda_shim.in_order(order):
            for name, bits in found.items():
                given = move(x.astype(np.float64)[:32] if name == "turned" else x)
                out = BACKEND.xp.zeros_like(given)
                run(
                    name,
                    (64,) if name == "same_place" else (1,),
                    (len(given) if name != "same_place" else 1,),
                    given,
                    out,
                )
                bits.add(BACKEND.to_host(out).tobytes())
    assert {name: len(bits) > 1 for name, bits in found.items()} == {
        "no_barrier": True,
        "same_place": True,
        "turned": False,
    }
