"""The executor of a device that can record launches and replay them as a whole, as in a CUDA graph.

A graph becomes launches (`epilogues`, `fusion`, `lowering`), which are bound to memory (`placement`, `arguments`). The
first runs are warm-up runs: they make one launch after another, which compiles and loads the kernels. Then the launches
are recorded in segments, those of a level in parallel, and later runs only replay the segments. A launch that cannot be
recorded is made between two segments.

Exchanges with other processes can be recorded if they only launch work on the device. NCCL wants the same of all
processes then: they replay what they recorded together, or all launch their work one by one. So before each run they
tell each other which recording they have.

A recorded run reads and writes the same memory every time, so results are copied to memory of their own, except those
that are written over donated arguments.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain, groupby
from typing import Any, NamedTuple

from minigrad.backends.cuda.codegen import blocks_of, kernel_source
from minigrad.collectives.group import current, share_number
from minigrad.interrupts import CTRL_C, defer_signals
from minigrad.program.buffers import Memory, allocate, array_at, result_bytes
from minigrad.program.calls import Call, bind_call, run_and_check, run_calls
from minigrad.program.fusion import fuse
from minigrad.program.gpu.arguments import Arguments
from minigrad.program.gpu.epilogues import fuse_epilogues
from minigrad.program.gpu.placement import Placement, place
from minigrad.program.graph import Constant, Graph, is_array
from minigrad.program.lowering import GeneratedKernel, Launch, lower
from minigrad.program.tuning import Tuning
from minigrad.program.views import find_views, view_array


class _Bound(NamedTuple):
    """A launch on the arrays that it reads and writes."""

    level: int
    recordable: bool
    launch: Callable[[], Any]


class GpuExecutor:
    """A graph bound to memory of a device. One run at a time; a second thread waits."""

    def __init__(self, graph: Graph, tuning: Tuning):
        views = find_views(graph)
        self.graph, self.tuning = fuse_epilogues(graph, views, tuning), tuning
        self.schedule = fuse(self.graph, views, tuning)  # with the same views: epilogues only remove slots
        self.levels = lower(self.schedule)
        self.recorder = graph.backend.recorder
        self.backend = replace(graph.backend, matmul=self.recorder.matmul)  # CuPy does not record cuBLAS (cupy#6290)
        self.placement = Placement({}, {}, 0)
        self._lock = threading.Lock()
        self._arguments = Arguments(self.graph)
        self._arrays: dict[Any, Any] = {}  # by slot: inputs, and what is stored
        self._outputs: list[tuple[int | None, Any]] = []
        self._bound: list[_Bound] = []
        self._segments: list[Callable[[], None]] | None = None  # None: nothing is bound
        self._one_by_one: list[Callable[[], None]] = []  # the launches as segments
        self._recording = 0  # its number, the same on all processes that recorded with this one; 0: none
        self._runs = 0
        self._scratch = 0  # bytes of scratch memory of recorded kernels
        generated = [launch for level in self.levels for launch in level if isinstance(launch, GeneratedKernel)]
        others = [launch for level in self.levels for launch in level if not isinstance(launch, GeneratedKernel)]
        self._collective = any(launch.primitive.traits.collective for launch in others)
        source = "\n".join(
            kernel_source(g.name, g.loops, [graph.kind(x).dtype for x in g.arguments]) for g in generated
        )
        self._launch = self.recorder.compile(source) if source else None

    @property
    def memory(self) -> Memory:
        """Bytes that a run holds besides its arguments; scratch memory of kernels is known once they are recorded."""
        placement = place(self.schedule, {*self.graph.donated}, self.tuning)
        results = result_bytes(self.graph, placement.overwrites)
        return Memory(placement.bytes, results, self._scratch, self.backend.scratch_bytes())

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """The results as leaves, each in memory of its own."""
        with self._lock, defer_signals(CTRL_C):
            segments, self._segments = self._segments, None  # if this run fails, the next one binds everything again
            if segments is None:
                self._arguments.forget()
            if self._arguments.take(inputs, self.placement.overwrites.values()):
                segments = None  # frees the recording before new memory is allocated
            if segments is None:
                segments = self._bind()
            replay = self._agree(self._runs >= max(1, self.tuning.warm_ups))  # the first run is a warm-up in any case
            if replay and not self._recording:
                segments = self._record()
            self._segments = segments
            for segment in segments if replay else self._one_by_one:
                segment()
            self._runs += 1
            return self._results()

    @contextmanager
    def hold(self) -> Iterator[tuple[list[Any], list[Any], Callable[[], None]]]:
        """Arrays for inputs and outputs, and a function that computes the outputs from the inputs, for loops."""
        empty, kinds = self.backend.xp.empty, self.graph.kinds
        inputs = [empty(*kinds[slot]) for slot in self.graph.inputs]
        outputs = [empty(*self.graph.kind(output)) for output in self.graph.outputs]

        def step() -> None:
            for out, y in zip(outputs, self.run(inputs), strict=True):
                out[...] = y

        yield inputs, outputs, step

    def _results(self) -> list[Any]:
        """The outputs. Those that are not written over donated arguments are copied."""
        results = []
        for argument, value in self._outputs:
            if argument is not None:
                value = value.view()
                self._arguments.expect(argument, value)
            results.append(value.copy() if argument is None and is_array(value) else value)
        return results

    # Binding

    def _bind(self) -> list[Callable[[], None]]:
        """Place stored slots in memory, and bind the launches. In warm-up runs each launch is a segment."""
        self._runs = self._recording = 0
        self.placement = place(self.schedule, self._arguments.writable(), self.tuning)
        self._arrays = {slot: self._arguments.array(slot) for slot in self.graph.inputs}
        self._arrays |= {output: self._arrays[slot] for output, slot in self.placement.overwrites.items()}
        block = allocate(self.backend, self.placement.bytes, self.tuning.alignment)
        for slot, offset in self.placement.offsets.items():
            self._arrays[slot] = array_at(block, offset, self.graph.kinds[slot])
        self._outputs = list(self._find_outputs())
        self._bound = [
            _Bound(number, self._is_recordable(launch), self._bind_launch(launch))
            for number, level in enumerate(self.levels)
            for launch in level
        ]
        self._one_by_one = [partial(_run, bound.launch, first=True) for bound in self._bound]
        return self._one_by_one

    def _find_outputs(self) -> Iterator[tuple[int | None, Any]]:
        """For each output, the slot of the argument that it is written over (or None), and its array.

        An output that is returned twice counts as written over the argument only once; the second time it is copied.
        """
        overwrites = dict(self.placement.overwrites)
        for output in self.graph.outputs:
            yield overwrites.pop(output, None) if isinstance(output, int) else None, self._array(output)

    def _bind_launch(self, launch: Launch) -> Callable[[], Any]:
        if isinstance(launch, GeneratedKernel):
            arrays = [x.value if isinstance(x, Constant) else self._arrays[x] for x in launch.arguments]
            return partial(self._launch, launch.name, sum(map(blocks_of, launch.loops)), arrays)
        args, out = list(map(self._array, launch.operands)), self._arrays[launch.result]
        return bind_call(launch.primitive, self.backend, args, launch.params, out)

    def _array(self, operand: Any) -> Any:
        """The array of a slot or a constant, which may be a view of a stored array."""
        if not isinstance(operand, int):
            return operand.value
        if operand not in self.schedule.views.slots:
            return self._arrays[operand]
        view = self.schedule.instructions[operand]
        return view_array(view, self.backend, self._array(view.operands[view.primitive.view_of]), view.params)

    # Recording

    def _is_recordable(self, launch: Launch) -> bool:
        if isinstance(launch, GeneratedKernel):
            return True
        traits = launch.primitive.traits
        if traits.collective and not current().launches(self.backend):
            return False
        return traits.can_record(self.graph.kind(launch.result).dtype)

    def _agree(self, ready: bool) -> bool:
        """Whether to record or replay, given whether this process is ready to. With recorded exchanges all must be
        ready, and they record anew unless they have the recordings that they made together."""
        if not self._has_exchanges():
            return ready
        recordings = share_number(self._recording if ready else -1)
        if -1 in recordings:
            return False
        if len(set(recordings)) > 1:
            self._recording = 0
        return True

    def _has_exchanges(self) -> bool:
        """Whether recordings have exchanges with other processes."""
        return self._collective and current().size > 1 and current().launches(self.backend)

    def _record(self) -> list[Callable[[], None]]:
        """The launches as segments: consecutive recordable launches form one segment, every other launch its own."""
        segments, self._scratch = [], 0
        self._recording = share_number(1 + secrets.randbits(62))[0] if self._has_exchanges() else 1
        for recordable, some in groupby(self._bound, key=lambda bound: bound.recordable):
            levels = [[partial(_run, b.launch) for b in level] for _, level in groupby(some, key=lambda b: b.level)]
            if recordable:
                repeat, scratch = self.recorder.record(levels)
                segments.append(repeat)
                self._scratch += scratch
            else:
                segments += chain(*levels)
        return segments


def _run(launch: Callable[[], Any], first: bool = False) -> None:
    """Launch. The first time, check that formulas write to `out`."""
    if isinstance(launch, Call):
        (run_and_check if first else run_calls)([launch])
    else:
        launch()
