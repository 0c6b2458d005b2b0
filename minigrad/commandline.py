"""What the package's commands share: usage errors in one sentence with exit code 2, and output that cannot be written.

When its output can no longer be written (a closed pipe, a full disk), a command keeps running, since it may have files
to write; its exit code says so at the end.
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
    """Prints one sentence and exits with 2 when the arguments are wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        super().exit(finish(self.prog, status, printed=False), message)  # --help is output, too


def run(main: Callable[[], int]) -> NoReturn:
    """Exit with the code that `main` returns. Inside it, writing to stdout and stderr never raises an OSError."""
    sys.stdout = _wrap(sys.stdout, "replace")  # for terminals without "−" and "σ"
    sys.stderr = _wrap(sys.stderr, "backslashreplace")
    try:
        code = main()
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def finish(program: str, code: int, printed: bool = True) -> int:
    """Flush stdout, and give the exit code of a command that would otherwise exit with `code`.

    A code other than 0 stays. Instead of 0 it is 141 if the reader of the output is gone and the command did nothing
    but print (`printed`), and 2, with a sentence on stderr, if the output could not be written (a full disk, say).
    """
    sys.stdout.flush()
    fault = getattr(_raw(sys.stdout), "fault", None)
    if fault is None:
        return code
    if fault.errno in (errno.EPIPE, errno.EIO):  # a closed pipe, a closed terminal
        return code or (141 if printed else 0)
    print(f"{program}: cannot write the output: {fault.strerror}", file=sys.stderr)
    return code or 2


class _Output(io.FileIO):
    """A file that keeps the first OSError of a write in `fault`, raises none, and drops what is written later."""

    fault: OSError | None = None

    def write(self, data: Any) -> int:
        whole = rest = memoryview(data).cast("B")
        try:
            while rest and self.fault is None:
                count = super().write(rest)
                if count is None:  # a non-blocking pipe that is full
                    select.select([], [self], [])
                rest = rest[count or 0 :]
        except OSError as fault:
            self.fault = fault
        return len(whole)


def _wrap(stream: TextIO | None, errors: str) -> TextIO:
    """The stream as an _Output, with `errors` for characters that its encoding lacks."""
    if stream is None:  # it was closed
        return open(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8", closefd=False)
    if not isinstance(_raw(stream), io.FileIO):  # a console of Windows, a notebook
        return stream
    stream.flush()
    raw = _Output(stream.fileno(), "w", closefd=False)
    buffer = raw if stream.write_through else io.BufferedWriter(raw)
    look = {"encoding": stream.encoding, "errors": errors, "line_buffering": stream.line_buffering}
    return io.TextIOWrapper(buffer, write_through=stream.write_through, **look)


def _raw(stream: Any) -> Any:
    buffer = getattr(stream, "buffer", None)
    return getattr(buffer, "raw", buffer)
