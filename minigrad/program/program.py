"""A program: what a function did to arrays, in an order that can be run again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, NamedTuple

from minigrad.backends import Backend, DeviceError, backend_of
from minigrad.core import tree
from minigrad.core.arrays import describe
from minigrad.core.errors import MutationError, OperandError
from minigrad.core.interpreter import Eval, Tracer, current
from minigrad.core.origin import Origin
from minigrad.program.cost import cost, listing
from minigrad.program.cpu.executor import Replay
from minigrad.program.gpu.executor import Recorded
from minigrad.program.graph import Constant, Instruction, Kind, exact, is_array, is_dynamic, kind_of
from minigrad.program.memory import Memory


@dataclass(frozen=True)
class Signature:
    """What a program was captured with: the tree of its arguments, and a `Kind` or a fixed value for each leaf."""

    structure: tree.Structure
    leaves: tuple[Kind | Constant, ...]

    def arrays(self, args: tuple, kwargs: dict[str, Any]) -> list[Any]:
        """The arrays among these arguments. Raises ValueError unless they are of the kind captured."""
        leaves, structure = tree.flatten((args, kwargs))
        if exact(structure) != exact(self.structure):
            raise OperandError(
                f"the program takes arguments {self.structure}, not {structure}: trace the function anew"
            )
        for leaf, expected in zip(leaves, self.leaves, strict=True):
            if isinstance(expected, Constant):
                fits = not is_dynamic(leaf) and exact(leaf) == exact(expected.value)
            else:
                fits = is_dynamic(leaf) and kind_of(leaf) == expected
            if not fits:
                raise OperandError(
                    f"the program was captured with {expected}, not {describe(leaf)}: trace the function anew, or let "
                    "mg.jit do that"
                )
        return [leaf for leaf in leaves if is_dynamic(leaf)]


class Outside(NamedTuple):
    """An array that a function took from outside, as it was."""

    array: Any
    fingerprint: int
    origin: Origin

    def check(self) -> None:
        """Raise MutationError if it has changed."""
        if fingerprint(self.array) != self.fingerprint:
            raise MutationError(
                f"{describe(self.array)}, which {self.origin} takes from outside the captured function, has changed "
                "since: pass it as an argument, or change a copy"
            )


def fingerprint(array: Any) -> int:
    """A number that changes with any element of an array."""
    return backend_of((array,)).fingerprint(array)


@dataclass(frozen=True, eq=False)
class Program:
    """Instructions from `inputs` (slots) to `outputs` (slots or constants, in a tree). Print it; call it; pickle it.

    It is immutable, so a copy of it is the program itself.
    """

    signature: Signature
    backend: Backend
    kinds: tuple[Kind, ...]  # by slot
    inputs: tuple[int, ...]
    instructions: tuple[Instruction, ...]
    outputs: tuple[int | Constant, ...]
    structure: tree.Structure
    outside: tuple[Outside, ...] = ()
    donated: tuple[int, ...] = ()  # inputs that a run may write its results over

    def __len__(self) -> int:
        return len(self.instructions)

    def __str__(self) -> str:
        return listing(self.inputs, self.instructions, self.outputs, self.kinds)

    def __copy__(self) -> Program:
        return self

    def __deepcopy__(self, memo: dict) -> Program:
        return self

    def __reduce__(self) -> tuple:
        """Without its buffers, which are allocated where it runs; with the arrays its function took from outside."""
        self.check()
        return Program, tuple(getattr(self, field.name) for field in fields(self))

    @property
    def flops(self) -> int:
        """Floating-point operations of one run; a multiplication and an addition each count as one."""
        return sum(cost(instruction, self.kinds).flops for instruction in self.instructions)

    def memory(self) -> Memory:
        """Bytes that a run holds beside its arguments; print it."""
        return self._replay.memory

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
        watched = not isinstance(current(), Eval) or any(isinstance(array, Tracer) for array in arrays)
        return tree.unflatten(self.structure, self._applied(arrays)) if watched else self.run(arrays)

    def check(self) -> None:
        """Raise MutationError if an array that it took from outside has changed."""
        for taken in self.outside:
            taken.check()

    def run(self, arrays: Sequence[Any]) -> Any:
        """The results, of the arrays among the arguments, which are known to fit and which nobody watches."""
        return self._built(self._replay.run(arrays))

    def _applied(self, arrays: Sequence[Any]) -> list[Any]:
        """One primitive after the other, for an interpreter to see: so a program has derivatives."""
        values: dict[int, Any] = dict(zip(self.inputs, arrays, strict=True))

        def of(operand: int | Constant) -> Any:
            return operand.value if isinstance(operand, Constant) else values[operand]

        for instruction in self.instructions:
            values[instruction.result] = instruction.primitive(*map(of, instruction.operands), **instruction.params)
        return list(map(of, self.outputs))

    @cached_property
    def _built(self) -> Callable[[list], Any]:
        """Results from their leaves."""
        return tree.builder(self.structure)

    @cached_property
    def _replay(self) -> Replay | Recorded:
        return (Recorded if self.backend.recorder else Replay)(self, self.donated)
