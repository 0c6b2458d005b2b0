"""Calls of functions: which of them ran each operation on a tape.

The stack of frames tells, and is read only by this recorder, so that nothing else pays for it. A call is known by its
frame. Functions of the user count, and those of `minigrad.ops` that they call (`mean` is a sum and a division);
comprehensions belong to the function around them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, NamedTuple

from minigrad.core import tree
from minigrad.core.interpreter import Primitive, Tracer
from minigrad.core.origin import PACKAGE
from minigrad.core.reverse import Reverse, ReverseTracer

OPERATIONS = os.path.join(PACKAGE, "ops", "")
COMPREHENSIONS = ("<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>", "<module>")


class Place(NamedTuple):
    """A line of the user's program."""

    file: str
    line: int


@dataclass(frozen=True, eq=False)
class Call:
    """A call of a function, or a generator; equal to itself alone."""

    name: str
    of_user: bool
    place: Place | None  # the line that calls it, if a function of the user does
    arguments: dict[int, str]  # names of the traced values among its arguments, by tape index


class CallRecorder(Reverse):
    """Reverse mode that keeps all values, and the calls in which every entry of its tape was made.

    Calls count from the function that creates it.
    """

    def __init__(self) -> None:
        super().__init__(keep_all=True)
        self.bottom: FrameType | None = sys._getframe(1)
        self.calls: dict[FrameType, Call] = {}  # the key keeps a frame alive, so that no other takes its place
        self.stacks: dict[int, tuple[Any, tuple[Call, ...]]] = {}  # by tape index: the origin of the entry, its calls

    def calls_of(self, index: int) -> tuple[Call, ...]:
        """The calls in which an entry of the tape was made, from the outermost."""
        made, calls = self.stacks.get(index, (None, ()))
        return calls if made is self.tape[index].origin else ()  # entries inside of checkpointed calls were removed

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        before = len(self.tape)
        y = super().process(primitive, args, params)
        self._record_calls(before)
        return y

    def call(self, call: Any, leaves: Sequence[Any]) -> list[Any]:
        before = len(self.tape)
        results = super().call(call, leaves)
        self._record_calls(before)
        return results

    def append_result(self, x: ReverseTracer, call: int) -> ReverseTracer:
        result = super().append_result(x, call)
        self._record_calls(call)
        return result

    def _record_calls(self, before: int) -> None:
        if len(self.tape) > before:
            calls = tuple(self._find_calls())
            self.stacks |= {i: (self.tape[i].origin, calls) for i in range(before, len(self.tape))}

    def _find_calls(self) -> Iterator[Call]:
        frames, frame = [], sys._getframe(1)
        while frame is not None and frame is not self.bottom:
            frames.append(frame)
            frame = frame.f_back
        place, in_operation = None, False
        for frame in reversed(frames):
            of_user = not frame.f_code.co_filename.startswith(PACKAGE)
            is_operation = not in_operation and _is_operation(frame)
            in_operation = not of_user and (in_operation or is_operation)
            if is_operation or (of_user and frame.f_code.co_name not in COMPREHENSIONS):
                if frame not in self.calls:
                    arguments = self._name_values(_find_parameters(frame))
                    self.calls[frame] = Call(_find_name(frame), of_user, place, arguments)
                yield self.calls[frame]
            if of_user:
                place = Place(frame.f_code.co_filename, frame.f_lineno)

    def _name_values(self, parameters: dict[str, Any]) -> dict[int, str]:
        """The traced values among the arguments: `w`, or `layer.w` in a tree."""
        found: dict[int, str] = {}
        for parameter, value in parameters.items():
            try:
                leaves, names = tree.flatten(value)[0], tree.names(value)
            except (ValueError, TypeError):  # no tree
                continue
            for leaf, name in zip(leaves, names):
                while isinstance(leaf, Tracer) and leaf.level is not self.level:
                    leaf = leaf._value
                if isinstance(leaf, ReverseTracer):
                    found.setdefault(leaf.index, ".".join(filter(None, [parameter, name])))
        return found


def _is_operation(frame: FrameType) -> bool:
    """Whether the frame runs a public function of `minigrad.ops`."""
    code = frame.f_code
    if not code.co_filename.startswith(OPERATIONS) or code.co_name.startswith("_"):
        return False
    return getattr(frame.f_globals.get(code.co_name), "__code__", None) is code


def _find_parameters(frame: FrameType) -> dict[str, Any]:
    """The arguments of a call by the names of its parameters."""
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
    return {name: frame.f_locals[name] for name in code.co_varnames[:count] if name in frame.f_locals}


def _find_name(frame: FrameType) -> str:
    """The name of a frame's function: `dense`, `Layer.forward`, `Layer` for its __call__; a lambda's is that of a
    variable of the user that holds it, if there is one."""
    code = frame.f_code
    name = code.co_qualname.rpartition("<locals>.")[2]
    if code.co_name == "<lambda>":
        around = frame.f_back
        while around is not None and around.f_code.co_filename.startswith(PACKAGE):
            around = around.f_back
        for known, value in (*(around.f_locals if around else {}).items(), *frame.f_globals.items()):
            if getattr(value, "__code__", None) is code:
                return known
        return "lambda"
    return name.removesuffix(".__call__")
