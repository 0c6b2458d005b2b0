"""A program: the graph of what a function did to arrays, which can be printed, called, copied and pickled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from minigrad.backends import Backend, DeviceError, backend_of
from minigrad.core import tree
from minigrad.core.interpreter import Eval, Tracer, current
from minigrad.core.printing import as_text
from minigrad.program.buffers import Memory
from minigrad.program.cost import total_cost
from minigrad.program.cpu.executor import CpuExecutor
from minigrad.program.gpu.executor import GpuExecutor
from minigrad.program.graph import Constant, Graph, Instruction, Kind, is_array
from minigrad.program.signature import Outside, Signature
from minigrad.program.tuning import DEFAULT, Tuning


@dataclass(frozen=True, eq=False)
class Program:
    """What a function did, from its arguments to its results. Print it; call it; pickle it.

    It is immutable, so a copy of it is the program itself.
    """

    graph: Graph
    signature: Signature
    structure: tree.Structure  # of the results
    outside: tuple[Outside, ...] = ()
    tuning: Tuning = DEFAULT

    @property
    def backend(self) -> Backend:
        """Where it computes."""
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
        """What is done, in this order."""
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
        """Bytes that a run holds beside its arguments; print it."""
        return self._executor.memory

    def __len__(self) -> int:
        return len(self.instructions)

    def __str__(self) -> str:
        """One instruction a line (`minigrad.show.program`)."""
        return as_text(self)

    def __copy__(self) -> Program:
        return self

    def __deepcopy__(self, memo: dict) -> Program:
        return self

    def __reduce__(self) -> tuple:
        """Without its buffers, which are allocated where it runs; with the arrays its function took from outside."""
        self.check()
        return Program, tuple(getattr(self, field.name) for field in fields(self))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run on arguments of the kind it was captured with; results are in memory of their own.

        Raises ValueError for other arguments, DeviceError for such of another device, MutationError if an array that it
        took from outside has changed.
        """
        arrays = self.signature.arrays(args, kwargs)
        there = [x for x in arrays if is_array(x)]
        if there and backend_of(there) is not self.backend:
            device = backend_of(there).device
            raise DeviceError(
                f"the program computes on {self.backend.device} and arguments are on {device}: move them there, with "
                f"mg.to_device(x, {self.backend.device!r}), or trace the function anew"
            )
        self.check()
        if isinstance(current(), Eval) and not any(isinstance(array, Tracer) for array in arrays):
            return self.run(arrays)
        return tree.unflatten(self.structure, self._apply(arrays))

    def check(self) -> None:
        """Raise MutationError if an array that it took from outside has changed."""
        for taken in self.outside:
            taken.check()

    def run(self, arrays: Sequence[Any]) -> Any:
        """The results. `arrays` are those among the arguments, already checked; none of them is traced."""
        return self._build(self._executor.run(arrays))

    def _apply(self, arrays: Sequence[Any]) -> list[Any]:
        """The results as leaves, by one primitive after the other, for an interpreter to see: so a program has
        derivatives."""
        values: dict[int, Any] = dict(zip(self.inputs, arrays, strict=True))

        def value_of(operand: int | Constant) -> Any:
            return operand.value if isinstance(operand, Constant) else values[operand]

        for instruction in self.instructions:
            operands = map(value_of, instruction.operands)
            values[instruction.result] = instruction.primitive(*operands, **instruction.params)
        return list(map(value_of, self.outputs))

    @cached_property
    def _build(self) -> Callable[[list], Any]:
        """Makes the tree of results from its leaves."""
        return tree.make_unflattener(self.structure)

    @cached_property
    def _executor(self) -> CpuExecutor | GpuExecutor:
        return GpuExecutor(self.graph, self.tuning) if self.backend.recorder else CpuExecutor(self.graph, self.tuning)
