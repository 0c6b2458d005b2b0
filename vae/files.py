"""Files and folders that commands write, with UserErrors that say why one cannot be written."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from minigrad.files import replace_file
from vae.errors import UserError


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file in one step; to a device or a pipe, just write. Raises UserError if that is not possible."""
    try:
        replace_file(path, content)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None


def write_json(path: Path, value: Any) -> None:
    """Write one JSON document."""
    write_bytes(path, (json.dumps(value, indent=2) + "\n").encode())


def write_lines(path: Path, records: list[dict]) -> None:
    """Write one JSON object a line."""
    write_bytes(path, "".join(json.dumps(record) + "\n" for record in records).encode())


def make_folder(path: Path) -> None:
    """Create a folder with its parents. Raises UserError if that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise UserError(f"cannot write to the folder {path}: {error.strerror or error}") from None
