"""What the package's commands share: options that are wrong are one sentence and exit code 2, and output may get lost.

A command goes on when nobody takes its output any more, and never fails because of that: it may have more to do.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import select
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TextIO


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence and exits with 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        super().exit(ended(self.prog, status, printed=False), message)  # help may get lost, too


def run(main: Callable[[], int]) -> NoReturn:
    """Exit with what `main` returns, which writes to outputs that may be closed, full, or pipes that nobody reads."""
    sys.stdout = _lasting(sys.stdout, "replace")  # "−" and "σ" on terminals that have none
    sys.stderr = _lasting(sys.stderr, "backslashreplace")
    try:
        code = main()
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def ended(program: str, code: int, printed: bool = True) -> int:
    """The exit code of a command that would end with `code`, now that its output is out, or lost.

    If its reader is gone: `code`, or 141 where that is 0 and what was `printed` is all that the command was for. If it
    could not be written (a full disk, say): 2, and a sentence on stderr.
    """
    sys.stdout.flush()
    fault = getattr(_raw(sys.stdout), "fault", None)
    if fault is None:
        return code
    if fault.errno in (errno.EPIPE, errno.EIO):  # a pipe that was closed, a terminal that was
        return code or (141 if printed else 0)
    print(f"{program}: the output: {fault.strerror}", file=sys.stderr)
    return code or 2


class _Lasting(io.FileIO):
    """A file that keeps its first fault to itself, and from then on what is written to it is dropped."""

    fault: OSError | None = None

    def write(self, data: Any) -> int:
        whole = rest = memoryview(data).cast("B")
        try:
            while rest and self.fault is None:
                count = super().write(rest)
                if count is None:  # it does not block, and is full for the moment
                    select.select([], [self], [])
                rest = rest[count or 0 :]
        except OSError as fault:
            self.fault = fault
        return len(whole)


def _lasting(stream: TextIO | None, errors: str) -> TextIO:
    """The same stream, lasting, and what to do about characters that it has not."""
    if stream is None:  # it was closed
        return open(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8", closefd=False)
    if not isinstance(_raw(stream), io.FileIO):  # a console of Windows, a notebook
        return stream
    stream.flush()
    raw = _Lasting(stream.fileno(), "w", closefd=False)
    buffer = raw if stream.write_through else io.BufferedWriter(raw)
    look = {"encoding": stream.encoding, "errors": errors, "line_buffering": stream.line_buffering}
    return io.TextIOWrapper(buffer, write_through=stream.write_through, **look)


def _raw(stream: Any) -> Any:
    buffer = getattr(stream, "buffer", None)
    return getattr(buffer, "raw", buffer)
