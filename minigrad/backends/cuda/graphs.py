"""CUDA graphs: work that is recorded once and then launched as a whole.

A graph can hold everything that programs launch except cuBLAS calls, which CUDA could record but CuPy does not allow
(cupy#6290). So matrix products in a graph are those of products.cu.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from minigrad.backends.backend import Recorder
from minigrad.backends.cuda import products
from minigrad.backends.cuda.codegen import PRELUDE, THREADS
from minigrad.backends.cuda.launch import OPTIONS, Kernels, read_source

BRANCHES = 8  # parallel branches of a graph


def make_recorder(cupy: Any, kernels: Kernels) -> Recorder:
    """The recorder of a GPU, which records programs as CUDA graphs."""
    streams: list[Any] = []  # for recording, by one thread at a time
    recording = threading.Lock()

    def record(levels: Sequence[Sequence[Callable[[], None]]]) -> tuple[Callable[[], None], int]:
        kept, events, pool = [], [], cupy.get_default_memory_pool()  # calls of other allocators may get recorded

        def memory(size: int) -> Any:
            """Memory that stays reserved as long as the graph exists, so that parallel branches never share it."""
            kept.append(pool.malloc(size))
            return kept[-1]

        with recording, _no_garbage_collection(), cupy.cuda.using_allocator(memory):
            streams[:] = streams or [cupy.cuda.Stream(non_blocking=True) for _ in range(BRANCHES)]
            with streams[0]:
                streams[0].begin_capture()
                try:
                    for level in levels:
                        events += _record_level(cupy, level, streams)
                    graph = streams[0].end_capture()
                except BaseException:
                    with suppress(Exception):  # the error that broke the recording is the one to report
                        streams[0].end_capture()
                    streams.clear()
                    raise

        recorded = graph, kept  # the memory lives as long as the graph
        return lambda: recorded[0].launch(cupy.cuda.get_current_stream()), sum(pointer.mem.size for pointer in kept)

    return Recorder(partial(products.matmul, kernels), partial(_compile, cupy), record)


def _compile(cupy: Any, text: str) -> Callable:
    """Compile generated kernels. Returns launch(name, blocks, arrays)."""
    streams = read_source("streams.cu") if "_at<" in text else ""  # for noise
    module = cupy.RawModule(code=streams + PRELUDE + text, options=OPTIONS)
    functions: dict[str, Callable] = {}

    def launch(name: str, blocks: int, arrays: Sequence[Any]) -> None:
        if name not in functions:
            functions[name] = module.get_function(name)
        functions[name]((blocks, 1, 1), (THREADS, 1, 1), tuple(arrays))

    return launch


@contextmanager
def _no_garbage_collection():
    """Inside, the garbage collector frees no memory, graph or module, which would break the recording."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _record_level(cupy: Any, level: Sequence[Callable[[], None]], streams: Sequence[Any]) -> list[Any]:
    """Call functions on parallel streams. The first stream, which is current, waits for the others. Returns events."""
    (stream, *others), new = streams[: len(level)], partial(cupy.cuda.Event, disable_timing=True)
    begun, ended = stream.record(new()) if others else None, []
    for number, other in enumerate(others, 1):
        other.wait_event(begun)
        with other:
            for function in level[number :: len(others) + 1]:
                function()
        ended.append(other.record(new()))
    for function in level[:: len(others) + 1]:
        function()
    for event in ended:
        stream.wait_event(event)
    return [begun, *ended]
