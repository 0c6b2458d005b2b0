"""`mg.draw`: a computation and its derivative as an SVG picture.

`graph` runs the function and lists boxes and edges, `calls` tells which functions ran them, `folds` puts each call into
one box, `layout` positions boxes, `labels` and `svg` write the text.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minigrad.core.errors import OperandError, OperandTypeError
from minigrad.files import replace_file
from minigrad.show.folds import fold
from minigrad.show.graph import make_drawing
from minigrad.show.svg import svg_text


class Picture(str):
    """SVG text, which notebooks display as a picture."""

    __slots__ = ()

    def _repr_svg_(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """The same within the page, where clicks and tooltips work; notebooks show SVG as an image, without them."""
        return str(self)


def draw(f: Callable[..., Any], *args: Any, path: str | os.PathLike[str] | None = None) -> Picture:
    """Draw the graph of f(*args) and of its derivative: return it as SVG text, and write it to `path` if given.

    Arguments and results are trees of floating arrays. Every box shows the value v of an operation and its cotangent v̄,
    the sum over its outgoing edges. The backward pass starts from a cotangent of ones at every result.

    A call of a function inside f is one box, with the values and cotangents of its results; so is a function of
    minigrad that is made of several operations, such as `mg.mean`. A click on the box shows what is inside, in a
    notebook and in a browser that opens the file.

    Raises TypeError for arguments or results that are not floating, ValueError for a graph too large to read (more than
    150 operations and calls in one drawing, or 1,000 operations in all) and for a path that cannot be written.

    >>> import minigrad as mg
    >>> mg.draw(lambda x: x * mg.sin(x), 3.0)[:4]
    '<svg'
    """
    if path is not None:
        path = _check_path(path)
    picture = Picture(svg_text(fold(make_drawing(f, args))))
    if path is not None:
        _write(path, picture)
    return picture


def _check_path(path: Any) -> str:
    try:
        path = os.fsdecode(path)
    except TypeError:
        raise OperandTypeError(f"draw: path must be the name of a file, not a {type(path).__name__}") from None
    if not path.lower().endswith(".svg"):
        raise OperandError(f"draw: path must be a file name that ends in .svg, got {path!r}")
    return path


def _write(path: str, text: str) -> None:
    try:
        replace_file(Path(path), text.encode())
    except (OSError, ValueError) as error:  # ValueError: a null byte
        raise OperandError(f"draw: cannot write {path!r}: {getattr(error, 'strerror', None) or error}") from None
