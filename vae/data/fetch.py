"""Download a published file once; it is either complete and verified or not there at all.

Blocks go to a partial file beside the target. Its unzipped content (mirrors may compress differently) is checked
against a SHA-256 before it is renamed to the target atomically. A lock makes a second process wait and then use the
file (without locks it downloads the file again, which does no harm). If a mirror fails, stops half-way or sends
something else, the next one is tried.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from minigrad.files import part_path, replace_by_blocks
from vae.locks import lock_folder

from .dataset import DataError
from .idx import read_bytes

LIMIT = 64 << 20  # bytes, zipped or not: more than any file here, too few to fill a disk
BLOCK = 1 << 16  # bytes


def fetch(name: str, sha256: str, folder: Path, mirrors: Sequence[str], timeout: float = 30.0) -> Path:
    """The path of `name` in `folder`, downloaded from the first mirror that serves it correctly.

    sha256: of the unzipped content, in hex. mirrors: base URLs, tried in turn. timeout: seconds
    without a byte before a mirror is given up. An existing file is used if its checksum is right,
    else replaced. Raises DataError that says how each mirror failed.
    """
    target = folder / name
    if os.path.isfile(target) and find_fault(target, sha256) is None:
        return target
    faults = []
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(lock_folder(folder, wait=True))
        except OSError as error:
            raise DataError(
                f"the cache folder {folder} cannot be written ({error.strerror}): name another one "
                f"with cache_dir or VAE_DATA, or put {name} in a folder and name it with data_dir (--data-dir)"
            ) from None
        if os.path.isfile(target):  # another process has downloaded it, or it is damaged
            fault = find_fault(target, sha256)
            if fault is None:
                return target
            faults.append(f"{target}: {fault}")
        for mirror in mirrors:
            url = f"{mirror.rstrip('/')}/{name}"
            logging.getLogger(__name__).info("fetching %s", url)
            try:
                replace_by_blocks(target, _receive(url, part_path(target), sha256, timeout))
                return target
            except (OSError, HTTPException, ValueError) as error:
                reason = error.reason if type(error) is URLError else error
                faults.append(f"{url}: {reason}")
                if isinstance(error, HTTPError):
                    error.close()  # it holds the connection
    raise DataError(
        f"{name} could not be fetched into {folder} ({'; '.join(faults)}): "
        "download it by other means, put it in a folder and name that folder with data_dir (--data-dir)"
    )


def find_fault(path: Path, sha256: str) -> str | None:
    """Why the file's unzipped content does not have this checksum, or None if it does."""
    try:
        seen = hashlib.sha256(read_bytes(path, LIMIT)).hexdigest()
    except DataError as error:
        return str(error)
    if seen == sha256:
        return None
    return f"wrong content, expected SHA-256 {sha256}, seen {seen}"


def _receive(url: str, part: Path, sha256: str, timeout: float) -> Iterator[bytes]:
    """Yield the blocks that a mirror sends, which the caller writes to `part`. Raises OSError, HTTPException or
    ValueError; the last one also if the complete file does not have this checksum."""
    with urlopen(url, timeout=timeout) as response:
        promised = response.headers.get("Content-Length")
        received = 0
        while block := response.read(BLOCK):
            received += len(block)
            if received > LIMIT:
                raise ValueError(f"sent more than {LIMIT} bytes")
            yield block
    if promised is not None and received != int(promised):
        raise ValueError(f"stopped after {received} of {promised} bytes")
    if fault := find_fault(part, sha256):
        raise ValueError(fault)
