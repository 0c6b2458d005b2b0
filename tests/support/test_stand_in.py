"""The stand-in for CuPy: arrays, graph capture and replay, refused operations, streams and memory pools."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

from tests.support import cuda_shim
from tests.support.environment import optional
from tests.support.stand_in import CUPY, Array, erf

cuda = CUPY.cuda
SOURCE = r"""
extern "C" __global__ void scale(const float* x, float* out, float by, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = by * x[i];
}
extern "C" __global__ void beside(float* out, int at) { out[at] = 3; }
"""
needs_gxx = pytest.mark.skipif(cuda_shim.GXX is None, reason="running kernels on the host needs g++")


@contextmanager
def capture():
    """A list that holds, after the block, the captured graph and the memory that was allocated during capture."""
    stream, pool, kept, held = cuda.Stream(non_blocking=True), CUPY.get_default_memory_pool(), [], []
    with stream, cuda.using_allocator(lambda size: kept.append(pool.malloc(size)) or kept[-1]):
        stream.begin_capture()
        yield held
        held += [stream.end_capture(), kept]


def device(*values, dtype=np.float64):
    return CUPY.asarray(np.array(values, dtype))


def values(x):
    return CUPY.asnumpy(x).tolist()


# Arrays


def test_arrays_are_copies_that_cannot_be_mixed_with_host_arrays():
    host = np.arange(3.0)
    x = CUPY.asarray(host)
    host[0] = 7
    assert values(x) == [0, 1, 2] and CUPY.asarray(x) is x and isinstance(x, CUPY.ndarray)
    for mixed in (lambda: x + host, lambda: np.where(x > 0, x, host), lambda: x.__setitem__(slice(2), host[:2])):
        with pytest.raises(TypeError, match="a host array in an operation on the device"):
            mixed()


def test_results_without_axes_are_arrays_and_single_elements_are_views():
    x = CUPY.asarray(np.arange(6.0).reshape(2, 3))
    for result in (x.sum(), np.max(x), x[1, 2], x.mean(axis=None), x[0].dot(x[1]), x.argmax()):
        assert isinstance(result, Array) and result.shape == ()
    number = x[1, 2]
    x[1, 2] = 9
    assert float(number) == 9 and number.base is x


def test_new_memory_is_garbage_and_keeps_the_order_of_axes():
    assert np.isnan(CUPY.asnumpy(CUPY.empty(3))).all() and values(CUPY.empty(1, np.int8)) == [0x7F]
    x = CUPY.asarray(np.ones((2, 3, 4)).transpose(2, 0, 1))
    assert (x + 1).strides == np.ones((2, 3, 4)).transpose(2, 0, 1).strides


def test_differences_between_cupy_and_numpy_are_reproduced():
    """Differences of CuPy 14.2 from NumPy, which our CUDA backend has to work around."""
    x, i = device(1, 2), device(0, dtype=np.int64)
    with pytest.raises(TypeError):
        CUPY.min(x, out=CUPY.empty(()))
    with pytest.raises(TypeError, match="complex"):
        CUPY.add.at(x + 1j, i, x[:1] + 1j)
    with pytest.raises(ValueError, match="a must have"):
        CUPY.linalg.solve(CUPY.ones((2, 1, 1)), CUPY.ones((1, 1)))
    with pytest.raises(AttributeError):
        CUPY.where(True, x, x)
    out = CUPY.empty(2)
    assert CUPY.cumsum(x, axis=0, out=out) is not out and values(out) == [1, 3]
    assert not hasattr(x, "__array_interface__") and not hasattr(i[0], "__index__")


def test_names_are_those_of_cupy():
    cupy = optional("cupy", extra="cuda13")
    ours, extra = set(vars(CUPY)), {name for name in dir(np) if not name.startswith("_")}
    assert ours <= set(dir(cupy)), ours - set(dir(cupy))
    assert (extra & set(dir(cupy))) - ours == set()
    assert {name for name in vars(cuda) if name[0].isupper()} <= {*dir(cupy.cuda), *vars(cuda)}
    for name in ("Stream", "Event", "Graph", "MemoryPool", "MemoryPointer", "Memory", "Device"):
        public = {n for n, value in vars(getattr(cuda, name)).items() if callable(value) and n[0] != "_"}
        assert public <= set(dir(getattr(cupy.cuda, name))) | {"record", "refuse"}, name


# Graphs


def test_a_graph_reads_the_current_contents_of_its_inputs():
    x, y = device(1, 2, 3), device(0, 0, 0)
    with capture() as graph:
        np.multiply(x, 2, out=y)
        y += 1
        y[0] = 5
        z = np.exp(y - y) + x.sum()
    assert values(x) == [1, 2, 3] and values(y) == [0, 0, 0]  # nothing ran
    assert np.isnan(CUPY.asnumpy(z)).all()
    graph[0].upload()
    for first in (1, 10):
        x[0] = first
        graph[0].launch()
        assert values(y) == [5, 5, 7] and values(z) == [first + 6] * 3


def test_views_are_not_recorded():
    x = CUPY.asarray(np.arange(6.0).reshape(2, 3))
    with capture() as graph:
        view, turned, other, number = x[1], x.T, x.reshape(-1)[::2], x[0, 0]
        flat = x.T.reshape(-1)  # a copy
        view *= 2
        moved = CUPY.empty(5)
        moved[:2], moved[2:] = turned[0], other
    x[...] = 1
    assert view.base is not None and flat.base is None and np.isnan(CUPY.asnumpy(flat)).all()
    graph[0].launch()
    assert values(x) == [[1, 1, 1], [2, 2, 2]] and values(flat) == [1] * 6 and values(moved) == [1, 2, 1, 1, 2]
    assert values(number) == 1


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.where(x > 1, x, 0),
        lambda x: x.astype(np.float32),
        lambda x: x.cumsum(axis=0),
        lambda x: x[x.argmax(axis=0)],  # indices are garbage during capture
        lambda x: np.take_along_axis(x, np.argsort(x, axis=0), axis=0),
        lambda x: np.add(*np.modf(x)),
        lambda x: np.subtract(*np.split(x, 2)),
        lambda x: np.pad(x, 1) + np.ones_like(x)[0, 0],
        lambda x: CUPY.full((2, 2), 3.0) * CUPY.zeros(2) - CUPY.ascontiguousarray(x.T),
        lambda x: np.add.reduce(x, axis=1, keepdims=True),
        lambda x: np.add.outer(x[0], x[1]),
        lambda x: np.sum(x, axis=0, out=CUPY.empty(2)),
        lambda x: erf(x, out=CUPY.empty((2, 2))) + erf(x),
        lambda x: np.clip(abs(x) ** 2, 0, 1).copy().ravel()[:, None],
    ],
)
def test_replay_gives_the_results_of_direct_execution(f):
    x = CUPY.asarray(np.array([[0.5, 2.0], [-1.5, 0.25]]))
    with capture() as graph:
        y = f(x)
    x *= -1
    graph[0].launch()
    expected = f(x)
    np.testing.assert_array_equal(CUPY.asnumpy(y), CUPY.asnumpy(expected))
    assert y.dtype == expected.dtype and y.strides == expected.strides


def test_writes_are_recorded():
    x, y, index = device(1, 2, 3), device(0, 0, 0), device(0, 0, 2, dtype=np.int64)
    with capture() as graph:
        np.copyto(y, x)
        CUPY.add.at(y, index, x)
        x.fill(0)
        y[y > 100] = 7
        x[index[1:]] = y[1:]
    assert values(x) == [1, 2, 3] and values(y) == [0, 0, 0]
    graph[0].launch()
    assert values(y) == [4, 2, 6] and values(x) == [2, 0, 6]


@needs_gxx
def test_kernels_are_recorded():
    x, y = device(1, 2, dtype=np.float32), device(0, 0, dtype=np.float32)
    scale = CUPY.RawModule(code=SOURCE).get_function("scale")
    with capture() as graph:
        scale((1,), (32,), (x, y, np.float32(3), np.int32(2)))
        with pytest.raises(TypeError, match="argument 3: int64"):
            scale((1,), (32,), (x, y, np.float32(3), np.int64(2)))
        y += 1
    assert values(y) == [0, 0]
    x *= 10
    graph[0].launch()
    assert values(y) == [31, 61]


@needs_gxx
def test_a_kernel_that_writes_outside_of_an_array_raises():
    x = device(1, 2, dtype=np.float32)
    beside = CUPY.RawModule(code=SOURCE).get_function("beside")
    beside((1,), (1,), (x, np.int32(1)))
    for outside in (-1, 2):
        with pytest.raises(cuda.CUDARuntimeError, match="beside wrote outside of an array"):
            beside((1,), (1,), (x, np.int32(outside)))
    assert values(x) == [1, 3]


@pytest.mark.parametrize(
    "forbidden",
    [
        CUPY.asnumpy,
        lambda x: x.get(),
        lambda x: CUPY.asarray(np.ones(2)),
        lambda x: CUPY.array([1.0]),
        lambda x: float(x[0, 0]),
        lambda x: int(x[0, 0]),
        lambda x: bool(x[0, 0]),
        lambda x: x.item(0),
        lambda x: x.tolist(),
        str,
        repr,
        lambda x: f"{x}",
        lambda x: x[x > 0],
        lambda x: x[0, [True, False]],
        lambda x: x.__setitem__(x > 0, x[0]),
        lambda x: np.nonzero(x),
        lambda x: np.concatenate([x, x]),
        lambda x: np.stack([x, x]),
        lambda x: np.where(x),
        lambda x: x @ x,
        lambda x: np.matmul(x, x, out=x),
        lambda x: x.dot(x),
        lambda x: np.tensordot(x, x),
        lambda x: np.einsum("ij->ji", x),
        lambda x: np.inner(x, x),
        lambda x: np.vdot(x, x),
        lambda x: np.linalg.inv(x),
        lambda x: cuda.get_current_stream().synchronize(),
        lambda x: cuda.Device().synchronize(),
        lambda x: cuda.get_current_stream().record().synchronize(),
        lambda x: cuda.Graph().launch(),
        lambda x: cuda.get_current_stream().begin_capture(),
    ],
)
def test_operations_that_synchronize_with_the_host_invalidate_the_capture(forbidden):
    x = CUPY.asarray(np.eye(2))
    stream = cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        with pytest.raises(RuntimeError, match="operation not permitted when stream is capturing"):
            forbidden(x)
        if stream.graph.spoiled:
            with pytest.raises(RuntimeError, match="failed due to a previous error during capture"):
                stream.end_capture()
        else:
            stream.end_capture()
        assert not stream.is_capturing()
    assert CUPY.asnumpy(x).tolist() == [[1, 0], [0, 1]]


# Streams and memory


def test_streams():
    outer, stream = cuda.get_current_stream(), cuda.Stream(non_blocking=True)
    assert outer is cuda.Stream.null and stream.non_blocking
    x = device(1)
    with stream:
        assert cuda.get_current_stream() is stream
        start = stream.record()
        stream.begin_capture()
        with outer:
            x += 1  # not on the stream that captures
        assert stream.is_capturing()
        stream.end_capture().launch()
        end = stream.record(cuda.Event())
        assert cuda.get_elapsed_time(start, end) >= 0 and end.done
    assert cuda.get_current_stream() is outer and values(x) == [2]
    with pytest.raises(RuntimeError, match="not permitted"):
        outer.begin_capture()
    with pytest.raises(RuntimeError, match="not capturing"):
        stream.end_capture()
    assert stream.use() is cuda.get_current_stream()
    outer.use()


def fork(join=True):
    """(graph, x, y): x ← 0, then x ← 2x + 1 and y ← y + 1 on two streams, then y ← x + y if they are joined."""
    stream, other, x, y = cuda.Stream(non_blocking=True), cuda.Stream(non_blocking=True), device(5), device(0)
    with stream:
        stream.begin_capture()
        x.fill(0)
        other.wait_event(stream.record())
        with other:
            assert other.is_capturing()
            y += 1
            end = other.record()
        x *= 2
        x += 1
        if join:
            stream.wait_event(end)
            y += x
        graph = stream.end_capture()
    assert not other.is_capturing()
    return graph, x, y


def test_a_graph_has_exactly_the_dependencies_of_its_streams():
    graph, x, y = fork()
    for count in range(1, 20):
        graph.launch()
        assert values(x) == [1] and values(y) == [2 * count]
    order, stream = [], cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        start = stream.record()
        for name in "abc":
            branch = cuda.Stream(non_blocking=True)
            branch.wait_event(start)
            with branch:
                stream.graph.record(lambda name=name: order.append(name), ())
            stream.wait_event(branch.record())
        graph = stream.end_capture()
    for _ in range(50):
        graph.launch()
    assert {"".join(order[i : i + 3]) for i in range(0, 150, 3)} == {"abc", "acb", "bac", "bca", "cab", "cba"}


def test_invalid_dependencies_between_streams_are_refused():
    with pytest.raises(RuntimeError, match="does not wait for another's work"):
        fork(join=False)
    stream, other = cuda.Stream(non_blocking=True), cuda.Stream(non_blocking=True)
    stream.begin_capture()
    with pytest.raises(RuntimeError, match="waiting for an event that was not captured"):
        stream.wait_event(other.record())
    with pytest.raises(RuntimeError, match="previous error during capture"):
        stream.end_capture()
    stream.begin_capture()
    with pytest.raises(RuntimeError, match="waiting on another stream"):
        cuda.Stream.null.wait_event(stream.record())
    other.wait_event(stream.record())
    with pytest.raises(RuntimeError, match="not capturing"):
        other.end_capture()  # its capture was begun by the other stream


def test_arrays_use_memory_of_the_current_allocator():
    pool, default = cuda.MemoryPool(), CUPY.get_default_memory_pool()
    before = default.used_bytes()
    with cuda.using_allocator(pool.malloc):
        x = CUPY.ones((4, 4))
        y = x.T[1:]
        z = x * 2
    assert pool.used_bytes() == x.nbytes + z.nbytes and default.used_bytes() == before
    assert x.data.mem.pool is y.data.mem.pool is pool
    assert x.data.mem is y.data.mem is not z.data.mem
    assert y.data.ptr == y.__cuda_array_interface__["data"][0] == x.data.ptr + 8
    del x, z
    assert pool.used_bytes() == 128  # held by a view
    del y
    assert pool.used_bytes() == 0 and pool.free_all_blocks() is None
    assert CUPY.ones(3).data.mem.pool is default


def test_launching_a_graph_after_its_memory_was_freed_raises():
    x = device(1, 2)
    with capture() as graph:
        y = (x + 1) * 2
    graph[0].launch()
    assert values(y) == [4, 6]
    assert [pointer.mem.size for pointer in graph[1]] == [16, 16]  # x + 1 and y
    graph.pop().clear()
    with pytest.raises(RuntimeError, match="memory that was freed"):
        graph[0].launch()
    assert values(y) == [4, 6]
