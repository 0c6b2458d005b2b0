"""Pictures of a computation and its derivative, as SVG: what was done, and what came back along every edge.

`graph` runs the function and says what is to be drawn, `layout` finds a place for every box, `svg` writes it down.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minigrad.core.errors import OperandError, OperandTypeError
from minigrad.files import replace_file
from minigrad.show.graph import make_drawing
from minigrad.show.svg import svg_text


class Picture(str):
    """The text of an SVG file; notebooks show it as the picture it is."""

    __slots__ = ()

    def _repr_svg_(self) -> str:
        return str(self)


def draw(f: Callable, *args: Any, path: str | os.PathLike | None = None) -> Picture:
    """The graph of f(*args) and of its derivative, as the text of an SVG picture, also written to `path` if given.

    Arguments and results are trees of floating arrays. Every box has the value v of an operation and its cotangent v̄,
    the sum of what its edges send back; the backward pass starts from 1 at every result (ones, where it is an array).
    Raises TypeError for arguments or results that are not floating, ValueError for a graph too large to read (more than
    150 operations) and for a path that cannot be written.

    >>> import minigrad as mg
    >>> mg.draw(lambda x: x * mg.sin(x), 3.0)[:4]
    '<svg'
    """
    if path is not None:
        path = _check_path(path)
    picture = Picture(svg_text(make_drawing(f, args)))
    if path is not None:
        _write(path, picture)
    return picture


def _check_path(path: Any) -> str:
    try:
        path = os.fsdecode(path)
    except TypeError:
        raise OperandTypeError(f"draw: path is the name of a file, not a {type(path).__name__}") from None
    if not path.lower().endswith(".svg"):
        raise OperandError(f"draw: the picture is an SVG file, so its name ends in .svg, got {path!r}")
    return path


def _write(path: str, text: str) -> None:
    try:
        replace_file(Path(path), text.encode())
    except (OSError, ValueError) as error:  # ValueError: a null byte
        raise OperandError(f"draw: cannot write {path!r}: {getattr(error, 'strerror', None) or error}") from None
