"""Draw the pictures of commands, write numbers with their errors, and list the files that were written."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from rich.console import Console

from minigrad.interrupts import defer_signals
from vae import folders, terminal
from vae.errors import UserError
from vae.evaluation import Estimate


def drop_alpha(images: Any) -> Any:
    """Images without their alpha channel, if they have one."""
    return images[..., : {2: 1, 4: 3}.get(images.shape[-1])]


def draw_picture(kind: str, path: Path, *given: Any, **look: Any) -> Path:
    """Draw one of the pictures of `vae.pictures` or `vae.latent_pictures`, which are imported only here.

    Raises UserError if that fails."""
    try:
        with defer_signals():  # a signal during the import would look like a broken module
            from vae import latent_pictures, pictures

        module = pictures if hasattr(pictures, kind) else latent_pictures
        return getattr(module, kind)(path, *given, **look)
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


def write_estimate(estimate: Estimate) -> str:
    """An estimate with two digits of its standard error, and two decimals at least.

    >>> write_estimate(Estimate(84.4512, 0.1234)), write_estimate(Estimate(84.4512, 0.001234))
    ('84.45 ± 0.12', '84.4512 ± 0.0012')
    """
    error = estimate.standard_error
    if error is None:
        return f"{estimate.mean:.3f}".replace("-", "−")
    decimals = min(8, max(2, 1 - math.floor(math.log10(error)))) if error > 0 else 3
    return f"{estimate.mean:.{decimals}f} ± {error:.{decimals}f}".replace("-", "−")


def list_files(console: Console, out: Path) -> None:
    """Print the path of every file in the folder."""
    for path in folders.files_in(out):
        console.print(f"  {path}")
