"""Draw the pictures of commands, and list the files that they wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from minigrad.interrupts import defer_signals
from vae import folders, terminal
from vae.errors import UserError


def drop_alpha(images: Any) -> Any:
    """Images without their alpha channel, if they have one."""
    return images[..., : {2: 1, 4: 3}.get(images.shape[-1])]


def draw_picture(kind: str, path: Path, *given: Any, **look: Any) -> Path:
    """Draw one of the pictures of `vae.pictures`, which is imported only here. Raises UserError if that fails."""
    try:
        with defer_signals():  # a signal during the import would look like a broken module
            from vae import pictures

        return getattr(pictures, kind)(path, *given, **look)
    except (UserError, MemoryError, ImportError):
        raise
    except Exception as error:  # broken fonts or a broken matplotlib
        raise UserError(f"{path} cannot be drawn: {type(error).__name__}: {error}") from error


def try_drawing(kind: str, path: Path, *given: Any, **look: Any) -> bool:
    """Draw a picture that the command can do without: if it fails, print a line on stderr.

    Returns whether it is drawn."""
    try:
        draw_picture(kind, path, *given, **look)
    except (UserError, ImportError) as error:
        terminal.note(str(error) if isinstance(error, UserError) else f"{path} cannot be drawn: {error}")
        return False
    return True


def list_files(console: Console, out: Path) -> None:
    """Print the path of every file in the folder."""
    for path in folders.files_in(out):
        console.print(f"  {path}")
