"""Command-line behaviour that all commands share: usage errors and failing output.

A usage error prints one sentence and exits with code 2. A command whose output cannot be written (a closed pipe, a full
disk) keeps running, since it may have files to write, and reports the failure by its exit code.
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
    """An ArgumentParser that prints one sentence and exits with code 2 if the arguments are wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        super().exit(finish(self.prog, status, printed=False), message)  # the output of --help may fail too


def run(main: Callable[[], int]) -> NoReturn:
    """Call `main` and exit with the code it returns. Within it, writes to stdout and stderr never raise OSError."""
    sys.stdout = _wrap(sys.stdout, "replace")  # for encodings without "−" and "σ"
    sys.stderr = _wrap(sys.stderr, "backslashreplace")
    try:
        code = main()
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def finish(program: str, code: int, printed: bool = True) -> int:
    """Flush stdout, and return the exit code: `code`, unless it is 0 and the output could not be written.

    In that case the code is 2, with a message on stderr. If the reader only closed the pipe or terminal, it is 141 for
    a command that does nothing but print (`printed`), otherwise 0.
    """
    sys.stdout.flush()
    error = getattr(_raw(sys.stdout), "error", None)
    if error is None:
        return code
    if error.errno in (errno.EPIPE, errno.EIO):  # a closed pipe, a closed terminal
        return code or (141 if printed else 0)
    print(f"{program}: cannot write the output: {error.strerror}", file=sys.stderr)
    return code or 2


class _Output(io.FileIO):
    """A file whose `write` raises no OSError: it stores the first one in `error`, and ignores later writes."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        whole = rest = memoryview(data).cast("B")
        try:
            while rest and self.error is None:
                count = super().write(rest)
                if count is None:  # the pipe is non-blocking and full
                    select.select([], [self], [])
                rest = rest[count or 0 :]
        except OSError as error:
            self.error = error
        return len(whole)


def _wrap(stream: TextIO | None, errors: str) -> TextIO:
    """The stream with an _Output below it, and the handler `errors` for characters that its encoding lacks."""
    if stream is None:  # stdout or stderr is closed
        return open(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8", closefd=False)
    if not isinstance(_raw(stream), io.FileIO):  # a Windows console or a notebook
        return stream
    stream.flush()
    raw = _Output(stream.fileno(), "w", closefd=False)
    buffer = raw if stream.write_through else io.BufferedWriter(raw)
    options = {"encoding": stream.encoding, "errors": errors, "line_buffering": stream.line_buffering}
    return io.TextIOWrapper(buffer, write_through=stream.write_through, **options)


def _raw(stream: Any) -> Any:
    """The unbuffered file below a text stream, if it has one."""
    buffer = getattr(stream, "buffer", None)
    return getattr(buffer, "raw", buffer)
