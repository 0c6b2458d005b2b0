"""Write files and create folders; a failure raises a UserError that says why."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from minigrad.files import replace_file
from vae.errors import UserError


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file atomically; write to a device or a pipe directly. Raises UserError if that fails."""
    try:
        replace_file(path, content)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None


def write_json(path: Path, value: Any) -> None:
    """Write one JSON document."""
    write_bytes(path, (json.dumps(value, indent=2) + "\n").encode())


def write_lines(path: Path, records: list[dict]) -> None:
    """Write one JSON object per line."""
    write_bytes(path, "".join(json.dumps(record) + "\n" for record in records).encode())


def make_folder(path: Path) -> None:
    """Create a folder and its parents. Raises UserError if that fails, or if the folder is not writable."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise UserError(f"cannot write to the folder {path}: {error.strerror or error}") from None
