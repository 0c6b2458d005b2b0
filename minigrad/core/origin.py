"""Origins: the operation and the line of user code that produced a value, for messages and listings."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple


class Origin:
    """The operation that produced a traced value, and the line of user code that called it.

    Every traced operation creates one, so it stores only the code object and the instruction of the innermost frame
    outside this package; the line number is computed when it is read.
    """

    __slots__ = ("_code", "_instruction", "operation")

    def __init__(self, operation: str, inside: int = 1):
        """`inside`: how many of the innermost frames are known to be of this package."""
        frame = sys._getframe(inside)
        while frame.f_code.co_filename.startswith(PACKAGE) and frame.f_back is not None:
            frame = frame.f_back
        self.operation, self._code, self._instruction = operation, frame.f_code, frame.f_lasti

    @property
    def file(self) -> str:
        return self._code.co_filename

    @property
    def line(self) -> int:
        spans = self._code.co_lines()
        return next((n for start, end, n in spans if start <= self._instruction < end and n), self._code.co_firstlineno)

    def __str__(self) -> str:
        return f"'{self.operation}' at {self.file}:{self.line}"

    def __reduce__(self) -> tuple:
        return _restore_origin, (self.operation, self.file, self.line)


class _RestoredCode(NamedTuple):
    """Replaces the code object of an unpickled origin, whose line number is already known."""

    co_filename: str
    co_firstlineno: int

    def co_lines(self) -> tuple:
        return ()


def _restore_origin(operation: str, file: str, line: int) -> Origin:
    origin = Origin(operation)
    origin._code, origin._instruction = _RestoredCode(file, line), 0
    return origin


PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
