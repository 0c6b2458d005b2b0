"""Checkpoints in safetensors: named arrays, one JSON record, and a digest of both. Loading does not use pickle."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_safetensors

from minigrad import to_device
from minigrad.core import tree
from vae.errors import CheckpointError
from vae.files import write_bytes

RECORD, DIGEST = "vae", "blake2b"


def save(path: Path, trees: dict[str, Any], record: dict[str, Any]) -> None:
    """Write trees of arrays under their dotted names, and a record of JSON values, atomically."""
    arrays: dict[str, np.ndarray] = {}
    for name, values in trees.items():
        leaves = tree.flatten(to_device(values, "cpu"))[0]
        for path_in_tree, leaf in zip(tree.names({name: values}), leaves, strict=True):
            arrays[path_in_tree] = np.array(leaf, order="C")
    text = json.dumps(record)
    write_bytes(path, to_safetensors(arrays, metadata={RECORD: text, DIGEST: _digest(arrays, text)}))


def _digest(arrays: dict[str, np.ndarray], record: str) -> str:
    """A digest of names, shapes, dtypes, bytes and the record: it detects a single flipped bit."""
    digest = hashlib.blake2b(record.encode(), digest_size=16)
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode() + arrays[name].tobytes())
    return digest.hexdigest()


def load(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a checkpoint: (arrays by dotted name, record).

    Raises CheckpointError for a file that is missing, damaged or not a checkpoint of this program.
    """
    if not os.path.isfile(path):
        raise CheckpointError(f"no checkpoint at {path}; train first, or give the folder of a run")
    try:
        with open(path, "rb"):  # safetensors reports every failure as "No such file"
            pass
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    np.empty(2 * os.path.getsize(path) + 2**22, np.uint8)  # raise MemoryError here: safetensors would panic
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if RECORD not in metadata:
                raise CheckpointError(f"{path} is a safetensors file, but not a checkpoint of vae train")
            arrays = {name: file.get_tensor(name) for name in file.keys()}
        if metadata.get(DIGEST) != _digest(arrays, metadata[RECORD]):
            raise CheckpointError(f"{path} is damaged (its digest does not match); train again, or restore it")
        return arrays, json.loads(metadata[RECORD])
    except (SafetensorError, OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is damaged or not a checkpoint ({error}); train again, or restore it") from None


def fill(like: Any, name: str, arrays: dict[str, np.ndarray], path: Path) -> Any:
    """The tree `like` with its leaves replaced by the arrays under `name`.

    Raises CheckpointError, naming the first difference, if the checkpoint belongs to another model.
    """
    leaves, structure = tree.flatten(like)
    filled = []
    for leaf, leaf_name in zip(leaves, tree.names({name: like}), strict=True):
        found = arrays.get(leaf_name)
        if found is None or found.shape != np.shape(leaf):
            seen = "is missing" if found is None else f"has shape {found.shape}"
            raise CheckpointError(
                f"{path} belongs to another model: '{leaf_name}' {seen}, expected shape {np.shape(leaf)}"
            )
        filled.append(found)
    return tree.unflatten(structure, filled)
