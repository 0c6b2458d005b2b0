"""A program: the graph of everything a function computes, which can be printed, called, copied and pickled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from minigrad import backends
from minigrad.backends import Backend, DeviceError, backend_of
from minigrad.core import tree
from minigrad.core.checkpoint import awaiting
from minigrad.core.interpreter import Eval, Tracer, current
from minigrad.core.printing import as_html, as_text
from minigrad.program.buffers import Memory
from minigrad.program.cost import total_cost
from minigrad.program.cpu.executor import CpuExecutor, release_results
from minigrad.program.gpu.executor import GpuExecutor
from minigrad.program.graph import Constant, Graph, Instruction, Kind, is_array
from minigrad.program.signature import Outside, Signature
from minigrad.program.tuning import DEFAULT, Tuning


def release_memory() -> None:
    """Give back the memory that is kept for later: by kernels for their columns, by programs for their results. A
    program that is running keeps its own."""
    release_results()
    backends.release_memory()


def apply(graph: Graph, arrays: Sequence[Any]) -> list[Any]:
    """The results, computed primitive by primitive in the current interpreter, so that programs have derivatives."""
    values: dict[int, Any] = dict(zip(graph.inputs, arrays, strict=True))

    def value_of(operand: int | Constant) -> Any:
        return operand.value if isinstance(operand, Constant) else values[operand]

    for instruction in graph.instructions:
        operands = map(value_of, instruction.operands)
        with awaiting(map(value_of, instruction.awaits)):
            values[instruction.result] = instruction.primitive(*operands, **instruction.params)
    return list(map(value_of, graph.outputs))


@dataclass(frozen=True, eq=False)
class Program:
    """Everything a function computes, from its arguments to its results. Print it; call it; pickle it.

    It is immutable, so copying returns the program itself.
    """

    graph: Graph
    signature: Signature
    structure: tree.Structure  # of the results
    outside: tuple[Outside, ...] = ()
    tuning: Tuning = DEFAULT

    @property
    def backend(self) -> Backend:
        """The backend that it computes on."""
        return self.graph.backend

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Shape and dtype of every slot."""
        return self.graph.kinds

    @property
    def inputs(self) -> tuple[int, ...]:
        """The slots of the arrays among the arguments."""
        return self.graph.inputs

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        """The instructions, in the order in which they run."""
        return self.graph.instructions

    @property
    def outputs(self) -> tuple[int | Constant, ...]:
        """The slots of the results, or constants."""
        return self.graph.outputs

    @property
    def flops(self) -> int:
        """Floating-point operations of one run; a multiplication and an addition each count as one."""
        return total_cost(self.graph).flops

    def memory(self) -> Memory:
        """Bytes that a run holds besides its arguments; print it."""
        return self._executor.memory

    @property
    def is_planned(self) -> bool:
        """Whether its memory is planned: the first run and `memory()` do that."""
        return "_executor" in self.__dict__

    def __len__(self) -> int:
        return len(self.instructions)

    def __str__(self) -> str:
        """One instruction a line (`minigrad.show.program`)."""
        return as_text(self)

    def _repr_html_(self) -> str:
        """The same as a table, for notebooks."""
        return as_html(self)

    def __copy__(self) -> Program:
        return self

    def __deepcopy__(self, memo: dict) -> Program:
        return self

    def __reduce__(self) -> tuple:
        """Pickle the arrays taken from outside too, but not the buffers, which are allocated where the program runs."""
        self.check()
        return Program, tuple(getattr(self, field.name) for field in fields(self))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run on arguments of the kind it was captured with; results are in memory of their own.

        Raises ValueError for arguments of another kind, DeviceError for arguments on another device, MutationError if
        an array that it took from outside has changed.
        """
        arrays = self.signature.arrays(args, kwargs)
        located = [x for x in arrays if is_array(x)]  # scalars belong to every device
        if located and backend_of(located) is not self.backend:
            device = backend_of(located).device
            raise DeviceError(
                f"the program computes on {self.backend.device} and arguments are on {device}: move them with "
                f"mg.to_device(x, {self.backend.device!r}), or trace the function again"
            )
        self.check()
        if isinstance(current(), Eval) and not any(isinstance(array, Tracer) for array in arrays):
            return self.run(arrays)
        return tree.unflatten(self.structure, apply(self.graph, arrays))

    def check(self) -> None:
        """Raise MutationError if an array that it took from outside has changed."""
        for taken in self.outside:
            taken.check()

    def run(self, arrays: Sequence[Any]) -> Any:
        """The results. `arrays` are the arrays among the arguments, already checked; none of them is traced."""
        return self._build(self._executor.run(arrays))

    def hold(self) -> AbstractContextManager:
        """What the executor's `hold` yields: arrays for inputs and outputs, and a function that computes the latter."""
        return self._executor.hold()

    @cached_property
    def _build(self) -> Callable[[list], Any]:
        """A function that builds the tree of results from its leaves."""
        return tree.make_unflattener(self.structure)

    @cached_property
    def _executor(self) -> CpuExecutor | GpuExecutor:
        return GpuExecutor(self.graph, self.tuning) if self.backend.recorder else CpuExecutor(self.graph, self.tuning)
